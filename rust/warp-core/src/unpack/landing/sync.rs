//! From time to time what was written is made durable and noted in the journal; and the end.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::syncfs;

use super::super::restore::Restorer;
use super::page::Bits;
use super::{Core, Landed, lock};
use crate::catalogue::Spans;
use crate::{Error, Result};

/// How often it looks whether an epoch is over.
const LOOK: Duration = Duration::from_millis(50);
/// How often what is written is noted, before it is durable.
const NOTE: Duration = Duration::from_millis(500);
/// Memory of what waits for its names at which an epoch ends: some ten thousands of files.
const MOST_WAITING: u64 = 8 << 20;

/// Ends epochs until the landing does.
pub(super) fn run(core: &Core) {
    let mut restorer = Restorer::new(&core.site);
    let mut since = Instant::now();
    while core.running() {
        let dirty = core.dirty.load(Ordering::Relaxed);
        let waiting = core.session.weight();
        let is_full = dirty >= core.options.epoch_bytes || waiting >= MOST_WAITING;
        let is_over = is_full || (dirty + waiting > 0 && since.elapsed() >= core.options.epoch);
        let is_complete = core.is_complete();
        let done = if is_complete {
            core.land(&mut restorer)
        } else if is_over {
            since = Instant::now();
            core.end_epoch(&mut restorer)
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
    // What came until it was stopped need not come again. If that fails there is nothing to tell: it is over, and why is told.
    let _ = core.end_epoch(&mut restorer);
    core.stop(None);
}

/// Notes what is written, until the landing ends: on a thread of its own, since to make it durable may take long.
pub(super) fn note(core: &Core) {
    let (mut since, mut noted) = (Instant::now(), 0);
    while core.running() {
        let dirty = core.dirty.load(Ordering::Relaxed);
        if dirty == noted || since.elapsed() < NOTE {
            core.wait();
            continue;
        }
        (since, noted) = (Instant::now(), dirty);
        if let Err(error) = core.note_early() {
            core.stop(Some(error));
        }
    }
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

    /// Waits while more is whole than should wait for its names; not with the planner held.
    pub(super) fn hold_back(&self) {
        while self.session.weight() > 2 * MOST_WAITING && self.running() {
            self.wait();
        }
    }

    /// Notes what was written since the last epoch; the end of this one notes it again, and tells.
    fn note_early(&self) -> Result<()> {
        let written = lock(&self.active).written();
        if written.is_empty() {
            return Ok(());
        }
        lock(&self.journal).append_early(&spans_of(&written))
    }

    /// What was written until now becomes durable, and what is whole by that gets its names.
    fn end_epoch(&self, restorer: &mut Restorer) -> Result<()> {
        self.dirty.store(0, Ordering::Relaxed);
        let written = lock(&self.active).written();
        // In this order: the files of these pages are among those that wait.
        let ending = std::mem::take(&mut *lock(&self.ending));
        let (waiting, notes) = self.session.take();
        self.sync()?;
        let kept = spans_of(&written);
        if !kept.is_empty() || !notes.is_empty() {
            let epoch = lock(&self.journal).append_with(&kept, &notes)?;
            lock(&self.active).note(&written);
            if !kept.is_empty() {
                self.tell(|news| news.kept.push((epoch, kept)));
            }
        }
        restorer.name(&waiting);
        self.session.release_all(&waiting);
        self.end_all(restorer, &ending)?;
        restorer.tell();
        self.changed.notify_all();
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.store.sync()?;
        syncfs(&*self.site.target).map_err(|errno| Error::io("make what was received durable", errno))
    }

    /// All came: what is left of directories is made, and all is made durable.
    fn land(&self, restorer: &mut Restorer) -> Result<()> {
        self.end_epoch(restorer)?;
        let (closing, digest) = lock(&self.planner).end();
        restorer.end(&[], &closing);
        restorer.tell();
        // The names become durable too.
        self.end_epoch(restorer)?;
        self.check()?;
        let totals = self.site.report.totals();
        self.tell(|news| news.landed = Some(Landed { digest, totals }));
        Ok(())
    }
}

fn spans_of(written: &BTreeMap<u32, Bits>) -> BTreeMap<u32, Spans> {
    written.iter().map(|(number, bits)| (*number, bits.spans())).collect()
}
