//! Restoring a tree from its catalogue and fragments, as they come over a connection (docs/transfer-protocol.md §6).
//!
//! ```text
//! page ──▶ planned: directories, places of fragments ──▶ what is wanted
//! fragments ──▶ checked by id ──▶ written where they belong ──▶ (all of a file) metadata, name
//!                                   └─▶ from time to time: sync, journal ──▶ what is kept
//! ```
//! Nothing is written before its id was checked, and nothing has its name before it is complete, and durable. What was met before is read
//! from where it lies, checked again, and asked for again if it is not what it was. A killed landing goes on from its pages and
//! its journal.

mod active;
mod arrive;
pub(super) mod base;
mod early;
pub(super) mod held;
mod jobs;
mod local;
mod page;
mod plan;
mod same;
mod sync;
mod take;
mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use self::active::Active;
use self::early::EarlyLosses;
use self::held::Account;
use self::jobs::Jobs;
use self::local::LocalJob;
use self::page::ActivePage;
use self::plan::Planner;
use self::turns::{Turn, Turns};
use super::report::Failure;
use super::restore::Restorer;
use super::session::Session;
use super::{Options, Problem, Site, Skip, Totals, lock};
use crate::catalogue::{Journal, Noted, PageStore, Spans};
use crate::cutter::Cutter;
use crate::digest::Digest;
use crate::keys::ScopeKeys;
use crate::{Error, Result};

pub use self::arrive::{Arrival, Span};

/// Where a landing keeps what it needs to go on.
#[derive(Debug)]
pub struct Records {
    /// The pages.
    pub pages: File,
    /// The journal.
    pub journal: File,
    /// Session that both belong to.
    pub session: [u8; 16],
}

/// How to land.
#[derive(Clone, Copy, Debug)]
pub struct LandingOptions {
    /// How to restore; the tag is that of the session.
    pub restore: Options,
    /// The other side sends all of each page unasked.
    pub everything: bool,
    /// What is written becomes durable after so many bytes …
    pub epoch_bytes: u64,
    /// … or so long.
    pub epoch: Duration,
}

/// What the other side is to be told, and how it ended.
#[derive(Debug, Default)]
pub struct News {
    /// Fragments wanted of a page; none at all is news too.
    pub wants: Vec<(u32, Spans)>,
    /// Epochs, with what became durable in each.
    pub kept: Vec<(u64, BTreeMap<u32, Spans>)>,
    /// All is restored and durable.
    pub landed: Option<Landed>,
}

/// The end of a landing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Of the whole catalogue.
    pub digest: Digest,
    /// How much was restored.
    pub totals: Totals,
}

/// What the other side says the catalogue is.
#[derive(Clone, Copy, Debug)]
struct Goal {
    pages: u32,
}

/// Called when there is news.
type Bell = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Shared {
    news: News,
    goal: Option<Goal>,
    over: bool,
    bell: Option<Bell>,
}

impl Shared {
    fn ring(&self) {
        self.bell.iter().for_each(|bell| bell());
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("over", &self.over).finish_non_exhaustive()
    }
}

