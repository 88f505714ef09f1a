use super::*;
use crate::cutter::{Algorithm, Sizes};
use crate::keys::Suite;
use crate::table::tests::file as entry;
use crate::walk::tests::Scratch;

const SIZES: Sizes = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };

fn open_with(scratch: &Scratch, secret: u8, sizes: Sizes) -> Cuts {
    let keys = ScopeKeys::new(Some(&[secret; 32]), Suite::ChaCha20Poly1305).unwrap();
    let cutter = Cutter::new(Algorithm::Buzhash64, sizes, keys.cutter_key()).unwrap();
    let path = scratch.path().join("cuts");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    Cuts::open(file, &keys, &cutter).unwrap()
}

fn open(scratch: &Scratch) -> Cuts {
    open_with(scratch, 7, SIZES)
}

fn fragments(seed: u8, count: u32) -> Vec<(u32, FragmentId)> {
    (0..count).map(|number| (1 + number % SIZES.max, [seed; 24])).collect()
}

fn length(fragments: &[(u32, FragmentId)]) -> u64 {
    fragments.iter().map(|(length, _)| u64::from(*length)).sum()
}

/// All that is known of a file.
fn known(cuts: &Cuts, file: &CutFile) -> Vec<(u32, FragmentId)> {
    let mut found = Vec::new();
    for part in cuts.parts(file) {
        cuts.read(&part, &mut found).unwrap();
    }
    found
}

/// Notes these fragments of a file.
fn note(cuts: &Cuts, file: &CutFile, start: u64, fragments: &[(u32, FragmentId)]) {
    let mut records = CutRecords::default();
    records.push(file, start, false, fragments);
    cuts.append(&mut records).unwrap();
}

#[test]
fn what_was_noted_is_there_again_as_far_as_it_has_no_gap() {
    let scratch = Scratch::new("cuts");
    let cuts = open(&scratch);
    let (first, second, third) = (fragments(1, 5), fragments(2, 40_000), fragments(3, 2));
    note(&cuts, &[1; 16], 0, &first);
    note(&cuts, &[2; 16], 0, &third);
    note(&cuts, &[1; 16], length(&first), &second);
    note(&cuts, &[1; 16], length(&first) + length(&second) + 1, &third);
    assert!(cuts.parts(&[1; 16]).is_empty(), "what is new counts from the next try on");
    let cuts = open(&scratch);
    assert!(known(&cuts, &[1; 16]) == [first, second].concat());
    assert_eq!(known(&cuts, &[2; 16]), third);
    assert!(known(&cuts, &[3; 16]).is_empty());
}

#[test]
fn a_file_that_is_doubted_is_not_known_any_more() {
    let scratch = Scratch::new("cuts-forget");
    let cuts = open(&scratch);
    for file in [[1; 16], [2; 16]] {
        note(&cuts, &file, 0, &fragments(1, 5));
        note(&cuts, &file, length(&fragments(1, 5)), &fragments(2, 5));
    }
    cuts.forget(&[1; 16]).unwrap();
    let cuts = open(&scratch);
    assert!(cuts.parts(&[1; 16]).is_empty());
    assert_eq!(known(&cuts, &[2; 16]).len(), 10);
}

#[test]
fn a_torn_end_is_cut_off_and_written_over() {
    let scratch = Scratch::new("cuts-torn");
    let path = scratch.path().join("cuts");
    note(&open(&scratch), &[1; 16], 0, &fragments(1, 3));
    let whole = std::fs::metadata(&path).unwrap().len();
    note(&open(&scratch), &[2; 16], 0, &fragments(2, 3));
    let bytes = std::fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let cuts = open(&scratch);
        let expected = if (cut as u64) < whole { 0 } else { 3 };
        assert_eq!((known(&cuts, &[1; 16]).len(), known(&cuts, &[2; 16]).len()), (expected, 0), "{cut}");
        note(&cuts, &[3; 16], 0, &fragments(3, 1));
        assert_eq!(known(&open(&scratch), &[3; 16]), fragments(3, 1));
    }
}

