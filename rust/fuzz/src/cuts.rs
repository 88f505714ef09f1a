//! How files were cut, as a source finds it when it goes on (docs/transfer-protocol.md §6).
//!
//! Parts: what lies behind the last record │ records without their checks, which are made to fit.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};
use warp_core::catalogue::{CutFile, CutRecords, Cuts};
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::digest::{self, FragmentId};
use warp_core::keys::{ScopeKeys, Suite};

use crate::sections;

const SIZES: Sizes = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };

type Fragments = Vec<(u32, FragmentId)>;

pub fn run(data: &[u8]) {
    let parts = sections::split(data);
    let Some((tail, records)) = parts.split_first() else {
        return;
    };
    let file = |record: &&[u8]| sections::exactly(record.get(8..).unwrap_or_default());
    let files: Vec<CutFile> = records.iter().map(file).collect();
    let store = store();
    for record in records {
        let check = digest::hash(record);
        write(&store, &[record, &check[..8]].concat());
    }
    write(&store, tail);
    let found = known(&store, &files);
    let length = length(&store);
    assert_eq!((known(&store, &files), self::length(&store)), (found.clone(), length), "the second time");
    let again = self::store();
    let cuts = open(&again);
    let mut records = CutRecords::default();
    files.iter().zip(&found).for_each(|(file, fragments)| records.push(file, 0, false, fragments));
    cuts.append(&mut records).expect("a file in memory");
    assert_eq!(known(&again, &files), found, "written anew");
}

/// What is known of these files.
fn known(store: &File, files: &[CutFile]) -> Vec<Fragments> {
    let cuts = open(store);
    let one = |file| {
        let mut fragments = Fragments::new();
        for part in cuts.parts(file) {
            let before = fragments.len();
            cuts.read(&part, &mut fragments).expect("as it was when it was opened");
            let lengths = fragments[before..].iter().map(|(length, _)| u64::from(*length));
            assert_eq!(lengths.sum::<u64>(), part.length);
        }
        assert!(fragments.iter().all(|(length, _)| (1..=SIZES.max).contains(length)));
        fragments
    };
    files.iter().map(one).collect()
}

fn open(store: &File) -> Cuts {
    let keys = ScopeKeys::new(Some(&[7; 32]), Suite::ChaCha20Poly1305).expect("a key and a suite");
    let cutter = Cutter::new(Algorithm::Buzhash64, SIZES, keys.cutter_key()).expect("sizes");
    let file = store.try_clone().expect("a file in memory");
    Cuts::open(file, &keys, &cutter).expect("any bytes count as something or nothing")
}

/// An empty one.
fn store() -> File {
    let store = File::from(memfd_create("cuts", MemfdFlags::CLOEXEC).expect("a file in memory"));
    drop(open(&store));
    store
}

fn write(store: &File, bytes: &[u8]) {
    store.write_all_at(bytes, length(store)).expect("a file in memory");
}

fn length(store: &File) -> u64 {
    store.metadata().expect("a file in memory").len()
}
