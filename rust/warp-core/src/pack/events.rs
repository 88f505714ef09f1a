//! What the caller gets from a running pipeline, in batches.

use std::collections::VecDeque;
use std::sync::Arc;

use super::encode::EncodedChunk;
use super::sequence::Delivered;
use crate::entry::Entry;
use crate::table::{EntryTable, PageCutter};

/// A poll returns before its time only for this many chunks …
const NEWS_CHUNKS: usize = 16;
/// … or entries, so that the caller is woken in batches.
const NEWS_ENTRIES: usize = 4096;

/// An entry that could not be packed as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stored path.
    pub path: Vec<u8>,
    /// What failed.
    pub what: String,
    /// The system's error number; 0 = the file changed while it was read.
    pub errno: i32,
}

/// Columns of chunk records, little-endian (docs/format.md §6), and of the fragments in these chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkColumns {
    /// u64 each.
    pub offset: Vec<u8>,
    /// u32 each.
    pub stored: Vec<u8>,
    /// 32 bytes each.
    pub cid: Vec<u8>,
    /// u32 each.
    pub raw: Vec<u8>,
    /// u32 each.
    pub fragments: Vec<u8>,
    /// A byte each.
    pub codec: Vec<u8>,
    /// 32 bytes each.
    pub dp: Vec<u8>,
    /// u32 a fragment.
    pub fragment_length: Vec<u8>,
    /// 24 bytes a fragment.
    pub fragment_id: Vec<u8>,
}

impl ChunkColumns {
    fn push(&mut self, chunk: &EncodedChunk, offset: u64) {
        self.offset.extend_from_slice(&offset.to_le_bytes());
        self.stored.extend_from_slice(&(chunk.stored.len() as u32).to_le_bytes());
        self.cid.extend_from_slice(&chunk.cid);
        self.raw.extend_from_slice(&chunk.raw.to_le_bytes());
        self.fragments.extend_from_slice(&((chunk.lengths.len() / 4) as u32).to_le_bytes());
        self.codec.push(chunk.codec as u8);
        self.dp.extend_from_slice(&chunk.dp);
        self.fragment_length.extend_from_slice(&chunk.lengths);
        self.fragment_id.extend_from_slice(&chunk.ids);
    }
}

/// Running totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Entries sequenced.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// Bytes of unchanged files, not read.
    pub bytes_reused: u64,
    /// Bytes read that were in the archive already.
    pub bytes_duplicate: u64,
    /// Bytes of new chunks before compression.
    pub bytes_raw: u64,
    /// Bytes of new chunks as written.
    pub bytes_stored: u64,
    /// New chunks written.
    pub chunks: u64,
    /// New fragments.
    pub fragments: u64,
}

/// A batch of results.
#[derive(Default)]
pub struct Events {
    /// All input is written and delivered.
    pub done: bool,
    /// Records of chunks written since the last batch.
    pub chunks: ChunkColumns,
    /// File-table pages that are complete.
    pub tables: Vec<Arc<EntryTable>>,
    /// Copy of the page still open (from `hold` only).
    pub partial: Option<EntryTable>,
    /// Totals so far.
    pub counters: Counters,
    /// Problems since the last batch.
    pub problems: Vec<Problem>,
    /// Stored path sequenced last.
    pub current: Vec<u8>,
}

/// What gathers between two polls.
pub(super) struct EventLog {
    chunks: ChunkColumns,
    /// Chunks written, and ready entries, since the last poll.
    news: (usize, usize),
    written: u64,
    /// Entries in order, with the number of chunks that must be written before they are complete.
    pending: VecDeque<(u64, Entry)>,
    page: Option<PageCutter>,
    counters: Counters,
    problems: Vec<Problem>,
    current: Vec<u8>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self {
            chunks: ChunkColumns::default(),
            news: (0, 0),
            written: 0,
            pending: VecDeque::new(),
            page: Some(PageCutter::new()),
            counters: Counters::default(),
            problems: Vec::new(),
            current: Vec::new(),
        }
    }
}

impl EventLog {
    pub fn sequenced(&mut self, delivered: Delivered) {
        let totals = &mut self.counters;
        totals.entries += delivered.entries.len() as u64 + delivered.listed;
        totals.files += delivered.files;
        totals.bytes_read += delivered.bytes_read;
        totals.bytes_reused += delivered.bytes_reused;
        totals.bytes_duplicate += delivered.bytes_duplicate;
        totals.fragments += delivered.fragments;
        self.problems.extend(delivered.problems);
        if let Some((_, entry)) = delivered.entries.last() {
            self.current.clone_from(&entry.path);
        }
        self.news.1 += delivered.entries.len() + delivered.listed as usize;
        self.pending.extend(delivered.entries);
    }

    pub fn written(&mut self, chunk: &EncodedChunk, offset: u64) {
        self.chunks.push(chunk, offset);
        self.counters.chunks += 1;
        self.counters.bytes_raw += u64::from(chunk.raw);
        self.counters.bytes_stored += chunk.stored.len() as u64;
        self.written += 1;
        self.news.0 += 1;
    }

    pub fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub fn has_news(&self) -> bool {
        self.news.0 >= NEWS_CHUNKS || self.news.1 >= NEWS_ENTRIES
    }

    pub fn take(&mut self, done: bool) -> Events {
        let mut tables = self.complete_pages();
        if done && let Some(last) = self.page.take().and_then(PageCutter::finish) {
            tables.push(last);
        }
        self.news = (0, 0);
        Events {
            done,
            chunks: std::mem::take(&mut self.chunks),
            tables: tables.into_iter().map(Arc::new).collect(),
            partial: None,
            counters: self.counters,
            problems: std::mem::take(&mut self.problems),
            current: self.current.clone(),
        }
    }

    pub fn take_held(&mut self) -> Events {
        let mut events = self.take(false);
        if let Some(page) = self.page.as_ref().filter(|page| !page.open().is_empty()) {
            events.partial = Some(EntryTable { entries: page.open().to_vec() });
        }
        events
    }

    /// Moves the entries whose chunks are all written into pages.
    fn complete_pages(&mut self) -> Vec<EntryTable> {
        let mut tables = Vec::new();
        let Some(page) = self.page.as_mut() else {
            return tables;
        };
        while let Some((needed, _)) = self.pending.front() {
            if *needed > self.written {
                break;
            }
            let Some((_, entry)) = self.pending.pop_front() else {
                break;
            };
            tables.extend(page.push(entry));
        }
        tables
    }
}
