//! Chunks by how compressible they look: all are counted, some are encoded, and these stand for the others of their stratum.
//!
//! Stratified sampling: within a stratum chunks compress alike, so few of each say much about all.

use std::time::Instant;

use super::SurveyOptions;
use super::look::{Worker, cpu_ns};
use super::plan::mix;
use super::waves::on_all;
use crate::codec::{Codec, Decoder, Encoder};
use crate::keys::ObjectKind;
use crate::{Error, Result, digest, seal};

/// Half a bit of entropy each, and one for what looks compressed already.
pub const STRATA: usize = 17;
/// Chunks of a stratum that are kept for trials.
const KEPT: u64 = 2;
/// A stratum is worth a trial if it holds one in so many bytes.
const LEAST_SHARE: u64 = 40;

/// What is known of the chunks of one stratum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stratum {
    /// Chunks, and their raw bytes.
    pub chunks: u64,
    /// Raw bytes of all chunks.
    pub raw: u64,
    /// Raw bytes of those that were encoded.
    pub sampled: u64,
    /// What they were stored as.
    pub stored: u64,
    /// CPU nanoseconds to compress them …
    pub encode_ns: u64,
    /// … and to decode and compare, and to seal and hash.
    pub check_ns: u64,
}

/// What another codec would have made of the chunks kept of a stratum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial {
    /// Stored bytes, and CPU nanoseconds to compress and decode, with the other codec.
    pub stored: u64,
    /// As above.
    pub ns: u64,
    /// The same of the same chunks as the policy encoded them.
    pub stored_by_policy: u64,
    /// As above.
    pub ns_by_policy: u64,
}

/// A chunk that was encoded.
#[derive(Default)]
pub(super) struct Sampled {
    pub stratum: usize,
    pub raw: Vec<u8>,
    stored: u64,
    encode_ns: u64,
    check_ns: u64,
    seal_ns: u64,
    wall_ns: u64,
}

impl Sampled {
    /// CPU nanoseconds that it took, and by the clock on the wall.
    pub fn spent_ns(&self) -> (u64, u64) {
        (self.encode_ns + self.check_ns + self.seal_ns, self.wall_ns)
    }
}

pub(super) fn stratum_of(bits: f64) -> usize {
    if bits >= super::DENSE_BITS { STRATA - 1 } else { ((bits * 2.0) as usize).min(STRATA - 2) }
}

/// All strata and the chunks kept of them.
pub(super) struct Strata {
    pub rows: [Stratum; STRATA],
    encoded: [u64; STRATA],
    kept: Vec<Sampled>,
    one_in: u64,
}

impl Strata {
    pub fn new(one_in: u64) -> Self {
        Self { rows: [Stratum::default(); STRATA], encoded: [0; STRATA], kept: Vec::new(), one_in }
    }

    /// Counts a chunk; whether it is to be encoded: the first of a stratum, and then one in so many.
    pub fn count(&mut self, stratum: usize, raw: u64) -> bool {
        let Some(row) = self.rows.get_mut(stratum) else { return false };
        row.chunks += 1;
        row.raw += raw;
        (row.chunks - 1).is_multiple_of(self.one_in)
    }

    /// Takes in an encoded chunk, and perhaps keeps it (reservoir sampling).
    pub fn take(&mut self, sampled: Sampled) {
        let (Some(row), Some(number)) =
            (self.rows.get_mut(sampled.stratum), self.encoded.get_mut(sampled.stratum))
        else {
            return;
        };
        row.sampled += sampled.raw.len() as u64;
        row.stored += sampled.stored;
        row.encode_ns += sampled.encode_ns;
        row.check_ns += sampled.check_ns + sampled.seal_ns;
        *number += 1;
        let place = if *number <= KEPT { *number - 1 } else { mix(*number) % *number };
        if place >= KEPT {
            return;
        }
        let stratum = sampled.stratum;
        let mut own = (0..self.kept.len()).filter(|at| self.kept[*at].stratum == stratum);
        match own.nth(place as usize) {
            Some(at) => self.kept[at] = sampled,
            None => self.kept.push(sampled),
        }
    }

