//! Pieces of a large file on their way: read by a worker, later named by a worker.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::batch;
use super::large::{self, CONTEXT, LargeFile};
use super::pool::Lent;
use super::queues::Position;
use super::sequence::{Bytes, Item, Message, Pieces};
use super::shared::Shared;
use crate::catalogue::CutFile;
use crate::cutter::Candidate;

/// Data of one segment: `context` bytes of the one before, then its own.
pub(super) struct Segment {
    pub attempt: u8,
    pub index: u64,
    pub buffer: Arc<Lent>,
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
    /// What the file is, if how it is cut is to be noted.
    pub file: Option<CutFile>,
    pub end: Option<Item>,
    pub last: bool,
    pub cost: u64,
    pub source: Arc<LargeFile>,
}

/// A worker reads one segment and finds its candidates.
pub(super) fn read(shared: &Shared, file: &Arc<LargeFile>, attempt: u8, index: u64) {
    let Some((content, start)) = file.content(attempt) else {
        return;
    };
    let size = shared.limits.segment as u64;
    let base = start + index * size;
    let context = base.min(CONTEXT as u64);
    let wanted = size.min(content.length - base) + context;
    let mut buffer = shared.segments.lend(wanted as usize);
    let read = match content.read(base - context, &mut buffer.bytes) {
        Ok(read) => read,
        Err(error) => return file.give_up(shared, "read", &error),
    };
    buffer.bytes.truncate(read);
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
pub(crate) struct Content {
    pub file: Arc<OwnedFd>,
    /// Empty if the file has no holes.
    pub extents: Arc<[(u64, u64)]>,
    pub length: u64,
}

impl Content {
    /// Fills `room` with data from `at` on; the bytes read, fewer only if the file ends before.
    pub fn read(&self, at: u64, room: &mut [u8]) -> io::Result<usize> {
        if self.extents.is_empty() {
            return batch::read_at(&self.file, at, room);
        }
        let (mut skip, mut done) = (at, 0);
        for &(offset, extent) in self.extents.iter() {
            if skip >= extent {
                skip -= extent;
                continue;
            }
            let left = room.get_mut(done..).unwrap_or_default();
            let part = (left.len() as u64).min(extent - skip) as usize;
            let read = batch::read_at(&self.file, offset + skip, left.get_mut(..part).unwrap_or_default())?;
            done += read;
            if read < part || done == room.len() {
                break;
            }
            skip = 0;
        }
        Ok(done)
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
    items.extend(job.file.map(|file| Item::Cut { file, attributes: false }));
    items.extend(job.end);
    let message =
        Message { items, last: job.last, cost: job.cost, source: Some(job.source), ..Message::default() };
    shared.deliver(job.position, message);
}
