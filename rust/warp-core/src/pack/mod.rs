//! The create pipeline: read, cut, hash, deduplicate, compress, seal, write.
//!
//! ```text
//! submit ─▶ workers: read, cut, hash ─▶ sequencer (walk order): deduplicate, pack
//!              ▲                              │ chunks
//!              └── workers: encode, seal ◀────┘
//!                        └─▶ writer (chunk order) ─▶ output, records ─▶ poll
//! ```
//! For a catalogue (docs/transfer-protocol.md) the sequencer makes pages of new fragments instead, and nothing is encoded.
//! Every decision that shapes the archive is taken by the sequencer, in walk order, so chunks, ordinals and
//! recipes do not depend on the number of threads. Workers prefer encoding to hashing to reading: what is
//! furthest along frees memory first.

pub(crate) mod batch;
mod catalogue;
mod encode;
mod events;
mod guard;
mod input;
mod large;
mod output;
mod pool;
mod queues;
mod recall;
mod rope;
pub(crate) mod segment;
mod sequence;
mod shared;
mod stream;

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::catalogue::Cuts;
use crate::codec::Policy;
use crate::cutter::{Cutter, Sizes};
use crate::dedup::FragmentIndex;
use crate::keys::ScopeKeys;
use crate::{Error, Result};

use catalogue::{Cataloguer, Window};
use guard::PanicGuard;
use input::BATCH_BYTES;
use queues::Job;
use sequence::Packer;
use shared::Shared;

pub use catalogue::Page;
pub use events::{ChunkColumns, Counters, Events, Problem};
pub use input::Input;

/// Least size of a piece of a large file that one worker reads at once.
const SEGMENT_BYTES: usize = 4 << 20;

/// What a pipeline is made of; nothing here changes while it runs.
pub struct PackOptions {
    /// Keys of the archive.
    pub keys: Arc<ScopeKeys>,
    /// Cutter of the archive.
    pub cutter: Cutter,
    /// Chunk sizes in bytes.
    pub chunk: Sizes,
    /// Codec by entropy.
    pub policy: Policy,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Budget in bytes for what is read and not yet written.
    pub memory: usize,
    /// Decode each chunk and compare before it is written.
    pub verify: bool,
}

/// Limits derived from the options.
struct Limits {
    segment: usize,
    window: u64,
    chunks: usize,
    segments: usize,
}

impl Limits {
    fn new(options: &PackOptions) -> Self {
        let segment = SEGMENT_BYTES.max(2 * options.cutter.sizes().max as usize);
        let half = options.memory / 2;
        let per_chunk = 2 * options.chunk.max as usize;
        let threads = options.threads;
        Self {
            segment,
            window: half.clamp(2 * segment, 16 * segment.max(threads * BATCH_BYTES as usize)) as u64,
            chunks: (half / per_chunk).clamp(threads + 1, 6 * threads + 4),
            segments: (half / segment).clamp(2, 2 * threads + 2),
        }
    }
}

/// The running pipeline that writes chunks.
pub struct PackPipeline(Input);

impl Deref for PackPipeline {
    type Target = Input;

    fn deref(&self) -> &Input {
        &self.0
    }
}

impl PackPipeline {
    /// Starts the threads. `output` is written from `offset` on, in order; `index` keeps growing;
    /// the first chunk gets the ordinal `first_chunk`.
    pub fn new(
        options: PackOptions,
        output: OwnedFd,
        offset: u64,
        index: Arc<Mutex<FragmentIndex>>,
    ) -> Result<Self> {
        let sizes = options.chunk;
        let (shared, mut threads) = start(options, Some((output, offset)), None, 0)?;
        let run = move |shared: &Arc<Shared>| {
            sequence::run(shared, &index, |fragments| Packer::new(sizes, fragments))
        };
        threads.push(spawn(&shared, "warp-sequencer", run)?);
        threads.push(spawn(&shared, "warp-writer", output::run)?);
        Ok(Self(Input::new(shared, threads)))
    }

    /// Stops the writer between two chunks and returns what was written so far.
    pub fn hold(&self) -> Result<Events> {
        self.shared.hold()
    }

