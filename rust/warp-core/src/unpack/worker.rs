//! A worker: takes chunks and other jobs in order until there are no more.

use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::Context;
use super::report::Failure;
use super::restore::Restorer;
use super::window::{Job, Window};
use crate::chunk_read::ChunkReader;

/// Decodes chunks and restores entries.
pub(super) struct Worker {
    restorer: Restorer,
    reader: ChunkReader,
}

impl Worker {
    pub fn new(context: &Arc<Context>) -> Self {
        Self { restorer: Restorer::new(context), reader: ChunkReader::new() }
    }

    /// Work until the last window has no more jobs, or everything stops.
    pub fn run(mut self) {
        let context = Arc::clone(&self.restorer.context);
        let mut window = None;
        while let Some(job) = context.queue.take(&mut window, &context.report) {
            let Some(window) = &window else {
                return;
            };
            if !context.report.stopped() {
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
        let context = Arc::clone(&self.restorer.context);
        let needs = window.needs.get(needs).unwrap_or_default();
        let read = self.reader.read(context.archive.as_fd(), &context.index, &context.keys, chunk as usize);
        let totals = &mut self.restorer.tally.0;
        totals.chunks += 1;
        totals.bytes_read +=
            context.index.record(chunk as usize).map_or(0, |record| u64::from(record.stored));
        let raw = read.map_err(Failure::damage);
        for need in needs {
            if context.report.stopped() {
                return;
            }
            let start = need.piece.offset as usize;
            let data = match &raw {
                Ok(raw) => Ok(raw.get(start..start + need.piece.length as usize).unwrap_or_default()),
                Err(failure) => Err(failure),
            };
            self.restorer.need(window, need, data);
        }
    }
}
