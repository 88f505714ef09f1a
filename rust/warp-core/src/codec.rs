//! Payloads: a header and one of four encodings of the raw bytes (docs/format.md §5).
//!
//! `u8 codec │ u8 zero │ u16 zero │ u64 raw length │ u64 stored length │ stored bytes`

use std::io::Cursor;

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer};
use zstd::zstd_safe::{self, CCtx, CParameter};

use crate::entropy::Probe;
use crate::{Error, Result};

mod decode;

pub use decode::Decoder;

/// How a payload's raw bytes are stored; the values are those of the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Store = 0,
    /// One zstd frame with its content size, without checksum.
    Zstd = 1,
    /// One LZ4 block.
    Lz4 = 2,
    /// Independent LZ4 blocks of 64 KiB: what a GPU writes.
    Lz4Blocks = 3,
}

impl TryFrom<u8> for Codec {
    type Error = Error;

    fn try_from(value: u8) -> Result<Self> {
        match value {
            0 => Ok(Self::Store),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::Lz4),
            3 => Ok(Self::Lz4Blocks),
            _ => Err(Error::format(format!("payload: codec {value}"))),
        }
    }
}

/// Bytes before the encoded ones.
pub const PAYLOAD_HEADER_LEN: usize = 20;
/// Raw bytes of a block of [`Codec::Lz4Blocks`].
const BLOCK: usize = 64 << 10;
/// Set in a block's length: the block is stored raw.
const STORED_RAW: u32 = 1 << 31;
/// What LZ4 can take (LZ4_MAX_INPUT_SIZE).
const LZ4_MAX: usize = 0x7E00_0000;
/// zstd's levels: the fast ones below 0 go further, but gain nothing there.
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = -100..=22;
const LZ4_LEVELS: std::ops::RangeInclusive<i32> = -100..=12;
/// First level at which LZ4 searches harder, as in the lz4 tool.
const LZ4_FIRST_HIGH_LEVEL: i32 = 3;

/// A codec and level for chunks that look compressible enough.
#[derive(Clone, Debug)]
pub struct PolicyRow {
    /// The row applies below this many bits a byte: order-0 entropy, or the estimate of [`Probe::bits_per_byte`] for what
    /// would be stored otherwise.
    pub entropy_below: f64,
    /// Codec to use.
    pub codec: Codec,
    /// zstd: −100..=22. LZ4: −100..=2 fast (negative: acceleration), 3..=12 high compression. Ignored by store.
    pub level: i32,
}

/// How a codec is chosen: the first row that applies; if none does, the bytes are stored.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Rows, in order.
    pub rows: Vec<PolicyRow>,
}

impl Policy {
    fn choose(&self, raw: &[u8], probe: &mut Probe) -> (Codec, i32) {
        let Some(first) = self.rows.first() else {
            return (Codec::Store, 0);
        };
        // Values above 8 apply to all data, so that a fixed codec costs no probe.
        if first.entropy_below > 8.0 {
            return (first.codec, first.level);
        }
        let bits = probe.bits_per_byte_unless_below(raw, self.compressed_below());
        let row = self.rows.iter().find(|row| bits < row.entropy_below);
        row.map_or((Codec::Store, 0), |row| (row.codec, row.level))
    }

    /// Order-0 entropy alone decides below this; what would be stored gets a trial, for it may repeat itself.
    fn compressed_below(&self) -> f64 {
        let compressed = self.rows.iter().filter(|row| row.codec != Codec::Store);
        compressed.map(|row| row.entropy_below).fold(0.0, f64::max)
    }
}

/// Encodes payloads; keeps its contexts and buffers for the next. One a thread.
pub struct Encoder {
    zstd: CCtx<'static>,
    zstd_level: Option<i32>,
    probe: Probe,
    scratch: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder.
    pub fn new() -> Self {
        Self { zstd: CCtx::create(), zstd_level: None, probe: Probe::new(), scratch: Vec::new() }
    }

    /// Appends the payload of `raw` to `out`: encoded as `policy` says, but stored unless that is smaller than
    /// 0.97 × raw. Returns the codec used.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a level out of range or more raw bytes than the codec can take.
    pub fn encode(&mut self, raw: &[u8], policy: &Policy, out: &mut Vec<u8>) -> Result<Codec> {
        let (codec, level) = policy.choose(raw, &mut self.probe);
        self.encode_as(raw, codec, level, out)
    }

