//! What the threads share: one lock over the queues between them, a condition for each kind of waiter.
//!
//! A job is about a megabyte, so the lock is taken a few thousand times a second at most.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::encode::{ChunkJob, EncodedChunk};
use super::events::{Events, Problem};
use super::output::Output;
use super::pool::Pool;
use super::queues::{Awaited, Job, Position, Queues};
use super::segment::HashJob;
use super::sequence::{Delivered, Message};
use super::{Limits, PackOptions, lock};
use crate::attributes::XattrSupport;
use crate::catalogue::Cuts;
use crate::{Error, Result};

/// Buffers kept while nobody uses them.
const SPARE_BUFFERS: usize = 64;

pub(super) struct Shared {
    pub options: PackOptions,
    pub limits: Limits,
    pub xattrs: XattrSupport,
    /// How files were cut before, for a catalogue.
    pub cuts: Option<Arc<Cuts>>,
    /// For messages and chunks.
    pub buffers: Arc<Pool>,
    /// For segments of large files.
    pub segments: Arc<Pool>,
    /// None where no archive is written.
    output: Mutex<Option<Output>>,
    queues: Mutex<Queues>,
    workers: Condvar,
    sequencer: Condvar,
    writer: Condvar,
    /// Whoever polls or holds.
    caller: Condvar,
    /// Whoever submits or feeds a stream: there may be room.
    feeder: Condvar,
}

impl Shared {
    pub fn new(
        options: PackOptions,
        limits: Limits,
        output: Option<(OwnedFd, u64)>,
        cuts: Option<Arc<Cuts>>,
        held: usize,
    ) -> Self {
        // As many as there can be at once: the window admits the last file whole.
        let segments = (limits.window as usize + held) / limits.segment + limits.segments;
        Self {
            xattrs: XattrSupport::default(),
            cuts,
            buffers: Arc::new(Pool::new(SPARE_BUFFERS)),
            segments: Arc::new(Pool::new(segments)),
            options,
            limits,
            output: Mutex::new(output.map(|(descriptor, offset)| Output::new(descriptor, offset))),
            queues: Mutex::default(),
            workers: Condvar::new(),
            sequencer: Condvar::new(),
            writer: Condvar::new(),
            caller: Condvar::new(),
            feeder: Condvar::new(),
        }
    }

    // --- submission ---

