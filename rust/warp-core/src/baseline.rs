//! Unchanged files are not read again: an earlier snapshot's entries merged against a walk.
//!
//! Both come in archive order, so one pass joins them. A file counts as unchanged if its path, size, mtime, ctime and inode
//! are those of the snapshot and its ctime lies clearly before that snapshot's walk: a file system's clock is coarse, so a
//! write right after the walk's look could leave the same ctime ("racy" files, as in git's index).

use std::collections::VecDeque;
use std::vec::IntoIter;

use crate::entry::{Entry, FLAG_CHANGED_WHILE_READ, Kind, Timestamp};
use crate::table::{EntryTable, compare_paths};
use crate::walk::{WalkBatch, WalkEntry};

/// How much older than the walk a ctime must be; the coarsest time stamps in use (FAT) have steps of 2 s.
const MARGIN_NS: i64 = 2_000_000_000;

/// An earlier snapshot's entries, pushed table by table and taken from as a walk goes by.
#[derive(Debug)]
pub struct Baseline {
    settled_before: Timestamp,
    tables: VecDeque<IntoIter<Entry>>,
    reach: Option<Vec<u8>>,
    finished: bool,
}

impl Baseline {
    /// The baseline of a snapshot whose walk began at `scan_time_ns` since the epoch.
    pub fn new(scan_time_ns: i64) -> Self {
        let settled = scan_time_ns.saturating_sub(MARGIN_NS);
        let nanos = settled.rem_euclid(1_000_000_000) as u32;
        let settled_before = Timestamp {
            seconds: settled.div_euclid(1_000_000_000),
            nanos,
        };
        Self {
            settled_before,
            tables: VecDeque::new(),
            reach: None,
            finished: false,
        }
    }

    /// The snapshot's next table in order.
    pub fn push(&mut self, table: EntryTable) {
        if let Some(last) = table.entries.last() {
            self.reach = Some(last.path.clone());
            self.tables.push_back(table.entries.into_iter());
        }
    }

    /// No more tables follow.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether [`Self::apply`] needs further tables for this batch.
    pub fn behind(&self, batch: &WalkBatch) -> bool {
        let reaches = |reach: &Vec<u8>| compare_paths(reach, batch.last_path()).is_ge();
        !self.finished && !batch.entries.is_empty() && !self.reach.as_ref().is_some_and(reaches)
    }

    /// Give the batch's unchanged entries their recipe, attributes and target from here; how many there were.
    pub fn apply(&mut self, batch: &mut WalkBatch) -> usize {
        batch
            .entries
            .iter_mut()
            .map(|found| usize::from(self.reuse(found)))
            .sum()
    }

    fn reuse(&mut self, found: &mut WalkEntry) -> bool {
        let Some(known) = self.take(&found.entry.path) else {
            return false;
        };
        let entry = &mut found.entry;
        if known.ctime >= self.settled_before || !is_unchanged(&known, entry) {
            return false;
        }
        entry.xattrs = known.xattrs;
        entry.extents = known.extents;
        entry.flags = known.flags;
        entry.link = known.link;
        entry.runs = known.runs;
        found.reused = true;
        true
    }

    /// The entry with this path; those before it are dropped.
    fn take(&mut self, path: &[u8]) -> Option<Entry> {
        loop {
            let table = self.tables.front_mut()?;
            let before = |entry: &Entry| compare_paths(&entry.path, path).is_lt();
            while table.as_slice().first().is_some_and(before) {
                table.next();
            }
            match table.as_slice().first() {
                Some(entry) if entry.path == path => return table.next(),
                Some(_) => return None,
                None => drop(self.tables.pop_front()),
            }
        }
    }
}

/// Whether what the archive holds of `known` is what reading `found` would give.
fn is_unchanged(known: &Entry, found: &Entry) -> bool {
    let same = known.kind == found.kind && known.ctime == found.ctime && known.inode == found.inode;
    same && match known.kind {
        Kind::File => {
            let torn = known.flags & FLAG_CHANGED_WHILE_READ != 0;
            known.size == found.size && known.mtime == found.mtime && !torn
        }
        // Its file may have another name first in this walk.
        Kind::Hardlink => known.link == found.link,
        _ => true,
    }
}
