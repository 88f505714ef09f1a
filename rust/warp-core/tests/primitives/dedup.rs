//! The fragment index against a `HashMap`, with ids in memory and spilled.

use std::collections::HashMap;
use std::path::PathBuf;

use proptest::prelude::*;
use warp_core::Error;
use warp_core::dedup::FragmentIndex;
use warp_core::digest::{self, FragmentId};

const PAGE: usize = 4096 * 24;

fn id(number: u64) -> FragmentId {
    let digest = digest::hash(&number.to_le_bytes());
    std::array::from_fn(|byte| digest[byte])
}

fn index(memory: usize) -> FragmentIndex {
    FragmentIndex::new(memory, std::env::temp_dir())
}

/// Inserts and looks up the numbers; every answer must be that of a map.
fn check(numbers: impl IntoIterator<Item = u64>, memory: usize) -> FragmentIndex {
    let mut index = index(memory);
    let mut oracle = HashMap::new();
    for number in numbers {
        let found = index.lookup(&id(number)).unwrap();
        assert_eq!(found, oracle.get(&number).copied());
        if found.is_none() {
            let ordinal = index.insert(&id(number)).unwrap();
            assert_eq!(ordinal, oracle.len() as u64);
            oracle.insert(number, ordinal);
        }
        assert_eq!(index.len(), oracle.len() as u64);
    }
    for (number, ordinal) in oracle {
        assert_eq!(index.lookup(&id(number)).unwrap(), Some(ordinal));
    }
    index
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn answers_are_those_of_a_map(numbers in prop::collection::vec(0..2000u64, 0..6000)) {
        check(numbers, usize::MAX);
    }
}

#[test]
fn ids_beyond_the_memory_are_found_in_the_file() {
    for memory in [0, PAGE, 3 * PAGE] {
        let repeats = (0..50_000u64).map(|i| i % 40_000).chain((0..100_000).map(|i| i * 7919 % 60_000));
        check(repeats, memory);
    }
}

#[test]
fn loaded_ids_are_found() {
    let ids: Vec<u8> = (0..20_000).flat_map(id).collect();
    let mut index = index(PAGE);
    index.load(0, &ids[..24 * 5000]).unwrap();
    index.load(5000, &ids[24 * 5000..]).unwrap();
    assert_eq!(index.lookup(&id(4999)).unwrap(), Some(4999));
    assert_eq!(index.lookup(&id(19_999)).unwrap(), Some(19_999));
    assert_eq!(index.lookup(&id(20_000)).unwrap(), None);
    assert_eq!(index.insert(&id(20_000)).unwrap(), 20_000);
}

#[test]
fn the_first_of_equal_ids_is_found_even_after_growth() {
    let mut index = index(0);
    for _ in 0..3 {
        index.insert(&id(7)).unwrap();
    }
    (100..30_000).for_each(|number| {
        index.insert(&id(number)).unwrap();
    });
    assert_eq!(index.lookup(&id(7)).unwrap(), Some(0));
}

#[test]
fn ids_that_share_their_hash_and_tag_are_told_apart() {
    let mut index = index(usize::MAX);
    let twins: Vec<FragmentId> =
        (0..100).map(|last| std::array::from_fn(|byte| if byte == 23 { last } else { 1 })).collect();
    for (ordinal, twin) in twins.iter().enumerate() {
        assert_eq!(index.lookup(twin).unwrap(), None);
        assert_eq!(index.insert(twin).unwrap(), ordinal as u64);
    }
    for (ordinal, twin) in twins.iter().enumerate() {
        assert_eq!(index.lookup(twin).unwrap(), Some(ordinal as u64));
    }
}

#[test]
fn loads_out_of_order_or_of_broken_ids_are_refused() {
    assert!(matches!(index(0).load(1, &[0; 24]), Err(Error::Parameter(_))));
    assert!(matches!(index(0).load(0, &[0; 25]), Err(Error::Parameter(_))));
    assert!(index(0).is_empty());
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_when_ids_spill() {
    let mut index = FragmentIndex::new(0, PathBuf::from("/nonexistent"));
    let result = (0..5000).try_for_each(|number| index.insert(&id(number)).map(drop));
    assert!(matches!(result, Err(Error::Io { .. })));
}

#[test]
fn the_file_leaves_no_name() {
    let directory = std::env::temp_dir().join(format!("warp-dedup-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let mut index = FragmentIndex::new(0, directory.clone());
    (0..9000).for_each(|number| {
        index.insert(&id(number)).unwrap();
    });
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    std::fs::remove_dir(&directory).unwrap();
}

#[test]
fn answers_are_the_same_for_any_memory() {
    // Also of ids inserted twice, whether looked up in order or not.
    let sequence = || (0..30_000u64).chain(5_000..9_000).chain(30_000..60_000);
    let asked = (0..70_000).chain((0..20_000).map(|i| i * 7919 % 65_000)).chain(4_990..9_010);
    let answers = |memory| {
        let mut index = index(memory);
        sequence().for_each(|number| {
            index.insert(&id(number)).unwrap();
        });
        asked.clone().map(|number| index.lookup(&id(number)).unwrap()).collect::<Vec<_>>()
    };
    let expected = answers(usize::MAX);
    assert!([0, PAGE, 10 * PAGE].into_iter().all(|memory| answers(memory) == expected));
}
