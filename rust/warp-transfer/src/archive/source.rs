//! Where an archive is: header, TOCs and locator pages leave in order, chunks as they are wanted.
//!
//! ```text
//! push ─▶ BYTES, PAGE frames ──────────────────────────────┐
//! wanted ─▶ read (on threads) ─▶ cid as it should be? ─ yes ─▶ CHUNK frames ─▶ link
//!                                                    └─ no ─▶ lost
//! ```
//! A chunk is read once, into the buffer that the link sends. One that is damaged here does not leave: the other side would ask
//! for it again, and end the session.

mod jobs;
mod read;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use warp_core::catalogue::Spans;
use warp_core::digest::Digest;
use warp_net::Link;
use warp_net::frame::{Frame, Kind};

use self::jobs::{Job, Queues, Work, next};
use super::{Locators, Marks, PAGE_CHUNKS};
use crate::throttle::Throttle;
use crate::{Error, Result, lock};

/// How soon a thread that waits notices that everything stopped.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of a frame that is no chunk.
const FRAME_BYTES: usize = 1 << 20;
/// What may wait of what is pushed.
const MOST_PUSHED: usize = 8 << 20;
/// Metadata pages from here on.
const METADATA: u64 = 1 << 32;

/// Where a page lies in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset in the file.
    pub offset: u64,
    /// Stored bytes.
    pub length: u64,
    /// BLAKE3 of them.
    pub digest: Digest,
}

/// What happened.
#[derive(Debug, Default)]
pub struct ArchiveSourceNews {
    /// What was wanted and can't be read, by page; metadata pages have numbers from 2^32 on.
    pub lost: BTreeMap<u64, Spans>,
    /// Room for more to be pushed.
    pub room: bool,
}

type Bell = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Shared {
    lost: BTreeMap<u64, Marks>,
    over: bool,
    bell: Option<Bell>,
}

/// Sends an archive. All methods may be called from any thread.
pub struct ArchiveSource {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

struct Core {
    link: Arc<Link>,
    file: File,
    end: u64,
    locators: Vec<Place>,
    at_hand: Mutex<VecDeque<(u32, Arc<Locators>)>>,
    throttle: Arc<Throttle>,
    queues: Mutex<Queues>,
    queued: Condvar,
    shared: Mutex<Shared>,
    changed: Condvar,
    sent: AtomicU64,
    error: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

impl ArchiveSource {
    /// Sends from `file`, of which all before `end` counts and whose chunks the pages at `locators` tell, on so many threads.
    ///
    /// # Errors
    /// [`Error::Core`] if threads cannot start.
    pub fn new(
        link: Arc<Link>,
        file: File,
        end: u64,
        locators: Vec<Place>,
        threads: usize,
        throttle: Arc<Throttle>,
    ) -> Result<Self> {
        let core = Arc::new(Core {
            link,
            file,
            end,
            locators,
            at_hand: Mutex::default(),
            throttle,
            queues: Mutex::default(),
            queued: Condvar::new(),
            shared: Mutex::default(),
            changed: Condvar::new(),
            sent: AtomicU64::new(0),
            error: Mutex::new(None),
            stopped: AtomicBool::new(false),
        });
        let mut source = Self { core, threads: Vec::new() };
        source.start("warp-push", Core::push)?;
        for _ in 0..threads.max(1) {
            source.start("warp-chunks", Core::serve)?;
        }
        Ok(source)
    }

    fn start(&mut self, name: &str, work: fn(&Core) -> Result<()>) -> Result<()> {
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let guard = Guard(Arc::clone(&core));
            if let Err(error) = work(&core)
                && !error.is_cancelled()
            {
                core.stop(Some(error));
            }
            drop(guard);
        });
        self.threads.push(thread.map_err(|error| warp_core::Error::io("start a thread", error))?);
        Ok(())
    }

    /// Bytes of the archive that are no chunk, from `offset` on; false if enough waits: then nothing was taken, and news tells of room.
    ///
    /// # Errors
    /// [`Error::Net`] never: the bytes are cut to fit into frames.
    pub fn push(&self, offset: u64, data: &Bytes) -> Result<bool> {
        let mut frames = Vec::new();
        let mut at = 0;
        while at < data.len() {
            let part = data.slice(at..data.len().min(at + FRAME_BYTES));
            let ids = (offset + at as u64, 0);
            at += part.len();
            frames.push(Frame::new(Kind::Bytes, 0, ids, Bytes::new(), part)?);
        }
        Ok(self.core.queue(frames))
    }

    /// A locator page as it is stored; as [`ArchiveSource::push`].
    ///
    /// # Errors
    /// [`Error::Net`] for a page that is too long.
    pub fn push_page(&self, number: u32, stored: Bytes) -> Result<bool> {
        let ids = (number.into(), stored.len() as u64);
        Ok(self.core.queue(vec![Frame::new(Kind::Page, 0, ids, Bytes::new(), stored)?]))
    }

    /// The sink wants these chunks of a locator page.
    ///
    /// # Errors
    /// [`warp_core::Error::Format`] for a page that there is not, [`warp_core::Error::Parameter`] for spans out of a page's bounds.
    pub fn answer(&self, request: u64, page: u32, spans: &Spans) -> Result<()> {
        if page as usize >= self.core.locators.len() {
            return Err(warp_core::Error::format(format!("request for page {page}: there is none")).into());
        }
        let is_there = |(first, count): &(u16, u16)| usize::from(*first) + usize::from(*count) <= PAGE_CHUNKS;
        if !spans.iter().all(is_there) {
            return Err(warp_core::Error::Parameter("spans: out of a page's bounds".into()).into());
        }
        let spans = spans.iter().copied().filter(|(_, count)| *count > 0).collect();
        self.core.submit(Job::Chunks { request, page, spans });
        Ok(())
    }