/// Restores a tree while it comes. All methods may be called from any thread.
#[derive(Debug)]
pub struct Landing {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

/// What all threads share.
#[derive(Debug)]
struct Core {
    site: Arc<Site>,
    session: Arc<Session>,
    keys: Arc<ScopeKeys>,
    cutter: Cutter,
    options: LandingOptions,
    store: PageStore,
    journal: Mutex<Journal>,
    /// What the journal had when the landing began.
    before: Mutex<Noted>,
    planner: Mutex<Planner>,
    active: Mutex<Active>,
    order: Mutex<Turns>,
    /// Pages whose files are complete, with links and directories that wait until those have their names.
    ending: Mutex<Vec<Turn>>,
    /// Memory that pages take.
    account: Account,
    /// Memory that indices of files of before take.
    bases: Account,
    early: Mutex<EarlyLosses>,
    /// Pages that are not answered yet, in order.
    unanswered: Mutex<VecDeque<Arc<ActivePage>>>,
    local: Jobs,
    shared: Mutex<Shared>,
    changed: Condvar,
    error: Mutex<Option<Error>>,
    stopped: AtomicBool,
    /// Local jobs that are not done.
    jobs: AtomicU64,
    /// Fragments that wait to be written to one file more.
    late: AtomicU64,
    /// Bytes written since the last epoch.
    dirty: AtomicU64,
    received: AtomicU64,
    /// Bytes of files that are dealt with.
    covered: AtomicU64,
    /// The first pages, which the other side did not send: nobody waits for an answer to them.
    spared: AtomicU32,
}

impl Landing {
    /// Restores below `target`; `cutter` is that of the sender.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the records are those of another session, [`Error::Io`].
    pub fn new(
        target: OwnedFd,
        records: Records,
        keys: Arc<ScopeKeys>,
        cutter: Cutter,
        options: LandingOptions,
    ) -> Result<Self> {
        let store = PageStore::open(records.pages, cutter.sizes().max)?;
        let (journal, mut before) = Journal::open(records.journal, &records.session)?;
        let session = Arc::new(Session::new(before.take_restored()));
        let site = Arc::new(Site::new(target, &options.restore, Some(Arc::clone(&session))));
        let account = Account::default();
        let core = Arc::new(Core {
            planner: Mutex::new(Planner::new(&site, store.len(), &account)),
            site,
            session,
            keys,
            cutter,
            options,
            store,
            journal: Mutex::new(journal),
            before: Mutex::new(before),
            active: Mutex::default(),
            order: Mutex::default(),
            ending: Mutex::default(),
            account,
            bases: Account::default(),
            early: Mutex::default(),
            unanswered: Mutex::default(),
            local: Jobs::new(options.restore.threads),
            shared: Mutex::default(),
            changed: Condvar::new(),
            error: Mutex::new(None),
            stopped: AtomicBool::new(false),
            jobs: AtomicU64::new(0),
            late: AtomicU64::new(0),
            dirty: AtomicU64::new(0),
            received: AtomicU64::new(0),
            covered: AtomicU64::new(0),
            spared: AtomicU32::new(0),
        });
        let mut landing = Self { core, threads: Vec::new() };
        for _ in 0..options.restore.threads.max(1) {
            let core = Arc::clone(&landing.core);
            landing.start("warp-local", move || local::run(&core))?;
        }
        let core = Arc::clone(&landing.core);
        landing.start("warp-sync", move || sync::run(&core))?;
        let core = Arc::clone(&landing.core);
        landing.start("warp-note", move || sync::note(&core))?;
        Ok(landing)
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let guard = Guard(core);
            work();
            drop(guard);
        });
        self.threads.push(thread.map_err(|error| Error::io("start a thread", error))?);
        Ok(())
    }

    /// One thread's hold, for [`Landing::fragments`].
    pub fn arrival(&self) -> Arrival {
        Arrival { restorer: Restorer::new(&self.core.site) }
    }

    /// All pages were sent: so many.
    ///
    /// # Errors
    /// [`Error::Format`] if more came, or this was said before.
    pub fn finish(&self, pages: u32) -> Result<()> {
        let planned = lock(&self.core.planner).next;
        let mut shared = lock(&self.core.shared);
        if planned > pages || shared.goal.is_some() {
            return Err(Error::format(format!("end of a catalogue: {pages} pages after {planned}")));
        }
        shared.goal = Some(Goal { pages });
        drop(shared);
        self.core.local.release();
        self.core.changed.notify_all();
        Ok(())
    }

    /// What is new; waits until something is, or `timeout` is over.
    ///
    /// # Errors
    /// What ended the landing: [`Error::Io`], [`Error::Integrity`], [`Error::Format`], [`Error::Cancelled`].
    pub fn news(&self, timeout: Duration) -> Result<News> {
        let shared = lock(&self.core.shared);
        let is_quiet = |shared: &mut Shared| {
            let news = &shared.news;
            !shared.over && news.wants.is_empty() && news.kept.is_empty() && news.landed.is_none()
        };
        let waited = self.core.changed.wait_timeout_while(shared, timeout, is_quiet);
        let mut shared = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        let news = std::mem::take(&mut shared.news);
        let is_empty = news.wants.is_empty() && news.kept.is_empty() && news.landed.is_none();
        drop(shared);
        if is_empty {
            self.core.check()?;
        }
        Ok(news)
    }

    /// Has `bell` called whenever there is news; it must not block.
    pub fn on_news(&self, bell: Box<dyn Fn() + Send + Sync>) {
        lock(&self.core.shared).bell = Some(bell);
    }

    /// Totals so far, and the bytes of fragments that came.
    pub fn totals(&self) -> (Totals, u64) {
        (self.core.site.report.totals(), self.core.received.load(Ordering::Relaxed))
    }

    /// Bytes of files, with their holes, that are dealt with: written, here already, left as they are, or given up. In the end it is
    /// all that the tree has.
    pub fn covered(&self) -> u64 {
        self.core.covered.load(Ordering::Relaxed)
    }

    /// What failed since the last call.
    pub fn problems(&self) -> Vec<Problem> {
        self.core.site.report.problems()
    }

    /// How often something was left out by rule.
    pub fn skips(&self) -> Vec<(Skip, u64)> {
        self.core.site.report.skips()
    }

    /// Stops soon, and leaves what is written for another try.
    pub fn cancel(&self) {
        self.core.stop(None);
    }

    /// Stops, and leaves what is written for another try.
    pub fn stop(&mut self) {
        self.core.stop(None);
        self.core.local.end();
        for thread in self.threads.drain(..) {
            // What a panic left is told by then.
            let _ = thread.join();
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Core {
    fn check(&self) -> Result<()> {
        if !self.stopped.load(Ordering::Acquire) && !self.site.report.stopped() {
            return Ok(());
        }
        match lock(&self.error).take() {
            Some(error) => Err(error),
            // An error like a full disk ends the report by itself.
            None => self.site.report.wait(Duration::ZERO).and(Err(Error::Cancelled)),
        }
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

    fn running(&self) -> bool {
        !self.stopped.load(Ordering::Acquire) && !self.site.report.stopped()
    }

    fn tell(&self, change: impl FnOnce(&mut News)) {
        let mut shared = lock(&self.shared);
        change(&mut shared.news);
        shared.ring();
        drop(shared);
        self.changed.notify_all();
    }

    /// An active page.
    fn active(&self, number: u32) -> Option<Arc<ActivePage>> {
        lock(&self.active).get(number)
    }

    fn submit(&self, job: LocalJob) {
        self.jobs.fetch_add(1, Ordering::AcqRel);
        self.local.push(job);
    }
}

/// A thread's panic ends the landing.
struct Guard(Arc<Core>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.site.report.end(Failure::damage("a thread failed"));
            self.0.stop(None);
        }
    }
}
