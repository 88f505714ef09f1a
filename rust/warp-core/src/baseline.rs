//! Unchanged files are not read again: an earlier snapshot's entries merged against a walk.
//!
//! Both come in archive order, so one pass joins them. A file counts as unchanged if its path, size, mtime, ctime and inode
//! are those of the snapshot and its ctime lies clearly before that snapshot's walk: a file system's clock is coarse, so a
//! write right after the walk's look could leave the same ctime ("racy" files, as in git's index).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::{Entry, FLAG_CHANGED_WHILE_READ, Kind, Timestamp};
use crate::table::{EntryTable, compare_paths};
use crate::walk::{WalkBatch, WalkEntry};

/// How much older than the walk a ctime must be; the coarsest time stamps in use (FAT) have steps of 2 s.
const MARGIN_NS: i64 = 2_000_000_000;

/// An earlier snapshot's entries, pushed table by table and taken from as a walk goes by.
#[derive(Debug)]
pub struct Baseline {
    settled_before: Timestamp,
    /// Tables not yet passed, with the number of entries of each that are.
    tables: VecDeque<(Arc<EntryTable>, usize)>,
    reach: Option<Vec<u8>>,
    finished: bool,
}

impl Baseline {
    /// The baseline of a snapshot whose walk began at `scan_time_ns` since the epoch.
    pub fn new(scan_time_ns: i64) -> Self {
        let settled = scan_time_ns.saturating_sub(MARGIN_NS);
        let nanos = settled.rem_euclid(1_000_000_000) as u32;
        let settled_before = Timestamp { seconds: settled.div_euclid(1_000_000_000), nanos };
        Self { settled_before, tables: VecDeque::new(), reach: None, finished: false }
    }

    /// The snapshot's next table in order.
    pub fn push(&mut self, table: impl Into<Arc<EntryTable>>) {
        let table = table.into();
        if let Some(last) = table.entries.last() {
            self.reach = Some(last.path.clone());
            self.tables.push_back((table, 0));
        }
    }

    /// No more tables follow.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether [`Self::apply`] needs further tables for this batch. Those that end before it are not kept.
    pub fn behind(&mut self, batch: &WalkBatch) -> bool {
        let ends_before = |table: &EntryTable| {
            let (last, first) = (table.entries.last(), batch.entries.first());
            last.zip(first).is_some_and(|(last, first)| compare_paths(&last.path, &first.entry.path).is_lt())
        };
        while self.tables.front().is_some_and(|(table, _)| ends_before(table)) {
            self.tables.pop_front();
        }
        let reaches = |reach: &Vec<u8>| compare_paths(reach, batch.last_path()).is_ge();
        !self.finished && !batch.entries.is_empty() && !self.reach.as_ref().is_some_and(reaches)
    }

    /// Give the batch's unchanged entries their recipe, attributes and target from here; how many there were.
    pub fn apply(&mut self, batch: &mut WalkBatch) -> usize {
        batch.entries.iter_mut().map(|found| usize::from(self.reuse(found))).sum()
    }

    fn reuse(&mut self, found: &mut WalkEntry) -> bool {
        let settled_before = self.settled_before;
        let Some(known) = self.find(&found.entry.path) else {
            return false;
        };
        let entry = &mut found.entry;
        if known.ctime >= settled_before || !is_unchanged(known, entry) {
            return false;
        }
        entry.xattrs.clone_from(&known.xattrs);
        entry.extents.clone_from(&known.extents);
        entry.flags = known.flags;
        entry.link.clone_from(&known.link);
        entry.runs.clone_from(&known.runs);
        found.reused = true;
        true
    }

