//! What a landing keeps of its session: files that are whole and wait to be durable before they get their names, and which files of
//! the target earlier tries have put there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Stat;

use super::lock;
use super::made::Identity;
use crate::catalogue::Restored;
use crate::digest;
use crate::entry::Kind;

/// Bytes of a file that waits, besides its path.
const WAITING_BYTES: u64 = 160;

/// A file that is whole, at its temporary name.
#[derive(Debug)]
pub(super) struct Waiting {
    pub path: Vec<u8>,
    pub temporary: Vec<u8>,
    pub kind: Kind,
    pub made: Identity,
    /// What will be noted of it.
    pub note: Restored,
    /// Bytes of it that were written.
    pub written: u64,
}

impl Waiting {
    fn weight(&self) -> u64 {
        self.path.capacity() as u64 + WAITING_BYTES
    }
}

/// What a file of the target is noted by: its path, and all that would change with another file there, or another content.
pub(super) fn note(path: &[u8], stat: &Stat) -> Restored {
    let mut state = Vec::with_capacity(32);
    state.extend(stat.st_ino.to_le_bytes());
    state.extend(stat.st_size.to_le_bytes());
    state.extend(stat.st_mtime.to_le_bytes());
    state.extend(stat.st_mtime_nsec.to_le_bytes());
    let short = |bytes: &[u8]| {
        let digest = digest::hash(bytes);
        u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
    };
    (short(path), short(&state))
}

/// One landing's part of it.
#[derive(Debug)]
pub(super) struct Session {
    /// Files of earlier tries, sorted.
    before: Vec<Restored>,
    waiting: Mutex<Vec<Waiting>>,
    /// Names that were given since the journal was written.
    given: Mutex<Vec<Restored>>,
    /// Bytes of memory that all that waits takes, roughly.
    weight: AtomicU64,
}

impl Session {
    pub fn new(before: Vec<Restored>) -> Self {
        Self { before, waiting: Mutex::default(), given: Mutex::default(), weight: AtomicU64::new(0) }
    }

    /// Whether an earlier try put it there, and it is as it was then.
    pub fn has(&self, path: &[u8], stat: &Stat) -> bool {
        self.goes_on() && self.before.binary_search(&note(path, stat)).is_ok()
    }

    /// Whether an earlier try put anything there.
    pub fn goes_on(&self) -> bool {
        !self.before.is_empty()
    }

    /// A file waits for its name.
    pub fn wait(&self, file: Waiting) {
        self.hold(file.weight());
        lock(&self.waiting).push(file);
    }

    /// A further name was given.
    pub fn give(&self, note: Restored) {
        lock(&self.given).push(note);
    }

    /// What waits, and the notes that are to be durable before it gets its names.
    pub fn take(&self) -> (Vec<Waiting>, Vec<Restored>) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let mut notes = std::mem::take(&mut *lock(&self.given));
        notes.extend(waiting.iter().map(|file| file.note));
        (waiting, notes)
    }

    /// So much more waits.
    pub fn hold(&self, bytes: u64) {
        self.weight.fetch_add(bytes, Ordering::AcqRel);
    }

    /// So much less.
    pub fn release(&self, bytes: u64) {
        self.weight.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// These have their names.
    pub fn release_all(&self, files: &[Waiting]) {
        self.release(files.iter().map(Waiting::weight).sum());
    }

    /// How much waits, in bytes of memory.
    pub fn weight(&self) -> u64 {
        self.weight.load(Ordering::Acquire)
    }
}
