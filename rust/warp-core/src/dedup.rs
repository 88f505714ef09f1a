//! Fragment id → ordinal, within a limit of memory (docs/decisions/0008).
//!
//! Ids are kept by ordinal; an open-addressing table of 8-byte slots finds them: 24 bits of the id and the ordinal + 1
//! in 40. When both no longer fit, ids go to an unlinked temporary file and the table holds the latest fragments only:
//! whenever it is full, its slots are added, sorted, to runs on disk that are merged like those of an LSM tree
//! (O'Neil et al. 1996), behind one Bloom filter. Ids are outputs of a keyed hash, so their bits serve as hash and tag.

mod file;
mod filter;
mod ids;
mod runs;

use std::path::PathBuf;

use self::ids::{ID_LEN, Ids, PAGE_IDS};
use self::runs::{Record, Runs};
use crate::digest::FragmentId;
use crate::{Error, Result};

const FIRST_SLOTS: usize = 1 << 12;
const ORDINAL_BITS: u32 = 40;
const ORDINAL_MASK: u64 = (1 << ORDINAL_BITS) - 1;
/// A table is at most 4/5 full.
const LOAD: (u64, u64) = (4, 5);

/// The ids of all fragments of a scope and what finds them.
pub struct FragmentIndex {
    memory: usize,
    directory: PathBuf,
    /// Of the fragments from `recent` on.
    slots: Vec<u64>,
    recent: u64,
    ids: Ids,
    /// Of the fragments before `recent`, once not all fit into memory.
    runs: Option<Runs>,
    /// The ordinal after the one found last, and whether that one was where it was expected: repeats come in the
    /// order of what they repeat.
    next: u64,
    in_order: bool,
}

impl FragmentIndex {
    /// An empty index that takes up to `memory` bytes (and never less than about a megabyte); the rest lies in
    /// files in `directory`, made when needed and already unlinked.
    pub fn new(memory: usize, directory: PathBuf) -> Self {
        let (slots, ids) = (vec![0; FIRST_SLOTS], Ids::default());
        Self { memory, directory, slots, recent: 0, ids, runs: None, next: 0, in_order: false }
    }

    /// Number of fragments.
    pub fn len(&self) -> u64 {
        self.ids.len()
    }

    /// Whether there are no fragments.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inserts the joined `ids` of the ordinals from `first`, which must be [`FragmentIndex::len`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for another `first` or a length that is no multiple of 24, [`Error::Io`] for the files.
    pub fn load(&mut self, first: u64, ids: &[u8]) -> Result<()> {
        let (ids, rest) = ids.as_chunks::<ID_LEN>();
        if first != self.len() || !rest.is_empty() {
            return Err(Error::Parameter("fragment ids: not those after the last".into()));
        }
        ids.iter().try_for_each(|id| self.insert(id).map(drop))
    }

    /// The ordinal of `id`. If it was inserted more than once, as no writer does: the one after that found last, if
    /// that one too came after the one found before it, or else the first. That does not depend on the memory.
    ///
    /// # Errors
    /// [`Error::Io`] if what is on disk cannot be read.
    pub fn lookup(&mut self, id: &FragmentId) -> Result<Option<u64>> {
        if self.in_order && self.next < self.len() && self.ids.get(self.next)? == *id {
            self.next += 1;
            return Ok(Some(self.next - 1));
        }
        let found = self.search(id)?;
        self.in_order = found == Some(self.next);
        self.next = found.map_or(self.len(), |ordinal| ordinal + 1);
        Ok(found)
    }

