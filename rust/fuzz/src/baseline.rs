//! An earlier snapshot's entries merged against a walk.
//!
//! Parts: the columns of a table (`columns.rs`) │ a byte an entry: whether the walk finds it too, and what is different.

use std::path::PathBuf;
use std::sync::LazyLock;

use warp_core::baseline::Baseline;
use warp_core::entry::{Entry, Kind, Xattrs};
use warp_core::table::EntryTable;
use warp_core::walk::{Root, WalkBatch, WalkEntry, WalkOptions, Walker};

use crate::columns::{self, COLUMNS};
use crate::sections;

/// Times of walks: so late that all is settled, and so early that nothing is.
const SCANS: [i64; 2] = [i64::MAX, i64::MIN];

pub fn run(data: &[u8]) {
    let parts = sections::split_into::<{ COLUMNS + 1 }>(data);
    let Some((changes, columns)) = parts.split_last() else {
        return;
    };
    let columns: &[&[u8]; COLUMNS] = columns.try_into().expect("one less");
    let Some(table) = columns::table(columns) else {
        return;
    };
    for scan in SCANS {
        check(&table, &walked(&table, changes), scan);
    }
}

fn check(table: &EntryTable, batch: &WalkBatch, scan_time_ns: i64) {
    let mut baseline = Baseline::new(scan_time_ns);
    let (first, second) = table.entries.split_at(table.entries.len() / 2);
    baseline.push(EntryTable { entries: first.to_vec() });
    if baseline.behind(batch) {
        baseline.push(EntryTable { entries: second.to_vec() });
    }
    baseline.finish();
    let mut merged = batch.clone();
    let reused = baseline.apply(&mut merged);
    assert_eq!(merged.entries.iter().filter(|found| found.reused).count(), reused);
    for (found, before) in merged.entries.iter().zip(&batch.entries) {
        match table.find(&found.entry.path).map(|index| &table.entries[index]).filter(|_| found.reused) {
            Some(known) => assert!(found.entry.runs == known.runs && found.entry.xattrs == known.xattrs),
            None => assert_eq!(found.entry, before.entry),
        }
    }
}

/// What a walk of about this tree would find: no recipes, no attributes, no targets.
fn walked(table: &EntryTable, changes: &[u8]) -> WalkBatch {
    let entries = table.entries.iter().enumerate();
    let kept = entries.filter(|(at, _)| sections::byte(changes, *at) & 1 == 0);
    WalkBatch { entries: kept.map(|(at, known)| found(known, sections::byte(changes, at))).collect() }
}

fn found(known: &Entry, change: u8) -> WalkEntry {
    let mut entry = Entry {
        runs: warp_core::recipe::Recipe::default(),
        extents: Vec::new(),
        xattrs: Xattrs::default(),
        flags: 0,
        ..known.clone()
    };
    if entry.kind == Kind::Symlink {
        entry.link.clear();
    }
    match change >> 1 {
        1 => entry.size ^= 1,
        2 => entry.inode ^= 1,
        3 => entry.ctime.nanos ^= 1,
        4 => entry.kind = Kind::File,
        _ => {}
    }
    WalkEntry { entry, ..TEMPLATE.clone() }
}

/// An entry of a real walk: its root cannot be made otherwise.
static TEMPLATE: LazyLock<WalkEntry> = LazyLock::new(|| {
    let root = Root { stored: b"file".to_vec(), path: PathBuf::from("/dev/null") };
    let options = WalkOptions { roots: vec![root], ..WalkOptions::default() };
    let mut walker = Walker::new(options).expect("it can be walked");
    let batch = walker.next(1).ok().flatten().expect("one entry");
    batch.entries.first().cloned().expect("one entry")
});
