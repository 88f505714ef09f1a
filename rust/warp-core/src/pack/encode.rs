//! A closed chunk becomes stored bytes: compress, check by decoding, seal, name.

use super::shared::Shared;
use crate::codec::{Codec, Decoder, Encoder};
use crate::digest::{self, Digest};
use crate::keys::ObjectKind;
use crate::seal;
use crate::{Error, Result};

/// Consecutive new fragments, closed by the sequencer.
pub(super) struct ChunkJob {
    /// Counted from 0 for the first chunk of this pipeline.
    pub ordinal: u64,
    pub raw: Vec<u8>,
    /// Column of fragment lengths, u32 each.
    pub lengths: Vec<u8>,
    /// Column of fragment ids, 24 bytes each.
    pub ids: Vec<u8>,
}

/// A chunk as it is written, and its record.
pub(super) struct EncodedChunk {
    pub ordinal: u64,
    pub stored: Vec<u8>,
    pub cid: Digest,
    pub dp: Digest,
    pub raw: u32,
    pub codec: Codec,
    pub lengths: Vec<u8>,
    pub ids: Vec<u8>,
}

/// One worker's codec contexts and scratch space.
pub(super) struct ChunkEncoder {
    encoder: Encoder,
    decoder: Decoder,
    decoded: Vec<u8>,
}

impl ChunkEncoder {
    pub fn new() -> Self {
        Self { encoder: Encoder::new(), decoder: Decoder::new(), decoded: Vec::new() }
    }

    pub fn encode(&mut self, shared: &Shared, chunk: ChunkJob) -> Result<EncodedChunk> {
        let options = &shared.options;
        let prefix = seal::prefix_len(options.keys.suite());
        let mut stored = shared.buffers.take();
        stored.resize(prefix, 0);
        let codec = self.encoder.encode(&chunk.raw, &options.policy, &mut stored)?;
        if options.verify {
            self.compare(stored.get(prefix..).unwrap_or_default(), &chunk.raw)?;
        }
        let dp = seal::seal_in_place(&options.keys, ObjectKind::Chunk, &mut stored)?;
        let cid = digest::hash(&stored);
        let raw = chunk.raw.len() as u32;
        shared.buffers.give(chunk.raw);
        let (ordinal, lengths, ids) = (chunk.ordinal, chunk.lengths, chunk.ids);
        Ok(EncodedChunk { ordinal, stored, cid, dp, raw, codec, lengths, ids })
    }

    /// A compressor that wrote what it can't read back would only be noticed at the restore.
    fn compare(&mut self, payload: &[u8], raw: &[u8]) -> Result<()> {
        self.decoder.decode(payload, raw.len(), &mut self.decoded)?;
        if self.decoded == raw {
            Ok(())
        } else {
            Err(Error::integrity("chunk: its compressed form decodes to other bytes (bad memory or codec?)"))
        }
    }
}