    fn search(&mut self, id: &FragmentId) -> Result<Option<u64>> {
        let (home, tag) = address(id);
        let Self { runs, ids, .. } = self;
        if let Some(runs) = runs {
            let found = runs.find(home, tag, |slot| Ok(ids.get(ordinal_of(slot))? == *id))?;
            if found.is_some() {
                return Ok(found.map(ordinal_of));
            }
        }
        let mask = self.slots.len() - 1;
        let mut at = home as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Ok(None);
            }
            let ordinal = ordinal_of(slot);
            if slot >> ORDINAL_BITS == tag && self.ids.get(ordinal)? == *id {
                return Ok(Some(ordinal));
            }
            at = (at + 1) & mask;
        }
    }

    /// Appends `id`, which gets the next ordinal; an id that is there already is not found under the new one.
    ///
    /// # Errors
    /// [`Error::Io`] if the files cannot be written, [`Error::Parameter`] for more than 2^40 − 1 fragments.
    pub fn insert(&mut self, id: &FragmentId) -> Result<u64> {
        let ordinal = self.len();
        if ordinal + 1 > ORDINAL_MASK {
            return Err(Error::Parameter("number of fragments: above 2^40".into()));
        }
        if (ordinal - self.recent + 1) * LOAD.1 > self.slots.len() as u64 * LOAD.0 {
            self.make_room()?;
        } else if ordinal.is_multiple_of(PAGE_IDS as u64) && !self.fits(self.slots.len()) {
            self.spill()?;
        }
        self.ids.append(id)?;
        place(&mut self.slots, id, ordinal);
        Ok(ordinal)
    }

    /// Whether all is still in memory and may stay there with a table of so many slots.
    fn fits(&self, slots: usize) -> bool {
        self.runs.is_some() || self.ids.resident_bytes() + size_of::<u64>() * slots <= self.memory
    }

    fn make_room(&mut self) -> Result<()> {
        match self.runs {
            Some(_) => self.flush(),
            None if self.fits(2 * self.slots.len()) => self.grow(),
            None => self.spill(),
        }
    }

    /// Doubles the table. It is built anew from the ids, so the old one need not be kept beside it.
    fn grow(&mut self) -> Result<()> {
        let slots = self.slots.len() * 2;
        self.slots = Vec::new();
        self.slots = vec![0; slots];
        let Self { slots, ids, .. } = self;
        ids.for_each(0, |ordinal, id| place(slots, id, ordinal))
    }

    /// From here on only the latest fragments have slots in memory. Of the memory, a half is for the filter, an eighth
    /// for slots, a fifth for sorting them, a sixteenth for where to read in the runs.
    fn spill(&mut self) -> Result<()> {
        let slots = (self.memory / 16 / size_of::<u64>() + 1).next_power_of_two().max(FIRST_SLOTS);
        self.slots = Vec::new();
        self.ids.spill(&self.directory)?;
        let table = slots as u64 * LOAD.0 / LOAD.1;
        self.runs = Some(Runs::new(self.memory / 2, self.memory / 16, table, self.directory.clone()));
        self.flush()?;
        self.slots = vec![0; slots];
        Ok(())
    }

    /// Moves the slots to a run.
    fn flush(&mut self) -> Result<()> {
        let Self { recent, ids, runs: Some(runs), .. } = self else { return Ok(()) };
        let mut records: Vec<Record> = Vec::with_capacity((ids.len() - *recent) as usize);
        ids.for_each(*recent, |ordinal, id| records.push([address(id).0, slot_of(id, ordinal)]))?;
        records.sort_unstable();
        runs.push(&records)?;
        self.recent = self.len();
        self.slots.fill(0);
        Ok(())
    }
}

/// Home position (before masking) and tag of an id: disjoint bits.
fn address(id: &FragmentId) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, x, y, z, ..] = *id;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([x, y, z, 0, 0, 0, 0, 0]))
}

fn slot_of(id: &FragmentId, ordinal: u64) -> u64 {
    address(id).1 << ORDINAL_BITS | (ordinal + 1)
}

fn ordinal_of(slot: u64) -> u64 {
    (slot & ORDINAL_MASK) - 1
}

fn place(slots: &mut [u64], id: &FragmentId, ordinal: u64) {
    let mask = slots.len() - 1;
    let mut at = address(id).0 as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = slot_of(id, ordinal);
}
