//! A look at a tree before it is packed: what would be duplicate, how it would compress, and what that would cost.
//!
//! It reads, cuts, names, packs and encodes as the create pipeline does, but encodes only some chunks, and of a large tree
//! reads only a part (see [`plan`]). It takes the CPU time of each step and leaves it to the caller to make an estimate of
//! it. Work goes in waves, so that the caller is asked between them whether to go on.

mod census;
mod look;
mod plan;
mod strata;
mod waves;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::attributes::XattrSupport;
use crate::codec::{Codec, Policy};
use crate::cutter::{Cutter, Sizes};
use crate::entropy::Probe;
use crate::keys::ScopeKeys;
use crate::walk::{Problem, WalkBatch};
use crate::{Error, Result};

use look::{Named, Worker, cpu_ns, short};
use plan::{Group, Plan, Twin};
use strata::{Strata, stratum_of};
use waves::on_all;

pub use census::{Census, TypeCount};
pub use strata::{STRATA, Stratum, Trial};

/// From so many bits a byte on, data counts as compressed already: the bound of the `auto` policy.
pub const DENSE_BITS: f64 = 7.95;
/// Largest file that is drawn as a whole when twins are looked for in a sample.
pub const LARGEST_TWIN: u64 = plan::SAMPLED_PIECE;
/// Bytes a thread reads in one wave.
const WAVE_BYTES: u64 = 16 << 20;

/// How to look; nothing here changes.
pub struct SurveyOptions {
    /// Keys, as of an archive.
    pub keys: Arc<ScopeKeys>,
    /// The cutter that would be used.
    pub cutter: Cutter,
    /// Another one, whose deduplication is compared.
    pub finer: Option<Cutter>,
    /// Chunk sizes.
    pub chunk: Sizes,
    /// Codec by entropy.
    pub policy: Policy,
    /// Whether chunks would be decoded and compared.
    pub verify: bool,
    /// Threads, at least 1.
    pub threads: usize,
    /// One in how many bytes is read; 1 reads everything.
    pub read_one_in: u64,
    /// One in how many of the chunks read is encoded.
    pub encode_one_in: u64,
    /// Sizes of files that are always read when duplicates are looked for.
    pub certain: Vec<u64>,
}

/// What is known of the entropy of a type.
#[derive(Clone, Copy, Debug, Default)]
pub struct TypeProbe {
    /// Bytes of the fragments that were looked at.
    pub bytes: u64,
    /// Sum of order-0 entropy × bytes.
    pub entropy: f64,
    /// Bytes of fragments that look compressed already.
    pub dense: u64,
}

/// Sums over all that was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Logical bytes that were to be read for compression, and that held data.
    pub packed_planned: u64,
    /// Bytes of data that were read for compression.
    pub packed: u64,
    /// Fragments of these.
    pub fragments: u64,
    /// Bytes read to find duplicates, and how many were none.
    pub drawn: u64,
    /// As above.
    pub drawn_new: u64,
    /// The same of the sizes that are always taken.
    pub certain: u64,
    /// As above.
    pub certain_new: u64,
    /// The same with the other cutter.
    pub finer: u64,
    /// As above.
    pub finer_new: u64,
    /// All bytes read.
    pub read: u64,
    /// CPU nanoseconds to read what is compressed …
    pub read_ns: u64,
    /// … to cut and name it …
    pub name_ns: u64,
    /// … and to find duplicates and fill chunks.
    pub pack_ns: u64,
    /// Nanoseconds in which reading waited.
    pub wait_ns: u64,
    /// CPU nanoseconds of steps that never wait for anything but a core …
    pub busy_ns: u64,
    /// … and how long they took by the clock on the wall.
    pub busy_wall_ns: u64,
}

