//! What the threads of a source share, and what they do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use warp_core::catalogue::{Cuts, Layout, PageStore, Spans, StoredPage};
use warp_core::digest;
use warp_core::keys::ScopeKeys;
use warp_core::pack::{CataloguePipeline, Counters, Page, Problem};
use warp_core::walk::{Finder, WalkBatch, Walker};
use warp_net::Link;
use warp_net::frame::Frame;

use super::frames::{self, FrameJob, Packer};
use super::gauge::Gauge;
use super::spare::Spare;
use super::{Catalogued, SourceNews, SourceOptions};
use crate::throttle::Throttle;
use crate::{Error, Result, lock};

/// How soon a thread that waits notices that everything stopped.
const PATIENCE: Duration = Duration::from_millis(100);
/// Entries that are walked at once.
const BATCH: usize = 4096;

/// Called when there is news.
type Bell = Box<dyn Fn() + Send + Sync>;

/// What those above wait for.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) news: SourceNews,
    pub(super) over: bool,
    pub(super) bell: Option<Bell>,
}

impl Shared {
    fn ring(&self) {
        self.bell.iter().for_each(|bell| bell());
    }
}

/// The state of a source, which its threads work on.
pub(super) struct Core {
    pub(super) link: Arc<Link>,
    pub(super) keys: Arc<ScopeKeys>,
    pub(super) pipeline: CataloguePipeline,
    pub(super) options: SourceOptions,
    pub(super) throttle: Arc<Throttle>,
    pub(super) store: PageStore,
    pub(super) spare: Mutex<Spare>,
    pub(super) cuts: Arc<Cuts>,
    pub(super) finder: Mutex<Finder>,
    /// Pages that were sent and not answered.
    pub(super) waiting: Mutex<HashMap<u32, Arc<Page>>>,
    pub(super) jobs: Mutex<Option<Sender<FrameJob>>>,
    pub(super) sent_pages: AtomicU32,
    pub(super) packed: AtomicU64,
    pub(super) gauge: Mutex<Gauge>,
    pub(super) shared: Mutex<Shared>,
    pub(super) changed: Condvar,
    pub(super) error: Mutex<Option<Error>>,
    pub(super) stopped: AtomicBool,
    pub(super) problems: Mutex<Vec<Problem>>,
    pub(super) counters: Mutex<Counters>,
}

impl Core {
    /// Walks the tree and hands it to the pipeline.
    pub(super) fn feed(&self, walker: &Mutex<Walker>) -> Result<()> {
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
    pub(super) fn send_pages(&self) -> Result<()> {
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
        self.spared(true);
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
        let digest = digest::hash(&raw);
        catalogue.update(&digest);
        if self.is_spared(&page, &digest)? {
            return Ok(());
        }
        if let Some(end) = self.send_on(&page)? {
            *position = end;
        }
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
        let mut earlier = |first, left| self.earlier(first, left);
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
    pub(super) fn queue(&self, page: &Arc<Page>, spans: &Spans) -> Result<()> {
        let [read, unread] = page.split(spans);
        for runs in frames::cut(&page.listing, &read) {
            self.submit(FrameJob::Page { page: Arc::clone(page), runs })?;
        }
        for runs in frames::cut(&page.listing, &unread) {
            self.submit(FrameJob::Unread { page: Arc::clone(page), runs })?;
        }
        Ok(())
    }

    pub(super) fn submit(&self, job: FrameJob) -> Result<()> {
        match lock(&self.jobs).as_ref() {
            Some(sender) => sender.send(job).map_err(|_| Error::Core(warp_core::Error::Cancelled)),
            None => Err(Error::Core(warp_core::Error::Cancelled)),
        }
    }

    /// Packs frames until there are no more.
    pub(super) fn pack(&self, jobs: &Receiver<FrameJob>) -> Result<()> {
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
                FrameJob::Unread { page, runs } => self.again(&mut packer, page.number, &runs)?,
                FrameJob::Again { number, spans } => self.again(&mut packer, number, &spans)?,
            }
        }
        Ok(())
    }

    /// Whether the link is slow, and everything waits for it.
    pub(super) fn is_slow(&self) -> bool {
        lock(&self.gauge).note(0, self.link.backlog(), Instant::now())
    }

    /// Puts a frame on the link when there is room, and when it is due.
    pub(super) fn send(&self, frame: Frame) -> Result<()> {
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

    pub(super) fn tell(&self, change: impl FnOnce(&mut SourceNews)) {
        let mut shared = lock(&self.shared);
        change(&mut shared.news);
        shared.ring();
        drop(shared);
        self.changed.notify_all();
    }

    pub(super) fn check(&self) -> Result<()> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(lock(&self.error).take().unwrap_or(Error::Core(warp_core::Error::Cancelled)))
    }

    /// Ends everything; the first reason counts.
    pub(super) fn stop(&self, error: Option<Error>) {
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
pub(super) struct Guard(pub(super) Arc<Core>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Some(warp_core::Error::integrity("state: a thread failed").into()));
        }
    }
}
