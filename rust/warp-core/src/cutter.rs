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
/// Windows of a lane, large and small. No power of two, so that the lanes' cache lines fall into different sets.
const LANE: usize = 4032;
const SHORT_LANE: usize = 448;
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
        Err(Error::Parameter(format!("fragment sizes {min}, {mean}, {max}")))
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
    table: Box<Table>,
}

impl std::fmt::Debug for Cutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The table comes from a key.
        f.debug_struct("Cutter").field("sizes", &self.sizes).finish_non_exhaustive()
    }
}

/// The contributions of each byte value. Rotating by one at every step would cost as much as both look-ups, so
/// every second hash is kept rotated back by one (`_odd`) and the next step rotates by two.
struct Table {
    entering: [u64; 256],
    leaving: [u64; 256],
    entering_odd: [u64; 256],
    leaving_odd: [u64; 256],
}

impl Table {
    /// 256 little-endian u64 of `BLAKE3_keyed(key, "buzhash64")`.
    fn new(key: &[u8; 32]) -> Box<Self> {
        let mut bytes = [0; 256 * 8];
        digest::keyed_xof(key, &[b"buzhash64"], &mut bytes);
        let (words, _) = bytes.as_chunks::<8>();
        let entering: [u64; 256] = std::array::from_fn(|byte| u64::from_le_bytes(words[byte]));
        let leaving = entering.map(|word| word.rotate_left(WINDOW as u32));
        Box::new(Self {
            entering,
            leaving,
            entering_odd: entering.map(|word| word.rotate_right(1)),
            leaving_odd: leaving.map(|word| word.rotate_right(1)),
        })
    }

    /// The hash of a window from scratch.
    fn hash(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |hash, &byte| self.append(hash, byte))
    }

    #[inline(always)]
    fn append(&self, hash: u64, enters: u8) -> u64 {
        hash.rotate_left(1) ^ self.entering[usize::from(enters)]
    }

    #[inline(always)]
    fn exchange(&self, leaves: u8, enters: u8) -> u64 {
        self.entering[usize::from(enters)] ^ self.leaving[usize::from(leaves)]
    }

    #[inline(always)]
    fn exchange_odd(&self, leaves: u8, enters: u8) -> u64 {
        self.entering_odd[usize::from(enters)] ^ self.leaving_odd[usize::from(leaves)]
    }
}

impl Cutter {
    /// A cutter whose table comes from `key`: 256 little-endian u64 of `BLAKE3_keyed(key, "buzhash64")`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the sizes break a rule of docs/format.md §2.
    pub fn new(algorithm: Algorithm, sizes: Sizes, key: &[u8; 32]) -> Result<Self> {
        sizes.validate(algorithm)?;
        let bits = sizes.mean.trailing_zeros();
        Ok(Self {
            algorithm,
            sizes,
            loose_below: 1 << (64 - (bits - NORMALIZATION)),
            strict_below: 1 << (64 - (bits + NORMALIZATION)),
            table: Table::new(key),
        })
    }

    /// The fragment sizes.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
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
        self.resolver_from(0)
    }

    /// Stage 2 for the rest of a stream in which a fragment ends at `start`: what comes before plays no part any more.
    pub fn resolver_from(&self, start: u64) -> Resolver {
        Resolver { sizes: self.sizes, start, held: (start == 0).then(Vec::new) }
    }

    /// Both stages for a whole stream in one buffer: appends the end of each fragment.
    pub fn cut(&self, data: &[u8], ends: &mut Vec<usize>) {
        let mut candidates = Vec::new();
        if data.len() > self.sizes.mean as usize {
            // No fragment ends before its least length, so windows before it need no look.
            let skipped = (self.sizes.min as usize).saturating_sub(WINDOW);
            self.candidates(&[], data.get(skipped..).unwrap_or_default(), skipped as u64, &mut candidates);
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
            return Err(Error::Parameter("cutting: no segment length or no threads".into()));
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
        let Some(first) = data.first_chunk::<WINDOW>() else {
            return;
        };
        let mut hash = self.table.hash(first);
        self.check(hash, base, 0, out);
        let mut done = self.scan_blocks::<LANE>(data, 0, base, out);
        done = self.scan_blocks::<SHORT_LANE>(data, done, base, out);
        let rest = &data[done..];
        hash = self.table.hash(&rest[..WINDOW]);
        for (index, (&leaves, &enters)) in rest.iter().zip(&rest[WINDOW..]).enumerate() {
            hash = hash.rotate_left(1) ^ self.table.exchange(leaves, enters);
            self.check(hash, base, done + index + 1, out);
        }
    }

    /// Candidates of the windows after `done`, as long as there is a block full; the new `done`.
    fn scan_blocks<const LANE: usize>(
        &self,
        data: &[u8],
        mut done: usize,
        base: u64,
        out: &mut Vec<Candidate>,
    ) -> usize {
        while let Some(block) = data[done..].get(..LANES * LANE + WINDOW) {
            let found = out.len();
            self.scan_block::<LANE>(block, base.wrapping_add(done as u64), out);
            out[found..].sort_unstable_by_key(|candidate| candidate.end.wrapping_sub(base));
            done += LANES * LANE;
        }
        done
    }

    /// The windows 1..=LANES × LANE of `block`, lane by lane in step; candidates come out of order.
    #[inline(never)]
    fn scan_block<const LANE: usize>(&self, block: &[u8], base: u64, out: &mut Vec<Candidate>) {
        const { assert!(LANE.is_multiple_of(4)) };
        // The length as a constant, and the lanes at constant distances: no bounds checks, one pointer.
        let block = &block[..LANES * LANE + WINDOW];
        let table = &*self.table;
        let loose_below = self.loose_below;
        let loose_odd = (!(loose_below - 1)).rotate_right(1);
        let mut hashes = [0u64; LANES];
        for step in 0..WINDOW {
            for (lane, hash) in hashes.iter_mut().enumerate() {
                *hash = table.append(*hash, block[lane * LANE + step]);
            }
        }
        for step in (0..LANE).step_by(2) {
            for (lane, hash) in hashes.iter_mut().enumerate() {
                let at = lane * LANE + step;
                *hash ^= table.exchange_odd(block[at], block[at + WINDOW]);
                if *hash & loose_odd == 0 {
                    self.record(hash.rotate_left(1), base, at + 1, out);
                }
            }
            for (lane, hash) in hashes.iter_mut().enumerate() {
                let at = lane * LANE + step + 1;
                *hash = hash.rotate_left(2) ^ table.exchange(block[at], block[at + WINDOW]);
                if *hash < loose_below {
                    self.record(*hash, base, at + 1, out);
                }
            }
        }
    }

    #[inline(always)]
    fn check(&self, hash: u64, base: u64, window: usize, out: &mut Vec<Candidate>) {
        if hash < self.loose_below {
            self.record(hash, base, window, out);
        }
    }

    /// Out of line, so that the scanning loops stay small.
    #[cold]
    #[inline(never)]
    fn record(&self, hash: u64, base: u64, window: usize, out: &mut Vec<Candidate>) {
        let end = base.wrapping_add((window + WINDOW) as u64);
        out.push(Candidate { end, strict: hash < self.strict_below });
    }
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
        let least = if candidate.strict { self.sizes.min } else { self.sizes.mean };
        if length >= u64::from(least) {
            self.close(candidate.end, ends);
        }
    }

    fn close(&mut self, end: u64, ends: &mut Vec<u64>) {
        ends.push(end);
        self.start = end;
    }
}
