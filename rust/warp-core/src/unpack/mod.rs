//! Restoring entries below a directory, driven by chunks.
//!
//! One thread plans: it makes directories and lists, for a window of entries, which file needs which piece of which
//! chunk. The others take chunks in file order, decode each once a window and write its pieces wherever they belong.
//! Everything is reached from the target's descriptor without following links; a file appears under its name when it
//! is complete, and not before.

mod beneath;
mod close;
mod existing;
mod files;
mod landing;
mod made;
mod metadata;
mod naming;
mod plan;
mod queue;
mod report;
mod restore;
mod session;
mod strangers;
mod trail;
mod tree;
mod window;
mod worker;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, bounded};
use rustix::fs::Stat;
use rustix::io::Errno;

use self::beneath::TemporaryNames;
use self::files::OpenFiles;
use self::made::Made;
use self::metadata::Rules;
use self::plan::Planner;
use self::queue::Queue;
use self::report::{Failure, Report};
use self::restore::Restorer;
use self::session::Session;
use self::worker::Worker;
use crate::chunk_index::ChunkIndex;
use crate::keys::ScopeKeys;
use crate::table::EntryTable;
use crate::{Error, Result};

pub use self::landing::{Arrival, Landed, Landing, LandingOptions, News, Records, Span};
pub use self::report::{Problem, Rest, Skip, Totals};

/// Tables that may wait for the planner.
const WAITING_TABLES: usize = 2;
/// How long it waits where tables have no room in memory.
const ROOM_PATIENCE: Duration = Duration::from_millis(5);
/// Memory below which tables are not held back.
const LEAST_MEMORY: usize = 32 << 20;
/// How long [`UnpackPipeline::submit`] waits for room.
const SUBMIT_PATIENCE: Duration = Duration::from_millis(100);

/// What happens to a file that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays.
    Never,
    /// It stays if its type, size and time of modification are those of the entry; then its owner and mode are set.
    Changed,
    /// It is replaced.
    Always,
}

/// Where an archive's data comes from.
#[derive(Debug)]
pub struct Archive {
    /// The archive.
    pub fd: OwnedFd,
    /// A complete index of its chunks.
    pub index: Arc<ChunkIndex>,
    /// The keys to its chunks.
    pub keys: Arc<ScopeKeys>,
}

/// How to restore.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What happens to what exists.
    pub overwrite: Overwrite,
    /// Restore owners and groups.
    pub owners: bool,
    /// Restore devices.
    pub devices: bool,
    /// Keep setuid and setgid bits.
    pub setuid: bool,
    /// All of a snapshot is restored: a directory without an entry has lost it, and may have been a private one.
    pub whole: bool,
    /// Keep what is left of damaged files, with zeros in place of what is lost: `.damaged-` and a part of `tag` follow their names.
    pub keep_damaged: bool,
    /// Names temporary files: the same for each try of an extraction.
    pub tag: [u8; 8],
    /// Threads that decode and write.
    pub threads: usize,
    /// Bytes that plans and their entries may take, roughly.
    pub memory: usize,
}

/// Where entries are restored and how, wherever their data comes from.
#[derive(Debug)]
struct Site {
    target: Arc<OwnedFd>,
    overwrite: Overwrite,
    devices: bool,
    whole: bool,
    /// Of a landing: its entries come from another machine, and what exists is not theirs, however it looks.
    session: Option<Arc<Session>>,
    /// What ends the names of damaged files that are kept.
    keep_damaged: Option<Vec<u8>>,
    rules: Rules,
    names: TemporaryNames,
    made: Made,
    report: Report,
    files: OpenFiles,
}

impl Site {
    fn new(target: OwnedFd, options: &Options, session: Option<Arc<Session>>) -> Self {
        Self {
            target: Arc::new(target),
            overwrite: options.overwrite,
            devices: options.devices,
            whole: options.whole,
            keep_damaged: options.keep_damaged.then(|| damaged_ending(&options.tag)),
            rules: Rules::new(options.owners, options.setuid),
            names: TemporaryNames::new(&options.tag, session.is_some()),
            session,
            made: Made::default(),
            report: Report::default(),
            files: OpenFiles::default(),
        }
    }

    /// Whether an earlier try of this landing put there what lies at a stored path.
    fn is_ours(&self, path: &[u8], stat: &Stat) -> bool {
        self.session.as_ref().is_some_and(|session| session.has(path, stat))
    }

    /// Refuse an entry that would lie where temporary files do.
    fn check_name(&self, path: &[u8]) -> std::result::Result<(), Failure> {
        if self.names.has(path) {
            return Err(Failure::system("its name is one of temporary files", Errno::INVAL));
        }
        Ok(())
    }
}

/// What all threads of an extraction share.
#[derive(Debug)]
struct Context {
    archive: OwnedFd,
    index: Arc<ChunkIndex>,
    keys: Arc<ScopeKeys>,
    site: Arc<Site>,
    queue: Queue,
}

/// Entries of a table to restore: all, or those at these indices.
struct Batch {
    table: Arc<EntryTable>,
    indices: Option<Vec<usize>>,
}

/// Restores entries on threads of its own.
#[derive(Debug)]
pub struct UnpackPipeline {
    context: Arc<Context>,
    batches: Option<Sender<Batch>>,
    threads: Vec<JoinHandle<()>>,
    /// Tables handed in, with what they weigh, until nothing refers to them any more.
    alive: Mutex<Vec<(Weak<EntryTable>, usize)>>,
    memory: usize,
}

