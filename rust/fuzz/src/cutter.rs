//! Contents of files on their way in: cut, and encoded by every codec. Parts: length of a segment │ data.

use warp_core::codec::{Codec, Decoder, Encoder};
use warp_core::cutter::{Algorithm, Cutter, Sizes, WINDOW};

use crate::sections;

const SIZES: Sizes = Sizes { min: 64, mean: 4 << 10, max: 5000 };

pub fn run(data: &[u8]) {
    let [segment, data] = sections::split_into::<2>(data);
    check_cuts(data, 1 + sections::number(segment) as u16 as usize);
    for codec in [Codec::Store, Codec::Zstd, Codec::Lz4, Codec::Lz4Blocks] {
        let (mut payload, mut raw) = (Vec::new(), Vec::new());
        let used = Encoder::new().encode_as(data, codec, 1, &mut payload).expect("a level that there is");
        assert_eq!(Decoder::new().decode(&payload, data.len(), &mut raw).ok(), Some(used));
        assert_eq!(raw, data);
    }
}

/// Fragments have allowed sizes, fill the data, and do not depend on how it came in.
fn check_cuts(data: &[u8], segment: usize) {
    let cutter = Cutter::new(Algorithm::Buzhash64, SIZES, &[11; 32]).expect("allowed sizes");
    let mut ends = Vec::new();
    cutter.cut(data, &mut ends);
    assert_eq!(ends.last().copied().unwrap_or(0), data.len());
    let mut start = 0;
    for end in &ends {
        let length = end - start;
        let last = *end == data.len();
        assert!(length <= SIZES.max as usize && (length >= SIZES.min as usize || last && length > 0));
        start = *end;
    }
    let whole: Vec<u64> = ends.iter().map(|end| *end as u64).collect();
    assert_eq!(in_segments(&cutter, data, segment), whole);
}

fn in_segments(cutter: &Cutter, data: &[u8], segment: usize) -> Vec<u64> {
    let (mut resolver, mut ends, mut known) = (cutter.resolver(), Vec::new(), 0_usize);
    for part in data.chunks(segment) {
        let context = &data[known.saturating_sub(WINDOW - 1)..known];
        let mut candidates = Vec::new();
        cutter.candidates(context, part, known as u64, &mut candidates);
        known += part.len();
        resolver.push(&candidates, known as u64, &mut ends);
    }
    resolver.finish(data.len() as u64, &mut ends);
    ends
}