    /// Encodes the kept chunks in another way, in so many parts each; `None` is the policy's own way. Strata that hold little
    /// are passed over.
    pub fn attempt(
        &self,
        workers: &mut [Worker],
        options: &SurveyOptions,
        codec: Option<(Codec, i32)>,
        parts: usize,
    ) -> Result<[Trial; STRATA]> {
        let all: u64 = self.rows.iter().map(|row| row.raw).sum();
        let counts = |kept: &&Sampled| self.rows[kept.stratum].raw * LEAST_SHARE >= all;
        let tried: Vec<&Sampled> = self.kept.iter().filter(counts).collect();
        let trials = on_all(workers, tried.len(), |worker, number| {
            let kept = tried[number];
            Ok((kept.stratum, worker.encoding.attempt(options, kept, codec, parts)?))
        })?;
        let mut rows = [Trial::default(); STRATA];
        for (stratum, trial) in trials {
            if let Some(row) = rows.get_mut(stratum) {
                row.stored += trial.stored;
                row.ns += trial.ns;
                row.stored_by_policy += trial.stored_by_policy;
                row.ns_by_policy += trial.ns_by_policy;
            }
        }
        Ok(rows)
    }
}

/// One thread's codecs.
pub(super) struct Encoding {
    encoder: Encoder,
    decoder: Decoder,
    stored: Vec<u8>,
    decoded: Vec<u8>,
}

impl Encoding {
    pub fn new() -> Self {
        Self { encoder: Encoder::new(), decoder: Decoder::new(), stored: Vec::new(), decoded: Vec::new() }
    }

    /// Does to a chunk what packing does, and takes the time.
    pub fn encode(&mut self, options: &SurveyOptions, stratum: usize, raw: Vec<u8>) -> Result<Sampled> {
        let prefix = seal::prefix_len(options.keys.suite());
        self.stored.clear();
        self.stored.resize(prefix, 0);
        let (start, wall) = (cpu_ns(), Instant::now());
        self.encoder.encode(&raw, &options.policy, &mut self.stored)?;
        let encoded = cpu_ns();
        if options.verify {
            self.decoder.decode(
                self.stored.get(prefix..).unwrap_or_default(),
                raw.len(),
                &mut self.decoded,
            )?;
            if self.decoded != raw {
                return Err(Error::integrity("chunk: its compressed form decodes to other bytes"));
            }
        }
        let checked = cpu_ns();
        seal::seal_in_place(&options.keys, ObjectKind::Chunk, &mut self.stored)?;
        std::hint::black_box(digest::hash(&self.stored));
        Ok(Sampled {
            stratum,
            stored: self.stored.len() as u64,
            raw,
            encode_ns: encoded - start,
            check_ns: checked - encoded,
            seal_ns: cpu_ns() - checked,
            wall_ns: wall.elapsed().as_nanos() as u64,
        })
    }

    fn attempt(
        &mut self,
        options: &SurveyOptions,
        kept: &Sampled,
        codec: Option<(Codec, i32)>,
        parts: usize,
    ) -> Result<Trial> {
        let mut trial = Trial {
            stored_by_policy: kept.stored,
            ns_by_policy: kept.encode_ns + kept.check_ns,
            ..Trial::default()
        };
        let sealed = seal::prefix_len(options.keys.suite()) as u64;
        for part in kept.raw.chunks(kept.raw.len().div_ceil(parts.max(1)).max(1)) {
            self.stored.clear();
            let start = cpu_ns();
            match codec {
                Some((codec, level)) => self.encoder.encode_as(part, codec, level, &mut self.stored)?,
                None => self.encoder.encode(part, &options.policy, &mut self.stored)?,
            };
            if options.verify {
                self.decoder.decode(&self.stored, part.len(), &mut self.decoded)?;
            }
            trial.ns += cpu_ns() - start;
            trial.stored += self.stored.len() as u64 + sealed;
        }
        Ok(trial)
    }
}
