//! The targets under libFuzzer: `WARP_FUZZ_TARGET=NAME warp-fuzz [libFuzzer's options] CORPUS`.
//!
//! Built by `tests/fuzz/engine.py` with the flags that make the compiler count edges. One binary for all targets, so that
//! it is linked once.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use warp_fuzz::{Target, memory, sections, target};

#[global_allocator]
static ALLOCATOR: memory::Limited = memory::Limited;

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("WARP_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("WARP_FUZZ_TARGET: there is no target {name:?}"))
});
/// How much longer one change may make a part.
const ROOM: usize = 64;

fuzz_target!(|data: &[u8]| (CHOSEN.run)(data));

// Changes of the bytes between parts would mostly shift what follows; three of four changes keep within one part.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let chosen = CHOSEN.in_sections && !seed.is_multiple_of(4);
    let mutated = if chosen { mutate_part(&data[..size], seed / 4) } else { None };
    match mutated.filter(|mutated| mutated.len() <= max_size) {
        Some(mutated) => {
            data[..mutated.len()].copy_from_slice(&mutated);
            mutated.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

/// The input with one of its parts changed.
fn mutate_part(input: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = sections::split(input).into_iter().map(<[u8]>::to_vec).collect();
    let count = parts.len().max(1);
    let part = parts.get_mut(seed as usize % count)?;
    let length = part.len();
    part.resize(length + ROOM, 0);
    let changed = fuzzer_mutate(part, length, length + ROOM);
    part.truncate(changed);
    Some(sections::join(&parts))
}
