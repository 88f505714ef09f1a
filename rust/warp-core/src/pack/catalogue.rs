//! The other end of the pipeline: no archive, but pages of a catalogue with the fragments that are new in each
//! (docs/transfer-protocol.md §6), for whoever sends a tree.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::events::Problem;
use super::large::LargeFile;
use super::lock;
use super::pool::Lent;
use super::rope::Rope;
use super::sequence::{Bytes, Delivered, Item, Sequencer};
use super::shared::Shared;
use crate::Result;
use crate::catalogue::{CutFile, CutRecords, Cuts, Listing, Spans};
use crate::dedup::FragmentIndex;
use crate::digest::FragmentId;
use crate::entry::{Entry, Kind};
use crate::recipe::Recipe;
use crate::table::EntryTable;

/// A page ends at so many new fragments …
const PAGE_FRAGMENTS: usize = 1024;
/// … or entries …
const PAGE_ENTRIES: usize = 1024;
/// … or so many bytes of entries, as they weigh in memory …
const PAGE_WEIGHT: usize = 1 << 20;
/// … or of fragments, so that several pages fit into a window: but not within a small file.
const PAGE_BYTES: usize = 16 << 20;
/// What a new fragment takes in memory, here and on its way, if not for its bytes.
const FRAGMENT_WEIGHT: usize = 64;
/// How soon a thread that waits notices that everything stopped.
const PATIENCE: Duration = Duration::from_millis(50);

/// Entries in archive order, and the fragments that were first met while they were read. Recipes count the fragments of all
/// pages, from 0. It holds its place in the window until it is dropped.
pub struct Page {
    /// Counted from 0.
    pub number: u32,
    /// Ordinal of its first new fragment.
    pub first: u64,
    /// What it says.
    pub listing: Listing,
    /// The bytes of its new fragments in order, but for those that were not read; where pieces end means nothing.
    pub data: Vec<bytes::Bytes>,
    /// How much of each new fragment is there: all of it or nothing.
    pub at_hand: Vec<u32>,
    _held: Held,
}

impl Page {
    /// The bytes of these fragments, all of which were read; joined, if they lie apart.
    pub fn bytes(&self, spans: &Spans) -> bytes::Bytes {
        let mut parts = Vec::new();
        for (first, count) in spans {
            let (first, count) = (usize::from(*first), usize::from(*count));
            let length = |some: &[u32]| some.iter().map(|length| *length as usize).sum::<usize>();
            let (before, from) = self.at_hand.split_at(first.min(self.at_hand.len()));
            self.find(length(before), length(from.get(..count).unwrap_or(from)), &mut parts);
        }
        if let [part] = parts.as_slice() { part.clone() } else { parts.concat().into() }
    }

    fn find(&self, start: usize, length: usize, parts: &mut Vec<bytes::Bytes>) {
        let (mut skip, mut left) = (start, length);
        for piece in &self.data {
            let part = left.min(piece.len().saturating_sub(skip));
            if part > 0 {
                parts.push(piece.slice(skip..skip + part));
            }
            left -= part;
            skip = skip.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    }

    /// Parts spans in what was read, and what was not.
    pub fn split(&self, spans: &Spans) -> [Spans; 2] {
        let mut parts = [Spans::new(), Spans::new()];
        for (first, count) in spans {
            for index in *first..*first + *count {
                let is_unread = self.at_hand.get(usize::from(index)).is_some_and(|length| *length == 0);
                match parts[usize::from(is_unread)].last_mut() {
                    Some((first, count)) if *first + *count == index => *count += 1,
                    _ => parts[usize::from(is_unread)].push((index, 1)),
                }
            }
        }
        parts
    }
}

/// A place in the window.
struct Held {
    bytes: usize,
    window: Arc<Window>,
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.window.state).held -= self.bytes;
        self.window.changed.notify_all();
    }
}

/// Pages that wait, and the bytes of all that were not dropped yet.
pub(super) struct Window {
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Page>,
    held: usize,
    ended: bool,
}

