//! File-table pages as columns (docs/format.md §7).
//!
//! Parts: the number of entries (none: as many as there are types), then the other columns in the format's order; sets of
//! extended attributes as pairs `u8 first of its set │ u8 name length │ u16 value length │ name │ value`.

use warp_core::Error;
use warp_core::columns::{Column, ColumnRef, KEYS};
use warp_core::entry::{Entry, Kind};
use warp_core::paths::{compare_paths, is_stored_path};
use warp_core::table::{EntryTable, PageCutter};

use crate::sections;

/// Number of columns.
pub const COLUMNS: usize = KEYS.len();
const KINDS: usize = 3;
const SETS: usize = 18;

pub fn run(data: &[u8]) {
    let parts = sections::split_into::<COLUMNS>(data);
    if let Some(table) = table(&parts) {
        check(&parts, &table);
    }
}

/// The table of these columns, if they are one.
pub fn table(parts: &[&[u8]; COLUMNS]) -> Option<EntryTable> {
    let source: Vec<_> = KEYS.into_iter().zip(columns(parts)).collect();
    match EntryTable::from_columns(&source) {
        Ok(table) => Some(table),
        Err(Error::Format(_)) => None,
        Err(other) => panic!("not a format error: {other}"),
    }
}

fn columns<'a>(parts: &[&'a [u8]; COLUMNS]) -> Vec<ColumnRef<'a>> {
    let column = |(at, part): (usize, &&'a [u8])| match at {
        0 if part.is_empty() => ColumnRef::Int(parts[KINDS].len() as u64),
        0 => ColumnRef::Int(sections::number(part)),
        SETS => ColumnRef::Sets(sets(part)),
        _ => ColumnRef::Bytes(part),
    };
    parts.iter().enumerate().map(column).collect()
}

fn sets(mut rest: &[u8]) -> Vec<Vec<(&[u8], &[u8])>> {
    let mut sets: Vec<Vec<(&[u8], &[u8])>> = Vec::new();
    while let Some(([first, name, low, high], after)) = rest.split_first_chunk::<4>() {
        let (name, after) = after.split_at(usize::from(*name).min(after.len()));
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (value, after) = after.split_at(length.min(after.len()));
        match sets.last_mut().filter(|_| *first == 0) {
            Some(set) => set.push((name, value)),
            None => sets.push(vec![(name, value)]),
        }
        rest = after;
    }
    sets
}

fn check(parts: &[&[u8]; COLUMNS], table: &EntryTable) {
    let written = table.to_columns();
    for ((key, column), given) in written.iter().zip(columns(parts)) {
        let same = match (column, given) {
            (Column::Int(a), ColumnRef::Int(b)) => *a == b,
            (Column::Bytes(a), ColumnRef::Bytes(b)) => a == b,
            (Column::Sets(_), ColumnRef::Sets(b)) => {
                matches!(ColumnRef::from(column), ColumnRef::Sets(a) if a == b)
            }
            _ => false,
        };
        assert!(same, "column {key}: written otherwise than read");
    }
    table.entries.iter().for_each(check_entry);
    assert!(table.entries.windows(2).all(|pair| compare_paths(&pair[0].path, &pair[1].path).is_lt()));
    for (index, entry) in table.entries.iter().enumerate() {
        assert_eq!(table.find(&entry.path), Some(index));
    }
    check_pages(table);
    table.totals();
    table.owners();
    assert!(table.using(&[(0, u64::MAX)]).iter().all(|index| !table.entries[*index].runs.is_empty()));
}

fn check_entry(entry: &Entry) {
    assert!(is_stored_path(&entry.path), "an unsafe path");
    assert!(entry.mode <= 0o7777 && entry.mtime.nanos < 1_000_000_000 && entry.ctime.nanos < 1_000_000_000);
    assert!(entry.runs.iter().all(|run| run.count > 0 && run.first.checked_add(run.count).is_some()));
    assert!(entry.runs.is_empty() || entry.kind == Kind::File);
    let mut free = 0;
    for (offset, length) in &entry.extents {
        assert!(*offset >= free && *length > 0 && offset + length <= entry.size);
        free = offset + length + 1;
    }
    match entry.kind {
        Kind::Symlink => assert!((1..=65_535).contains(&entry.link.len()) && !entry.link.contains(&0)),
        Kind::Hardlink => {
            assert!(is_stored_path(&entry.link) && compare_paths(&entry.link, &entry.path).is_lt());
        }
        _ => assert!(entry.link.is_empty()),
    }
}

/// Cut into pages anew, the entries are all there, in order.
fn check_pages(table: &EntryTable) {
    let mut cutter = PageCutter::new();
    let mut pages: Vec<_> = table.entries.iter().filter_map(|entry| cutter.push(entry.clone())).collect();
    pages.extend(cutter.finish());
    assert!(pages.iter().flat_map(|page| &page.entries).eq(&table.entries));
}
