//! The create pipeline: read, cut, hash, deduplicate, compress, seal, write.
//!
//! ```text
//! submit ─▶ workers: read, cut, hash ─▶ sequencer (walk order): deduplicate, pack
//!              ▲                              │ chunks
//!              └── workers: encode, seal ◀────┘
//!                        └─▶ writer (chunk order) ─▶ output, records ─▶ poll
//! ```
//! Every decision that shapes the archive is taken by the sequencer, in walk order, so chunks, ordinals and
//! recipes do not depend on the number of threads. Workers prefer encoding to hashing to reading: what is
//! furthest along frees memory first.

pub(crate) mod batch;
mod encode;
mod events;
mod guard;
mod large;
mod output;
mod pool;
mod queues;
pub(crate) mod segment;
mod sequence;
mod shared;
mod stream;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::attributes::XattrSupport;
use crate::codec::Policy;
use crate::cutter::{Cutter, Sizes};
use crate::dedup::FragmentIndex;
use crate::entry::Entry;
use crate::keys::ScopeKeys;
use crate::walk::{WalkBatch, WalkEntry};
use crate::{Error, Result};

use batch::BatchJob;
use guard::PanicGuard;
use large::LargeFile;
use queues::Job;
use shared::Shared;

pub use events::{ChunkColumns, Counters, Events, Problem};

/// Small files travel to the workers in groups of about this many bytes …
const BATCH_BYTES: u64 = 1 << 20;
/// … or this many entries.
const BATCH_ENTRIES: usize = 256;
/// What an entry without content counts in the window, so that endless empty files are bounded too.
const ENTRY_COST: u64 = 512;
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

/// The running pipeline. Dropping it stops and joins all threads.
pub struct PackPipeline {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    waiting: Mutex<Option<std::vec::IntoIter<WalkEntry>>>,
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
        if options.threads == 0 {
            return Err(Error::Parameter("number of threads: 0".into()));
        }
        let threads = options.threads;
        let limits = Limits::new(&options);
        let shared = Arc::new(Shared::new(options, limits, output, offset, XattrSupport::default()));
        let mut handles = Vec::with_capacity(threads + 2);
        for number in 0..threads {
            handles.push(spawn(&shared, &format!("warp-worker-{number}"), work)?);
        }
        handles.push(spawn(&shared, "warp-sequencer", move |shared| sequence::run(shared, &index))?);
        handles.push(spawn(&shared, "warp-writer", output::run)?);
        Ok(Self { shared, threads: Mutex::new(handles), waiting: Mutex::new(None) })
    }

    /// Hands in the entries of `batch`; false if the window stayed full: call [`Self::submit_rest`] later.
    pub fn submit(&self, batch: WalkBatch) -> Result<bool> {
        let mut waiting = lock(&self.waiting);
        if waiting.is_some() {
            return Err(Error::Parameter("batch: the one before is not taken yet".into()));
        }
        *waiting = Some(batch.entries.into_iter());
        drop(waiting);
        self.submit_rest()
    }

    /// Goes on with the batch that did not fit; waits at most 100 ms for room.
    pub fn submit_rest(&self) -> Result<bool> {
        let mut waiting = lock(&self.waiting);
        let Some(entries) = waiting.as_mut() else {
            return Ok(true);
        };
        let limit = self.shared.limits.segment as u64;
        while !entries.as_slice().is_empty() {
            if !self.shared.wait_for_window(Duration::from_millis(100))? {
                return Ok(false);
            }
            let first = &entries.as_slice()[0];
            if content_bytes(first) > limit {
                let Some(entry) = entries.next() else { break };
                self.submit_large(entry);
            } else {
                self.submit_group(entries);
            }
        }
        *waiting = None;
        Ok(true)
    }

    fn submit_large(&self, entry: WalkEntry) {
        let cost = (self.shared.limits.segments * self.shared.limits.segment) as u64;
        self.shared
            .submit(cost, |sequence| Job::Open(Arc::new(LargeFile::new(sequence, entry, &self.shared))));
    }

    fn submit_group(&self, entries: &mut std::vec::IntoIter<WalkEntry>) {
        let (group, bytes) = next_group(entries, self.shared.limits.segment as u64);
        let cost = bytes + ENTRY_COST * group.len() as u64;
        self.shared.submit(cost, |sequence| Job::Batch(BatchJob { sequence, entries: group, bytes }));
    }

    /// Hands in one file whose content is read from `input` to its end.
    pub fn submit_stream(&self, input: OwnedFd, entry: Entry) -> Result<()> {
        while !self.shared.wait_for_window(Duration::from_secs(1))? {}
        let cost = (self.shared.limits.segments * self.shared.limits.segment) as u64;
        let mut file = None;
        self.shared.reserve(cost, |sequence| {
            file = Some(Arc::new(LargeFile::from_stream(sequence, entry, &self.shared)));
        });
        let Some(file) = file else {
            return Err(Error::Cancelled);
        };
        let handle = spawn(&self.shared, "warp-stream", move |shared| stream::run(shared, &file, &input))?;
        lock(&self.threads).push(handle);
        Ok(())
    }

    /// No more input follows.
    pub fn finish(&self) {
        self.shared.finish_input();
    }

    /// What was written since the last call; waits up to `timeout` for something.
    pub fn poll(&self, timeout: Duration) -> Result<Events> {
        self.shared.poll(timeout)
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

    /// Stops all threads and waits for them. A thread blocked in reading a stream is left to end by itself.
    pub fn abort(&self) {
        self.shared.stop();
        for handle in lock(&self.threads).drain(..) {
            if handle.thread().name() != Some("warp-stream") {
                // A panic was reported by the thread itself; there is nothing to add here.
                let _ = handle.join();
            }
        }
    }
}

