//! A live tree on its way: pages as they are made, fragments as they are wanted.
//!
//! ```text
//! walk ─▶ pipeline: read, cut, hash ─▶ pages ──▶ PAGE frames
//!                                        └─▶ held until wanted ─▶ FRAGMENTS frames (packed on threads) ─▶ link
//! ```
//! A page holds its place in the window until the last of its bytes is on its way. What is wanted of a page that is gone is read
//! once more from the tree, and checked. So is what was not read at all, since an earlier try in the same session has cut the file.

mod core;
mod frames;
mod gauge;
mod recall;
mod spare;

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use warp_core::catalogue::{Cuts, PageStore, Spans};
use warp_core::codec::Policy;
use warp_core::dedup::FragmentIndex;
use warp_core::digest::Digest;
use warp_core::pack::{CataloguePipeline, Counters, PackOptions, Problem};
use warp_core::walk::{Finder, Walker};
use warp_net::Link;

use self::core::{Core, Guard, Shared};
use self::frames::FrameJob;
use self::gauge::Gauge;
use self::spare::Spare;
use crate::throttle::Throttle;
use crate::{Result, lock};

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
    /// Pages that the sink says it has, by their number and the digest of their digests.
    pub here: Option<(u32, Digest)>,
}

/// Where a source keeps what it needs.
#[derive(Debug)]
pub struct SourceRecords {
    /// The pages, written anew.
    pub pages: File,
    /// How files were cut by those that sent this tree before, in this session.
    pub cuts: File,
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
    /// The first pages, which the sink has and which do not leave: how many since the beginning, and how many fragments.
    pub spared: Option<(u32, u64)>,
    /// New fragments of each page that is about to leave, in order; those that are spared come before them.
    pub pages: Vec<u16>,
    /// Fragments that were wanted and can't be read any more.
    pub lost: Vec<(u32, Spans)>,
    /// All of the tree was read.
    pub catalogued: Option<Catalogued>,
}

impl SourceNews {
    fn is_empty(&self) -> bool {
        self.spared.is_none() && self.pages.is_empty() && self.lost.is_empty() && self.catalogued.is_none()
    }
}

/// Sends a tree. All methods may be called from any thread.
pub struct TreeSource {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

impl TreeSource {
    /// Begins to send what `walker` finds; `finder` opens it again.
    ///
    /// # Errors
    /// [`Error::Core`] if threads cannot start or `records` cannot be written.
    pub fn new(
        link: Arc<Link>,
        walker: Arc<Mutex<Walker>>,
        finder: Finder,
        records: SourceRecords,
        pack: PackOptions,
        options: SourceOptions,
        throttle: Arc<Throttle>,
    ) -> Result<Self> {
        if options.everything {
            // Fragments that nobody asked for must not overtake their pages.
            link.keep_order();
        }
        let most = pack.cutter.sizes().max;
        let store = PageStore::open(records.pages, most)?;
        let spare = Mutex::new(Spare::new(&store, options.here)?);
        let cuts = Arc::new(Cuts::open(records.cuts, &pack.keys, &pack.cutter)?);
        let keys = Arc::clone(&pack.keys);
        let index = Arc::new(Mutex::new(FragmentIndex::new(pack.memory, std::env::temp_dir())));
        let pipeline = CataloguePipeline::new(pack, index, options.window, Some(Arc::clone(&cuts)))?;
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
            spare,
            cuts,
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
            None => core.page(number)?.listing.fragments.len(),
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