/// A look at a tree under way.
pub struct Survey {
    options: SurveyOptions,
    census: Arc<Census>,
    rates: Vec<u64>,
    xattrs: XattrSupport,
    plan: Plan,
    workers: Vec<Worker>,
    strata: Strata,
    totals: Totals,
    drawn: HashSet<u64>,
    finer: HashSet<u64>,
    packed: HashSet<u64>,
    open: Vec<u8>,
    /// Buffers to be used again.
    buffers: Vec<Vec<u8>>,
    probe: Probe,
    problems: Vec<Problem>,
}

impl Survey {
    /// A look at what `census` counted.
    pub fn new(options: SurveyOptions, census: Arc<Census>) -> Result<Self> {
        if options.threads == 0 || options.read_one_in == 0 || options.encode_one_in == 0 {
            return Err(Error::Parameter("survey: no threads, or one in 0".into()));
        }
        Ok(Self {
            rates: census.probe_rates(),
            plan: Plan::new(options.read_one_in, &options.certain),
            workers: (0..options.threads).map(|_| Worker::new(census.types.len())).collect(),
            strata: Strata::new(options.encode_one_in),
            xattrs: XattrSupport::default(),
            totals: Totals::default(),
            drawn: HashSet::new(),
            finer: HashSet::new(),
            packed: HashSet::new(),
            open: Vec::new(),
            buffers: Vec::new(),
            probe: Probe::new(),
            problems: Vec::new(),
            options,
            census,
        })
    }

    /// Hands in entries; those that are not chosen are dropped at once.
    pub fn add(&mut self, batch: WalkBatch) {
        self.plan.add(batch, &self.census);
    }

    /// No more entries follow.
    pub fn finish(&mut self) {
        self.plan.finish();
    }

    /// Does one wave of work; false if there is less than that to do, or, after [`Survey::finish`], nothing.
    pub fn step(&mut self, finished: bool) -> Result<bool> {
        let enough = WAVE_BYTES * self.options.threads as u64;
        let waiting: u64 = self.plan.ready.iter().map(|group| group.bytes).take(4096).sum();
        if self.plan.ready.is_empty() || (!finished && waiting < enough) {
            return Ok(false);
        }
        let mut wave = Vec::new();
        let mut bytes = 0;
        while bytes < enough
            && let Some(group) = self.plan.ready.pop_front()
        {
            bytes += group.bytes;
            wave.push(group);
        }
        let mut chunks = Vec::new();
        for named in self.look(&wave)? {
            self.sequence(named, &mut chunks);
        }
        if finished && self.plan.ready.is_empty() {
            self.close(&mut chunks);
        }
        self.encode(chunks)?;
        Ok(true)
    }

    /// Reads and names the groups of a wave on all threads; in their order.
    fn look(&mut self, wave: &[Group]) -> Result<Vec<Named>> {
        let Self { options, rates, xattrs, workers, buffers, .. } = self;
        let spare = Mutex::new(std::mem::take(buffers));
        on_all(workers, wave.len(), |worker, number| {
            let buffer = spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            Ok(worker.look(options, rates, xattrs, (&wave[number], buffer)))
        })
    }

