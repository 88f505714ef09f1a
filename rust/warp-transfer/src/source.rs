//! A live tree on its way: pages as they are made, fragments as they are wanted.
//!
//! ```text
//! walk ─▶ pipeline: read, cut, hash ─▶ pages ──▶ PAGE frames
//!                                        └─▶ held until wanted ─▶ FRAGMENTS frames (packed on threads) ─▶ link
//! ```
//! A page holds its place in the window until the last of its bytes is on its way. What is wanted of a page that is gone is read
//! once more from the tree, and checked.

mod frames;
mod gauge;
mod recall;

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use warp_core::catalogue::{Layout, PageStore, Spans, StoredPage};
use warp_core::codec::{Codec, Policy};
use warp_core::dedup::FragmentIndex;
use warp_core::digest::{self, Digest};
use warp_core::keys::ScopeKeys;
use warp_core::pack::{CataloguePipeline, Counters, PackOptions, Page, Problem};
use warp_core::walk::{Finder, WalkBatch, Walker};
use warp_net::Link;
use warp_net::frame::Frame;

use self::frames::{FrameJob, Packer};
use self::gauge::Gauge;
use crate::throttle::Throttle;
use crate::{Error, Result};

/// How soon a thread that waits notices that everything stopped.
const PATIENCE: Duration = Duration::from_millis(100);
/// Entries that are walked at once.
const BATCH: usize = 4096;

/// How fragments are compressed on their way.
#[derive(Clone, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// By this policy.
    Always(Policy),
    /// By this policy while everything waits for the link, and it takes less than so many bytes a second.
    Adaptive(Policy, u64),
}

/// How to send.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// All fragments of each page go unasked.
    pub everything: bool,
    /// Bytes of raw fragments that pages which are not done with hold.
    pub window: usize,
    /// Threads that pack frames.
    pub threads: usize,
    /// Of fragments.
    pub compression: Compression,
}

/// All of the tree was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catalogued {
    /// How many pages.
    pub pages: u32,
    /// BLAKE3 of their digests.
    pub digest: Digest,
    /// What was read.
    pub counters: Counters,
}

/// What happened.
#[derive(Debug, Default)]
pub struct SourceNews {
    /// New fragments of each page that is about to leave, in order.
    pub pages: Vec<u16>,
    /// Fragments that were wanted and can't be read any more.
    pub lost: Vec<(u32, Spans)>,
    /// All of the tree was read.
    pub catalogued: Option<Catalogued>,
}

impl SourceNews {
    fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.lost.is_empty() && self.catalogued.is_none()
    }
}

/// Called when there is news.
type Bell = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Shared {
    news: SourceNews,
    over: bool,
    bell: Option<Bell>,
}

impl Shared {
    fn ring(&self) {
        self.bell.iter().for_each(|bell| bell());
    }
}

/// Sends a tree. All methods may be called from any thread.
pub struct TreeSource {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

struct Core {
    link: Arc<Link>,
    keys: Arc<ScopeKeys>,
    pipeline: CataloguePipeline,
    options: SourceOptions,
    throttle: Arc<Throttle>,
    store: PageStore,
    finder: Mutex<Finder>,
    /// Pages that were sent and not answered.
    waiting: Mutex<HashMap<u32, Arc<Page>>>,
    jobs: Mutex<Option<Sender<FrameJob>>>,
    sent_pages: AtomicU32,
    packed: AtomicU64,
    gauge: Mutex<Gauge>,
    shared: Mutex<Shared>,
    changed: Condvar,
    error: Mutex<Option<Error>>,
    stopped: AtomicBool,
    problems: Mutex<Vec<Problem>>,
    counters: Mutex<Counters>,
}

impl TreeSource {
    /// Begins to send what `walker` finds; `finder` opens it again, `records` takes the pages.
    ///
    /// # Errors
    /// [`Error::Core`] if threads cannot start or `records` cannot be written.
    pub fn new(
        link: Arc<Link>,
        walker: Arc<Mutex<Walker>>,
        finder: Finder,
        records: File,
        pack: PackOptions,
        options: SourceOptions,
        throttle: Arc<Throttle>,
    ) -> Result<Self> {
        let most = pack.cutter.sizes().max;
        let store = PageStore::open(records, most)?;
        store.truncate(0)?;
        let keys = Arc::clone(&pack.keys);
        let index = Arc::new(Mutex::new(FragmentIndex::new(pack.memory, std::env::temp_dir())));
        let pipeline = CataloguePipeline::new(pack, index, options.window)?;
        let (sender, jobs) = unbounded();
        let threads = options.threads.max(1);
        let below = if let Compression::Adaptive(_, below) = options.compression { below } else { 0 };
        let core = Arc::new(Core {
            link,
            keys,
            pipeline,
            options,
            throttle,
            store,
            finder: Mutex::new(finder),
            waiting: Mutex::default(),
            jobs: Mutex::new(Some(sender)),
            sent_pages: AtomicU32::new(0),
            packed: AtomicU64::new(0),
            gauge: Mutex::new(Gauge::new(below, Instant::now())),
            shared: Mutex::default(),
            changed: Condvar::new(),
            error: Mutex::new(None),
            stopped: AtomicBool::new(false),
            problems: Mutex::default(),
            counters: Mutex::default(),
        });
        let mut source = Self { core, threads: Vec::new() };
        source.start("warp-feed", move |core| core.feed(&walker))?;
        source.start("warp-pages", Core::send_pages)?;
        for _ in 0..threads {
            let jobs = jobs.clone();
            source.start("warp-frames", move |core| core.pack(&jobs))?;
        }
        Ok(source)
    }

