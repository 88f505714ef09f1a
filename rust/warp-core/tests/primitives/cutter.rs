//! The cutter against a one-pass reference, in all segmentations, and pinned cuts.

use proptest::prelude::*;
use warp_core::Error;
use warp_core::cutter::{Algorithm, Candidate, Cutter, Sizes};
use warp_core::digest;

const KEY: [u8; 32] = [11; 32];
const SMALL: Sizes = Sizes { min: 1 << 10, mean: 4 << 10, max: 16 << 10 };
const TIGHT: Sizes = Sizes { min: 64, mean: 4 << 10, max: 5000 };

fn random(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    digest::keyed_xof(&[seed; 32], &[b"random"], &mut bytes);
    bytes
}

/// The definition, with every hash from scratch: slow, and without a shared line of code.
fn reference(data: &[u8], sizes: Sizes, key: &[u8; 32]) -> Vec<u64> {
    let mut bytes = [0; 2048];
    digest::keyed_xof(key, &[b"buzhash64"], &mut bytes);
    let table: Vec<u64> = bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let [min, mean, max] = [sizes.min, sizes.mean, sizes.max].map(|size| size as usize);
    let bits = mean.ilog2();
    let (mut ends, mut start) = (Vec::new(), 0);
    for end in 1..=data.len() {
        let length = end - start;
        let hash = (0..48.min(end))
            .fold(0, |hash, k| hash ^ table[data[end - 1 - k] as usize].rotate_left(k as u32));
        let zeros = if end < 48 { 0 } else { hash.leading_zeros() };
        let wanted = if length < mean { bits + 2 } else { bits - 2 };
        let cut = length >= min && zeros >= wanted || length == max;
        if data.len() > mean && cut {
            ends.push(end as u64);
            start = end;
        }
    }
    if start < data.len() {
        ends.push(data.len() as u64);
    }
    ends
}

fn cutter(sizes: Sizes) -> Cutter {
    Cutter::new(Algorithm::Buzhash64, sizes, &KEY).unwrap()
}

/// Candidates by segments, each with its context; portions of them into the resolver.
fn in_segments(cutter: &Cutter, data: &[u8], lengths: &[usize]) -> Vec<u64> {
    let (mut resolver, mut ends, mut known) = (cutter.resolver(), Vec::new(), 0);
    for length in lengths.iter().cycle() {
        if known == data.len() {
            break;
        }
        let end = data.len().min(known + length);
        let mut candidates = Vec::new();
        cutter.candidates(
            &data[known.saturating_sub(47)..known],
            &data[known..end],
            known as u64,
            &mut candidates,
        );
        assert!(candidates.is_sorted_by_key(|candidate| candidate.end));
        known = end;
        resolver.push(&candidates, known as u64, &mut ends);
    }
    resolver.finish(data.len() as u64, &mut ends);
    ends
}

/// Random, repetitive and patched data, so that candidates, forced cuts and runs all occur.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (0..60_000usize, any::<u8>()).prop_map(|(length, seed)| random(length, seed)),
        (0..30_000usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
        (1..200usize, 1..200usize, any::<u8>())
            .prop_map(|(period, times, seed)| random(period, seed).repeat(times)),
        prop::collection::vec(any::<u8>(), 0..100),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cuts_are_those_of_the_definition(data in stream(), tight in any::<bool>()) {
        let sizes = if tight { TIGHT } else { SMALL };
        let mut ends = Vec::new();
        cutter(sizes).cut(&data, &mut ends);
        prop_assert_eq!(ends.iter().map(|&end| end as u64).collect::<Vec<_>>(), reference(&data, sizes, &KEY));
    }

    #[test]
    fn segments_and_threads_do_not_matter(data in stream(), lengths in prop::collection::vec(1..40_000usize, 1..8), tiny in 1..100usize, threads in 1..5usize) {
        let cutter = cutter(SMALL);
        let expected = in_segments(&cutter, &data, &[usize::MAX / 2]);
        prop_assert_eq!(&in_segments(&cutter, &data, &lengths), &expected);
        prop_assert_eq!(&in_segments(&cutter, &data, &[tiny]), &expected);
        let mut ends = Vec::new();
        cutter.cut_parallel(&data, lengths[0], threads, &mut ends).unwrap();
        prop_assert_eq!(&ends, &expected);
    }

    #[test]
    fn fixed_cuts_at_multiples(length in 0..50_000usize, segment in 1..9000usize) {
        let sizes = Sizes { min: 4096, mean: 4096, max: 4096 };
        let cutter = Cutter::new(Algorithm::Fixed, sizes, &KEY).unwrap();
        let mut expected: Vec<u64> = (4096..length as u64).step_by(4096).collect();
        expected.extend((length > 0).then_some(length as u64));
        prop_assert_eq!(in_segments(&cutter, &vec![0; length], &[segment]), expected);
    }
}