impl Window {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default(), changed: Condvar::new() })
    }

    /// A place for so many bytes; one always has room if there is no other.
    fn take(self: &Arc<Self>, shared: &Shared, bytes: usize) -> Result<Held> {
        let mut state = lock(&self.state);
        while state.held > 0 && state.held + bytes > self.most {
            shared.running()?;
            let waited = self.changed.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        state.held += bytes;
        Ok(Held { bytes, window: Arc::clone(self) })
    }

    fn push(&self, page: Page) {
        lock(&self.state).waiting.push_back(page);
        self.changed.notify_all();
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// The next page; `Ok(None)` within the time if there is none yet, and for good after the last one, which the second
    /// value tells.
    pub fn next(&self, shared: &Shared, timeout: Duration) -> Result<(Option<Page>, bool)> {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.state);
        loop {
            if let Some(page) = state.waiting.pop_front() {
                return Ok((Some(page), false));
            }
            if state.ended {
                return Ok((None, true));
            }
            shared.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok((None, false));
            }
            let waited = self.changed.wait_timeout(state, left.min(PATIENCE));
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

/// Gathers pages from what the workers deliver.
pub(super) struct Cataloguer {
    window: Arc<Window>,
    number: u32,
    first: u64,
    entries: Vec<Entry>,
    weight: usize,
    fragments: Vec<(u32, FragmentId)>,
    data: Rope,
    at_hand: Vec<u32>,
    /// Bytes of its fragments, those among them that were not read too: pages end where they would end if all were read.
    bytes: usize,
    recipe: Recipe,
    notes: Notes,
    /// The large file that is being read.
    open: Option<Entry>,
    resumes: bool,
    /// Paths of files left out: hard links to them are left out too.
    failed: HashSet<Vec<u8>>,
}

impl Cataloguer {
    pub fn new(window: Arc<Window>, cuts: Option<Arc<Cuts>>) -> Self {
        Self {
            window,
            notes: Notes { cuts, ..Notes::default() },
            number: 0,
            first: 0,
            entries: Vec::new(),
            weight: 0,
            fragments: Vec::new(),
            data: Rope::default(),
            at_hand: Vec::new(),
            bytes: 0,
            recipe: Recipe::default(),
            open: None,
            resumes: false,
            failed: HashSet::new(),
        }
    }

    fn fragment(
        &mut self,
        shared: &Shared,
        index: &mut FragmentIndex,
        (id, bytes): (FragmentId, Bytes),
        own: &Arc<Lent>,
        out: &mut Delivered,
    ) -> Result<()> {
        let length = bytes.length() as u32;
        let is_read = !matches!(bytes, Bytes::Unread(_));
        *(if is_read { &mut out.bytes_read } else { &mut out.bytes_reused }) += u64::from(length);
        self.notes.fragment((length, id), is_read);
        if let Some(ordinal) = index.lookup(&id)? {
            out.bytes_duplicate += u64::from(length);
            self.recipe.refer(ordinal);
            return Ok(());
        }
        if self.open.is_some() && self.is_full() {
            self.close(shared)?;
        }
        out.fragments += 1;
        bytes.each(own, |buffer, range| self.data.push(buffer, range));
        self.at_hand.push(if is_read { length } else { 0 });
        self.bytes += length as usize;
        self.fragments.push((length, id));
        self.recipe.refer(index.insert(&id)?);
        Ok(())
    }

    fn list(&mut self, shared: &Shared, entry: Entry, out: &mut Delivered) -> Result<()> {
        if entry.kind == Kind::Hardlink && self.failed.contains(&entry.link) {
            let what = "hard link to a file that could not be read".into();
            out.problems.push(Problem { path: entry.path, what, errno: 2 });
            return Ok(());
        }
        out.files += u64::from(entry.kind == Kind::File);
        out.listed += 1;
        self.weight += entry.weight();
        self.entries.push(entry);
        if self.is_full() { self.close(shared) } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.fragments.len() >= PAGE_FRAGMENTS
            || self.bytes >= PAGE_BYTES
            || self.entries.len() >= PAGE_ENTRIES
            || self.weight >= PAGE_WEIGHT
    }

    /// What was read of the present file does not count.
    fn forget(&mut self) {
        self.recipe.clear();
        self.notes.end();
        // A part of it in the page before is in vain.
        self.resumes &= !self.entries.is_empty();
    }
}

impl Sequencer for Cataloguer {
    fn take(
        &mut self,
        shared: &Shared,
        index: &mut FragmentIndex,
        items: Vec<Item>,
        own: &Arc<Lent>,
        source: Option<&LargeFile>,
    ) -> Result<Delivered> {
        let mut out = Delivered::default();
        self.open = source.map(LargeFile::entry);
        for item in items {
            match item {
                Item::Fragment { id, bytes, .. } => {
                    self.fragment(shared, index, (id, bytes), own, &mut out)?;
                }
                Item::Cut { file, attributes } => self.notes.cut(&file, attributes),
                Item::File(mut entry) => {
                    entry.runs = std::mem::take(&mut self.recipe);
                    self.open = None;
                    self.notes.end();
                    self.list(shared, entry, &mut out)?;
                }
                Item::Complete(entry) => self.list(shared, entry, &mut out)?,
                Item::Restart => self.forget(),
                Item::Failed(problem) => {
                    self.forget();
                    self.open = None;
                    self.failed.insert(problem.path.clone());
                    out.problems.push(problem);
                }
            }
        }
        self.notes.write()?;
        Ok(out)
    }

    fn close(&mut self, shared: &Shared) -> Result<()> {
        let continues = self.open.is_some() && !self.recipe.is_empty();
        if let Some(open) = self.open.as_ref().filter(|_| continues) {
            self.weight += open.weight();
            self.entries.push(Entry { runs: std::mem::take(&mut self.recipe), ..open.clone() });
        }
        if self.entries.is_empty() && self.fragments.is_empty() {
            return Ok(());
        }
        let table = EntryTable { entries: std::mem::take(&mut self.entries) };
        let resumes = std::mem::replace(&mut self.resumes, continues);
        let fragments = std::mem::take(&mut self.fragments);
        let (data, at_hand) = (self.data.take(), std::mem::take(&mut self.at_hand));
        (self.bytes, self.weight) = (0, 0);
        let weight = table.weight() + fragments.len() * FRAGMENT_WEIGHT;
        let bytes: usize = data.iter().map(bytes::Bytes::len).sum();
        let held = self.window.take(shared, bytes + weight)?;
        let first = self.first;
        self.first += fragments.len() as u64;
        let listing = Listing { table, resumes, continues, fragments };
        self.window.push(Page { number: self.number, first, listing, data, at_hand, _held: held });
        self.number += 1;
        Ok(())
    }

    fn finish(&mut self, shared: &Shared) -> Result<()> {
        self.close(shared)?;
        self.window.end();
        shared.finish_writing();
        Ok(())
    }
}

/// What is to be noted of the files that are read.
#[derive(Default)]
struct Notes {
    cuts: Option<Arc<Cuts>>,
    records: CutRecords,
    /// Fragments of the present file that were read, and are not in a record.
    fragments: Vec<(u32, FragmentId)>,
    /// Bytes of its data before those.
    start: u64,
}

impl Notes {
    fn fragment(&mut self, fragment: (u32, FragmentId), is_read: bool) {
        match is_read && self.cuts.is_some() {
            true => self.fragments.push(fragment),
            false => self.start += u64::from(fragment.0),
        }
    }

    fn cut(&mut self, file: &CutFile, attributes: bool) {
        self.records.push(file, self.start, attributes, &self.fragments);
        self.leave();
    }

    /// What is not noted by now is not worth it.
    fn leave(&mut self) {
        self.start += self.fragments.drain(..).map(|(length, _)| u64::from(length)).sum::<u64>();
    }

    /// The next file begins.
    fn end(&mut self) {
        self.fragments.clear();
        self.start = 0;
    }

    fn write(&mut self) -> Result<()> {
        self.leave();
        self.cuts.iter().try_for_each(|cuts| cuts.append(&mut self.records))
    }
}
