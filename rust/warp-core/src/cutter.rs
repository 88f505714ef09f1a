//! Content-defined cutting: Buzhash over 64 bits with a 48-byte window and normalised cut masks.
//!
//! Two stages (docs/format.md §2). The hash at a byte depends on the 48 bytes that end with it and on nothing else,
//! so *candidates* can be found in any segments and in any order. The *resolver* then applies the sizes to the sparse
//! list of candidates, and all back ends cut alike.
//!
//! `h(i) = T[b(i)] ^ rotl(T[b(i-1)], 1) ^ … ^ rotl(T[b(i-47)], 47)`; a byte is a loose candidate if the top
//! log2(mean) − 2 bits of `h` are zero, a strict one if the top log2(mean) + 2 are. A fragment ends after a strict
//! candidate from `min` to below `mean`, after a loose one from `mean` on, and at `max` without one. A stream of at
//! most `mean` bytes is one fragment.

use crate::digest;
use crate::{Error, Result};

/// Bytes that a hash covers.
pub const WINDOW: usize = 48;
/// Bits more (below the mean) and less (from the mean on) than log2(mean) that must be zero.
const NORMALIZATION: u32 = 2;
/// Each step of a hash waits for the one before; independent lanes fill the wait.
const LANES: usize = 4;
/// Bytes of each lane per turn of the inner loop.
const STRIDE: usize = 8;
/// Windows of a lane that are worth its start from scratch.
const LEAST_SHARE: usize = 4 * WINDOW;
const MIN_MEAN: u32 = 4 << 10;
const MAX_MEAN: u32 = 16 << 20;
const MIN_MIN: u32 = 64;
const MAX_MAX: u32 = 32 << 20;

/// How streams are cut; the values are those of the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Algorithm {
    /// Content-defined, keyed.
    Buzhash64 = 1,
    /// Every `mean` bytes.
    Fixed = 2,
}

impl TryFrom<u8> for Algorithm {
    type Error = Error;

    fn try_from(value: u8) -> Result<Self> {
        match value {
            1 => Ok(Self::Buzhash64),
            2 => Ok(Self::Fixed),
            _ => Err(Error::format(format!("cutter {value}"))),
        }
    }
}

/// Fragment sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// No fragment but a stream's last is shorter.
    pub min: u32,
    /// A power of two.
    pub mean: u32,
    /// No fragment is longer.
    pub max: u32,
}

impl Sizes {
    fn validate(self, algorithm: Algorithm) -> Result<()> {
        let Self { min, mean, max } = self;
        let mean_fits = mean.is_power_of_two() && (MIN_MEAN..=MAX_MEAN).contains(&mean);
        let ordered = MIN_MIN <= min && min <= mean && mean <= max && max <= MAX_MAX;
        let equal = algorithm != Algorithm::Fixed || (min == mean && mean == max);
        if mean_fits && ordered && equal {
            return Ok(());
        }
        Err(Error::Parameter(format!(
            "fragment sizes {min}, {mean}, {max}"
        )))
    }
}

/// A position where a fragment may end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Offset in the stream of the byte after the cut.
    pub end: u64,
    /// Whether it also counts below the mean.
    pub strict: bool,
}

/// Finds where the fragments of a stream end. Shared by threads.
pub struct Cutter {
    algorithm: Algorithm,
    sizes: Sizes,
    /// Hashes below are loose candidates: their top bits are zero.
    loose_below: u64,
    /// Hashes below are strict candidates.
    strict_below: u64,
    /// A byte's contribution as it enters the window.
    entering: Box<[u64; 256]>,
    /// And as it leaves: `rotl(entering, WINDOW)`.
    leaving: Box<[u64; 256]>,
}

impl Cutter {
    /// A cutter whose table comes from `key`: 256 little-endian u64 of `BLAKE3_keyed(key, "buzhash64")`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes break a rule of docs/format.md §2.
    pub fn new(algorithm: Algorithm, sizes: Sizes, key: &[u8; 32]) -> Result<Self> {
        sizes.validate(algorithm)?;
        let bits = sizes.mean.trailing_zeros();
        let entering = table(key);
        let leaving = Box::new(entering.map(|word| word.rotate_left(WINDOW as u32)));
        Ok(Self {
            algorithm,
            sizes,
            loose_below: 1 << (64 - (bits - NORMALIZATION)),
            strict_below: 1 << (64 - (bits + NORMALIZATION)),
            entering,
            leaving,
        })
    }

