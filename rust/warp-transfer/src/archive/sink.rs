//! Where an archive goes: chunks are checked by their cids and written where they belong; all else is handed to who knows the format.
//!
//! ```text
//! CHUNK ─▶ awaited? ─▶ cid ─▶ pwrite ─▶ (256 MiB, or 2 s) ─▶ fdatasync ─▶ journal ─▶ kept
//! BYTES, PAGE ─▶ held until taken, 16 MiB at most: then nothing more is taken from the link
//! ```

mod sync;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use warp_core::catalogue::{Journal, Spans};
use warp_core::digest;
use warp_net::Link;
use warp_net::frame::{Frame, Kind};

use super::{Locators, Marks, PAGE_CHUNKS, each};
use crate::{Error, Result, lock};

/// How soon a thread that waits notices that everything stopped.
const PATIENCE: Duration = Duration::from_millis(100);
/// What may wait to be taken by the caller.
const MOST_HELD: usize = 16 << 20;

/// When what was written is made durable.
#[derive(Clone, Copy, Debug)]
pub struct Epochs {
    /// After so many bytes.
    pub bytes: u64,
    /// After so long.
    pub time: Duration,
}

/// What happened.
#[derive(Debug, Default)]
pub struct ArchiveNews {
    /// Bytes of the archive that are no chunk, by their offset, in the order in which they were taken from the link.
    pub bytes: Vec<(u64, Bytes)>,
    /// Locator pages as they are stored, by their number.
    pub pages: Vec<(u32, Bytes)>,
    /// Chunks that came damaged, by page: to be asked for again.
    pub wants: Vec<(u32, Spans)>,
    /// Epochs, and what is durable since, by page.
    pub kept: Vec<(u64, BTreeMap<u32, Spans>)>,
}

impl ArchiveNews {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.pages.is_empty() && self.wants.is_empty() && self.kept.is_empty()
    }
}

type Bell = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Shared {
    news: ArchiveNews,
    held: usize,
    flushes: bool,
    over: bool,
    bell: Option<Bell>,
}

/// Chunks of a page.
#[derive(Default)]
struct State {
    /// May come.
    expected: Marks,
    /// Came, and is being written.
    arriving: Marks,
    /// Is written, and not noted yet.
    written: Marks,
    /// Came damaged once.
    damaged: Marks,
}

struct Active {
    locators: Locators,
    state: Mutex<State>,
}

