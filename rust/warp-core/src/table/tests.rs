//! Round trips, canonical form, and what tables answer.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::columns::{ColumnRef, KEYS};
use crate::entry::{FLAG_CHANGED_WHILE_READ, FLAG_SPARSE, Run, Timestamp, Xattrs};
use crate::recipe::Recipe;

type Columns = Vec<(&'static str, Column)>;

fn parse(columns: &Columns) -> Result<EntryTable> {
    let source: Vec<_> = columns.iter().map(|(key, column)| (*key, ColumnRef::from(column))).collect();
    EntryTable::from_columns(&source)
}

pub(crate) fn file(path: &str) -> Entry {
    Entry {
        path: path.into(),
        kind: Kind::File,
        mode: 0o644,
        uid: 1_000,
        gid: 1_000,
        size: 3,
        mtime: Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 },
        ctime: Timestamp { seconds: 1_700_000_001, nanos: 0 },
        inode: 42,
        link: Vec::new(),
        rdev: 0,
        flags: 0,
        xattrs: Xattrs::default(),
        extents: Vec::new(),
        runs: vec![Run { first: 0, count: 1 }].into(),
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, any::<u64>(), Just(u64::MAX), Just(1 << 63)]
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (prop_oneof![any::<i64>(), 0..2_000_000_000_i64], 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn xattrs() -> impl Strategy<Value = Xattrs> {
    let set = btree_map(vec(1..4_u8, 1..3), vec(0..2_u8, 0..3), 0..3);
    set.prop_map(|set| set.into_iter().collect())
}

/// Data extents of a sparse file, and its size.
fn extents() -> impl Strategy<Value = (Vec<(u64, u64)>, u64)> {
    (vec((1..1_000_000_u64, 1..1_000_u64), 0..4), 0..2_u64, 0..9_u64).prop_map(|(parts, first, tail)| {
        let mut end = 0;
        let mut extents = Vec::new();
        for (i, (gap, length)) in parts.into_iter().enumerate() {
            let offset = if i == 0 { gap * first } else { end + gap };
            end = offset + length;
            extents.push((offset, length));
        }
        (extents, end + tail)
    })
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    vec((number(), 1..1_000_u64), 0..4).prop_map(|runs| {
        runs.into_iter().map(|(first, count)| Run { first: first.min(u64::MAX - count), count }).collect()
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let path = "[a-c.~\u{e9}]{1,3}(/[a-c~]{1,5}){0,4}"
        .prop_filter("no dot names", |path| crate::paths::is_stored_path(path.as_bytes()));
    let inode = (0..=0o7777_u32, any::<u32>(), any::<u32>(), timestamp(), timestamp(), number());
    let content = (0..8_u8, number(), any::<u64>(), any::<bool>(), any::<bool>());
    (path, inode, content, vec(1..255_u8, 1..9), xattrs(), extents(), runs()).prop_map(
        |(
            path,
            (mode, uid, gid, mtime, ctime, inode),
            (kind, size, rdev, torn, sparse),
            target,
            xattrs,
            holes,
            runs,
        )| {
            let mut entry = Entry {
                mode,
                uid,
                gid,
                mtime,
                ctime,
                inode,
                xattrs,
                size: 0,
                runs: Recipe::default(),
                ..file(&path)
            };
            match kind {
                0 => {
                    entry.size = size;
                    entry.flags = u32::from(torn) * FLAG_CHANGED_WHILE_READ;
                    entry.runs = runs.into();
                    if sparse {
                        entry.flags |= FLAG_SPARSE;
                        (entry.extents, entry.size) = holes;
                    }
                }
                1 => entry.kind = Kind::Directory,
                2 => (entry.kind, entry.link) = (Kind::Symlink, target),
                3 => (entry.kind, entry.link, entry.size) = (Kind::Hardlink, b"!".to_vec(), size),
                4 => (entry.kind, entry.rdev) = (Kind::CharDevice, rdev),
                5 => (entry.kind, entry.rdev) = (Kind::BlockDevice, rdev),
                6 => entry.kind = Kind::Fifo,
                _ => entry.kind = Kind::Socket,
            }
            entry
        },
    )
}

pub(crate) fn table() -> impl Strategy<Value = EntryTable> {
    (vec(entry(), 0..12), any::<bool>()).prop_map(|(mut entries, rooted)| {
        if rooted {
            entries.push(Entry { kind: Kind::Directory, size: 0, runs: Recipe::default(), ..file("") });
        }
        entries.sort_by(|a, b| compare_paths(&a.path, &b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        EntryTable { entries }
    })
}

/// A change to one column: a byte set, inserted or removed; what it hits depends on the numbers.
fn mutate(columns: &mut Columns, column: usize, at: usize, byte: u8, how: u8) {
    match &mut columns[column % KEYS.len()].1 {
        Column::Int(count) => *count = count.wrapping_add(u64::from(byte % 3)).wrapping_sub(1),
        Column::Bytes(bytes) if bytes.is_empty() => bytes.push(byte),
        Column::Bytes(bytes) => {
            let at = at % bytes.len();
            match how % 4 {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes[at] ^= 1 << (byte % 8),
            }
        }
        Column::Sets(sets) => match (how % 3, sets.len()) {
            (_, 0) | (0, _) => sets.push(vec![(vec![byte], vec![])]),
            (1, length) => drop(sets.remove(at % length)),
            (_, length) => sets[at % length].push((vec![byte], vec![])),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn parsing_what_was_written_gives_the_same_entries(table in table()) {
        prop_assert_eq!(parse(&table.to_columns()).unwrap(), table);
    }

    #[test]
    fn whatever_parses_is_written_back_byte_for_byte(
        table in table(),
        changes in vec((any::<usize>(), any::<usize>(), any::<u8>(), any::<u8>()), 1..4),
    ) {
        let mut columns = table.to_columns();
        for (column, at, byte, how) in changes {
            mutate(&mut columns, column, at, byte, how);
        }
        match parse(&columns) {
            Ok(table) => prop_assert_eq!(table.to_columns(), columns),
            Err(error) => prop_assert!(matches!(error, Error::Format(_)), "{}", error),
        }
    }

    #[test]
    fn every_path_is_found_where_it_is(table in table()) {
        for (index, entry) in table.entries.iter().enumerate() {
            prop_assert_eq!(table.find(&entry.path), Some(index));
        }
        prop_assert_eq!(table.find(b"missing"), None);
    }
}

#[test]
fn the_columns_of_a_small_page_are_these() {
    let link = Entry {
        kind: Kind::Symlink,
        mode: 0o777,
        size: 0,
        link: b"b".to_vec(),
        runs: Recipe::default(),
        ..file("a/c")
    };
    let columns = EntryTable { entries: vec![file("a/b"), link] }.to_columns();
    let bytes = |wanted: &str| match &columns.iter().find(|(key, _)| *key == wanted).unwrap().1 {
        Column::Bytes(bytes) => bytes.clone(),
        other => panic!("{other:?}"),
    };
    assert!(columns.iter().map(|(key, _)| *key).eq(KEYS));
    assert_eq!((columns[0].1.clone(), columns[18].1.clone()), (Column::Int(2), Column::Sets(vec![])));
    assert_eq!((bytes("ps"), bytes("pb")), (vec![0, 3, 2, 1], b"a/bc".to_vec()));
    assert_eq!((bytes("k"), bytes("m")), (vec![0, 2], vec![0xc8, 6, 0xb6, 1]));
    assert_eq!((bytes("s"), bytes("i")), (vec![6, 5], vec![84, 0]));
    assert_eq!((bytes("ll"), bytes("lb")), (vec![1], b"b".to_vec()));
    assert_eq!((bytes("rn"), bytes("rr")), (vec![1, 0], vec![0, 1]));
}

#[test]
fn what_the_format_forbids_is_refused() {
    let refused = |entries: Vec<Entry>| parse(&EntryTable { entries }.to_columns()).is_err();
    let with = |change: fn(&mut Entry)| {
        let mut entry = file("m");
        change(&mut entry);
        vec![entry]
    };
    assert!(!refused(with(|_| ())));
    for path in ["/m", "m/", "m//n", "..", "m/./n", "m\0"] {
        assert!(refused(vec![file(path)]), "{path:?}");
    }
    assert!(refused(vec![file(&"m".repeat(65_536))]));
    assert!(refused(vec![file("n"), file("m")]) && refused(vec![file("m"), file("m")]));
    assert!(refused(vec![file("a.b"), file("a/b")]), "sorted by bytes but not by components");
    assert!(
        refused(with(|entry| entry.mode = 0o10_000))
            && refused(with(|entry| entry.mtime.nanos = 1_000_000_000))
    );
    assert!(refused(with(|entry| entry.flags = 4)));
    assert!(refused(with(|entry| entry.kind = Kind::Directory)), "a directory has no content");
    assert!(refused(with(|entry| entry.runs = vec![Run { first: 0, count: 0 }].into())));
    assert!(refused(with(|entry| entry.runs = vec![Run { first: u64::MAX, count: 1 }].into())));
    assert!(refused(with(|entry| (entry.flags, entry.extents) = (2, vec![(0, 4)]))), "data beyond the end");
    assert!(
        refused(with(|entry| (entry.flags, entry.extents) = (2, vec![(0, 1), (1, 1)]))),
        "data that touches"
    );
    assert!(refused(with(|entry| entry.xattrs = [(b"b".to_vec(), vec![]), (b"a".to_vec(), vec![])].into())));
    let link = |target: &str| Entry {
        kind: Kind::Hardlink,
        link: target.into(),
        runs: Recipe::default(),
        ..file("m")
    };
    assert!(
        !refused(vec![link("a")])
            && refused(vec![link("n")])
            && refused(vec![link("m")])
            && refused(vec![link("")])
    );
    let symlink = |target: &str| Entry { kind: Kind::Symlink, size: 0, ..link(target) };
    assert!(!refused(vec![symlink("n")]) && refused(vec![symlink("")]) && refused(vec![symlink("a\0")]));
}

#[test]
fn keys_types_and_counts_are_checked_before_anything_is_allocated() {
    let columns = EntryTable { entries: vec![file("a")] }.to_columns();
    let changed = |change: fn(&mut Columns)| {
        let mut columns = columns.clone();
        change(&mut columns);
        parse(&columns).unwrap_err().to_string()
    };
    changed(|columns| columns.swap(1, 2));
    changed(|columns| drop(columns.pop()));
    changed(|columns| columns[0].1 = Column::Bytes(vec![1]));
    changed(|columns| columns[3].1 = Column::Sets(vec![]));
    assert!(changed(|columns| columns[0].1 = Column::Int(u64::MAX)).contains("`n`"));
    assert!(changed(|columns| columns[20].1 = Column::Bytes(vec![0xff; 10])).contains("`rn`"));
    changed(|columns| (columns[0].1, columns[3].1) = (Column::Int(4_097), Column::Bytes(vec![0; 4_097])));
}

#[test]
fn tables_answer_who_uses_a_fragment_and_what_matches() {
    let mut entries = vec![file("a/x.c"), file("b"), file("c/d/e")];
    for (entry, (first, count)) in entries.iter_mut().zip([(0, 10), (10, 1), (5, 2)]) {
        entry.runs = vec![Run { first, count }].into();
    }
    let table = EntryTable { entries };
    assert_eq!(table.using(&[(0, 1)]), [0]);
    assert_eq!(table.using(&[(6, 7), (10, 11)]), [0, 1, 2]);
    assert!(table.using(&[(11, 20)]).is_empty() && table.using(&[]).is_empty());
    assert_eq!(table.matching(&Matcher::new(&["c/".into(), "*.c".into()]).unwrap()), [0, 2]);
    assert_eq!((table.totals(), table.owners()), ((3, 9), (vec![1_000], vec![1_000])));
}