    /// The fragment sizes.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Stage 1: appends the candidates of `data` in ascending order. `base` is the stream offset of `data[0]`,
    /// `context` the up to 47 bytes before it (all there are; those further back are ignored). Segments may come in any order.
    pub fn candidates(&self, context: &[u8], data: &[u8], base: u64, out: &mut Vec<Candidate>) {
        if self.algorithm == Algorithm::Fixed {
            return;
        }
        const REACH: usize = WINDOW - 1;
        let context = &context[context.len().saturating_sub(REACH)..];
        let reach = data.len().min(REACH);
        let mut seam = [0; 2 * REACH];
        seam[..context.len()].copy_from_slice(context);
        seam[context.len()..context.len() + reach].copy_from_slice(&data[..reach]);
        let seam = &seam[..context.len() + reach];
        // The offset of seam[0], modulo 2^64 in case that the stream is shorter than its context.
        self.scan(seam, base.wrapping_sub(context.len() as u64), out);
        self.scan(data, base, out);
    }

    /// Stage 2 for one stream.
    pub fn resolver(&self) -> Resolver {
        Resolver {
            sizes: self.sizes,
            start: 0,
            held: Some(Vec::new()),
        }
    }

    /// Both stages for a whole stream in one buffer: appends the end of each fragment.
    pub fn cut(&self, data: &[u8], ends: &mut Vec<usize>) {
        let mut candidates = Vec::new();
        if data.len() > self.sizes.mean as usize {
            self.candidates(&[], data, 0, &mut candidates);
        }
        let mut resolver = self.resolver();
        let mut found = Vec::new();
        resolver.push(&candidates, data.len() as u64, &mut found);
        resolver.finish(data.len() as u64, &mut found);
        ends.extend(found.iter().map(|&end| end as usize));
    }

    /// As [`Cutter::cut`], with the candidates found in segments of `segment` bytes by `threads` threads.
    ///
    /// # Errors
    /// [`Error::Parameter`] for segments of no bytes or no threads.
    pub fn cut_parallel(
        &self,
        data: &[u8],
        segment: usize,
        threads: usize,
        ends: &mut Vec<u64>,
    ) -> Result<()> {
        if segment == 0 || threads == 0 {
            return Err(Error::Parameter(
                "cutting: no segment length or no threads".into(),
            ));
        }
        let mut found: Vec<Vec<Candidate>> = vec![Vec::new(); data.len().div_ceil(segment)];
        let share = found.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (thread, found) in found.chunks_mut(share).enumerate() {
                scope.spawn(move || {
                    for (index, out) in found.iter_mut().enumerate() {
                        let start = (thread * share + index) * segment;
                        let end = data.len().min(start + segment);
                        self.candidates(&data[..start], &data[start..end], start as u64, out);
                    }
                });
            }
        });
        let mut resolver = self.resolver();
        for (index, candidates) in found.iter().enumerate() {
            let known = data.len().min((index + 1) * segment);
            resolver.push(candidates, known as u64, ends);
        }
        resolver.finish(data.len() as u64, ends);
        Ok(())
    }

    /// Candidates of all windows inside `data`, whose first byte has the stream offset `base`.
    fn scan(&self, data: &[u8], base: u64, out: &mut Vec<Candidate>) {
        let Some(windows) = (data.len() + 1)
            .checked_sub(WINDOW)
            .filter(|&count| count > 0)
        else {
            return;
        };
        let mut done = 0;
        if windows >= LANES * LEAST_SHARE {
            let share = (windows / LANES - 1) / STRIDE * STRIDE + 1;
            let mut hits: [Vec<Hit>; LANES] = Default::default();
            self.scan_lanes(
                std::array::from_fn(|lane| &data[lane * share..][..share + WINDOW - 1]),
                &mut hits,
            );
            for hits in &hits {
                self.emit(hits, base.wrapping_add(done as u64), out);
                done += share;
            }
        }
        let mut rest = Vec::new();
        self.scan_lane(&data[done..], &mut rest);
        self.emit(&rest, base.wrapping_add(done as u64), out);
    }

    fn emit(&self, hits: &[Hit], base: u64, out: &mut Vec<Candidate>) {
        out.extend(hits.iter().map(|hit| Candidate {
            end: base.wrapping_add((hit.window + WINDOW) as u64),
            strict: hit.hash < self.strict_below,
        }));
    }

    /// All windows of one lane, one after the other.
    fn scan_lane(&self, lane: &[u8], hits: &mut Vec<Hit>) {
        let Some((first, entering)) = lane.split_at_checked(WINDOW) else {
            return;
        };
        let mut hash = self.hash(first);
        self.check(hash, 0, hits);
        for (window, (&leaves, &enters)) in lane.iter().zip(entering).enumerate() {
            hash = self.roll(hash, leaves, enters);
            self.check(hash, window + 1, hits);
        }
    }

    /// All windows of lanes of equal length, `WINDOW` + a multiple of `STRIDE` bytes each.
    fn scan_lanes(&self, lanes: [&[u8]; LANES], hits: &mut [Vec<Hit>; LANES]) {
        let mut hashes = lanes.map(|lane| self.hash(&lane[..WINDOW]));
        for (hash, hits) in hashes.iter().zip(hits.iter_mut()) {
            self.check(*hash, 0, hits);
        }
        let turns = (lanes[0].len() - WINDOW) / STRIDE;
        let leaving = lanes.map(|lane| &lane.as_chunks::<STRIDE>().0[..turns]);
        let entering = lanes.map(|lane| &lane[WINDOW..].as_chunks::<STRIDE>().0[..turns]);
        for turn in 0..turns {
            let leave: [_; LANES] = std::array::from_fn(|lane| leaving[lane][turn]);
            let enter: [_; LANES] = std::array::from_fn(|lane| entering[lane][turn]);
            for step in 0..STRIDE {
                for lane in 0..LANES {
                    hashes[lane] = self.roll(hashes[lane], leave[lane][step], enter[lane][step]);
                    self.check(hashes[lane], turn * STRIDE + step + 1, &mut hits[lane]);
                }
            }
        }
    }

    /// The hash of up to 48 bytes from scratch.
    fn hash(&self, window: &[u8]) -> u64 {
        window.iter().fold(0u64, |hash, &byte| {
            hash.rotate_left(1) ^ self.entering[usize::from(byte)]
        })
    }

    #[inline(always)]
    fn roll(&self, hash: u64, leaves: u8, enters: u8) -> u64 {
        hash.rotate_left(1)
            ^ (self.leaving[usize::from(leaves)] ^ self.entering[usize::from(enters)])
    }

    #[inline(always)]
    fn check(&self, hash: u64, window: usize, hits: &mut Vec<Hit>) {
        if hash < self.loose_below {
            record(hits, Hit { hash, window });
        }
    }
}

