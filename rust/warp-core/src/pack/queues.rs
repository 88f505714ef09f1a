//! What is under way between the threads of a pipeline, and who waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::batch::BatchJob;
use super::encode::{ChunkJob, EncodedChunk};
use super::events::EventLog;
use super::large::LargeFile;
use super::segment::{HashJob, Segment};
use super::sequence::Message;
use crate::catalogue::CutPart;
use crate::{Error, Result};

/// Place of a message in walk order: (submission, part).
pub(super) type Position = (u64, u64);

pub(super) enum Job {
    Encode(ChunkJob),
    Hash(Box<HashJob>),
    Batch(BatchJob),
    Open(Arc<LargeFile>),
    Recall { file: Arc<LargeFile>, part: u64, cut: Vec<CutPart> },
    Segment { file: Arc<LargeFile>, attempt: u8, index: u64 },
    Scan { file: Arc<LargeFile>, segment: Segment },
}

/// What the sequencer waits for.
#[derive(PartialEq, Eq)]
pub(super) enum Awaited {
    Message(Position),
    Room,
}

#[derive(Default)]
pub(super) struct Queues {
    pub encode: VecDeque<ChunkJob>,
    pub hash: BTreeMap<Position, HashJob>,
    pub read: BTreeMap<Position, Job>,
    pub messages: BTreeMap<Position, Message>,
    pub encoded: BTreeMap<u64, EncodedChunk>,
    /// Cost of what is submitted and not yet sequenced, in bytes.
    pub window: u64,
    /// Chunks that the sequencer closed and the writer has not written.
    pub chunks: usize,
    /// Who waits, and for what: nobody else is woken, for that costs a system call and two switches of threads.
    pub feeders: usize,
    pub idle_workers: usize,
    pub sequencer_waits: Option<Awaited>,
    pub writer_waits: Option<u64>,
    pub next_sequence: u64,
    pub input_finished: bool,
    pub chunks_finished: Option<u64>,
    pub held: bool,
    pub writing: bool,
    pub done: bool,
    pub stopped: bool,
    pub error: Option<Error>,
    pub events: EventLog,
}

impl Queues {
    pub fn reserve(&mut self, cost: u64) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.window += cost;
        sequence
    }

    /// For the pipeline's own threads.
    pub fn running(&self) -> Result<()> {
        if self.stopped { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// For the caller: the first failure is told once; later calls learn that the pipeline stopped.
    pub fn check(&mut self) -> Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None if self.stopped => Err(Error::Cancelled),
            None => Ok(()),
        }
    }
}