    /// The sink wants a metadata page, by its number (from 2^32 on).
    pub fn answer_metadata(&self, request: u64, number: u64, place: Place) {
        self.core.submit(Job::Metadata { request, number: number.max(METADATA), place });
    }

    /// What of this request has not left need not leave.
    pub fn revoke(&self, request: u64) {
        lock(&self.core.queues).jobs.retain(|job| job.request() != request);
    }

    /// What is new; waits until something is, or `timeout` is over.
    ///
    /// # Errors
    /// What ended the source.
    pub fn news(&self, timeout: Duration) -> Result<ArchiveSourceNews> {
        let core = &*self.core;
        let shared = lock(&core.shared);
        let is_quiet = |shared: &mut Shared| !shared.over && shared.lost.is_empty() && !core.has_room();
        let waited = core.changed.wait_timeout_while(shared, timeout, is_quiet);
        let mut shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        let lost = std::mem::take(&mut shared.lost);
        drop(shared);
        if lost.is_empty()
            && let Err(stopped) = core.check()
        {
            return Err(lock(&core.error).take().unwrap_or(stopped));
        }
        let lost = lost.iter().map(|(page, marks)| (*page, marks.spans())).collect();
        let room = core.has_room();
        lock(&core.queues).refused &= !room;
        Ok(ArchiveSourceNews { lost, room })
    }

    /// Has `bell` called whenever there is news; it must not block.
    pub fn on_news(&self, bell: Box<dyn Fn() + Send + Sync>) {
        lock(&self.core.shared).bell = Some(bell);
    }

    /// Stored bytes of chunks that were put on the link.
    pub fn sent(&self) -> u64 {
        self.core.sent.load(Ordering::Relaxed)
    }

    /// Stops all threads and waits for them.
    pub fn stop(&mut self) {
        self.core.stop(None);
        for thread in self.threads.drain(..) {
            // What a panic left is told by then.
            let _ = thread.join();
        }
    }
}

impl Drop for ArchiveSource {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Core {
    /// Whether there is room again after a refusal.
    fn has_room(&self) -> bool {
        let queues = lock(&self.queues);
        queues.refused && queues.pushed_bytes < MOST_PUSHED
    }

    fn queue(&self, frames: Vec<Frame>) -> bool {
        let mut queues = lock(&self.queues);
        if queues.pushed_bytes >= MOST_PUSHED {
            queues.refused = true;
            return false;
        }
        queues.pushed_bytes += frames.iter().map(Frame::size).sum::<usize>();
        queues.pushed.extend(frames);
        drop(queues);
        self.queued.notify_all();
        true
    }

    fn submit(&self, job: Job) {
        lock(&self.queues).jobs.push_back(job);
        self.queued.notify_all();
    }

    /// Waits for what `take` finds in the queues.
    fn wait<T>(&self, mut take: impl FnMut(&mut Queues) -> Option<T>) -> Result<T> {
        let mut queues = lock(&self.queues);
        loop {
            self.check()?;
            if let Some(taken) = take(&mut queues) {
                return Ok(taken);
            }
            let waited = self.queued.wait_timeout(queues, PATIENCE);
            queues = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends what is pushed, in order.
    fn push(&self) -> Result<()> {
        loop {
            let frame = self.wait(|queues| queues.pushed.pop_front())?;
            let size = frame.size();
            self.send(frame)?;
            let mut queues = lock(&self.queues);
            queues.pushed_bytes -= size;
            drop(queues);
            if self.has_room() {
                self.tell(|_| ());
            }
        }
    }

    /// Sends what is wanted.
    fn serve(&self) -> Result<()> {
        loop {
            match self.wait(|queues| next(&mut queues.jobs))? {
                Work::Chunk { request, page, index } => self.chunk(request, page, index)?,
                Work::Metadata { number, place } => self.metadata(number, place)?,
            }
        }
    }

    fn lose(&self, page: u64, index: u16) {
        self.tell(|lost| lost.entry(page).or_default().set(index));
    }

    /// Puts a frame on the link when there is room, and when it is due.
    fn send(&self, frame: Frame) -> Result<()> {
        let due = Instant::now() + self.throttle.book(frame.size(), Instant::now());
        loop {
            self.check()?;
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(PATIENCE));
        }
        let mut frame = frame;
        while let Some(back) = self.link.send_data(frame, PATIENCE)? {
            self.check()?;
            frame = back;
        }
        Ok(())
    }

    fn tell(&self, change: impl FnOnce(&mut BTreeMap<u64, Marks>)) {
        let mut shared = lock(&self.shared);
        change(&mut shared.lost);
        shared.bell.iter().for_each(|bell| bell());
        drop(shared);
        self.changed.notify_all();
    }

    fn check(&self) -> Result<()> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(warp_core::Error::Cancelled.into());
        }
        Ok(())
    }

    /// Ends everything; the first reason counts.
    fn stop(&self, error: Option<Error>) {
        if let Some(error) = error {
            lock(&self.error).get_or_insert(error);
        }
        self.stopped.store(true, Ordering::Release);
        lock(&self.shared).over = true;
        self.tell(|_| ());
        self.queued.notify_all();
    }
}

/// A thread's panic ends the source.
struct Guard(Arc<Core>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Some(warp_core::Error::integrity("state: a thread failed").into()));
        }
    }
}
