//! The sequencer: takes results in walk order, deduplicates (first in order wins) and packs new fragments.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::encode::ChunkJob;
use super::events::Problem;
use super::large::LargeFile;
use super::lock;
use super::pool::Lent;
use super::shared::Shared;
use crate::Result;
use crate::catalogue::CutFile;
use crate::cutter::Sizes;
use crate::dedup::FragmentIndex;
use crate::digest::FragmentId;
use crate::entry::{Entry, Kind};
use crate::recipe::Recipe;

/// Parts of segments, in order.
pub(super) type Pieces = Vec<(Arc<Lent>, Range<usize>)>;

/// Where the bytes of a fragment are.
pub(super) enum Bytes {
    /// In the message's own buffer.
    Own(Range<usize>),
    /// In segments of a large file.
    Pieces(Pieces),
    /// Not here: so many, which an earlier try has read and named.
    Unread(u32),
}

impl Bytes {
    /// How many they are.
    pub fn length(&self) -> usize {
        match self {
            Self::Own(range) => range.len(),
            Self::Unread(length) => *length as usize,
            Self::Pieces(pieces) => pieces.iter().map(|(_, range)| range.len()).sum(),
        }
    }

    /// Where they are, as far as they were read; `own` is the message's buffer.
    pub fn each<'a>(&'a self, own: &'a Arc<Lent>, mut take: impl FnMut(&'a Arc<Lent>, Range<usize>)) {
        match self {
            Self::Own(range) => take(own, range.clone()),
            Self::Unread(_) => {}
            Self::Pieces(pieces) => pieces.iter().for_each(|(buffer, range)| take(buffer, range.clone())),
        }
    }
}

/// What is made of the results, in walk order.
pub(super) trait Sequencer {
    /// Take the results of one message: `items`, with the bytes of small files in `own`, or of a part of the large file `source`.
    fn take(
        &mut self,
        shared: &Shared,
        index: &mut FragmentIndex,
        items: Vec<Item>,
        own: &Arc<Lent>,
        source: Option<&LargeFile>,
    ) -> Result<Delivered>;
    /// End what is open.
    fn close(&mut self, shared: &Shared) -> Result<()>;
    /// No more messages follow.
    fn finish(&mut self, shared: &Shared) -> Result<()>;
}

/// One step in walk order.
pub(super) enum Item {
    /// The next fragment of the present file.
    Fragment { id: FragmentId, length: u32, bytes: Bytes },
    /// The present file, which this stands for, is cut so as it was since the last of these, or since it began: what was read of it
    /// is worth noting.
    Cut { file: CutFile, attributes: bool },
    /// The present file is complete: it takes the fragments since the one before.
    File(Entry),
    /// An entry that is complete by itself, or whose recipe is known.
    Complete(Entry),
    /// The present file is read once more from its start: its fragments so far do not count.
    Restart,
    /// An entry that could not be read; it is left out.
    Failed(Problem),
}

/// Results of one job, in order.
#[derive(Default)]
pub(super) struct Message {
    pub items: Vec<Item>,
    pub buffer: Vec<u8>,
    /// The submission ends with this message.
    pub last: bool,
    /// What the submission took of the window (given back with its last message).
    pub cost: u64,
    /// A large file that may read on.
    pub source: Option<Arc<LargeFile>>,
}

/// What a message came to, for the caller.
#[derive(Default)]
pub(super) struct Delivered {
    pub entries: Vec<(u64, Entry)>,
    /// Entries that were taken otherwise.
    pub listed: u64,
    pub problems: Vec<Problem>,
    pub files: u64,
    pub fragments: u64,
    pub bytes_read: u64,
    pub bytes_reused: u64,
    pub bytes_duplicate: u64,
}

/// Give all results to what `sequencer` makes; it is told how many fragments there are before them.
pub(super) fn run<S: Sequencer>(
    shared: &Arc<Shared>,
    index: &Arc<Mutex<FragmentIndex>>,
    sequencer: impl FnOnce(u64) -> S,
) -> Result<()> {
    let mut index = lock(index);
    let mut sequencer = sequencer(index.len());
    let mut position = (0, 0);
    while let Some(message) = shared.next_message(position)? {
        let Message { items, buffer, last, cost, source } = message;
        let own = Arc::new(shared.buffers.own(buffer));
        let delivered = sequencer.take(shared, &mut index, items, &own, source.as_deref())?;
        shared.sequenced(delivered, if last { cost } else { 0 });
        position = if last { (position.0 + 1, 0) } else { (position.0, position.1 + 1) };
        if let Some(file) = source {
            file.read_on(shared);
        }
    }
    sequencer.finish(shared)
}

