//! How compressible a chunk looks, as one number: a pure function of its bytes.
//!
//! Order-0 entropy alone overrates data that repeats itself (two copies of a random block have 8 bits a byte), an
//! LZ4 trial alone overrates text without repeats. The estimate is the smaller of the two, in bits a byte.

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer};

/// Length of one sample window.
const WINDOW: usize = 4 << 10;
/// Windows: the start, two in the middle, the end.
const WINDOWS: usize = 4;
/// Bytes looked at.
pub const SAMPLE: usize = WINDOWS * WINDOW;

/// Reusable buffers for samples.
#[derive(Default)]
pub struct Probe {
    sample: Vec<u8>,
    compressed: Vec<u8>,
}

impl Probe {
    /// A probe; it allocates on first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bits a byte of `data`, from 0 to 8: min(order-0 entropy, 8 × LZ4 ratio) of four windows of 4 KiB, or of all
    /// data up to 16 KiB. 0 for no data.
    pub fn bits_per_byte(&mut self, data: &[u8]) -> f64 {
        self.bits_per_byte_unless_below(data, 0.0)
    }

    /// As [`Probe::bits_per_byte`], but without the LZ4 trial if the order-0 entropy is below `enough`: then it is that.
    pub fn bits_per_byte_unless_below(&mut self, data: &[u8], enough: f64) -> f64 {
        self.sample.clear();
        take_sample(data, &mut self.sample);
        let entropy = order0_entropy(&self.sample);
        if entropy < enough {
            return entropy;
        }
        entropy.min(8.0 * self.lz4_ratio())
    }

    /// The order-0 entropy alone, and [`Probe::bits_per_byte`], of the same sample.
    pub fn entropy_and_bits(&mut self, data: &[u8]) -> (f64, f64) {
        let bits = self.bits_per_byte(data);
        (order0_entropy(&self.sample), bits)
    }

    /// Compressed ÷ raw length of the sample.
    fn lz4_ratio(&mut self) -> f64 {
        if self.sample.is_empty() {
            return 1.0;
        }
        let bound = compress_bound(SAMPLE).unwrap_or(2 * SAMPLE);
        self.compressed.resize(bound, 0);
        match compress_to_buffer(&self.sample, Some(CompressionMode::DEFAULT), false, &mut self.compressed) {
            Ok(length) => length as f64 / self.sample.len() as f64,
            Err(_) => 1.0,
        }
    }
}

fn take_sample(data: &[u8], sample: &mut Vec<u8>) {
    if data.len() <= SAMPLE {
        sample.extend_from_slice(data);
        return;
    }
    let last = data.len() - WINDOW;
    for window in 0..WINDOWS {
        let start = last * window / (WINDOWS - 1);
        sample.extend_from_slice(&data[start..start + WINDOW]);
    }
}

/// Shannon entropy of single bytes, in bits. 0 for no data.
pub fn order0_entropy(data: &[u8]) -> f64 {
    // Four histograms, because equal neighbours would wait for each other's counter.
    let mut counts = [[0u32; 256]; 4];
    let (quads, rest) = data.as_chunks::<4>();
    for quad in quads {
        for (count, &byte) in counts.iter_mut().zip(quad) {
            count[usize::from(byte)] += 1;
        }
    }
    for &byte in rest {
        counts[0][usize::from(byte)] += 1;
    }
    let total = data.len() as f64;
    (0..256)
        .map(|byte| counts.iter().map(|count| count[byte]).sum::<u32>())
        .filter(|&count| count > 0)
        .map(|count| f64::from(count) / total)
        .map(|share| -share * share.log2())
        .sum()
}
