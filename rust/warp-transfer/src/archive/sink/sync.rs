//! From time to time what was written is made durable, noted in the journal and told.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Core, Shared};
use crate::{Result, lock};

/// How often it is looked whether an epoch is over.
const LOOK: Duration = Duration::from_millis(50);

impl Core {
    /// Ends epochs until the sink does.
    pub(super) fn sync(&self) -> Result<()> {
        let mut since = Instant::now();
        while !self.stopped.load(Ordering::Acquire) {
            let dirty = self.dirty.load(Ordering::Acquire);
            let is_due = dirty >= self.epochs.bytes || (dirty > 0 && since.elapsed() >= self.epochs.time);
            let flushes = std::mem::take(&mut lock(&self.shared).flushes);
            if is_due || (flushes && dirty > 0) {
                self.end_epoch()?;
                since = Instant::now();
                continue;
            }
            if dirty == 0 {
                since = Instant::now();
            }
            let shared = lock(&self.shared);
            let is_idle = |shared: &mut Shared| !shared.flushes && !shared.over;
            drop(
                self.changed
                    .wait_timeout_while(shared, LOOK, is_idle)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
        // What came until it was stopped need not come again. If that fails there is nothing to tell: it is over, and why is told.
        if self.dirty.load(Ordering::Acquire) > 0 {
            let _ = self.end_epoch();
        }
        Ok(())
    }

    /// What was written until now becomes durable, is noted and told.
    fn end_epoch(&self) -> Result<()> {
        self.dirty.store(0, Ordering::Release);
        let mut kept = BTreeMap::new();
        for (number, page) in &*lock(&self.active) {
            let written = std::mem::take(&mut lock(&page.state).written);
            if !written.is_empty() {
                kept.insert(*number, written.spans());
            }
        }
        self.file
            .sync_data()
            .map_err(|error| warp_core::Error::io("make what was received durable", error))?;
        if kept.is_empty() {
            return Ok(());
        }
        let closed = || warp_core::Error::Parameter("journal: it is not open".into());
        let epoch = lock(&self.journal).as_mut().ok_or_else(closed)?.append(&kept)?;
        self.forget();
        self.tell(|news| news.kept.push((epoch, kept)));
        Ok(())
    }
}
