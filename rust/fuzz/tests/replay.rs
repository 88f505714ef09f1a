//! The kept inputs, and some changes of each, without the fuzzing engine.
//!
//! A corpus is one file of parts (`warp_fuzz::sections`), an input each: `tests/fuzz/corpus/NAME`.

use std::path::Path;

use warp_fuzz::{TARGETS, memory, sections, target};

#[global_allocator]
static ALLOCATOR: memory::Limited = memory::Limited;

/// Changed inputs of each kept one.
const CHANGES: u64 = 8;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    let bytes = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("corpus of {name}: {error}"));
    sections::split(&bytes).into_iter().map(<[u8]>::to_vec).collect()
}

/// Numbers that look random (xorshift64); the same ones each time.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize
}

fn changed(input: &[u8], state: &mut u64) -> Vec<u8> {
    let mut changed = input.to_vec();
    for _ in 0..1 + next(state) % 3 {
        if changed.is_empty() {
            break;
        }
        let place = next(state) % changed.len();
        match next(state) % 4 {
            0 => changed[place] ^= 1 << (next(state) % 8),
            1 => changed[place] = [0, 1, 0x7f, 0x80, 0xff][next(state) % 5],
            2 => drop(changed.remove(place)),
            _ => changed.insert(place, next(state) as u8),
        }
    }
    changed
}

#[test]
fn kept_inputs_and_changes_of_them_are_answered_rightly() {
    for target in TARGETS {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let inputs = corpus(target.name);
        assert!(!inputs.is_empty(), "{}: an empty corpus", target.name);
        for input in inputs {
            (target.run)(&input);
            for _ in 0..CHANGES {
                (target.run)(&changed(&input, &mut state));
            }
        }
    }
}

#[test]
fn targets_are_found_by_their_names() {
    assert!(TARGETS.iter().all(|one| target(one.name).is_some_and(|found| found.name == one.name)));
    assert!(target("rust-nothing").is_none());
}