    /// Waits until there is room for more input; false after `timeout`.
    pub fn wait_for_window(&self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        let mut queues = self.queues();
        loop {
            queues.check()?;
            if queues.window < self.limits.window {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            queues.feeders += 1;
            queues = wait(&self.feeder, queues, left);
            queues.feeders -= 1;
        }
    }

    /// Takes the next place in walk order for a job made by `job`.
    pub fn submit(&self, cost: u64, job: impl FnOnce(u64) -> Job) {
        let mut queues = self.queues();
        let sequence = queues.reserve(cost);
        queues.read.insert((sequence, 0), job(sequence));
        self.wake_worker(queues);
    }

    /// Takes the next place without queueing a job.
    pub fn reserve(&self, cost: u64, made: impl FnOnce(u64)) {
        let sequence = self.queues().reserve(cost);
        made(sequence);
    }

    pub fn finish_input(&self) {
        self.queues().input_finished = true;
        self.sequencer.notify_all();
    }

    // --- workers ---

    pub fn next_job(&self) -> Option<Job> {
        let mut queues = self.queues();
        loop {
            if queues.stopped || queues.done {
                return None;
            }
            if let Some(chunk) = queues.encode.pop_front() {
                return Some(Job::Encode(chunk));
            }
            if let Some((_, job)) = queues.hash.pop_first() {
                return Some(Job::Hash(Box::new(job)));
            }
            if let Some((_, job)) = queues.read.pop_first() {
                return Some(job);
            }
            queues.idle_workers += 1;
            queues = self.workers.wait(queues).unwrap_or_else(std::sync::PoisonError::into_inner);
            queues.idle_workers -= 1;
        }
    }

    fn wake_worker(&self, queues: MutexGuard<'_, Queues>) {
        let idle = queues.idle_workers > 0;
        drop(queues);
        if idle {
            self.workers.notify_one();
        }
    }

    pub fn queue_read(&self, position: Position, job: Job) {
        let mut queues = self.queues();
        queues.read.insert(position, job);
        self.wake_worker(queues);
    }

    pub fn queue_hash(&self, job: HashJob) {
        let mut queues = self.queues();
        queues.hash.insert(job.position, job);
        self.wake_worker(queues);
    }

    /// A result for the sequencer.
    pub fn deliver(&self, position: Position, message: Message) {
        let mut queues = self.queues();
        queues.messages.insert(position, message);
        let awaited = queues.sequencer_waits == Some(Awaited::Message(position));
        drop(queues);
        if awaited {
            self.sequencer.notify_one();
        }
    }

    pub fn encoded(&self, chunk: EncodedChunk) {
        let mut queues = self.queues();
        let awaited = queues.writer_waits == Some(chunk.ordinal);
        queues.encoded.insert(chunk.ordinal, chunk);
        drop(queues);
        if awaited {
            self.writer.notify_one();
        }
    }

    // --- sequencer ---

    /// The message at `position`; None if the input ended before it.
    pub fn next_message(&self, position: Position) -> Result<Option<Message>> {
        let mut queues = self.queues();
        loop {
            queues.running()?;
            if let Some(message) = queues.messages.remove(&position) {
                return Ok(Some(message));
            }
            if queues.input_finished && position == (queues.next_sequence, 0) {
                return Ok(None);
            }
            queues = self.sequencer_waits(queues, Awaited::Message(position));
        }
    }

    fn sequencer_waits<'a>(
        &self,
        mut queues: MutexGuard<'a, Queues>,
        awaited: Awaited,
    ) -> MutexGuard<'a, Queues> {
        queues.sequencer_waits = Some(awaited);
        queues = self.sequencer.wait(queues).unwrap_or_else(std::sync::PoisonError::into_inner);
        queues.sequencer_waits = None;
        queues
    }

    /// Hands a closed chunk to the workers; waits while too many are under way.
    pub fn queue_chunk(&self, chunk: ChunkJob) -> Result<()> {
        let mut queues = self.queues();
        while queues.chunks >= self.limits.chunks {
            queues.running()?;
            queues = self.sequencer_waits(queues, Awaited::Room);
        }
        queues.running()?;
        queues.chunks += 1;
        queues.encode.push_back(chunk);
        self.wake_worker(queues);
        Ok(())
    }

    /// What one message came to; `cost` is given back to the window.
    pub fn sequenced(&self, delivered: Delivered, cost: u64) {
        let mut queues = self.queues();
        queues.window = queues.window.saturating_sub(cost);
        queues.events.sequenced(delivered);
        self.tell(queues);
    }

    /// Wakes whoever waits outside, but not for less than a batch: each wake-up costs two switches of threads.
    fn tell(&self, queues: MutexGuard<'_, Queues>) {
        let (news, feeders) = (queues.events.has_news(), queues.feeders > 0);
        drop(queues);
        if news {
            self.caller.notify_all();
        }
        if feeders {
            self.feeder.notify_all();
        }
    }

    pub fn finish_chunks(&self, chunks: u64) {
        self.queues().chunks_finished = Some(chunks);
        self.writer.notify_all();
    }

    // --- writer ---

    /// The chunk of this ordinal, once the writer may write it; None when there is none to come.
    pub fn next_encoded(&self, ordinal: u64) -> Result<Option<EncodedChunk>> {
        let mut queues = self.queues();
        loop {
            queues.running()?;
            if !queues.held {
                if let Some(chunk) = queues.encoded.remove(&ordinal) {
                    queues.writing = true;
                    return Ok(Some(chunk));
                }
                if queues.chunks_finished == Some(ordinal) {
                    return Ok(None);
                }
            }
            queues.writer_waits = Some(ordinal);
            queues = self.writer.wait(queues).unwrap_or_else(std::sync::PoisonError::into_inner);
            queues.writer_waits = None;
        }
    }

    pub fn write_chunk(&self, chunk: &EncodedChunk) -> Result<()> {
        let offset = self.emit(&chunk.stored)?;
        let mut queues = self.queues();
        queues.writing = false;
        queues.chunks -= 1;
        queues.events.written(chunk, offset);
        let (held, room) = (queues.held, queues.sequencer_waits == Some(Awaited::Room));
        self.tell(queues);
        if room {
            self.sequencer.notify_one();
        }
        if held {
            self.caller.notify_all();
        }
        Ok(())
    }

    pub fn finish_writing(&self) {
        self.queues().done = true;
        self.workers.notify_all();
        self.caller.notify_all();
    }

    // --- the caller ---

    pub fn poll(&self, timeout: Duration) -> Result<Events> {
        let deadline = Instant::now() + timeout;
        let mut queues = self.queues();
        loop {
            queues.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if queues.done || queues.events.has_news() || left.is_zero() {
                let done = queues.done;
                return Ok(queues.events.take(done));
            }
            queues = wait(&self.caller, queues, left);
        }
    }

    pub fn hold(&self) -> Result<Events> {
        let mut queues = self.queues();
        queues.held = true;
        while queues.writing {
            queues.check()?;
            queues = wait(&self.caller, queues, Duration::from_millis(100));
        }
        queues.check()?;
        Ok(queues.events.take_held())
    }

    pub fn release(&self) {
        self.queues().held = false;
        self.writer.notify_all();
    }

    pub fn emit(&self, blob: &[u8]) -> Result<u64> {
        match lock(&self.output).as_mut() {
            Some(output) => output.append(blob),
            None => Err(Error::Parameter("output: there is none".into())),
        }
    }

    pub fn offset(&self) -> u64 {
        lock(&self.output).as_ref().map_or(0, Output::offset)
    }

    /// For the pipeline's own threads that wait for something else.
    pub fn running(&self) -> Result<()> {
        self.queues().running()
    }

    /// For the caller, while it waits for something else.
    pub fn check(&self) -> Result<()> {
        self.queues().check()
    }

    pub fn problem(&self, problem: Problem) {
        self.queues().events.problem(problem);
    }

    /// Waits until `ready` or the end of the pipeline; for threads that feed it from outside.
    /// `ready` runs without the lock, as it takes a lock under which others take this one.
    pub fn wait_until(&self, mut ready: impl FnMut() -> bool) -> Result<()> {
        loop {
            self.queues().running()?;
            if ready() {
                return Ok(());
            }
            let mut queues = self.queues();
            queues.feeders += 1;
            wait(&self.feeder, queues, Duration::from_millis(20)).feeders -= 1;
        }
    }

    // --- the end ---

    pub fn fail(&self, error: Error) {
        let mut queues = self.queues();
        queues.error.get_or_insert(error);
        queues.stopped = true;
        drop(queues);
        self.wake_all();
    }

    pub fn stop(&self) {
        self.queues().stopped = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        for condition in [&self.workers, &self.sequencer, &self.writer, &self.caller, &self.feeder] {
            condition.notify_all();
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        lock(&self.queues)
    }
}

fn wait<'a>(condition: &Condvar, guard: MutexGuard<'a, Queues>, timeout: Duration) -> MutexGuard<'a, Queues> {
    condition.wait_timeout(guard, timeout).unwrap_or_else(std::sync::PoisonError::into_inner).0
}
