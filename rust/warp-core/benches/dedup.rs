//! What a fragment costs the index: `cargo bench -p warp-core --bench dedup -- [FRAGMENTS [MEMORY_MIB]]`.
//!
//! Prints ns an insertion (after a look-up that misses, as the pipeline does), a miss, a hit of a random fragment, a hit
//! in the order of ordinals, and the peak resident size.

use std::hint::black_box;
use std::time::Instant;

use warp_core::dedup::FragmentIndex;
use warp_core::digest::FragmentId;

const LOOKUPS: u64 = 1_000_000;

/// 24 bytes that look like a keyed hash's (splitmix64).
fn id(number: u64) -> FragmentId {
    let mut bytes = [0; 24];
    for (lane, eight) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let mut z = (number * 3 + lane as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *eight = (z ^ (z >> 31)).to_le_bytes();
    }
    bytes
}

fn timed(name: &str, count: u64, mut step: impl FnMut(u64)) {
    let start = Instant::now();
    (0..count).for_each(&mut step);
    let ns = start.elapsed().as_nanos() as f64 / count as f64;
    println!("{name:<24}{ns:>10.1} ns");
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let fragments = numbers.next().unwrap_or(LOOKUPS);
    let memory = numbers.next().map_or(usize::MAX, |mib| (mib as usize) << 20);
    let mut index = FragmentIndex::new(memory, std::env::temp_dir());
    println!("{fragments} fragments, memory {memory}");
    timed("look up and insert", fragments, |number| {
        assert!(index.lookup(&id(number)).is_ok_and(|found| found.is_none()), "a new fragment is found");
        assert!(index.insert(&id(number)).is_ok());
    });
    timed("miss", LOOKUPS, |number| {
        black_box(index.lookup(&id(fragments + number)).is_ok());
    });
    timed("hit, random order", LOOKUPS.min(fragments), |number| {
        let ordinal = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % fragments;
        assert!(index.lookup(&id(ordinal)).is_ok_and(|found| found == Some(ordinal)), "another ordinal");
    });
    timed("hit, in order", LOOKUPS.min(fragments), |number| {
        assert!(index.lookup(&id(number)).is_ok_and(|found| found == Some(number)), "another ordinal");
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
}
