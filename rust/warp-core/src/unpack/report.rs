//! What an extraction tells its caller: totals, what was left out by rule, what failed.

use std::fmt::{self, Display};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use rustix::io::Errno;

use super::lock;
use super::strangers::{Reason, Strangers};
use crate::{Error, Result};

/// Errors that the next entry would meet too: they end the extraction.
const FATAL: [Errno; 4] = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS];

/// Totals of an extraction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries dealt with: restored, skipped or failed.
    pub entries: u64,
    /// Of these, entries that failed.
    pub failed: u64,
    /// Regular files restored.
    pub files: u64,
    /// Entries left out by rule.
    pub skipped: u64,
    /// Bytes written to files.
    pub bytes_written: u64,
    /// Of these, bytes of files that failed and are not there.
    pub bytes_discarded: u64,
    /// Files of which what is left is kept.
    pub kept: u64,
    /// Stored bytes read from the archive.
    pub bytes_read: u64,
    /// Chunks read.
    pub chunks: u64,
}

/// What was left out by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// An owner other than the one that a new file gets.
    Owner,
    /// A device.
    Device,
    /// A socket.
    Socket,
    /// setuid and setgid bits, and attributes that give privileges.
    Setuid,
    /// An extended attribute that the file system or the process may not have.
    Xattr,
    /// An entry that exists, or is already as it should be.
    Exists,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::Device, Self::Socket, Self::Setuid, Self::Xattr, Self::Exists];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Device => "device",
            Self::Socket => "socket",
            Self::Setuid => "setuid",
            Self::Xattr => "xattr",
            Self::Exists => "exists",
        }
    }
}

/// An entry that could not be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its stored path.
    pub path: Vec<u8>,
    /// What failed.
    pub what: String,
    /// The system's error number; 0 for damaged data.
    pub errno: i32,
    /// What is left of it all the same.
    pub rest: Option<Rest>,
}

/// What is left of a file with damaged data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// What became of it, for people.
    pub says: String,
    /// Stored path of the file that holds it; none if that could not be made, or nothing is left.
    pub kept: Option<Vec<u8>>,
    /// Start and end of places in it that are lost, sorted and apart: all, unless they are very many.
    pub lost: Vec<(u64, u64)>,
    /// Bytes that are lost.
    pub lost_bytes: u64,
}

/// Why an entry cannot be restored.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    what: String,
    errno: Option<Errno>,
}

impl Failure {
    pub fn system(what: impl Into<String>, errno: Errno) -> Self {
        Self { what: what.into(), errno: Some(errno) }
    }

    pub fn damage(what: impl Display) -> Self {
        Self { what: format!("damaged data: {what}"), errno: None }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let Some(errno) = self.errno else { return Ok(()) };
        let text = errno.to_string();
        write!(f, ": {}", text.split(" (os error").next().unwrap_or(&text))
    }
}

/// Names the operation that a system call was for.
pub(super) trait Attempt<T> {
    fn attempt(self, what: &'static str) -> std::result::Result<T, Failure>;
}

impl<T> Attempt<T> for rustix::io::Result<T> {
    fn attempt(self, what: &'static str) -> std::result::Result<T, Failure> {
        self.map_err(|errno| Failure::system(what, errno))
    }
}

/// How an entry ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Restored,
    Skipped(Skip),
    /// It is whole, and gets its name when it is durable.
    Waiting,
}

/// What one thread has counted since it last told.
#[derive(Default)]
pub(super) struct Tally(pub Totals);

/// The shared side, filled by all threads.
#[derive(Debug, Default)]
pub(super) struct Report {
    entries: AtomicU64,
    failed: AtomicU64,
    files: AtomicU64,
    skipped: AtomicU64,
    bytes_written: AtomicU64,
    bytes_discarded: AtomicU64,
    kept: AtomicU64,
    bytes_read: AtomicU64,
    chunks: AtomicU64,
    skips: [AtomicU64; Skip::ALL.len()],
    problems: Mutex<Vec<Problem>>,
    pub strangers: Strangers,
    stop: AtomicBool,
    fatal: Mutex<Option<Failure>>,
    running: Mutex<usize>,
    idle: Condvar,
}

