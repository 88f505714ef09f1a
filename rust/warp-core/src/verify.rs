//! Checking all chunks of an archive on threads: with or without its keys, never stopping at the first that is damaged.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::chunk_index::ChunkIndex;
use crate::chunk_read::ChunkReader;
use crate::keys::ScopeKeys;
use crate::{Error, Result};

/// Reads and checks every chunk, roughly in file order.
///
/// Without keys a chunk's stored bytes must have the digest that the index says. With them the chunk must also open and
/// decode to the length and by the codec that the index says, and every fragment in it must have its id.
#[derive(Debug)]
pub struct ChunkVerifier {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How far a [`ChunkVerifier`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Chunks checked, damaged ones too.
    pub chunks: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Whether all are checked.
    pub done: bool,
}

impl ChunkVerifier {
    /// Start checking the chunks of the archive `fd` on `threads`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are keys, but the index is not complete or has no ids; [`Error::Io`] if threads cannot start.
    pub fn new(
        fd: OwnedFd,
        index: Arc<ChunkIndex>,
        keys: Option<Arc<ScopeKeys>>,
        threads: usize,
    ) -> Result<Self> {
        if keys.is_some() && !(index.is_complete() && index.has_ids()) {
            return Err(Error::Parameter("index: a deep check needs its chunks and fragment ids".into()));
        }
        let threads = index.decoders(threads.max(1));
        let shared = Arc::new(Shared::new(fd, index, keys));
        let mut verifier = Self { shared, threads: Vec::new() };
        for _ in 0..threads {
            verifier.start()?;
        }
        Ok(verifier)
    }

    fn start(&mut self) -> Result<()> {
        let running = Running::new(&self.shared);
        let thread = thread::Builder::new().name("warp-verify".into()).spawn(move || running.check_all());
        self.threads.push(thread.map_err(|error| Error::io("start a thread", error))?);
        Ok(())
    }

    /// How far it is; waits until it is done or `timeout` is over.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after [`ChunkVerifier::abort`]; [`Error::Integrity`] if chunks are left that no thread checks.
    pub fn poll(&self, timeout: Duration) -> Result<Progress> {
        let shared = &*self.shared;
        let running = lock(&shared.running);
        let waited = shared.idle.wait_timeout_while(running, timeout, |running| *running > 0);
        let (running, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if shared.stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let chunks = shared.chunks.load(Ordering::Relaxed);
        if *running == 0 && chunks < shared.index.chunks() as u64 {
            return Err(Error::integrity("check: a thread failed"));
        }
        Ok(Progress { chunks, bytes: shared.bytes.load(Ordering::Relaxed), done: *running == 0 })
    }

    /// The damaged chunks found since the last call, and what is wrong with each.
    pub fn damaged(&self) -> Vec<(u32, String)> {
        std::mem::take(&mut lock(&self.shared.damaged))
    }

    /// Stop all threads and wait for them; idempotent.
    pub fn abort(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing more to do either.
            let _ = thread.join();
        }
    }
}

impl Drop for ChunkVerifier {
    fn drop(&mut self) {
        self.abort();
    }
}

#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    index: Arc<ChunkIndex>,
    keys: Option<Arc<ScopeKeys>>,
    next: AtomicUsize,
    chunks: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
    damaged: Mutex<Vec<(u32, String)>>,
    running: Mutex<usize>,
    idle: Condvar,
}

impl Shared {
    fn new(fd: OwnedFd, index: Arc<ChunkIndex>, keys: Option<Arc<ScopeKeys>>) -> Self {
        Self {
            fd,
            index,
            keys,
            next: AtomicUsize::new(0),
            chunks: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            damaged: Mutex::new(Vec::new()),
            running: Mutex::new(0),
            idle: Condvar::new(),
        }
    }

    fn check(&self, reader: &mut ChunkReader, chunk: usize) -> Result<()> {
        let Some(keys) = &self.keys else {
            return reader.check(self.fd.as_fd(), &self.index, chunk).map(|_| ());
        };
        let mut rest = reader.read(self.fd.as_fd(), &self.index, keys, chunk)?;
        for (i, (length, id)) in self.index.fragments_of(chunk).enumerate() {
            let fragment = rest.split_at_checked(length as usize);
            let (fragment, behind) = fragment.unwrap_or((rest, &[]));
            if keys.fragment_id(fragment) != *id {
                return Err(Error::integrity(format!(
                    "chunk {chunk}: its fragment {i} is not the one of its id"
                )));
            }
            rest = behind;
        }
        Ok(())
    }
}

/// A thread at work; its end, however it comes, is counted.
struct Running {
    shared: Arc<Shared>,
}

impl Running {
    fn new(shared: &Arc<Shared>) -> Self {
        *lock(&shared.running) += 1;
        Self { shared: Arc::clone(shared) }
    }

    fn check_all(&self) {
        let shared = &*self.shared;
        let mut reader = ChunkReader::new();
        while !shared.stop.load(Ordering::Relaxed) {
            let chunk = shared.next.fetch_add(1, Ordering::Relaxed);
            let Ok(record) = shared.index.record(chunk) else {
                return;
            };
            if let Err(error) = shared.check(&mut reader, chunk) {
                lock(&shared.damaged).push((chunk as u32, error.to_string()));
            }
            shared.chunks.fetch_add(1, Ordering::Relaxed);
            shared.bytes.fetch_add(u64::from(record.stored), Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *lock(&self.shared.running) -= 1;
        self.shared.idle.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
