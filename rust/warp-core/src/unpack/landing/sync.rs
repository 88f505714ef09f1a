//! From time to time what was written is made durable and noted in the journal; and the end.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::syncfs;

use super::super::restore::Restorer;
use super::{Core, Landed, lock};
use crate::catalogue::Spans;
use crate::{Error, Result};

/// How often it looks whether an epoch is over.
const LOOK: Duration = Duration::from_millis(50);

/// Ends epochs until the landing does.
pub(super) fn run(core: &Core) {
    let mut restorer = Restorer::new(&core.site);
    let mut since = Instant::now();
    while core.running() {
        let dirty = core.dirty.load(Ordering::Relaxed);
        let is_over =
            dirty >= core.options.epoch_bytes || (dirty > 0 && since.elapsed() >= core.options.epoch);
        let is_complete = core.is_complete();
        let done = if is_complete {
            core.land(&mut restorer)
        } else if is_over {
            since = Instant::now();
            core.end_epoch()
        } else {
            lock(&core.active).release_all();
            core.wait();
            Ok(())
        };
        match done {
            Err(error) => return core.stop(Some(error)),
            Ok(()) if is_complete => return,
            Ok(()) => {}
        }
    }
    core.stop(None);
}

impl Core {
    fn wait(&self) {
        let shared = lock(&self.shared);
        let waited = self.changed.wait_timeout(shared, LOOK);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether all pages came and all files are complete.
    fn is_complete(&self) -> bool {
        let goal = lock(&self.shared).goal;
        goal.is_some_and(|goal| lock(&self.planner).next == goal.pages) && lock(&self.order).is_empty()
    }

    /// What was written until now becomes durable.
    fn end_epoch(&self) -> Result<()> {
        self.dirty.store(0, Ordering::Relaxed);
        let written = lock(&self.active).written();
        self.sync()?;
        if written.is_empty() {
            return Ok(());
        }
        let kept: BTreeMap<u32, Spans> =
            written.iter().map(|(number, bits)| (*number, bits.spans())).collect();
        let epoch = lock(&self.journal).append(&kept)?;
        lock(&self.active).note(&written);
        self.tell(|news| news.kept.push((epoch, kept)));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.store.sync()?;
        syncfs(&*self.site.target).map_err(|errno| Error::io("make what was received durable", errno))
    }

    /// All came: what is left of directories is made, and all is made durable.
    fn land(&self, restorer: &mut Restorer) -> Result<()> {
        let (closing, digest) = lock(&self.planner).end();
        restorer.end(&[], &closing);
        restorer.tell();
        // With what was written since the last epoch all else becomes durable.
        self.end_epoch()?;
        let totals = self.site.report.totals();
        self.tell(|news| news.landed = Some(Landed { digest, totals }));
        Ok(())
    }
}
