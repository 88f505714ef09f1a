//! Reading payloads: total, whatever the bytes are.

use lz4::block::decompress_to_buffer;
use zstd::zstd_safe::{self, DCtx};

use super::{BLOCK, Codec, LZ4_MAX, PAYLOAD_HEADER_LEN, STORED_RAW};
use crate::{Error, Result};

/// Starts a zstd frame; skippable frames start otherwise.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528u32.to_le_bytes();
/// No LZ4 sequence yields more bytes than this from one.
const LZ4_MAX_RATIO: u64 = 255;

/// Decodes payloads; keeps its context for the next. One a thread.
pub struct Decoder {
    zstd: DCtx<'static>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder.
    pub fn new() -> Self {
        Self { zstd: DCtx::create() }
    }

    /// Replaces the content of `out` by the raw bytes of `payload`, at most `max_raw`; returns its codec.
    /// A buffer that is used again is not zeroed again.
    ///
    /// # Errors
    /// [`Error::Format`] for anything that is not a payload of at most `max_raw` raw bytes; `out` is then empty.
    pub fn decode(&mut self, payload: &[u8], max_raw: usize, out: &mut Vec<u8>) -> Result<Codec> {
        let decoded = self.decode_into(payload, max_raw, out);
        if decoded.is_err() {
            out.clear();
        }
        decoded
    }

    /// As [`Decoder::decode`], of an object that is compressed only if its raw bytes are at most `max_compressed`.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode_bounded(
        &mut self,
        payload: &[u8],
        (max_raw, max_compressed): (usize, usize),
        out: &mut Vec<u8>,
    ) -> Result<Codec> {
        let is_stored = payload.first() == Some(&(Codec::Store as u8));
        self.decode(payload, if is_stored { max_raw } else { max_raw.min(max_compressed) }, out)
    }

    fn decode_into(&mut self, payload: &[u8], max_raw: usize, out: &mut Vec<u8>) -> Result<Codec> {
        let Header { codec, raw, stored } = Header::parse(payload, max_raw)?;
        self.decode_body(codec, stored, raw, out)?;
        Ok(codec)
    }

    /// Replaces the content of `out` by the `raw` bytes that `stored`, a payload without its header, decodes to; the caller has
    /// bounded `raw`.
    ///
    /// # Errors
    /// [`Error::Format`] if it does not decode to exactly so many.
    pub fn decode_body(&mut self, codec: Codec, stored: &[u8], raw: usize, out: &mut Vec<u8>) -> Result<()> {
        match codec {
            Codec::Store => decode_store(stored, raw, out),
            Codec::Zstd => self.decode_zstd(stored, raw, out),
            Codec::Lz4 => decode_lz4(stored, raw, out),
            Codec::Lz4Blocks => decode_lz4_blocks(stored, raw, out),
        }
    }

    fn decode_zstd(&mut self, stored: &[u8], raw: usize, out: &mut Vec<u8>) -> Result<()> {
        let one_frame = stored.starts_with(&ZSTD_MAGIC)
            && zstd_safe::find_frame_compressed_size(stored) == Ok(stored.len());
        let content = zstd_safe::get_frame_content_size(stored).ok().flatten();
        if !one_frame || content != Some(raw as u64) {
            return Err(Error::format("payload: zstd frame"));
        }
        out.clear();
        out.reserve_exact(raw);
        match self.zstd.decompress(out, stored) {
            Ok(length) if length == raw => Ok(()),
            _ => Err(Error::format("payload: zstd frame")),
        }
    }
}

struct Header<'a> {
    codec: Codec,
    raw: usize,
    stored: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(payload: &'a [u8], max_raw: usize) -> Result<Self> {
        let (header, stored) = payload
            .split_first_chunk::<PAYLOAD_HEADER_LEN>()
            .ok_or_else(|| Error::format("payload: shorter than its header"))?;
        let [codec, zero0, zero1, zero2, lengths @ ..] = header;
        if [zero0, zero1, zero2] != [&0; 3] {
            return Err(Error::format("payload: reserved bytes"));
        }
        let (lengths, _) = lengths.as_chunks::<8>();
        let [raw, length] = [lengths[0], lengths[1]].map(u64::from_le_bytes);
        if length != stored.len() as u64 {
            return Err(Error::format("payload: stored length"));
        }
        let raw = usize::try_from(raw).ok().filter(|&raw| raw <= max_raw);
        let raw = raw.ok_or_else(|| Error::format("payload: raw length"))?;
        Ok(Self { codec: Codec::try_from(*codec)?, raw, stored })
    }
}

fn decode_store(stored: &[u8], raw: usize, out: &mut Vec<u8>) -> Result<()> {
    if stored.len() != raw {
        return Err(Error::format("payload: raw length of stored bytes"));
    }
    out.clear();
    out.extend_from_slice(stored);
    Ok(())
}

fn decode_lz4(stored: &[u8], raw: usize, out: &mut Vec<u8>) -> Result<()> {
    if raw > LZ4_MAX || raw as u64 > LZ4_MAX_RATIO * stored.len() as u64 {
        return Err(Error::format("payload: raw length of an lz4 block"));
    }
    // Grows or shrinks: only bytes that were not there yet are zeroed.
    out.resize(raw, 0);
    decode_block(stored, out)
}

fn decode_lz4_blocks(stored: &[u8], raw: usize, out: &mut Vec<u8>) -> Result<()> {
    let malformed = || Error::format("payload: table of lz4 blocks");
    let (count, rest) = stored.split_first_chunk::<4>().ok_or_else(malformed)?;
    let blocks = raw.div_ceil(BLOCK);
    if u32::from_le_bytes(*count) as usize != blocks {
        return Err(malformed());
    }
    let table = blocks.checked_mul(4).ok_or_else(malformed)?;
    let (table, mut rest) = rest.split_at_checked(table).ok_or_else(malformed)?;
    out.resize(raw, 0);
    for (entry, block) in table.as_chunks::<4>().0.iter().zip(out.chunks_mut(BLOCK)) {
        let entry = u32::from_le_bytes(*entry);
        let length = (entry & !STORED_RAW) as usize;
        let (bytes, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
        rest = after;
        match entry & STORED_RAW {
            0 => decode_block(bytes, block)?,
            _ if length == block.len() => block.copy_from_slice(bytes),
            _ => return Err(malformed()),
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(malformed()) }
}

/// Fills `block` exactly from one LZ4 block.
fn decode_block(stored: &[u8], block: &mut [u8]) -> Result<()> {
    let malformed = || Error::format("payload: lz4 block");
    // The binding narrows both lengths to i32.
    let size = i32::try_from(block.len()).map_err(|_| malformed())?;
    i32::try_from(stored.len()).map_err(|_| malformed())?;
    match decompress_to_buffer(stored, Some(size), block) {
        Ok(decoded) if decoded == block.len() => Ok(()),
        _ => Err(malformed()),
    }
}