/// Packs chunks of an archive.
pub(super) struct Packer {
    sizes: Sizes,
    /// The open chunk: its ordinal, bytes and columns.
    ordinal: u64,
    raw: Vec<u8>,
    lengths: Vec<u8>,
    ids: Vec<u8>,
    /// Ordinal of the open chunk's first fragment.
    first: u64,
    recipe: Recipe,
    /// Chunks that the entries so far need.
    needed: u64,
    /// Paths of files left out: hard links to them are left out too.
    failed: HashSet<Vec<u8>>,
}

impl Packer {
    pub fn new(sizes: Sizes, fragments: u64) -> Self {
        Self {
            sizes,
            ordinal: 0,
            raw: Vec::new(),
            lengths: Vec::new(),
            ids: Vec::new(),
            first: fragments,
            recipe: Recipe::default(),
            needed: 0,
            failed: HashSet::new(),
        }
    }

    fn complete(&mut self, entry: Entry, out: &mut Delivered) {
        if entry.kind == Kind::Hardlink && self.failed.contains(&entry.link) {
            let what = "hard link to a file that could not be read".into();
            out.problems.push(Problem { path: entry.path, what, errno: 2 });
            return;
        }
        if entry.kind == Kind::File {
            out.files += 1;
            out.bytes_reused += entry.size;
        }
        self.deliver(entry, out);
    }

    fn deliver(&mut self, entry: Entry, out: &mut Delivered) {
        let in_open_chunk = entry.runs.iter().any(|run| run.first + run.count > self.first);
        self.needed = self.needed.max(self.ordinal + u64::from(in_open_chunk));
        out.entries.push((self.needed, entry));
    }

    fn refer(&mut self, ordinal: u64) {
        self.recipe.refer(ordinal);
    }

    fn pack(
        &mut self,
        shared: &Shared,
        id: &FragmentId,
        length: u32,
        bytes: &Bytes,
        own: &Arc<Lent>,
    ) -> Result<()> {
        if self.raw.len() + length as usize > self.sizes.max as usize {
            self.close(shared)?;
        }
        if self.raw.capacity() == 0 {
            self.raw = shared.buffers.take();
            // Growing would copy; what is never touched costs nothing.
            self.raw.reserve(self.sizes.max as usize);
        }
        bytes.each(own, |buffer, range| {
            self.raw.extend_from_slice(buffer.get(range).unwrap_or_default());
        });
        self.lengths.extend_from_slice(&length.to_le_bytes());
        self.ids.extend_from_slice(id);
        Ok(())
    }

    /// The closing rule of design §4.1: chance in proportion to the fragment's length, so chunks have the mean size
    /// and the same run of new data closes at the same fragments wherever it is packed.
    fn closes_after(&self, id: &FragmentId) -> bool {
        let size = self.raw.len();
        if size < self.sizes.min as usize {
            return false;
        }
        let length = self.lengths.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let draw = id.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        u128::from(draw) * u128::from(self.sizes.mean - self.sizes.min) < u128::from(length) << 64
    }
}

impl Sequencer for Packer {
    fn take(
        &mut self,
        shared: &Shared,
        index: &mut FragmentIndex,
        items: Vec<Item>,
        own: &Arc<Lent>,
        _source: Option<&LargeFile>,
    ) -> Result<Delivered> {
        let mut out = Delivered::default();
        for item in items {
            match item {
                Item::Fragment { id, length, bytes } => {
                    out.bytes_read += u64::from(length);
                    if let Some(ordinal) = index.lookup(&id)? {
                        out.bytes_duplicate += u64::from(length);
                        self.refer(ordinal);
                        continue;
                    }
                    out.fragments += 1;
                    self.pack(shared, &id, length, &bytes, own)?;
                    self.refer(index.insert(&id)?);
                    if self.closes_after(&id) {
                        self.close(shared)?;
                    }
                }
                Item::File(mut entry) => {
                    entry.runs = std::mem::take(&mut self.recipe);
                    out.files += 1;
                    self.deliver(entry, &mut out);
                }
                Item::Complete(entry) => self.complete(entry, &mut out),
                // Only a catalogue is made of the same files again.
                Item::Cut { .. } => {}
                Item::Restart => self.recipe.clear(),
                Item::Failed(problem) => {
                    self.recipe.clear();
                    self.failed.insert(problem.path.clone());
                    out.problems.push(problem);
                }
            }
        }
        Ok(out)
    }

    fn close(&mut self, shared: &Shared) -> Result<()> {
        if self.lengths.is_empty() {
            return Ok(());
        }
        self.first += (self.lengths.len() / 4) as u64;
        let chunk = ChunkJob {
            ordinal: self.ordinal,
            raw: std::mem::take(&mut self.raw),
            lengths: std::mem::take(&mut self.lengths),
            ids: std::mem::take(&mut self.ids),
        };
        self.ordinal += 1;
        shared.queue_chunk(chunk)
    }

    fn finish(&mut self, shared: &Shared) -> Result<()> {
        self.close(shared)?;
        shared.finish_chunks(self.ordinal);
        Ok(())
    }
}
