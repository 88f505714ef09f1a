//! What goes into a pipeline: entries of a walk, or a stream, handed to the workers as far as the window has room.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::batch::BatchJob;
use super::events::Events;
use super::large::LargeFile;
use super::queues::Job;
use super::shared::Shared;
use super::{lock, spawn, stream};
use crate::entry::Entry;
use crate::walk::{WalkBatch, WalkEntry};
use crate::{Error, Result};

/// Small files travel to the workers in groups of about this many bytes …
pub(super) const BATCH_BYTES: u64 = 1 << 20;
/// … or this many entries.
const BATCH_ENTRIES: usize = 256;
/// What an entry without content counts in the window, so that endless empty files are bounded too.
pub(super) const ENTRY_COST: u64 = 512;

/// The input of a running pipeline, and its threads. Dropping it stops and joins them.
pub struct Input {
    pub(super) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    waiting: Mutex<Option<std::vec::IntoIter<WalkEntry>>>,
}

impl Input {
    pub(super) fn new(shared: Arc<Shared>, threads: Vec<JoinHandle<()>>) -> Self {
        Self { shared, threads: Mutex::new(threads), waiting: Mutex::new(None) }
    }

    /// Hands in the entries of `batch`; false if the window stayed full: call [`Self::submit_rest`] later.
    pub fn submit(&self, batch: WalkBatch) -> Result<bool> {
        let mut waiting = lock(&self.waiting);
        if waiting.is_some() {
            return Err(Error::Parameter("batch: the one before is not taken yet".into()));
        }
        *waiting = Some(batch.entries.into_iter());
        drop(waiting);
        self.submit_rest()
    }

    /// Goes on with the batch that did not fit; waits at most 100 ms for room.
    pub fn submit_rest(&self) -> Result<bool> {
        let mut waiting = lock(&self.waiting);
        let Some(entries) = waiting.as_mut() else {
            return Ok(true);
        };
        let limit = self.shared.limits.segment as u64;
        while !entries.as_slice().is_empty() {
            if !self.shared.wait_for_window(Duration::from_millis(100))? {
                return Ok(false);
            }
            let first = &entries.as_slice()[0];
            if content_bytes(first) > limit {
                let Some(entry) = entries.next() else { break };
                self.submit_large(entry);
            } else {
                self.submit_group(entries);
            }
        }
        *waiting = None;
        Ok(true)
    }

    fn submit_large(&self, entry: WalkEntry) {
        let cost = (self.shared.limits.segments * self.shared.limits.segment) as u64;
        self.shared
            .submit(cost, |sequence| Job::Open(Arc::new(LargeFile::new(sequence, entry, &self.shared))));
    }

    fn submit_group(&self, entries: &mut std::vec::IntoIter<WalkEntry>) {
        let (group, bytes) = next_group(entries, self.shared.limits.segment as u64);
        let cost = bytes + ENTRY_COST * group.len() as u64;
        self.shared.submit(cost, |sequence| Job::Batch(BatchJob { sequence, entries: group, bytes }));
    }

    /// Hands in one file whose content is read from `input` to its end.
    pub fn submit_stream(&self, input: OwnedFd, entry: Entry) -> Result<()> {
        while !self.shared.wait_for_window(Duration::from_secs(1))? {}
        let cost = (self.shared.limits.segments * self.shared.limits.segment) as u64;
        let mut file = None;
        self.shared.reserve(cost, |sequence| {
            file = Some(Arc::new(LargeFile::from_stream(sequence, entry, &self.shared)));
        });
        let Some(file) = file else {
            return Err(Error::Cancelled);
        };
        let handle = spawn(&self.shared, "warp-stream", move |shared| stream::run(shared, &file, &input))?;
        lock(&self.threads).push(handle);
        Ok(())
    }

    /// No more input follows.
    pub fn finish(&self) {
        self.shared.finish_input();
    }

    /// What was written since the last call; waits up to `timeout` for something.
    pub fn poll(&self, timeout: Duration) -> Result<Events> {
        self.shared.poll(timeout)
    }

    /// Stops all threads and waits for them. A thread blocked in reading a stream is left to end by itself.
    pub fn abort(&self) {
        self.shared.stop();
        for handle in lock(&self.threads).drain(..) {
            if handle.thread().name() != Some("warp-stream") {
                // A panic was reported by the thread itself; there is nothing to add here.
                let _ = handle.join();
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.abort();
    }
}

/// The next entries that one worker reads into one buffer, and their bytes; no file above `largest` is among them.
fn next_group(entries: &mut std::vec::IntoIter<WalkEntry>, largest: u64) -> (Vec<WalkEntry>, u64) {
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(next) = entries.as_slice().first() {
        let size = content_bytes(next);
        let full = group.len() >= BATCH_ENTRIES || (bytes > 0 && bytes + size > BATCH_BYTES);
        if full || size > largest {
            break;
        }
        bytes += size;
        group.extend(entries.next());
    }
    (group, bytes)
}

/// Bytes that have to be read for an entry.
pub(super) fn content_bytes(item: &WalkEntry) -> u64 {
    if item.reused || item.entry.kind != crate::entry::Kind::File { 0 } else { item.entry.size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::{Root, WalkOptions, Walker, tests::Scratch};

    #[test]
    fn a_large_file_is_in_no_group_whatever_comes_before_it() {
        let scratch = Scratch::new("groups");
        for (name, size) in [("a/large", 3000), ("a/small", 10), ("b/large", 2001), ("c/limit", 2000)] {
            std::fs::create_dir_all(scratch.path().join(name).parent().unwrap()).unwrap();
            std::fs::File::create(scratch.path().join(name)).unwrap().set_len(size).unwrap();
        }
        let roots = vec![Root { stored: b"t".into(), path: scratch.path().into() }];
        let mut walker = Walker::new(WalkOptions { roots, ..WalkOptions::default() }).unwrap();
        let mut entries = walker.next(100).unwrap().unwrap().entries.into_iter();
        let mut groups = Vec::new();
        while entries.len() > 0 {
            let (group, bytes) = next_group(&mut entries, 2000);
            groups.push((group.len(), bytes, entries.next().map(|large| large.entry.size)));
        }
        // t, a │ a/large │ a/small, b │ b/large │ c, c/limit
        assert_eq!(groups, [(2, 0, Some(3000)), (2, 10, Some(2001)), (2, 2000, None)]);
    }
}
