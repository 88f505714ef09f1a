//! Where chunks and fragments lie: the columns of the index pages (docs/format.md §6), checked against each other.
//!
//! All raw chunks laid end to end form one line of bytes. A fragment is an interval of it, a run of fragments too, so
//! that finding where a run lies is two look-ups, and its length their difference.
//!
//! 57 bytes a chunk (89 if encrypted) and 4 a fragment, 24 more where ids are kept.

mod lookup;
mod missing;
mod page;

pub use self::lookup::{Cursor, Mark, Piece};
use self::missing::Missing;
use self::page::Page;
use crate::codec::{Codec, PAYLOAD_HEADER_LEN};
use crate::digest::{Digest, FragmentId};
use crate::merkle::leaf_hash;
use crate::{Error, Result};

/// Length of the archive's header: no chunk lies before its end.
const HEADER_LEN: u64 = 256;
/// What sealing adds to a payload (docs/format.md §5).
const SEAL_LEN: u32 = 52;
/// No chunk may exceed this raw length, whatever a header says.
const CHUNK_LIMIT: u32 = 64 << 20;

/// Memory for chunks that are decoded at the same time: twice the largest chunk, which one thread needs anyway.
const DECODING_MEMORY: u64 = 2 * CHUNK_LIMIT as u64;

/// What the index says of one chunk.
#[derive(Clone, Copy, Debug)]
pub struct ChunkRecord<'a> {
    /// Where its stored bytes start in the archive.
    pub offset: u64,
    /// Their number.
    pub stored: u32,
    /// BLAKE3 of the stored bytes.
    pub cid: &'a Digest,
    /// Length of the raw bytes.
    pub raw: u32,
    /// Codec of its payload.
    pub codec: u8,
    /// Keyed digest of its payload; zero in a plain archive.
    pub dp: Digest,
}

/// The index of an archive. Fill it from the raw pages of each kind in order, then [`ChunkIndex::finish`] it.
#[derive(Debug)]
pub struct ChunkIndex {
    encrypted: bool,
    chunk_max: u32,
    finished: bool,
    offsets: Vec<u64>,
    stored: Vec<u32>,
    cids: Vec<Digest>,
    /// Fragments before each chunk, and behind the last.
    fragments_before: Vec<u64>,
    /// Raw bytes before each chunk, and behind the last.
    raw_before: Vec<u64>,
    codecs: Vec<u8>,
    dps: Vec<Digest>,
    lengths: Vec<u32>,
    ids: Vec<FragmentId>,
    missing: Missing,
}

impl ChunkIndex {
    /// An empty index of an archive with raw chunks of at most `chunk_max` bytes.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `chunk_max` is not 1 … 64 MiB.
    pub fn new(encrypted: bool, chunk_max: u32) -> Result<Self> {
        if !(1..=CHUNK_LIMIT).contains(&chunk_max) {
            return Err(Error::Parameter(format!("chunk max: {chunk_max} is not 1 … 64 MiB")));
        }
        Ok(Self {
            encrypted,
            chunk_max,
            finished: false,
            offsets: Vec::new(),
            stored: Vec::new(),
            cids: Vec::new(),
            fragments_before: vec![0],
            raw_before: vec![0],
            codecs: Vec::new(),
            dps: Vec::new(),
            lengths: Vec::new(),
            ids: Vec::new(),
            missing: Missing::default(),
        })
    }