    /// As [`Encoder::encode`], with a given codec and level.
    ///
    /// # Errors
    /// As there.
    pub fn encode_as(&mut self, raw: &[u8], codec: Codec, level: i32, out: &mut Vec<u8>) -> Result<Codec> {
        let start = out.len();
        out.extend_from_slice(&[0; PAYLOAD_HEADER_LEN]);
        let body = start + PAYLOAD_HEADER_LEN;
        let encoded = match codec {
            Codec::Store => Ok(()),
            Codec::Zstd => self.zstd(raw, level, out),
            Codec::Lz4 => self.lz4(raw, level, out),
            Codec::Lz4Blocks => self.lz4_blocks(raw, level, out),
        };
        if let Err(error) = encoded {
            out.truncate(start);
            return Err(error);
        }
        let worth_it = codec != Codec::Store && is_smaller(out.len() - body, raw.len());
        let codec = if worth_it { codec } else { Codec::Store };
        if !worth_it {
            out.truncate(body);
            out.extend_from_slice(raw);
        }
        let stored = out.len() - body;
        write_header(&mut out[start..body], codec, raw.len(), stored);
        Ok(codec)
    }

    fn zstd(&mut self, raw: &[u8], level: i32, out: &mut Vec<u8>) -> Result<()> {
        if self.zstd_level != Some(level) {
            check_level("zstd", &ZSTD_LEVELS, level)?;
            self.zstd.set_parameter(CParameter::CompressionLevel(level)).map_err(zstd_parameter)?;
            self.zstd_level = Some(level);
        }
        out.reserve(zstd_safe::compress_bound(raw.len()));
        // A cursor over the vector lets zstd write behind its end, into memory that need not be zeroed first.
        let mut cursor = Cursor::new(std::mem::take(out));
        cursor.set_position(cursor.get_ref().len() as u64);
        let result = self.zstd.compress2(&mut cursor, raw);
        *out = cursor.into_inner();
        if result.is_err() {
            self.zstd = CCtx::create();
            self.zstd_level = None;
        }
        result.map(drop).map_err(zstd_parameter)
    }

    fn lz4(&mut self, raw: &[u8], level: i32, out: &mut Vec<u8>) -> Result<()> {
        let mode = lz4_mode(level)?;
        let length = self.lz4_block(raw, mode)?;
        out.extend_from_slice(&self.scratch[..length]);
        Ok(())
    }

    fn lz4_blocks(&mut self, raw: &[u8], level: i32, out: &mut Vec<u8>) -> Result<()> {
        let mode = lz4_mode(level)?;
        let blocks = raw.len().div_ceil(BLOCK);
        let count = u32::try_from(blocks).map_err(|_| Error::Parameter("payload: too long".into()))?;
        out.extend_from_slice(&count.to_le_bytes());
        let table = out.len();
        out.resize(table + 4 * blocks, 0);
        for (index, block) in raw.chunks(BLOCK).enumerate() {
            let length = self.lz4_block(block, mode)?;
            let entry = if length < block.len() {
                out.extend_from_slice(&self.scratch[..length]);
                length as u32
            } else {
                out.extend_from_slice(block);
                block.len() as u32 | STORED_RAW
            };
            out[table + 4 * index..][..4].copy_from_slice(&entry.to_le_bytes());
        }
        Ok(())
    }

    /// Compresses into `scratch`; the length there.
    fn lz4_block(&mut self, raw: &[u8], mode: CompressionMode) -> Result<usize> {
        if raw.len() > LZ4_MAX {
            return Err(Error::Parameter(format!("payload: {} bytes are too many for lz4", raw.len())));
        }
        let bound = compress_bound(raw.len()).map_err(lz4_parameter)?;
        if self.scratch.len() < bound {
            self.scratch.resize(bound, 0);
        }
        compress_to_buffer(raw, Some(mode), false, &mut self.scratch).map_err(lz4_parameter)
    }
}

fn write_header(header: &mut [u8], codec: Codec, raw: usize, stored: usize) {
    header[0] = codec as u8;
    header[4..12].copy_from_slice(&(raw as u64).to_le_bytes());
    header[12..20].copy_from_slice(&(stored as u64).to_le_bytes());
}

/// Whether an encoding pays: it is smaller than 0.97 × raw.
fn is_smaller(encoded: usize, raw: usize) -> bool {
    encoded as u128 * 100 < raw as u128 * 97
}

fn check_level(codec: &str, levels: &std::ops::RangeInclusive<i32>, level: i32) -> Result<()> {
    if levels.contains(&level) {
        return Ok(());
    }
    Err(Error::Parameter(format!("level {level} of {codec}: {}..={}", levels.start(), levels.end())))
}

fn lz4_mode(level: i32) -> Result<CompressionMode> {
    check_level("lz4", &LZ4_LEVELS, level)?;
    Ok(match level {
        ..0 => CompressionMode::FAST(-level),
        0..LZ4_FIRST_HIGH_LEVEL => CompressionMode::DEFAULT,
        _ => CompressionMode::HIGHCOMPRESSION(level),
    })
}

fn zstd_parameter(code: usize) -> Error {
    Error::Parameter(format!("zstd: {}", zstd_safe::get_error_name(code)))
}

fn lz4_parameter(error: std::io::Error) -> Error {
    Error::Parameter(format!("lz4: {error}"))
}