impl Report {
    pub fn add(&self, tally: &mut Tally) {
        let totals = std::mem::take(&mut tally.0);
        for (counter, number) in [
            (&self.entries, totals.entries),
            (&self.failed, totals.failed),
            (&self.files, totals.files),
            (&self.skipped, totals.skipped),
            (&self.bytes_written, totals.bytes_written),
            (&self.bytes_discarded, totals.bytes_discarded),
            (&self.kept, totals.kept),
            (&self.bytes_read, totals.bytes_read),
            (&self.chunks, totals.chunks),
        ] {
            counter.fetch_add(number, Ordering::Relaxed);
        }
    }

    pub fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            entries: get(&self.entries),
            failed: get(&self.failed),
            files: get(&self.files),
            skipped: get(&self.skipped),
            bytes_written: get(&self.bytes_written),
            bytes_discarded: get(&self.bytes_discarded),
            kept: get(&self.kept),
            bytes_read: get(&self.bytes_read),
            chunks: get(&self.chunks),
        }
    }

    /// Count something left out by rule.
    pub fn skip(&self, skip: Skip) {
        if let Some(counter) = self.skips.get(skip as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn skips(&self) -> Vec<(Skip, u64)> {
        let counts = self.skips.iter().map(|n| n.load(Ordering::Relaxed));
        Skip::ALL.into_iter().zip(counts).collect()
    }

    /// Note an entry's failure; ends everything if the next entry would fail for the same reason.
    pub fn fail(&self, path: &[u8], failure: Failure) {
        self.note(path, &failure, None);
        if failure.errno.is_some_and(|errno| FATAL.contains(&errno)) {
            self.end(failure);
        }
    }

    /// Note an entry's failure, and what is left of it.
    pub fn note(&self, path: &[u8], failure: &Failure, rest: Option<Rest>) {
        let reason = if failure.errno.is_none() { Reason::Damaged } else { Reason::Failed };
        self.strangers.add(path, reason);
        lock(&self.problems).push(Problem {
            path: path.to_vec(),
            what: failure.what.clone(),
            errno: failure.errno.map_or(0, Errno::raw_os_error),
            rest,
        });
    }

    /// End everything: [`Report::wait`] gives the first reason.
    pub fn end(&self, failure: Failure) {
        lock(&self.fatal).get_or_insert(failure);
        self.stop();
    }

    pub fn problems(&self) -> Vec<Problem> {
        std::mem::take(&mut lock(&self.problems))
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn enter(&self) {
        *lock(&self.running) += 1;
    }

    /// A thread ends; the last one cleans up before anyone learns of it.
    pub fn leave(&self, clean_up: impl FnOnce()) {
        let mut running = lock(&self.running);
        if *running == 1 {
            clean_up();
        }
        *running -= 1;
        self.idle.notify_all();
    }

    /// Whether no thread runs.
    pub fn is_idle(&self) -> bool {
        *lock(&self.running) == 0
    }

    /// Wait until no thread runs or `timeout` is over; whether none runs.
    ///
    /// # Errors
    /// Once none runs: [`Error::Io`] if an error ended everything, [`Error::Cancelled`] if a caller did.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let running = lock(&self.running);
        let waited = self.idle.wait_timeout_while(running, timeout, |running| *running > 0);
        let running = waited.map_or_else(|poison| *poison.into_inner().0, |(guard, _)| *guard);
        if running > 0 || !self.stopped() {
            return Ok(running == 0);
        }
        match lock(&self.fatal).clone() {
            Some(Failure { what, errno }) => {
                let reason = errno.map_or_else(|| io::ErrorKind::Other.into(), io::Error::from);
                Err(Error::io(what, reason))
            }
            None => Err(Error::Cancelled),
        }
    }
}