    fn start(&mut self, name: &str, work: impl FnOnce(&Core) -> Result<()> + Send + 'static) -> Result<()> {
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

    /// The sink wants these fragments of a page, and of it no others unless it says so later.
    ///
    /// # Errors
    /// [`warp_core::Error::Format`] for a page that was not sent, or fragments that it does not have.
    pub fn answer(&self, number: u32, spans: &Spans) -> Result<()> {
        let core = &*self.core;
        let beyond =
            || warp_core::Error::format(format!("request for page {number}: it has no such fragments"));
        if number >= core.sent_pages.load(Ordering::Acquire) {
            return Err(beyond().into());
        }
        let page = lock(&core.waiting).remove(&number);
        let count = match &page {
            Some(page) => page.listing.fragments.len(),
            None => core.store.get(number)?.listing.fragments.len(),
        };
        let is_there = |(first, taken): &(u16, u16)| usize::from(*first) + usize::from(*taken) <= count;
        if !spans.iter().all(is_there) {
            return Err(beyond().into());
        }
        match page {
            Some(page) => core.queue(&page, spans),
            None if spans.is_empty() => Ok(()),
            None => core.submit(FrameJob::Again { number, spans: spans.clone() }),
        }
    }

    /// What is new; waits until something is, or `timeout` is over.
    ///
    /// # Errors
    /// What ended the source.
    pub fn news(&self, timeout: Duration) -> Result<SourceNews> {
        let core = &*self.core;
        let shared = lock(&core.shared);
        let is_quiet = |shared: &mut Shared| !shared.over && shared.news.is_empty();
        let waited = core.changed.wait_timeout_while(shared, timeout, is_quiet);
        let mut shared = waited.unwrap_or_else(PoisonError::into_inner).0;
        let news = std::mem::take(&mut shared.news);
        drop(shared);
        if news.is_empty() {
            core.check()?;
        }
        Ok(news)
    }

    /// Has `bell` called whenever there is news; it must not block.
    pub fn on_news(&self, bell: Box<dyn Fn() + Send + Sync>) {
        lock(&self.core.shared).bell = Some(bell);
    }

    /// What was read so far, pages sent, and raw bytes of fragments that were put on the link.
    pub fn totals(&self) -> (Counters, u32, u64) {
        let core = &*self.core;
        let pages = core.sent_pages.load(Ordering::Relaxed);
        (*lock(&core.counters), pages, core.packed.load(Ordering::Relaxed))
    }

    /// What could not be read since the last call.
    pub fn problems(&self) -> Vec<Problem> {
        std::mem::take(&mut lock(&self.core.problems))
    }

    /// Stops all threads and waits for them.
    pub fn stop(&mut self) {
        self.core.stop(None);
        *lock(&self.core.jobs) = None;
        self.core.pipeline.abort();
        for thread in self.threads.drain(..) {
            // What a panic left is told by then.
            let _ = thread.join();
        }
    }
}

impl Drop for TreeSource {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Core {
    /// Walks the tree and hands it to the pipeline.
    fn feed(&self, walker: &Mutex<Walker>) -> Result<()> {
        while let Some(batch) = next(walker)? {
            let mut is_taken = self.pipeline.submit(batch)?;
            while !is_taken {
                self.check()?;
                is_taken = self.pipeline.submit_rest()?;
            }
        }
        self.pipeline.finish();
        Ok(())
    }

    /// Takes pages from the pipeline, sends what they say and keeps them until they are answered.
    fn send_pages(&self) -> Result<()> {
        let mut packer = Packer::new();
        let mut catalogue = digest::Hasher::default();
        let mut position = 0;
        loop {
            let (page, is_last) = self.pipeline.next_page(PATIENCE)?;
            self.count()?;
            self.check()?;
            if let Some(page) = page {
                self.send_page(page, &mut packer, &mut catalogue, &mut position)?;
            }
            if is_last {
                break;
            }
        }
        self.count()?;
        let pages = self.sent_pages.load(Ordering::Relaxed);
        let catalogued = Catalogued { pages, digest: catalogue.digest(), counters: *lock(&self.counters) };
        self.tell(|news| news.catalogued = Some(catalogued));
        Ok(())
    }