/// Takes an archive from a link. All methods may be called from any thread.
pub struct ArchiveSink {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

struct Core {
    link: Arc<Link>,
    file: File,
    epochs: Epochs,
    journal: Mutex<Option<Journal>>,
    active: Mutex<HashMap<u32, Arc<Active>>>,
    shared: Mutex<Shared>,
    changed: Condvar,
    dirty: AtomicU64,
    received: AtomicU64,
    error: Mutex<Option<Error>>,
    stopped: AtomicBool,
}

impl ArchiveSink {
    /// Begins to take data from `link` into `file` on so many threads.
    ///
    /// # Errors
    /// [`Error::Core`] if threads cannot start.
    pub fn new(link: Arc<Link>, file: File, epochs: Epochs, threads: usize) -> Result<Self> {
        let core = Arc::new(Core {
            link,
            file,
            epochs,
            journal: Mutex::new(None),
            active: Mutex::default(),
            shared: Mutex::default(),
            changed: Condvar::new(),
            dirty: AtomicU64::new(0),
            received: AtomicU64::new(0),
            error: Mutex::new(None),
            stopped: AtomicBool::new(false),
        });
        let mut sink = Self { core, threads: Vec::new() };
        sink.start("warp-sync", Core::sync)?;
        for _ in 0..threads.max(1) {
            sink.start("warp-sink", Core::take_all)?;
        }
        Ok(sink)
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

    /// Opens the journal of what is in the file, by 16 bytes that name what it belongs to; what is durable there, by page.
    /// To be done before the first chunk is expected.
    ///
    /// # Errors
    /// [`Error::Core`]: the journal of something else, or it can't be read.
    pub fn open_journal(&self, file: File, id: &[u8; 16]) -> Result<BTreeMap<u32, Spans>> {
        let (journal, kept) = Journal::open(file, id)?;
        *lock(&self.core.journal) = Some(journal);
        Ok(kept.by_page())
    }

    /// These chunks of locator page `number` may come from now on, and lie before `end`; `stored` is the page as it is stored,
    /// checked. To be told before they are asked for.
    ///
    /// # Errors
    /// [`warp_core::Error::Format`] for a page that is none, or has no such chunks.
    pub fn expect(&self, number: u32, stored: &[u8], end: u64, spans: &Spans) -> Result<()> {
        let mut active = lock(&self.core.active);
        let page = match active.get(&number) {
            Some(page) => Arc::clone(page),
            None => {
                let locators = Locators::parse(stored, number, end)?;
                Arc::new(Active { locators, state: Mutex::default() })
            }
        };
        let is_there =
            |(first, count): &(u16, u16)| usize::from(*first) + usize::from(*count) <= page.locators.len();
        if !spans.iter().all(is_there) {
            return Err(warp_core::Error::format(format!("page {number} has no such chunks")).into());
        }
        let mut state = lock(&page.state);
        each(spans).for_each(|index| state.expected.set(index));
        drop(state);
        active.insert(number, page);
        Ok(())
    }

    /// The other side can't give these chunks any more.
    ///
    /// # Errors
    /// [`Error::Net`] for chunks that are not awaited.
    pub fn lost(&self, number: u32, spans: &Spans) -> Result<()> {
        let unknown = || protocol("chunks are lost that were not awaited".into());
        let page = self.core.active(number).ok_or_else(unknown)?;
        let mut state = lock(&page.state);
        for index in each(spans) {
            if !state.expected.take(index) {
                return Err(unknown());
            }
        }
        drop(state);
        self.core.forget();
        Ok(())
    }

    /// Has what was written made durable now, and told.
    pub fn flush(&self) {
        lock(&self.core.shared).flushes = true;
        self.core.changed.notify_all();
    }

    /// What is new; waits until something is, or `timeout` is over.
    ///
    /// # Errors
    /// What ended the sink.
    pub fn news(&self, timeout: Duration) -> Result<ArchiveNews> {
        let core = &*self.core;
        let shared = lock(&core.shared);
        let is_quiet = |shared: &mut Shared| !shared.over && shared.news.is_empty();
        let waited = core.changed.wait_timeout_while(shared, timeout, is_quiet);
        let mut shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        let news = std::mem::take(&mut shared.news);
        shared.held = 0;
        drop(shared);
        core.changed.notify_all();
        if news.is_empty() && core.stopped.load(Ordering::Acquire) {
            return Err(lock(&core.error).take().unwrap_or(Error::Core(warp_core::Error::Cancelled)));
        }
        Ok(news)
    }

    /// Has `bell` called whenever there is news; it must not block.
    pub fn on_news(&self, bell: Box<dyn Fn() + Send + Sync>) {
        lock(&self.core.shared).bell = Some(bell);
    }

    /// Stored bytes of chunks that came and were what they should be.
    pub fn received(&self) -> u64 {
        self.core.received.load(Ordering::Relaxed)
    }

    /// Stops, and leaves what is written for another try.
    pub fn stop(&mut self) {
        self.core.stop(None);
        for thread in self.threads.drain(..) {
            // What a panic left is told by then.
            let _ = thread.join();
        }
    }
}

impl Drop for ArchiveSink {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Core {
    fn take_all(&self) -> Result<()> {
        while !self.stopped.load(Ordering::Acquire) {
            match self.link.receive_data(PATIENCE) {
                Ok(None) => {}
                Ok(Some(frame)) => self.take(frame)?,
                // Nothing more comes; what was sent is on its way through the other threads.
                Err(warp_net::Error::Cancelled) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take(&self, frame: Frame) -> Result<()> {
        let header = frame.header;
        match header.kind {
            Kind::Chunk => self.chunk(&frame),
            Kind::Bytes => self.hold(frame.payload, |news, data| news.bytes.push((header.number, data))),
            Kind::Page => {
                let number = u32::try_from(header.number);
                let number = number.map_err(|_| protocol("a locator page beyond the last".into()))?;
                if header.flags != 0 || header.auxiliary != u64::from(header.payload) {
                    return Err(protocol(format!("locator page {number} is not as it is stored")));
                }
                self.hold(frame.payload, |news, data| news.pages.push((number, data)))
            }
            kind => Err(protocol(format!("a frame of another kind of session: {kind:?}"))),
        }
    }

    /// Hands something to the caller, who may be behind.
    fn hold(&self, data: Bytes, keep: impl FnOnce(&mut ArchiveNews, Bytes)) -> Result<()> {
        let mut shared = lock(&self.shared);
        while shared.held >= MOST_HELD {
            if self.stopped.load(Ordering::Acquire) {
                return Err(warp_core::Error::Cancelled.into());
            }
            let waited = self.changed.wait_timeout(shared, PATIENCE);
            shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        // An empty frame costs something too.
        shared.held += data.len().max(256);
        keep(&mut shared.news, data);
        shared.bell.iter().for_each(|bell| bell());
        drop(shared);
        self.changed.notify_all();
        Ok(())
    }

    fn chunk(&self, frame: &Frame) -> Result<()> {
        let number = frame.header.number;
        let unasked = || protocol(format!("chunk {number} was not asked for"));
        let number_of_page = u32::try_from(number / PAGE_CHUNKS as u64).map_err(|_| unasked())?;
        let index = (number % PAGE_CHUNKS as u64) as u16;
        let page = self.active(number_of_page).ok_or_else(unasked)?;
        let located = page.locators.get(index).ok_or_else(unasked)?;
        {
            let mut state = lock(&page.state);
            if !state.expected.take(index) {
                return Err(unasked());
            }
            state.arriving.set(index);
        }
        if frame.payload.len() != located.length as usize {
            return Err(protocol(format!("chunk {number} of another length")));
        }
        if digest::hash(&frame.payload) != located.cid {
            return self.ask_again(&page, number_of_page, index);
        }
        let written = self.file.write_all_at(&frame.payload, located.offset);
        written.map_err(|error| warp_core::Error::io("write a chunk", error))?;
        self.received.fetch_add(located.length.into(), Ordering::Relaxed);
        let mut state = lock(&page.state);
        state.arriving.take(index);
        state.written.set(index);
        drop(state);
        self.dirty.fetch_add(located.length.into(), Ordering::AcqRel);
        Ok(())
    }

    fn ask_again(&self, page: &Active, number: u32, index: u16) -> Result<()> {
        let mut state = lock(&page.state);
        state.arriving.take(index);
        if state.damaged.has(index) {
            return Err(warp_core::Error::integrity(format!("chunk {index} of page {number}, twice")).into());
        }
        state.damaged.set(index);
        state.expected.set(index);
        drop(state);
        self.tell(|news| news.wants.push((number, vec![(index, 1)])));
        Ok(())
    }

    /// Lets go of pages of which nothing more is awaited.
    fn forget(&self) {
        lock(&self.active).retain(|_, page| {
            let state = lock(&page.state);
            !(state.expected.is_empty() && state.arriving.is_empty() && state.written.is_empty())
        });
    }

    fn active(&self, number: u32) -> Option<Arc<Active>> {
        lock(&self.active).get(&number).map(Arc::clone)
    }

    fn tell(&self, change: impl FnOnce(&mut ArchiveNews)) {
        let mut shared = lock(&self.shared);
        change(&mut shared.news);
        shared.bell.iter().for_each(|bell| bell());
        drop(shared);
        self.changed.notify_all();
    }

    /// Ends everything; the first reason counts.
    fn stop(&self, error: Option<Error>) {
        if let Some(error) = error {
            lock(&self.error).get_or_insert(error);
        }
        self.stopped.store(true, Ordering::Release);
        lock(&self.shared).over = true;
        self.tell(|_| ());
    }
}

/// A thread's panic ends the sink.
struct Guard(Arc<Core>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Some(warp_core::Error::integrity("state: a thread failed").into()));
        }
    }
}

fn protocol(what: String) -> Error {
    Error::Net(warp_net::Error::protocol(what))
}
