//! A window: entries of an extraction that are planned together, so that each chunk they need is decoded once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::files::SharedFile;
use super::landing::held::{Account, Held};
use crate::chunk_index::Piece;
use crate::entry::{Entry, xattrs_weight};
use crate::recipe::Recipe;
use crate::table::EntryTable;

/// Entries without data that make one job.
const PLAIN_BATCH: usize = 64;
/// Tables of this much may always be planned together.
const LEAST_TABLES: usize = 4 << 20;
/// Memory that an entry takes, roughly, in its table and in the plan.
const ENTRY_SIZE: usize = 512;
/// No window spans more pieces of chunks (docs: a million recipe entries), or more entries.
const MAX_NEEDS: usize = 1 << 20;
const MAX_ENTRIES: usize = 1 << 16;
/// The first window is this much smaller, so that workers start early; each one after is twice the one before.
const FIRST_SHARE: usize = 64;

/// An entry, with the table that holds it.
#[derive(Clone, Debug)]
pub(super) struct EntryRef {
    table: Arc<EntryTable>,
    index: u32,
    /// Counts the table's memory.
    _held: Option<Arc<Held>>,
}

impl EntryRef {
    /// The entry at `index` of `table`, if there is one.
    pub fn new(table: &Arc<EntryTable>, index: usize) -> Option<Self> {
        table.entries.get(index)?;
        Some(Self { table: Arc::clone(table), index: u32::try_from(index).ok()?, _held: None })
    }

    /// As [`EntryRef::new`]; `held` counts the table.
    pub fn counted(table: &Arc<EntryTable>, index: usize, held: &Arc<Held>) -> Option<Self> {
        Some(Self { _held: Some(Arc::clone(held)), ..Self::new(table, index)? })
    }

    /// An entry that may outlive its table, without its recipe; it is counted by itself.
    pub fn apart(entry: &Entry, account: &Account) -> Self {
        let entry = Entry { runs: Recipe::default(), ..entry.clone() };
        let held = account.hold(size_of::<SharedFile>() + entry.weight() + xattrs_weight(&entry.xattrs));
        Self { _held: Some(Arc::new(held)), ..Self::alone(entry) }
    }

    /// An entry that belongs to no table, or to none that should stay in memory for it.
    pub fn alone(entry: Entry) -> Self {
        Self { table: Arc::new(EntryTable { entries: vec![entry] }), index: 0, _held: None }
    }

    /// The entry itself.
    pub fn get(&self) -> &Entry {
        &self.table.entries[self.index as usize]
    }

    /// Whether both are of the same table.
    fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
    }
}

/// A file that needs data from chunks.
#[derive(Debug)]
pub(super) struct FilePlan {
    pub entry: EntryRef,
    /// `None` if one piece of one chunk is all of its data.
    pub shared: Option<Arc<SharedFile>>,
}

/// A piece of a chunk that is part of a file's data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub piece: Piece,
    /// Which of the window's files.
    pub file: u32,
    /// Where in the file's data, holes left out.
    pub position: u64,
}

/// What one worker does in one go.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// Decode a chunk and write these needs, all of that chunk.
    Chunk(u32, Range<usize>),
    /// Make these entries, which have no data.
    Plain(Range<usize>),
}

/// How much a window holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    needs: usize,
    entries: usize,
    /// Bytes of tables.
    tables: usize,
}

impl Limits {
    /// Limits so that a few windows fit `memory` bytes.
    pub fn new(memory: usize) -> Self {
        // One is planned, one waits, two are worked on.
        let half = memory / 8;
        Self {
            needs: (half / size_of::<Need>()).clamp(1 << 10, MAX_NEEDS),
            entries: (half / ENTRY_SIZE).clamp(1 << 8, MAX_ENTRIES),
            tables: half.max(LEAST_TABLES),
        }
    }

    fn share(self, by: usize) -> Self {
        Self { needs: (self.needs / by).max(1 << 8), entries: (self.entries / by).max(1 << 6), ..self }
    }
}

