//! Pieces of a large file on their way: read by a worker, later named by a worker.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::batch;
use super::large::{self, CONTEXT, LargeFile};
use super::sequence::{Bytes, Item, Message, Pieces};
use super::shared::{Position, Shared};
use crate::cutter::Candidate;

/// Data of one segment: `context` bytes of the one before, then its own.
pub(super) struct Segment {
    pub attempt: u8,
    pub index: u64,
    pub buffer: Arc<Vec<u8>>,
    pub context: usize,
    /// Offset in the file's data of the first byte after the context.
    pub base: u64,
    pub candidates: Vec<Candidate>,
    /// The data ends with this segment.
    pub last: bool,
    /// It is shorter than it should be: the file shrank.
    pub short: bool,
}

/// Fragments to name: pieces of segments, in order, and what follows them.
pub(super) struct HashJob {
    pub position: Position,
    pub fragments: Vec<Pieces>,
    pub end: Option<Item>,
    pub last: bool,
    pub cost: u64,
    pub source: Arc<LargeFile>,
}

/// A worker reads one segment and finds its candidates.
pub(super) fn read(shared: &Shared, file: &Arc<LargeFile>, attempt: u8, index: u64) {
    let Some(content) = file.content(attempt) else {
        return;
    };
    let size = shared.limits.segment as u64;
    let base = index * size;
    let context = base.min(CONTEXT as u64);
    let wanted = size.min(content.length - base) + context;
    let mut buffer = Vec::with_capacity(wanted as usize);
    if let Err(error) = content.read(base - context, wanted, &mut buffer) {
        return file.give_up(shared, "read", &error);
    }
    let short = (buffer.len() as u64) < wanted;
    let segment = Segment {
        attempt,
        index,
        context: (context as usize).min(buffer.len()),
        buffer: Arc::new(buffer),
        base,
        candidates: Vec::new(),
        last: short || base + size >= content.length,
        short,
    };
    large::scan(shared, file, segment);
}

/// The data of a regular file: all of it, or its extents joined.
pub(super) struct Content {
    pub file: Arc<OwnedFd>,
    /// Empty if the file has no holes.
    pub extents: Arc<[(u64, u64)]>,
    pub length: u64,
}

impl Content {
    /// Appends `length` bytes of data from `at`; fewer if the file ends before.
    fn read(&self, at: u64, length: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        if self.extents.is_empty() {
            return batch::read_range(&self.file, at, length, buffer);
        }
        let (mut skip, mut left) = (at, length);
        for &(offset, extent) in self.extents.iter() {
            if skip >= extent {
                skip -= extent;
                continue;
            }
            let part = left.min(extent - skip);
            let before = buffer.len() as u64;
            batch::read_range(&self.file, offset + skip, part, buffer)?;
            left -= part;
            if left == 0 || (buffer.len() as u64) < before + part {
                break;
            }
            skip = 0;
        }
        Ok(())
    }
}

/// A worker names the fragments of one part and hands them to the sequencer.
pub(super) fn hash(shared: &Shared, job: HashJob) {
    let mut items = Vec::with_capacity(job.fragments.len() + 1);
    for pieces in job.fragments {
        let mut hasher = shared.options.keys.fragment_hasher();
        let mut length = 0;
        for (buffer, range) in &pieces {
            let part = buffer.get(range.clone()).unwrap_or_default();
            hasher.update(part);
            length += part.len();
        }
        let mut id = [0; 24];
        hasher.finalize_xof().fill(&mut id);
        items.push(Item::Fragment { id, length: length as u32, bytes: Bytes::Pieces(pieces) });
    }
    items.extend(job.end);
    let message =
        Message { items, last: job.last, cost: job.cost, source: Some(job.source), ..Message::default() };
    shared.deliver(job.position, message);
}
