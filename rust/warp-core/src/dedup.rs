//! Fragment id → ordinal, at 8 bytes a slot.
//!
//! Open addressing with linear probing. A slot holds 24 bits of the id and the ordinal + 1 in 40; the whole id is
//! compared where ids are kept by ordinal: in memory up to a limit, then in an unlinked temporary file, read back
//! in pages. Ids are outputs of a keyed hash, so their bits serve as hash and tag as they are.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::FragmentId;
use crate::{Error, Result};

const ID_LEN: usize = size_of::<FragmentId>();
/// Ids of a page, the unit of spilling: 96 KiB.
const PAGE_IDS: usize = 4096;
const PAGE_LEN: usize = PAGE_IDS * ID_LEN;
/// Spilled pages kept for reading: 1.5 MiB.
const CACHED_PAGES: usize = 16;
const FIRST_SLOTS: usize = 1 << 12;
const ORDINAL_BITS: u32 = 40;
const ORDINAL_MASK: u64 = (1 << ORDINAL_BITS) - 1;
/// A table is at most 4/5 full.
const LOAD: (u64, u64) = (4, 5);

/// The ids of all fragments of a scope and what finds them.
pub struct FragmentIndex {
    slots: Vec<u64>,
    ids: Ids,
}

impl FragmentIndex {
    /// An empty index that keeps up to `memory` bytes of ids in memory (beside 10 to 20 bytes a fragment of slots)
    /// and further ones in a file in `directory`, made when needed and already unlinked.
    pub fn new(memory: usize, directory: PathBuf) -> Self {
        Self { slots: vec![0; FIRST_SLOTS], ids: Ids::new(memory, directory) }
    }

    /// Number of fragments.
    pub fn len(&self) -> u64 {
        self.ids.len
    }

    /// Whether there are no fragments.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inserts the joined `ids` of the ordinals from `first`, which must be [`FragmentIndex::len`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for another `first` or a length that is no multiple of 24, [`Error::Io`] for the file.
    pub fn load(&mut self, first: u64, ids: &[u8]) -> Result<()> {
        let (ids, rest) = ids.as_chunks::<ID_LEN>();
        if first != self.len() || !rest.is_empty() {
            return Err(Error::Parameter("fragment ids: not those after the last".into()));
        }
        ids.iter().try_for_each(|id| self.insert(id).map(drop))
    }

    /// The ordinal of `id`, the first if it was inserted more than once.
    ///
    /// # Errors
    /// [`Error::Io`] if spilled ids cannot be read.
    pub fn lookup(&mut self, id: &FragmentId) -> Result<Option<u64>> {
        let (home, tag) = address(id);
        let mask = self.slots.len() - 1;
        let mut at = home as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Ok(None);
            }
            let ordinal = (slot & ORDINAL_MASK) - 1;
            if slot >> ORDINAL_BITS == tag && self.ids.get(ordinal)? == *id {
                return Ok(Some(ordinal));
            }
            at = (at + 1) & mask;
        }
    }

    /// Appends `id`, which gets the next ordinal; an id that is there already is not found under the new one.
    ///
    /// # Errors
    /// [`Error::Io`] if ids cannot be spilled, [`Error::Parameter`] for more than 2^40 − 1 fragments.
    pub fn insert(&mut self, id: &FragmentId) -> Result<u64> {
        let ordinal = self.len();
        if ordinal + 1 > ORDINAL_MASK {
            return Err(Error::Parameter("number of fragments: above 2^40".into()));
        }
        if (ordinal + 1) * LOAD.1 > self.slots.len() as u64 * LOAD.0 {
            self.grow()?;
        }
        self.ids.append(id)?;
        place(&mut self.slots, id, ordinal);
        Ok(ordinal)
    }

    /// Doubles the table. It is built anew from the ids, so the old one need not be kept beside it.
    fn grow(&mut self) -> Result<()> {
        let slots = self.slots.len() * 2;
        self.slots = Vec::new();
        self.slots = vec![0; slots];
        let Self { slots, ids } = self;
        ids.for_each(|ordinal, id| place(slots, id, ordinal))
    }
}

/// Home position (before masking) and tag of an id: disjoint bits.
fn address(id: &FragmentId) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, x, y, z, ..] = *id;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([x, y, z, 0, 0, 0, 0, 0]))
}

fn place(slots: &mut [u64], id: &FragmentId, ordinal: u64) {
    let (home, tag) = address(id);
    let mask = slots.len() - 1;
    let mut at = home as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = tag << ORDINAL_BITS | (ordinal + 1);
}