/// A window's content, fixed once it is planned.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub files: Vec<FilePlan>,
    pub needs: Vec<Need>,
    pub plain: Vec<EntryRef>,
    /// Hard links: made when all files up to here are complete.
    pub links: Vec<EntryRef>,
    /// Directories that get no more entries, inner ones first.
    pub closing: Vec<EntryRef>,
    jobs: Vec<Job>,
    next: AtomicUsize,
    pending: AtomicUsize,
}

impl Window {
    /// The next job nobody has taken.
    pub fn take(&self) -> Option<Job> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.jobs.get(next).cloned()
    }

    /// A job taken is done; true if it was the last.
    pub fn settle(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub fn is_settled(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }
}

/// A window that is being planned.
pub(super) struct WindowPlan {
    window: Window,
    /// Bytes of the tables, and of entries that belong to none.
    tables: usize,
    last: Option<EntryRef>,
    limits: Limits,
    share: usize,
}

impl WindowPlan {
    /// An empty, small one.
    pub fn new(limits: Limits) -> Self {
        Self { window: Window::default(), tables: 0, last: None, limits, share: FIRST_SHARE }
    }

    pub fn is_full(&self) -> bool {
        let limits = self.limits.share(self.share);
        let window = &self.window;
        let entries = window.files.len() + window.plain.len() + window.links.len();
        window.needs.len() >= limits.needs
            || entries + window.closing.len() >= limits.entries
            || self.tables >= limits.tables
    }

    /// Whether no further need has room. A file's table alone may fill a window: its needs are not to be dealt out one by one.
    pub fn is_full_of_needs(&self) -> bool {
        self.window.needs.len() >= self.limits.share(self.share).needs
    }

    /// Add a file, whose needs follow.
    pub fn add_file(&mut self, entry: EntryRef, shared: Option<Arc<SharedFile>>) {
        self.count(&entry);
        self.window.files.push(FilePlan { entry, shared });
    }

    /// Add a need of the file added last.
    pub fn add_need(&mut self, piece: Piece, position: u64) {
        self.window.needs.push(Need {
            piece,
            file: self.window.files.len().saturating_sub(1) as u32,
            position,
        });
    }

    /// Add an entry without data.
    pub fn add_plain(&mut self, entry: EntryRef) {
        self.count(&entry);
        self.window.plain.push(entry);
    }

    /// Add a hard link.
    pub fn add_link(&mut self, entry: EntryRef) {
        self.count(&entry);
        self.window.links.push(entry);
    }

    /// Add a directory that gets no more entries.
    pub fn close(&mut self, entry: EntryRef) {
        self.tables += entry.get().weight();
        self.window.closing.push(entry);
    }

    fn count(&mut self, entry: &EntryRef) {
        if !self.last.as_ref().is_some_and(|last| last.is_beside(entry)) {
            self.tables += entry.table.weight();
            self.last = Some(entry.clone());
        }
    }

    /// The window as planned, its needs in file order of the chunks; an empty one follows.
    ///
    /// One job more than there are is pending: the planner's, who settles it when the window is in the queue.
    pub fn finish(&mut self) -> Window {
        let mut window = std::mem::take(&mut self.window);
        self.tables = 0;
        self.last = None;
        self.share = (self.share / 2).max(1);
        // Stable, and fast on what is nearly sorted: within a chunk needs stay in the order of the entries.
        window.needs.sort_by_key(|need| need.piece.chunk);
        window.jobs = jobs(&window);
        window.pending = AtomicUsize::new(window.jobs.len() + 1);
        window
    }
}

fn jobs(window: &Window) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut start = 0;
    for needs in window.needs.chunk_by(|a, b| a.piece.chunk == b.piece.chunk) {
        let end = start + needs.len();
        if let [first, ..] = needs {
            jobs.push(Job::Chunk(first.piece.chunk, start..end));
        }
        start = end;
    }
    let batches = (0..window.plain.len()).step_by(PLAIN_BATCH);
    jobs.extend(batches.map(|i| Job::Plain(i..window.plain.len().min(i + PLAIN_BATCH))));
    jobs
}
