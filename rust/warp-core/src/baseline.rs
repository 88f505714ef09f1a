//! Skipping unchanged files.
use crate::table::EntryTable;
use crate::walk::WalkBatch;

/// An earlier snapshot's entries.
#[derive(Debug)]
pub struct Baseline {}

impl Baseline {
    /// Of a snapshot whose walk began at this time, ns since the epoch.
    pub fn new(_scan_time_ns: i64) -> Self {
        Self {}
    }
    /// The next table in order.
    pub fn push(&mut self, _table: EntryTable) {
        todo!()
    }
    /// No more tables follow.
    pub fn finish(&mut self) {
        todo!()
    }
    /// True while [`Self::apply`] needs further tables.
    pub fn behind(&self, _batch: &WalkBatch) -> bool {
        todo!()
    }
    /// Mark unchanged entries; how many.
    pub fn apply(&mut self, _batch: &mut WalkBatch) -> usize {
        todo!()
    }
}