impl Drop for PackPipeline {
    fn drop(&mut self) {
        self.abort();
    }
}

/// The next entries that one worker reads into one buffer, and their bytes; no file above `largest` is among them.
fn next_group(entries: &mut std::vec::IntoIter<WalkEntry>, largest: u64) -> (Vec<WalkEntry>, u64) {
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(next) = entries.as_slice().first() {
        let size = content_bytes(next);
        let full = group.len() >= BATCH_ENTRIES || (bytes > 0 && bytes + size > BATCH_BYTES);
        if full || size > largest {
            break;
        }
        bytes += size;
        group.extend(entries.next());
    }
    (group, bytes)
}

/// Bytes that have to be read for an entry.
fn content_bytes(item: &WalkEntry) -> u64 {
    if item.reused || item.entry.kind != crate::entry::Kind::File { 0 } else { item.entry.size }
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
            Job::Segment { file, attempt, index } => segment::read(shared, &file, attempt, index),
            Job::Scan { file, segment } => large::scan(shared, &file, segment),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::{Root, WalkOptions, Walker, tests::Scratch};

    #[test]
    fn a_large_file_is_in_no_group_whatever_comes_before_it() {
        let scratch = Scratch::new("groups");
        for (name, size) in [("a/large", 3000), ("a/small", 10), ("b/large", 2001), ("c/limit", 2000)] {
            std::fs::create_dir_all(scratch.path().join(name).parent().unwrap()).unwrap();
            std::fs::File::create(scratch.path().join(name)).unwrap().set_len(size).unwrap();
        }
        let roots = vec![Root { stored: b"t".into(), path: scratch.path().into() }];
        let mut walker = Walker::new(WalkOptions { roots, ..WalkOptions::default() }).unwrap();
        let mut entries = walker.next(100).unwrap().unwrap().entries.into_iter();
        let mut groups = Vec::new();
        while entries.len() > 0 {
            let (group, bytes) = next_group(&mut entries, 2000);
            groups.push((group.len(), bytes, entries.next().map(|large| large.entry.size)));
        }
        // t, a │ a/large │ a/small, b │ b/large │ c, c/limit
        assert_eq!(groups, [(2, 0, Some(3000)), (2, 10, Some(2001)), (2, 2000, None)]);
    }
}
