//! A worker: takes chunks and other jobs in order until there are no more.

use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::Context;
use super::report::Failure;
use super::restore::Restorer;
use super::window::{Job, Need, Window};
use crate::chunk_read::ChunkReader;

/// Small pieces are written together up to so much: a file may have millions.
const JOINED_BYTES: u32 = 64 << 10;

/// Decodes chunks and restores entries.
pub(super) struct Worker {
    context: Arc<Context>,
    restorer: Restorer,
    reader: ChunkReader,
    joined: Vec<u8>,
}

impl Worker {
    pub fn new(context: &Arc<Context>) -> Self {
        Self {
            context: Arc::clone(context),
            restorer: Restorer::new(&context.site),
            reader: ChunkReader::new(),
            joined: Vec::new(),
        }
    }

    /// Work until the last window has no more jobs, or everything stops.
    pub fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut window = None;
        while let Some(job) = context.queue.take(&mut window, &context.site.report) {
            let Some(window) = &window else {
                return;
            };
            if !context.site.report.stopped() {
                self.work(window, job);
                self.restorer.tell();
            }
            context.queue.settle(window, |window| self.restorer.close(window));
        }
    }

    fn work(&mut self, window: &Window, job: Job) {
        match job {
            Job::Chunk(chunk, needs) => self.chunk(window, chunk, needs),
            Job::Plain(entries) => {
                for entry in window.plain.get(entries).unwrap_or_default() {
                    self.restorer.plain(entry);
                }
            }
        }
    }

    fn chunk(&mut self, window: &Window, chunk: u32, needs: Range<usize>) {
        let context = Arc::clone(&self.context);
        let needs = window.needs.get(needs).unwrap_or_default();
        let read = self.reader.read(context.archive.as_fd(), &context.index, &context.keys, chunk as usize);
        let totals = &mut self.restorer.tally.0;
        totals.chunks += 1;
        totals.bytes_read +=
            context.index.record(chunk as usize).map_or(0, |record| u64::from(record.stored));
        let raw = read.map_err(Failure::damage);
        let of = |need: &Need, raw: &'_ [u8]| {
            let start = need.piece.offset as usize;
            start..(start + need.piece.length as usize).min(raw.len())
        };
        let mut rest = needs;
        while let Some(first) = rest.first() {
            if context.site.report.stopped() {
                return;
            }
            let (now, later) = rest.split_at(adjoining(rest));
            let mut need = *first;
            need.piece.length = now.iter().map(|need| need.piece.length).sum();
            let data = match &raw {
                Ok(raw) if now.len() == 1 => Ok(raw.get(of(first, raw)).unwrap_or_default()),
                Ok(raw) => {
                    self.joined.clear();
                    for need in now {
                        self.joined.extend_from_slice(raw.get(of(need, raw)).unwrap_or_default());
                    }
                    Ok(self.joined.as_slice())
                }
                Err(failure) => Err(failure),
            };
            self.restorer.need(window, &need, data);
            rest = later;
        }
    }
}

/// How many of the needs, the first one at least, follow one another in the data of one file and are written in one go.
fn adjoining(needs: &[Need]) -> usize {
    let mut bytes = 0_u32;
    let follows = |pair: &&[Need]| {
        let [one, next] = pair else { return false };
        bytes = bytes.saturating_add(one.piece.length);
        let end = one.position + u64::from(one.piece.length);
        next.file == one.file
            && next.position == end
            && bytes.saturating_add(next.piece.length) <= JOINED_BYTES
    };
    1 + needs.windows(2).take_while(follows).count()
}