impl UnpackPipeline {
    /// Start the threads; entries are restored below the directory `target`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the index is not complete, [`Error::Io`] if threads cannot start.
    pub fn new(archive: Archive, target: OwnedFd, options: &Options) -> Result<Self> {
        if !archive.index.is_complete() {
            return Err(Error::Parameter("index: extraction needs to know its chunks".into()));
        }
        let context = Arc::new(Context {
            archive: archive.fd,
            index: archive.index,
            keys: archive.keys,
            site: Arc::new(Site::new(target, options, None)),
            queue: Queue::default(),
        });
        let (sender, receiver) = bounded(WAITING_TABLES);
        let planner = Planner::new(&context, options.memory);
        let memory = options.memory.max(LEAST_MEMORY);
        let mut pipeline =
            Self { context, batches: Some(sender), threads: Vec::new(), alive: Mutex::default(), memory };
        let context = Arc::clone(&pipeline.context);
        pipeline.start("warp-plan", move || {
            planner.run(&receiver);
            context.queue.close();
        })?;
        for _ in 0..pipeline.context.index.decoders(options.threads.max(1)) {
            let worker = Worker::new(&pipeline.context);
            pipeline.start("warp-unpack", move || worker.run())?;
        }
        Ok(pipeline)
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let running = Running::new(&self.context.site);
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let _running = running;
            work();
        });
        self.threads.push(thread.map_err(|error| Error::io("start a thread", error))?);
        Ok(())
    }

    /// Hand in entries of a table in archive order, all or those at `indices`; false if there is no room within
    /// 100 ms, or everything stopped, which [`UnpackPipeline::poll`] explains.
    ///
    /// # Errors
    /// [`Error::Parameter`] after [`UnpackPipeline::finish`] or for an index that the table does not have.
    pub fn submit(&self, table: Arc<EntryTable>, indices: Option<Vec<usize>>) -> Result<bool> {
        let Some(batches) = &self.batches else {
            return Err(Error::Parameter("entries: after the end".into()));
        };
        let most = indices.iter().flatten().max();
        if most.is_some_and(|index| *index >= table.entries.len()) {
            return Err(Error::Parameter("index: outside the table".into()));
        }
        if !self.has_room(&table) {
            thread::sleep(ROOM_PATIENCE);
            return Ok(false);
        }
        let sent = batches.send_timeout(Batch { table, indices }, SUBMIT_PATIENCE);
        Ok(match sent {
            Ok(()) => true,
            Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_)) => false,
        })
    }

    /// Whether a table may come into memory beside those that are there. One always may if little is: a window that is
    /// still planned holds less than a quarter of the memory, so the others are worked off.
    fn has_room(&self, table: &Arc<EntryTable>) -> bool {
        let weight = table.weight();
        let mut alive = lock(&self.alive);
        if alive.last().is_some_and(|(last, _)| std::ptr::eq(last.as_ptr(), Arc::as_ptr(table))) {
            return true;
        }
        alive.retain(|(table, _)| table.strong_count() > 0);
        let held: usize = alive.iter().map(|(_, weight)| weight).sum();
        if held > self.memory / 4 && held + weight > self.memory / 4 * 3 {
            return false;
        }
        alive.push((Arc::downgrade(table), weight));
        true
    }

    /// No more entries.
    pub fn finish(&mut self) {
        self.batches = None;
    }

    /// Totals so far, and whether all is done; waits until it is or `timeout` is over.
    ///
    /// # Errors
    /// Once all threads have stopped: [`Error::Io`] if an error like a full disk ended the extraction,
    /// [`Error::Cancelled`] after [`UnpackPipeline::abort`].
    pub fn poll(&self, timeout: Duration) -> Result<(Totals, bool)> {
        let done = self.context.site.report.wait(timeout)?;
        Ok((self.context.site.report.totals(), done))
    }

    /// What failed since the last call.
    pub fn problems(&self) -> Vec<Problem> {
        self.context.site.report.problems()
    }

    /// How often something was left out by rule.
    pub fn skips(&self) -> Vec<(Skip, u64)> {
        self.context.site.report.skips()
    }

    /// Stop all threads, wait for them and remove temporary files; idempotent. Does nothing if all is done.
    pub fn abort(&mut self) {
        if !self.context.site.report.is_idle() {
            self.context.site.report.stop();
        }
        self.batches = None;
        for thread in self.threads.drain(..) {
            // What a panic left is cleaned up and told by then.
            let _ = thread.join();
        }
    }
}

impl Drop for UnpackPipeline {
    fn drop(&mut self) {
        self.abort();
    }
}

/// A thread at work; its end, however it comes, is noticed.
struct Running {
    site: Arc<Site>,
}

impl Running {
    fn new(site: &Arc<Site>) -> Self {
        site.report.enter();
        Self { site: Arc::clone(site) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let site = &self.site;
        if thread::panicking() {
            site.report.end(Failure::damage("a thread failed"));
        }
        site.report.leave(|| {
            let mut restorer = Restorer::new(site);
            for file in site.files.drain() {
                restorer.discard_file(&file);
            }
        });
    }
}

/// What follows the name of a file that is kept although it is damaged: of the extraction's tag, since a file that is packed
/// may be called `NAME.damaged`, and must neither be taken for it nor be replaced by it.
fn damaged_ending(tag: &[u8; 8]) -> Vec<u8> {
    let tag: String = tag.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!(".damaged-{tag}").into_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
