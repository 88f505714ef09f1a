//! The plan, the strata, the waves and the census, over files that are all hole: nothing of them is read by a plan.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::census::Census;
use super::look::Worker;
use super::plan::{Group, Plan, SAMPLED_PIECE, Twin, WHOLE_PIECE};
use super::strata::{Encoding, STRATA, Strata, stratum_of};
use super::waves::on_all;
use super::{DENSE_BITS, SurveyOptions};
use crate::codec::{Codec, Policy, PolicyRow};
use crate::cutter::{Algorithm, Cutter, Sizes};
use crate::keys::{ScopeKeys, Suite};
use crate::matcher::Matcher;
use crate::walk::{Root, WalkBatch, WalkOptions, Walker};
use crate::{Error, Result};

const MIB: u64 = 1 << 20;

/// A directory that is removed at the end of a test.
struct Scratch(PathBuf);

impl Scratch {
    /// With a hole of each size, named as it is listed.
    fn with(name: &str, files: &[(&str, u64)]) -> Self {
        let path = std::env::temp_dir().join(format!("warp-survey-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        for (name, size) in files {
            File::create(path.join(name)).unwrap().set_len(*size).unwrap();
        }
        Self(path)
    }

    fn batches(&self) -> Vec<WalkBatch> {
        let roots = vec![Root { stored: Vec::new(), path: self.0.clone() }];
        let excludes = Matcher::new(&[]).unwrap();
        let options =
            WalkOptions { roots, excludes, exclude_caches: false, one_file_system: false, skip: Vec::new() };
        let mut walker = Walker::new(options).unwrap();
        std::iter::from_fn(|| walker.next(16).unwrap()).collect()
    }

    fn census(&self) -> Census {
        let mut census = Census::default();
        self.batches().iter().for_each(|batch| census.add(batch));
        census
    }

    fn planned(&self, one_in: u64, certain: &[u64]) -> Vec<Group> {
        let (census, mut plan) = (self.census(), Plan::new(one_in, certain));
        self.batches().into_iter().for_each(|batch| plan.add(batch, &census));
        plan.finish();
        plan.ready.into()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Places of a file that are drawn to find duplicates.
fn drawn(groups: &[Group], name: &[u8]) -> Vec<(u64, u64)> {
    let pieces = groups.iter().flat_map(|group| &group.pieces);
    let own = pieces.filter(|piece| piece.twin != Twin::No && piece.item.entry.path == name);
    own.map(|piece| (piece.offset, piece.length)).collect()
}

fn packed_bytes(groups: &[Group]) -> u64 {
    groups.iter().filter(|group| group.packed).map(|group| group.bytes).sum()
}

#[test]
fn census_counts_types_and_large_files() {
    let files = [("a.txt", 10), ("b.TXT", 20), ("c", 0), ("d.img", 64 * MIB)];
    let census = Scratch::with("census", &files).census();
    let types: Vec<_> =
        census.types.iter().map(|kind| (kind.name.as_slice(), kind.files, kind.bytes)).collect();
    assert_eq!(types, [(&b"txt"[..], 2, 30), (b"", 1, 0), (b"img", 1, 64 * MIB)]);
    assert_eq!((census.files, census.bytes, census.large_bytes), (4, 64 * MIB + 30, 64 * MIB));
}

#[test]
fn census_tells_sizes_that_several_files_share() {
    let files = [("a", 7), ("b", 7), ("c", 8), ("d", 900), ("e", 900), ("f", 5), ("g", 5)];
    let census = Scratch::with("sizes", &files).census();
    assert_eq!(census.shared_sizes(800, 14), [(7, 2)]);
    assert_eq!(census.shared_sizes(1000, 0), [(5, 2), (7, 2), (900, 2)]);
}

#[test]
fn plan_of_everything_covers_each_byte_once() {
    let scratch = Scratch::with("whole", &[("a", 1), ("b", 2 * WHOLE_PIECE + 5), ("c", 0), ("d", MIB)]);
    let groups = scratch.planned(1, &[]);
    let places = drawn(&groups, b"b");
    assert_eq!(places, [(0, WHOLE_PIECE), (WHOLE_PIECE, WHOLE_PIECE), (2 * WHOLE_PIECE, 5)]);
    assert_eq!(packed_bytes(&groups), 1 + 2 * WHOLE_PIECE + 5 + MIB);
}

#[test]
fn plan_takes_one_stretch_in_so_many() {
    let scratch = Scratch::with("stretches", &[("a", 400 * SAMPLED_PIECE)]);
    for one_in in [2, 4, 10] {
        assert_eq!(packed_bytes(&scratch.planned(one_in, &[])), 400 / one_in * SAMPLED_PIECE);
    }
}

#[test]
fn plan_draws_small_files_of_equal_size_together_or_not_at_all() {
    let names: Vec<(String, u64)> =
        (0..200).map(|number| (format!("{number:03}"), 1000 + number / 2)).collect();
    let files: Vec<_> = names.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    let groups = Scratch::with("twins", &files).planned(2, &[]);
    let taken: Vec<_> = files.iter().map(|(name, _)| !drawn(&groups, name.as_bytes()).is_empty()).collect();
    assert!(taken.chunks(2).all(|pair| pair[0] == pair[1]));
    let number = taken.iter().filter(|taken| **taken).count();
    assert!((20..80).contains(&number), "{number}"); // a quarter: 50
}

#[test]
fn plan_always_draws_certain_sizes() {
    let scratch = Scratch::with("certain", &[("a", 4321), ("b", 4321), ("c", 9)]);
    let groups = scratch.planned(1024, &[4321]);
    assert_eq!((drawn(&groups, b"a"), drawn(&groups, b"b")), (vec![(0, 4321)], vec![(0, 4321)]));
    let pieces = groups.iter().flat_map(|group| &group.pieces).filter(|piece| piece.twin != Twin::No);
    assert!(pieces.clone().all(|piece| piece.twin == Twin::Certain) && pieces.count() == 2);
}

#[test]
fn plan_draws_equal_and_grown_large_files_at_the_same_places() {
    let size = 3000 * SAMPLED_PIECE;
    let scratch = Scratch::with("windows", &[("a", size), ("b", size), ("c", size + 777 * SAMPLED_PIECE)]);
    for one_in in [2, 16, 1024] {
        let groups = scratch.planned(one_in, &[]);
        let places = drawn(&groups, b"a");
        assert_eq!(drawn(&groups, b"b"), places);
        assert_eq!(drawn(&groups, b"c")[..places.len()], places);
        let share = places.iter().map(|(_, length)| length).sum::<u64>() * 2 * one_in;
        assert!((size * 8 / 10..size * 12 / 10).contains(&share), "one in {one_in}: {share} of {size}");
    }
}

#[test]
fn plan_draws_some_of_files_that_are_shorter_than_a_row() {
    let names: Vec<_> = (0..256).map(|number| (format!("{number:03}"), 3 * MIB + number)).collect();
    let files: Vec<_> = names.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    let groups = Scratch::with("short", &files).planned(64, &[]);
    let taken = files.iter().filter(|(name, _)| !drawn(&groups, name.as_bytes()).is_empty()).count();
    assert!((6..32).contains(&taken), "{taken}"); // two pieces of 32: 16
}

#[test]
fn waves_give_results_in_the_order_of_their_jobs() {
    let mut workers: Vec<_> = (0..3).map(|_| Worker::new(0)).collect();
    let runs = AtomicUsize::new(0);
    let results = on_all(&mut workers, 500, |_, number| {
        runs.fetch_add(1, Ordering::Relaxed);
        Ok(number * number)
    });
    assert_eq!(results.unwrap(), (0..500).map(|number| number * number).collect::<Vec<_>>());
    assert_eq!(runs.into_inner(), 500);
}

#[test]
fn waves_end_with_the_error_of_a_job() {
    let mut workers: Vec<_> = (0..2).map(|_| Worker::new(0)).collect();
    let results: Result<Vec<usize>> = on_all(&mut workers, 50, |_, number| match number {
        30 => Err(Error::Parameter("thirty".into())),
        _ => Ok(number),
    });
    assert!(matches!(results, Err(Error::Parameter(what)) if what == "thirty"));
}

#[test]
fn strata_are_half_bits_and_one_for_dense_data() {
    let strata = [0.0, 0.49, 0.5, 4.0, 7.9, DENSE_BITS, 8.0].map(stratum_of);
    assert_eq!(strata, [0, 0, 1, 8, 15, STRATA - 1, STRATA - 1]);
}

#[test]
fn strata_encode_the_first_chunk_and_then_one_in_so_many() {
    let mut strata = Strata::new(3);
    let encoded: Vec<_> = (0..7).map(|_| strata.count(4, 10)).collect();
    assert_eq!(encoded, [true, false, false, true, false, false, true]);
    assert!(strata.count(5, 10));
    assert_eq!((strata.rows[4].chunks, strata.rows[4].raw, strata.rows[5].chunks), (7, 70, 1));
}

#[test]
fn strata_sum_what_was_encoded_and_try_it_in_another_way() {
    let stored = 80_000 + 20; // with its tag, also in a plain archive
    let (options, mut strata, mut encoding) = (options(), Strata::new(1), Encoding::new());
    for _ in 0..5 {
        strata.count(2, 80_000);
        strata.take(encoding.encode(&options, 2, vec![b'a'; 80_000]).unwrap());
    }
    assert_eq!((strata.rows[2].sampled, strata.rows[2].stored), (400_000, 5 * stored));
    let trials = strata.attempt(&mut [Worker::new(0)], &options, Some((Codec::Zstd, 3)), 1).unwrap();
    assert_eq!(trials[2].stored_by_policy, 2 * stored); // of the two that are kept
    assert!(trials[2].stored > 0 && trials[2].stored < 1000);
    assert!(trials.iter().enumerate().all(|(stratum, trial)| stratum == 2 || trial.stored == 0));
}

/// Plain, and stored as it is.
fn options() -> SurveyOptions {
    let sizes = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };
    SurveyOptions {
        keys: ScopeKeys::new(None, Suite::Plain).unwrap().into(),
        cutter: Cutter::new(Algorithm::Buzhash64, sizes, &[7; 32]).unwrap(),
        finer: None,
        chunk: sizes,
        policy: Policy { rows: vec![PolicyRow { entropy_below: 9.0, codec: Codec::Store, level: 0 }] },
        verify: true,
        threads: 1,
        read_one_in: 1,
        encode_one_in: 1,
        certain: Vec::new(),
    }
}