    /// The entry with this path; those before it are passed for ever.
    fn find(&mut self, path: &[u8]) -> Option<&Entry> {
        while let Some((table, passed)) = self.tables.front_mut() {
            let rest = table.entries.get(*passed..).unwrap_or_default();
            *passed += rest.iter().take_while(|entry| compare_paths(&entry.path, path).is_lt()).count();
            if *passed < table.entries.len() {
                break;
            }
            self.tables.pop_front();
        }
        let (table, passed) = self.tables.front()?;
        table.entries.get(*passed).filter(|entry| entry.path == path)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Xattrs;
    use crate::table::tests::file;
    use crate::walk::tests::Scratch;
    use crate::walk::{Root, WalkOptions, Walker};

    const LATER: i64 = i64::MAX;

    fn walk(tree: &Scratch) -> WalkBatch {
        let root = Root { stored: Vec::new(), path: tree.path().into() };
        let options = WalkOptions { roots: vec![root], ..WalkOptions::default() };
        Walker::new(options).unwrap().next(10_000).unwrap().unwrap()
    }

    /// The table that packing this walk would have given.
    fn packed(batch: &WalkBatch) -> EntryTable {
        let complete = |found: &WalkEntry| {
            let mut entry = found.entry.clone();
            entry.xattrs = [(b"user.k".to_vec(), b"v".to_vec())].into();
            match entry.kind {
                Kind::File => entry.runs.refer(entry.inode),
                Kind::Symlink => entry.link = found.read_link().unwrap(),
                _ => {}
            }
            entry
        };
        EntryTable { entries: batch.entries.iter().map(complete).collect() }
    }

    fn apply(table: EntryTable, batch: &mut WalkBatch, scan_time_ns: i64) -> usize {
        let mut baseline = Baseline::new(scan_time_ns);
        baseline.push(table);
        baseline.finish();
        baseline.apply(batch)
    }

    #[test]
    fn an_unchanged_tree_is_taken_whole() {
        let tree = Scratch::new("unchanged").with(&[b"a/b", b"a/c", b"d"]);
        std::os::unix::fs::symlink("x", tree.path().join("l")).unwrap();
        std::fs::hard_link(tree.path().join("d"), tree.path().join("e")).unwrap();
        let mut batch = walk(&tree);
        let table = packed(&batch);
        assert_eq!(apply(table.clone(), &mut batch, LATER), 7);
        assert!(batch.entries.iter().all(|found| found.reused));
        assert_eq!(batch.entries.iter().map(|found| found.entry.clone()).collect::<Vec<_>>(), table.entries);
    }

    #[test]
    fn a_ctime_too_near_to_the_walk_is_not_trusted() {
        let tree = Scratch::new("racy").with(&[b"f"]);
        let mut batch = walk(&tree);
        let table = packed(&batch);
        let ctime = batch.entries.iter().map(|found| found.entry.ctime).max().unwrap();
        let settled = ctime.seconds * 1_000_000_000 + i64::from(ctime.nanos) + MARGIN_NS;
        assert_eq!(apply(table.clone(), &mut batch.clone(), settled), 0);
        assert_eq!(apply(table, &mut batch, settled + 1), 2);
        assert_eq!(apply(EntryTable::default(), &mut batch, i64::MIN), 0);
    }

    #[test]
    fn any_difference_means_reading_again() {
        let tree = Scratch::new("differs").with(&[b"f"]);
        let batch = walk(&tree);
        let changes: [fn(&mut Entry); 7] = [
            |entry| entry.size += 1,
            |entry| entry.mtime.nanos ^= 1,
            |entry| entry.ctime.seconds -= 1,
            |entry| entry.inode += 1,
            |entry| entry.path.push(b'x'),
            |entry| entry.flags = FLAG_CHANGED_WHILE_READ,
            |entry| (entry.kind, entry.link) = (Kind::Hardlink, b"e".to_vec()),
        ];
        for change in changes {
            let (mut table, mut batch) = (packed(&batch), batch.clone());
            change(&mut table.entries[1]);
            assert_eq!(apply(table, &mut batch, LATER), 1, "the directory alone");
            assert!(!batch.entries[1].reused && batch.entries[1].entry.runs.is_empty());
        }
    }

    #[test]
    fn entries_that_came_or_went_do_not_disturb_the_join() {
        let tree = Scratch::new("join").with(&[b"b", b"d", b"f", b"h/i"]);
        let mut batch = walk(&tree);
        let mut entries = packed(&batch).entries;
        entries.retain(|entry| entry.path != b"d");
        for gone in ["a", "c/x", "e", "g", "h/j", "z"] {
            entries.push(file(gone));
        }
        entries.sort_by(|a, b| compare_paths(&a.path, &b.path));
        let mut baseline = Baseline::new(LATER);
        for pair in entries.chunks(2) {
            baseline.push(EntryTable { entries: pair.to_vec() });
        }
        assert_eq!(baseline.apply(&mut batch), 5);
        assert!(!batch.entries[2].reused && batch.entries[2].entry.xattrs == Xattrs::default());
    }

    #[test]
    fn it_is_behind_until_a_table_reaches_the_end_of_the_batch() {
        let tree = Scratch::new("behind").with(&[b"m"]);
        let batch = walk(&tree);
        let mut baseline = Baseline::new(0);
        assert!(baseline.behind(&batch) && !baseline.behind(&WalkBatch::default()));
        baseline.push(EntryTable { entries: vec![file("a")] });
        assert!(baseline.behind(&batch));
        baseline.push(EntryTable { entries: vec![file("m")] });
        assert!(!baseline.behind(&batch));
        let mut ended = Baseline::new(0);
        ended.finish();
        assert!(!ended.behind(&batch));
    }
}