    fn send_page(
        &self,
        page: Page,
        packer: &mut Packer,
        catalogue: &mut digest::Hasher,
        position: &mut u64,
    ) -> Result<()> {
        let raw = page.listing.encode();
        catalogue.update(&digest::hash(&raw));
        let (codec, frame) = packer.page(page.number, &raw)?;
        let stored = self.stored(&page, position)?;
        self.store.append(&stored, codec, &raw, &frame.payload)?;
        let page = Arc::new(page);
        if !self.options.everything {
            lock(&self.waiting).insert(page.number, Arc::clone(&page));
        }
        self.sent_pages.store(page.number + 1, Ordering::Release);
        let fragments = page.listing.fragments.len() as u16;
        self.tell(|news| news.pages.push(fragments));
        self.send(frame)?;
        if self.options.everything {
            let all = (fragments > 0).then_some((0, fragments));
            self.queue(&page, &all.into_iter().collect())?;
        }
        Ok(())
    }

    /// A page as it is kept to find its fragments again; `end` is where the file that goes on has come to.
    fn stored(&self, page: &Page, end: &mut u64) -> Result<Arc<StoredPage>> {
        let position = if page.listing.resumes { *end } else { 0 };
        let mut earlier = |first, left| self.store.span(first, left);
        let layout = Layout::new(&page.listing, page.first, position, &mut earlier)?;
        *end = layout.end(&page.listing, position);
        Ok(Arc::new(StoredPage {
            number: page.number,
            base: page.first,
            position,
            listing: page.listing.clone(),
            places: layout.places,
            offsets: layout.offsets,
        }))
    }

    fn count(&self) -> Result<()> {
        let events = self.pipeline.poll(Duration::ZERO)?;
        *lock(&self.counters) = events.counters;
        lock(&self.problems).extend(events.problems);
        Ok(())
    }

    /// Fragments of a page are to be sent.
    fn queue(&self, page: &Arc<Page>, spans: &Spans) -> Result<()> {
        for runs in frames::cut(&page.listing, spans) {
            self.submit(FrameJob::Page { page: Arc::clone(page), runs })?;
        }
        Ok(())
    }

    fn submit(&self, job: FrameJob) -> Result<()> {
        match lock(&self.jobs).as_ref() {
            Some(sender) => sender.send(job).map_err(|_| Error::Core(warp_core::Error::Cancelled)),
            None => Err(Error::Core(warp_core::Error::Cancelled)),
        }
    }

    /// Packs frames until there are no more.
    fn pack(&self, jobs: &Receiver<FrameJob>) -> Result<()> {
        let mut packer = Packer::new();
        for job in jobs {
            self.check()?;
            match job {
                FrameJob::Page { page, runs } => {
                    let frame = packer.fragments(self, &page, &runs)?;
                    self.packed.fetch_add(frame.header.auxiliary, Ordering::Relaxed);
                    drop(page);
                    self.send(frame)?;
                }
                FrameJob::Again { number, spans } => self.again(&mut packer, number, &spans)?,
            }
        }
        Ok(())
    }

    /// Whether the link is slow, and everything waits for it.
    fn is_slow(&self) -> bool {
        lock(&self.gauge).note(0, self.link.backlog(), Instant::now())
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
        lock(&self.gauge).note(frame.size(), self.link.backlog(), Instant::now());
        let mut frame = frame;
        while let Some(back) = self.link.send_data(frame, PATIENCE)? {
            self.check()?;
            frame = back;
        }
        Ok(())
    }

    fn tell(&self, change: impl FnOnce(&mut SourceNews)) {
        let mut shared = lock(&self.shared);
        change(&mut shared.news);
        shared.ring();
        drop(shared);
        self.changed.notify_all();
    }

    fn check(&self) -> Result<()> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(lock(&self.error).take().unwrap_or(Error::Core(warp_core::Error::Cancelled)))
    }

    /// Ends everything; the first reason counts.
    fn stop(&self, error: Option<Error>) {
        if let Some(error) = error {
            lock(&self.error).get_or_insert(error);
        }
        self.stopped.store(true, Ordering::Release);
        let mut shared = lock(&self.shared);
        shared.over = true;
        shared.ring();
        drop(shared);
        self.changed.notify_all();
    }
}

/// The next entries of a walk, which others may ask for its problems meanwhile.
fn next(walker: &Mutex<Walker>) -> warp_core::Result<Option<WalkBatch>> {
    lock(walker).next(BATCH)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The codecs that frames may have.
fn is_sent(codec: Codec) -> bool {
    matches!(codec, Codec::Store | Codec::Zstd | Codec::Lz4)
}