    /// Finds duplicates and fills chunks, in walk order.
    fn sequence(&mut self, mut named: Named, chunks: &mut Vec<(usize, Vec<u8>)>) {
        let start = cpu_ns();
        let mut probing = 0;
        self.problems.append(&mut named.problems);
        self.totals.read += named.used as u64;
        for fragment in &named.fragments {
            let length = fragment.range.len() as u64;
            let mut new = true;
            if fragment.twin != Twin::No {
                new = self.drawn.insert(short(&fragment.id));
                let (all, fresh) = match fragment.twin {
                    Twin::Certain => (&mut self.totals.certain, &mut self.totals.certain_new),
                    _ => (&mut self.totals.drawn, &mut self.totals.drawn_new),
                };
                *all += length;
                *fresh += if new { length } else { 0 };
            }
            if !named.packed {
                continue;
            }
            self.totals.fragments += 1;
            if fragment.twin == Twin::No {
                new = self.packed.insert(short(&fragment.id));
            }
            if new {
                let data = named.buffer.get(fragment.range.clone()).unwrap_or_default();
                if self.open.len() + data.len() > self.options.chunk.max as usize {
                    probing += self.close(chunks);
                }
                self.open.extend_from_slice(data);
                if self.closes_after(&fragment.id, length) {
                    probing += self.close(chunks);
                }
            }
        }
        if named.ends {
            probing += self.close(chunks);
        }
        for (id, length) in &named.finer {
            self.totals.finer += u64::from(*length);
            self.totals.finer_new += if self.finer.insert(*id) { u64::from(*length) } else { 0 };
        }
        self.totals.busy_ns += named.name_ns;
        self.totals.busy_wall_ns += named.name_wall_ns;
        if named.packed {
            self.totals.packed_planned += named.planned;
            self.totals.packed += named.used as u64;
            self.totals.read_ns += named.read_ns;
            self.totals.name_ns += named.name_ns;
            self.totals.wait_ns += named.wait_ns;
            self.totals.pack_ns += (cpu_ns() - start).saturating_sub(probing);
        }
        self.buffers.push(named.buffer);
    }

    /// The rule of docs/format.md §2.
    fn closes_after(&self, id: &[u8; 24], length: u64) -> bool {
        let Sizes { min, mean, .. } = self.options.chunk;
        let draw = id.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.open.len() >= min as usize
            && u128::from(draw) * u128::from(mean - min) < u128::from(length) << 64
    }

    /// Counts the open chunk, and puts it among `chunks` if it is to be encoded; the nanoseconds that choosing took.
    fn close(&mut self, chunks: &mut Vec<(usize, Vec<u8>)>) -> u64 {
        if self.open.is_empty() {
            return 0;
        }
        let start = cpu_ns();
        let stratum = stratum_of(self.probe.bits_per_byte(&self.open));
        if self.strata.count(stratum, self.open.len() as u64) {
            let room = Vec::with_capacity(self.open.capacity());
            chunks.push((stratum, std::mem::replace(&mut self.open, room)));
        }
        self.open.clear();
        cpu_ns() - start
    }

    fn encode(&mut self, chunks: Vec<(usize, Vec<u8>)>) -> Result<()> {
        let Self { options, workers, strata, totals, .. } = self;
        let chunks: Vec<_> = chunks.into_iter().map(Mutex::new).collect();
        let sampled = on_all(workers, chunks.len(), |worker, number| {
            let mut chunk = chunks[number].lock().unwrap_or_else(PoisonError::into_inner);
            let (stratum, raw) = std::mem::take(&mut *chunk);
            worker.encoding.encode(options, stratum, raw)
        })?;
        for one in sampled {
            let (cpu_ns, wall_ns) = one.spent_ns();
            totals.busy_ns += cpu_ns;
            totals.busy_wall_ns += wall_ns;
            strata.take(one);
        }
        Ok(())
    }

    /// Sums so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Chunks by how compressible they look.
    pub fn strata(&self) -> &[Stratum; STRATA] {
        &self.strata.rows
    }

    /// What is known of each type of the census, in its order.
    pub fn types(&self) -> Vec<TypeProbe> {
        let mut sums = vec![TypeProbe::default(); self.census.types.len()];
        for worker in &self.workers {
            for (sum, own) in sums.iter_mut().zip(&worker.types) {
                sum.bytes += own.bytes;
                sum.entropy += own.entropy;
                sum.dense += own.dense;
            }
        }
        sums
    }

    /// Encodes the chunks kept of each stratum in another way: with this codec and level, or (`None`) by the policy, in so
    /// many parts each.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a level out of range.
    pub fn attempt(&mut self, codec: Option<(Codec, i32)>, parts: usize) -> Result<[Trial; STRATA]> {
        self.strata.attempt(&mut self.workers, &self.options, codec, parts)
    }

    /// What could not be read since the last call, by stored path.
    pub fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }
}