/// A loose candidate: the window's hash and its index in the lane.
struct Hit {
    hash: u64,
    window: usize,
}

/// Out of line, so that the scanning loops stay small.
#[cold]
#[inline(never)]
fn record(hits: &mut Vec<Hit>, hit: Hit) {
    hits.push(hit);
}

fn table(key: &[u8; 32]) -> Box<[u64; 256]> {
    let mut bytes = [0; 256 * 8];
    digest::keyed_xof(key, &[b"buzhash64"], &mut bytes);
    let (words, _) = bytes.as_chunks::<8>();
    Box::new(std::array::from_fn(|i| u64::from_le_bytes(words[i])))
}

/// Applies the sizes to the candidates of one stream, in order and in any portions.
pub struct Resolver {
    sizes: Sizes,
    /// Where the open fragment starts.
    start: u64,
    /// Candidates kept back while the stream may still turn out to be one fragment.
    held: Option<Vec<Candidate>>,
}

impl Resolver {
    /// Candidates known up to stream offset `known`, ascending and after those pushed before: appends every
    /// fragment end that is decided by now.
    pub fn push(&mut self, candidates: &[Candidate], known: u64, ends: &mut Vec<u64>) {
        if let Some(held) = &mut self.held
            && known <= u64::from(self.sizes.mean)
        {
            held.extend_from_slice(candidates);
            return;
        }
        for candidate in self.held.take().iter().flatten().chain(candidates) {
            self.force(candidate.end, ends);
            self.offer(*candidate, ends);
        }
        self.force(known, ends);
    }

    /// The stream ends at `length`: appends the remaining ends. An empty stream has no fragment.
    pub fn finish(&mut self, length: u64, ends: &mut Vec<u64>) {
        self.push(&[], length, ends);
        if length > self.start {
            self.close(length, ends);
        }
    }

    /// Closes fragments of the maximal size up to `known`.
    fn force(&mut self, known: u64, ends: &mut Vec<u64>) {
        let max = u64::from(self.sizes.max);
        while known.saturating_sub(self.start) >= max {
            self.close(self.start + max, ends);
        }
    }

    fn offer(&mut self, candidate: Candidate, ends: &mut Vec<u64>) {
        let length = candidate.end.saturating_sub(self.start);
        let least = if candidate.strict {
            self.sizes.min
        } else {
            self.sizes.mean
        };
        if length >= u64::from(least) {
            self.close(candidate.end, ends);
        }
    }

    fn close(&mut self, end: u64, ends: &mut Vec<u64>) {
        ends.push(end);
        self.start = end;
    }
}