#[test]
fn a_cut_moves_with_its_content() {
    let data = random(400_000, 1);
    let shifted = [&b"some bytes before"[..], &data].concat();
    let all = |data: &[u8]| {
        let mut ends = Vec::new();
        cutter(SMALL).cut(data, &mut ends);
        ends
    };
    let (ends, moved) = (all(&data), all(&shifted));
    let shared = ends.iter().filter(|&&end| moved.contains(&(end + 17))).count();
    assert!(shared * 10 > ends.len() * 8, "{shared} of {}", ends.len());
}

#[test]
fn streams_up_to_the_mean_are_one_fragment() {
    for length in [0, 1, 4095, 4096] {
        let expected: Vec<u64> = if length == 0 { vec![] } else { vec![length as u64] };
        assert_eq!(in_segments(&cutter(TIGHT), &random(length, 3), &[100]), expected);
    }
}

#[test]
fn nothing_is_decided_before_the_stream_is_longer_than_the_mean() {
    let cutter = cutter(SMALL);
    let (mut resolver, mut ends) = (cutter.resolver(), Vec::new());
    let candidate = Candidate { end: 2000, strict: true };
    resolver.push(&[candidate], 4096, &mut ends);
    assert!(ends.is_empty());
    resolver.push(&[], 4097, &mut ends);
    assert_eq!(ends, [2000]);
    resolver.finish(4097, &mut ends);
    assert_eq!(ends, [2000, 4097]);
}

#[test]
fn sizes_that_break_a_rule_are_refused() {
    let refused = |algorithm, min, mean, max| {
        matches!(Cutter::new(algorithm, Sizes { min, mean, max }, &KEY), Err(Error::Parameter(_)))
    };
    let buzhash = Algorithm::Buzhash64;
    assert!(refused(buzhash, 1024, 5000, 16384));
    assert!(refused(buzhash, 1024, 2048, 16384));
    assert!(refused(buzhash, 1024, 32 << 20, 32 << 20));
    assert!(refused(buzhash, 63, 4096, 16384));
    assert!(refused(buzhash, 8192, 4096, 16384));
    assert!(refused(buzhash, 1024, 4096, 4095));
    assert!(refused(buzhash, 1024, 4096, (32 << 20) + 1));
    assert!(refused(Algorithm::Fixed, 1024, 4096, 4096));
    assert!(!refused(Algorithm::Fixed, 4096, 4096, 4096));
    assert!(!refused(buzhash, 64, 16 << 20, 32 << 20));
}

/// Pins the definition: any back end, on any machine, must find these.
#[test]
fn golden_cuts() {
    let golden = |sizes, length, first: &[usize], count, digest_of_ends: &str| {
        let mut ends = Vec::new();
        cutter(sizes).cut(&random(length, 5), &mut ends);
        let joined: Vec<u8> = ends.iter().flat_map(|&end| (end as u64).to_le_bytes()).collect();
        let hex: String = digest::hash(&joined)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&ends[..first.len()], ends.len(), &hex[..]), (first, count, digest_of_ends));
    };
    let general = Sizes { min: 16 << 10, mean: 64 << 10, max: 256 << 10 };
    let fine = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };
    golden(SMALL, 1 << 20, &[2744, 7317, 11487, 16285], 225, "10f8f708b5585fd2");
    golden(fine, 4 << 20, &[22621, 46088, 62554, 85631], 226, "2ee4fd73334ecfaa");
    golden(general, 8 << 20, &[102974, 170616, 216650, 284133], 114, "2c0cbe6fbf70e94c");
}