    /// Lets the writer go on.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Appends `blob` between two chunks; its offset.
    pub fn emit(&self, blob: &[u8]) -> Result<u64> {
        self.shared.emit(blob)
    }

    /// Where the next byte of the output goes.
    pub fn offset(&self) -> u64 {
        self.shared.offset()
    }
}

/// The running pipeline that makes pages of a catalogue.
pub struct CataloguePipeline {
    input: Input,
    window: Arc<Window>,
}

impl Deref for CataloguePipeline {
    type Target = Input;

    fn deref(&self) -> &Input {
        &self.input
    }
}

impl CataloguePipeline {
    /// Starts the threads. Pages that are not dropped yet hold at most `window` bytes, or one page; `index` must be empty. Files that
    /// `cuts` knows are not read.
    pub fn new(
        options: PackOptions,
        index: Arc<Mutex<FragmentIndex>>,
        window: usize,
        cuts: Option<Arc<Cuts>>,
    ) -> Result<Self> {
        let (shared, mut threads) = start(options, None, cuts.clone(), window)?;
        let window = Window::new(window);
        let pages = Arc::clone(&window);
        let run = move |shared: &Arc<Shared>| sequence::run(shared, &index, |_| Cataloguer::new(pages, cuts));
        threads.push(spawn(&shared, "warp-sequencer", run)?);
        Ok(Self { input: Input::new(shared, threads), window })
    }

    /// The next page, or none within `timeout`; true once there are no more.
    ///
    /// # Errors
    /// What stopped the pipeline.
    pub fn next_page(&self, timeout: Duration) -> Result<(Option<Page>, bool)> {
        self.window.next(&self.input.shared, timeout)
    }
}

/// The shared state and the workers of a pipeline, of which others hold up to `held` bytes of what was read.
fn start(
    options: PackOptions,
    output: Option<(OwnedFd, u64)>,
    cuts: Option<Arc<Cuts>>,
    held: usize,
) -> Result<(Arc<Shared>, Vec<JoinHandle<()>>)> {
    if options.threads == 0 {
        return Err(Error::Parameter("number of threads: 0".into()));
    }
    let threads = options.threads;
    let limits = Limits::new(&options);
    let shared = Arc::new(Shared::new(options, limits, output, cuts, held));
    let mut handles = Vec::with_capacity(threads + 2);
    for number in 0..threads {
        handles.push(spawn(&shared, &format!("warp-worker-{number}"), work)?);
    }
    Ok((shared, handles))
}

/// A mutex is only poisoned by a panic, which ends the pipeline anyway.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A named thread whose panic fails the pipeline instead of hanging it.
fn spawn(
    shared: &Arc<Shared>,
    name: &str,
    body: impl FnOnce(&Arc<Shared>) -> Result<()> + Send + 'static,
) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let thread = name.to_owned();
    std::thread::Builder::new()
        .name(thread.clone())
        .spawn(move || {
            let guard = PanicGuard::new(&shared, thread);
            match body(&shared) {
                Ok(()) | Err(Error::Cancelled) => {}
                Err(error) => shared.fail(error),
            }
            guard.disarm();
        })
        .map_err(|e| Error::io(format!("start thread {name}"), e))
}

/// A worker: whatever job is most urgent, until there is none and none can come.
fn work(shared: &Arc<Shared>) -> Result<()> {
    let mut encoder = encode::ChunkEncoder::new();
    while let Some(job) = shared.next_job() {
        match job {
            Job::Encode(chunk) => {
                let encoded = encoder.encode(shared, chunk)?;
                shared.encoded(encoded);
            }
            Job::Hash(job) => segment::hash(shared, *job),
            Job::Batch(job) => batch::read(shared, job),
            Job::Open(file) => large::open(shared, &file),
            Job::Recall { file, part, cut } => recall::part(shared, &file, part, &cut)?,
            Job::Segment { file, attempt, index } => segment::read(shared, &file, attempt, index),
            Job::Scan { file, segment } => large::scan(shared, &file, segment),
        }
    }
    Ok(())
}