/// Ids by ordinal, in pages: resident ones, then spilled ones, then the open one.
struct Ids {
    len: u64,
    /// Pages that stay in memory.
    resident: Vec<Box<[u8]>>,
    resident_limit: usize,
    /// The page that is being filled.
    open: Vec<u8>,
    spill: Option<File>,
    directory: PathBuf,
    /// Spilled pages lately read, the last used first.
    cache: Vec<(u64, Box<[u8]>)>,
}

impl Ids {
    fn new(memory: usize, directory: PathBuf) -> Self {
        Self {
            len: 0,
            resident: Vec::new(),
            resident_limit: memory / PAGE_LEN,
            open: Vec::new(),
            spill: None,
            directory,
            cache: Vec::new(),
        }
    }

    fn append(&mut self, id: &FragmentId) -> Result<()> {
        if self.open.len() == PAGE_LEN {
            self.close_page()?;
        }
        self.open.extend_from_slice(id);
        self.len += 1;
        Ok(())
    }

    fn close_page(&mut self) -> Result<()> {
        if self.resident.len() < self.resident_limit {
            self.resident.push(std::mem::take(&mut self.open).into_boxed_slice());
            self.open.reserve_exact(PAGE_LEN);
            return Ok(());
        }
        let page = self.len / PAGE_IDS as u64 - 1;
        let offset = self.offset(page);
        let file = match &mut self.spill {
            Some(file) => file,
            none => none.insert(unlinked_file(&self.directory)?),
        };
        file.write_all_at(&self.open, offset).map_err(|e| Error::io("write spilled fragment ids", e))?;
        self.open.clear();
        Ok(())
    }

    /// Where a spilled page lies in the file.
    fn offset(&self, page: u64) -> u64 {
        (page - self.resident.len() as u64) * PAGE_LEN as u64
    }

    fn get(&mut self, ordinal: u64) -> Result<FragmentId> {
        let page = ordinal / PAGE_IDS as u64;
        let index = (ordinal % PAGE_IDS as u64) as usize;
        let bytes = self.page(page)?;
        let (ids, _) = bytes.as_chunks::<ID_LEN>();
        ids.get(index).copied().ok_or_else(|| Error::Parameter(format!("fragment ordinal {ordinal}")))
    }

    fn page(&mut self, page: u64) -> Result<&[u8]> {
        if page < self.resident.len() as u64 {
            return Ok(&self.resident[page as usize]);
        }
        if page >= self.closed_pages() {
            return Ok(&self.open);
        }
        match self.cache.iter().position(|(cached, _)| *cached == page) {
            Some(position) => self.cache[..=position].rotate_right(1),
            None => self.cache_page(page)?,
        }
        Ok(&self.cache[0].1)
    }

    fn closed_pages(&self) -> u64 {
        (self.len - (self.open.len() / ID_LEN) as u64) / PAGE_IDS as u64
    }

    fn cache_page(&mut self, page: u64) -> Result<()> {
        let mut bytes = match self.cache.len() {
            CACHED_PAGES => self.cache.pop().map(|(_, bytes)| bytes),
            _ => None,
        }
        .unwrap_or_else(|| vec![0; PAGE_LEN].into_boxed_slice());
        self.read(page, &mut bytes)?;
        self.cache.insert(0, (page, bytes));
        Ok(())
    }

    fn read(&self, page: u64, bytes: &mut [u8]) -> Result<()> {
        let file =
            self.spill.as_ref().ok_or_else(|| Error::Parameter("fragment ids: no page there".into()))?;
        file.read_exact_at(bytes, self.offset(page)).map_err(|e| Error::io("read spilled fragment ids", e))
    }

    /// Calls `visit` with every ordinal and id in order.
    fn for_each(&self, mut visit: impl FnMut(u64, &FragmentId)) -> Result<()> {
        let mut ordinal = 0;
        let mut visit_page = |bytes: &[u8]| {
            for id in bytes.as_chunks::<ID_LEN>().0 {
                visit(ordinal, id);
                ordinal += 1;
            }
        };
        self.resident.iter().for_each(|page| visit_page(page));
        let mut bytes = vec![0; if self.spill.is_some() { PAGE_LEN } else { 0 }];
        for page in self.resident.len() as u64..self.closed_pages() {
            self.read(page, &mut bytes)?;
            visit_page(&bytes);
        }
        visit_page(&self.open);
        Ok(())
    }
}

/// A file of mode 0600 in `directory` that has no name any more.
fn unlinked_file(directory: &Path) -> Result<File> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".warp-ids-{}-{number}", std::process::id()));
        let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => {
                remove_file(&path).map_err(|e| Error::io(format!("unlink {}", path.display()), e))?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(format!("create {}", path.display()), error)),
        }
    }
}