    /// Add a locator page.
    ///
    /// # Errors
    /// [`Error::Format`] if it is no page that follows the ones before, or a chunk's stored length is impossible.
    pub fn add_locators(&mut self, raw: &[u8]) -> Result<()> {
        self.check_open()?;
        let mut page = Page::parse(raw, "locator page", self.offsets.len())?;
        let offsets = page.column::<8>()?;
        let stored = page.column::<4>()?;
        let cids = page.column::<32>()?;
        page.end()?;
        let least = self.overhead() + 1;
        let most = self.overhead() + self.chunk_max;
        for length in stored.iter().map(|bytes| u32::from_le_bytes(*bytes)) {
            if !(least..=most).contains(&length) {
                return Err(page.malformed("stored length"));
            }
            self.stored.push(length);
        }
        self.offsets.extend(offsets.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        self.cids.extend_from_slice(cids);
        Ok(())
    }

    /// Add a chunk page.
    ///
    /// # Errors
    /// [`Error::Format`] if it is no page that follows the ones before, or a length or codec is impossible.
    pub fn add_chunks(&mut self, raw: &[u8]) -> Result<()> {
        self.check_open()?;
        let mut page = Page::parse(raw, "chunk page", self.codecs.len())?;
        let lengths = page.column::<4>()?;
        let counts = page.column::<4>()?;
        let codecs = page.column::<1>()?;
        let dps = if self.encrypted { page.column::<32>()? } else { &[] };
        page.end()?;
        for ((length, count), [codec]) in lengths.iter().zip(counts).zip(codecs) {
            let (length, count) = (u32::from_le_bytes(*length), u32::from_le_bytes(*count));
            // A fragment has a byte at least.
            if length > self.chunk_max || count == 0 || count > length {
                return Err(page.malformed("raw length or number of fragments"));
            }
            Codec::try_from(*codec)?;
            self.codecs.push(*codec);
            push_sum(&mut self.raw_before, length);
            push_sum(&mut self.fragments_before, count);
        }
        self.dps.extend_from_slice(dps);
        Ok(())
    }

    /// Add a fragment page; all pages keep their ids, or none.
    ///
    /// # Errors
    /// [`Error::Format`] if it is no page that follows the ones before, or a fragment is empty or longer than a chunk.
    pub fn add_fragments(&mut self, raw: &[u8], keep_ids: bool) -> Result<()> {
        self.check_open()?;
        if !self.lengths.is_empty() && keep_ids == self.ids.is_empty() {
            return Err(Error::Parameter("keep_ids: differs between pages".into()));
        }
        let mut page = Page::parse(raw, "fragment page", self.lengths.len())?;
        let lengths = page.column::<4>()?;
        let ids = page.column::<24>()?;
        page.end()?;
        for length in lengths.iter().map(|bytes| u32::from_le_bytes(*bytes)) {
            if !(1..=self.chunk_max).contains(&length) {
                return Err(page.malformed("fragment length"));
            }
            self.lengths.push(length);
        }
        if keep_ids {
            self.ids.extend_from_slice(ids);
        }
        Ok(())
    }

    /// Check that the columns describe the same chunks and fragments and that chunks lie, in order and apart, before
    /// `data_end`. Without any chunk and fragment page (no key) only locators are checked and served.
    ///
    /// # Errors
    /// [`Error::Format`] if not.
    pub fn finish(&mut self, data_end: u64) -> Result<()> {
        self.check_open()?;
        self.check_locators(data_end)?;
        if !(self.codecs.is_empty() && self.lengths.is_empty()) {
            self.check_chunks()?;
        }
        for column in [&mut self.fragments_before, &mut self.raw_before] {
            column.shrink_to_fit();
        }
        self.lengths.shrink_to_fit();
        self.finished = true;
        Ok(())
    }

    fn check_locators(&self, data_end: u64) -> Result<()> {
        if u32::try_from(self.offsets.len()).is_err() {
            return Err(Error::format("index: 2^32 chunks or more"));
        }
        let mut end = HEADER_LEN;
        for (offset, stored) in self.offsets.iter().zip(&self.stored) {
            let next = offset.checked_add(u64::from(*stored));
            match next.filter(|next| *offset >= end && *next <= data_end) {
                Some(next) => end = next,
                None => return Err(Error::format("index: chunks overlap or lie outside")),
            }
        }
        Ok(())
    }

    fn check_chunks(&mut self) -> Result<()> {
        let fragments = self.lengths.len() as u64;
        if self.codecs.len() != self.offsets.len() || self.fragments() != fragments {
            return Err(Error::format("index: pages disagree on how much there is"));
        }
        self.lose();
        let mut lengths = self.lengths.iter();
        for (chunk, counts) in self.fragments_before.windows(2).enumerate() {
            let [before, behind] = [counts[0], counts[1]];
            let fragments = lengths.by_ref().take((behind - before) as usize);
            let sum: u64 = fragments.map(|length| u64::from(*length)).sum();
            let raw = self.raw_length(chunk);
            if self.is_lost(chunk) {
                continue;
            }
            if sum != u64::from(raw) {
                return Err(Error::format(format!("index: fragments of chunk {chunk} do not fill it")));
            }
            if self.stored[chunk] > self.overhead() + raw {
                return Err(Error::format(format!("index: stored length of chunk {chunk}")));
            }
        }
        Ok(())
    }

    /// Bytes that a stored chunk has beyond its encoded ones.
    fn overhead(&self) -> u32 {
        PAYLOAD_HEADER_LEN as u32 + if self.encrypted { SEAL_LEN } else { 0 }
    }

    fn check_open(&self) -> Result<()> {
        match self.finished {
            false => Ok(()),
            true => Err(Error::Parameter("index: already finished".into())),
        }
    }

    /// Number of chunks.
    pub fn chunks(&self) -> usize {
        self.offsets.len()
    }

    /// Number of fragments; 0 where only locators were added.
    pub fn fragments(&self) -> u64 {
        self.fragments_before.last().copied().unwrap_or(0)
    }

    /// Whether chunks are encrypted.
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// Largest raw length of a chunk.
    pub fn chunk_max(&self) -> u32 {
        self.chunk_max
    }

    /// Whether it is finished and knows more of its chunks than where they lie.
    pub fn is_complete(&self) -> bool {
        self.finished && self.codecs.len() == self.offsets.len()
    }

    /// Whether it knows the ids of its fragments.
    pub fn has_ids(&self) -> bool {
        self.ids.len() == self.lengths.len()
    }

    /// The ordinals of a chunk's fragments, first and end.
    pub fn chunk_fragments(&self, chunk: usize) -> Option<(u64, u64)> {
        let first = self.fragments_before.get(chunk)?;
        Some((*first, *self.fragments_before.get(chunk + 1)?))
    }

    /// Length and id of each fragment of a chunk; none where ids were not kept.
    pub fn fragments_of(&self, chunk: usize) -> impl Iterator<Item = (u32, &FragmentId)> {
        let (first, end) = self.chunk_fragments(chunk).unwrap_or_default();
        let range = first as usize..end as usize;
        let lengths = self.lengths.get(range.clone()).unwrap_or_default();
        let ids = self.ids.get(range).unwrap_or_default();
        lengths.iter().copied().zip(ids)
    }

    /// Raw bytes of all chunks.
    pub fn raw_total(&self) -> u64 {
        self.raw_before.last().copied().unwrap_or(0)
    }

    fn raw_length(&self, chunk: usize) -> u32 {
        match (self.raw_before.get(chunk), self.raw_before.get(chunk + 1)) {
            (Some(before), Some(behind)) => (behind - before) as u32,
            _ => 0,
        }
    }

    /// What there is of a chunk; raw length, codec and dp are zero where only locators were added.
    pub fn record(&self, chunk: usize) -> Result<ChunkRecord<'_>> {
        let missing = || Error::Parameter(format!("chunk {chunk}: there is none"));
        Ok(ChunkRecord {
            offset: *self.offsets.get(chunk).ok_or_else(missing)?,
            stored: *self.stored.get(chunk).ok_or_else(missing)?,
            cid: self.cids.get(chunk).ok_or_else(missing)?,
            raw: self.raw_length(chunk),
            codec: self.codecs.get(chunk).copied().unwrap_or(0),
            dp: self.dps.get(chunk).copied().unwrap_or([0; 32]),
        })
    }

    /// Threads that may hold a stored and a raw chunk each, of those `wanted`: all, unless chunks are very large.
    pub fn decoders(&self, wanted: usize) -> usize {
        let stored = self.stored.iter().copied().max().unwrap_or(0);
        let raw = self.raw_before.windows(2).map(|bounds| bounds[1] - bounds[0]).max().unwrap_or(0);
        let most = DECODING_MEMORY / (u64::from(stored) + raw).max(1);
        wanted.clamp(1, usize::try_from(most).unwrap_or(usize::MAX).max(1))
    }

    /// Merkle leaf hashes of all chunks.
    pub fn leaves(&self) -> Vec<Digest> {
        let chunks = self.cids.iter().zip(&self.stored);
        chunks.map(|(cid, stored)| leaf_hash(cid, *stored)).collect()
    }
}

/// Append the sum up to here; 2^32 chunks of 2^32 bytes cannot overflow it.
fn push_sum(sums: &mut Vec<u64>, number: u32) {
    let before = sums.last().copied().unwrap_or(0);
    sums.push(before + u64::from(number));
}

#[cfg(test)]
mod tests;