#[test]
fn every_flipped_byte_ends_what_is_believed() {
    let scratch = Scratch::new("cuts-flip");
    let path = scratch.path().join("cuts");
    note(&open(&scratch), &[1; 16], 0, &fragments(1, 3));
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert!(known(&open(&scratch), &[1; 16]).is_empty(), "{at}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), HEADER_BYTES as u64);
    }
}

#[test]
fn what_changes_while_it_is_used_is_found_out() {
    let scratch = Scratch::new("cuts-changed");
    let path = scratch.path().join("cuts");
    note(&open(&scratch), &[1; 16], 0, &fragments(1, 3));
    let cuts = open(&scratch);
    let part = cuts.parts(&[1; 16])[0];
    let bytes = std::fs::read(&path).unwrap();
    for at in HEADER_BYTES..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        std::fs::write(&path, flipped).unwrap();
        assert!(matches!(cuts.read(&part, &mut Vec::new()), Err(Error::Integrity(_))), "{at}");
    }
}

#[test]
fn what_is_of_other_keys_or_another_cutter_counts_as_nothing() {
    let scratch = Scratch::new("cuts-other");
    let other = Sizes { mean: 32 << 10, ..SIZES };
    for (secret, sizes) in [(8, SIZES), (7, other)] {
        note(&open(&scratch), &[1; 16], 0, &fragments(1, 3));
        assert!(open_with(&scratch, secret, sizes).parts(&[1; 16]).is_empty());
        assert!(open(&scratch).parts(&[1; 16]).is_empty());
    }
}

#[test]
fn a_file_is_another_one_if_anything_of_it_is() {
    let scratch = Scratch::new("cuts-file");
    let cuts = open(&scratch);
    let time = |seconds, nanos| Timestamp { seconds, nanos };
    let one = Entry { size: 10, mtime: time(5, 6), ctime: time(7, 8), inode: 9, ..entry("a") };
    let holes = Entry { flags: FLAG_SPARSE, extents: vec![(0, 4)], ..one.clone() };
    let mut others = vec![
        cuts.file(1, &one),
        cuts.file(2, &one),
        cuts.file(1, &Entry { size: 11, ..one.clone() }),
        cuts.file(1, &Entry { inode: 10, ..one.clone() }),
        cuts.file(1, &Entry { mtime: time(5, 7), ..one.clone() }),
        cuts.file(1, &Entry { mtime: time(6, 6), ..one.clone() }),
        cuts.file(1, &Entry { ctime: time(7, 9), ..one.clone() }),
        cuts.file(1, &holes),
        cuts.file(1, &Entry { extents: vec![(0, 5)], ..holes.clone() }),
        open_with(&scratch, 8, SIZES).file(1, &one),
    ];
    assert_eq!(cuts.file(1, &one), cuts.file(1, &Entry { path: b"b".to_vec(), mode: 0o600, ..one.clone() }));
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 10);
}

#[test]
fn a_file_that_was_changed_just_now_may_be_changed_again_unseen() {
    let now = UNIX_EPOCH + Duration::from_millis(1_000_000);
    let at = |millis: i64| {
        let nanos = (millis.rem_euclid(1000) * 1_000_000) as u32;
        Timestamp { seconds: millis.div_euclid(1000), nanos }
    };
    let entry = |mtime, ctime| Entry { mtime: at(mtime), ctime: at(ctime), ..entry("a") };
    assert!(is_settled(&entry(500_001, 999_899), now));
    assert!(is_settled(&entry(-5, 999_899), now));
    // A tick, a whole second, and the future.
    assert!(!is_settled(&entry(500_001, 999_901), now));
    assert!(!is_settled(&entry(998_000, 500_001), now));
    assert!(is_settled(&entry(997_000, 500_001), now));
    assert!(!is_settled(&entry(1_000_500, 500_001), now));
}
