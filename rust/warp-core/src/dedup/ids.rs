//! Ids by ordinal, in pages: all in memory, or closed ones in a file and the open one in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::file::unlinked_file;
use crate::digest::FragmentId;
use crate::{Error, Result};

pub(super) const ID_LEN: usize = size_of::<FragmentId>();
/// Ids of a page, the unit of writing: 96 KiB.
pub(super) const PAGE_IDS: usize = 4096;
const PAGE_LEN: usize = PAGE_IDS * ID_LEN;
/// Ids of a part of a spilled page, the unit of reading: 12 KiB.
const PART_IDS: usize = 512;
const PART_LEN: usize = PART_IDS * ID_LEN;
/// Parts kept for reading: 192 KiB.
const CACHED_PARTS: usize = 16;

#[derive(Default)]
pub(super) struct Ids {
    len: u64,
    /// Closed pages, as long as they are in memory.
    resident: Vec<Box<[u8]>>,
    /// The page that is being filled.
    open: Vec<u8>,
    /// Closed pages, once they are not.
    spilled: Option<File>,
    /// Parts of spilled pages lately read, the last used first.
    cache: Vec<(u64, Box<[u8]>)>,
}

impl Ids {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn resident_bytes(&self) -> usize {
        self.resident.len() * PAGE_LEN
    }

    pub fn append(&mut self, id: &FragmentId) -> Result<()> {
        if self.open.len() == PAGE_LEN {
            self.close_page()?;
        }
        self.open.extend_from_slice(id);
        self.len += 1;
        Ok(())
    }

    fn close_page(&mut self) -> Result<()> {
        if let Some(file) = &self.spilled {
            write(file, self.len / PAGE_IDS as u64 - 1, &self.open)?;
            self.open.clear();
        } else {
            self.resident.push(std::mem::take(&mut self.open).into_boxed_slice());
            self.open.reserve_exact(PAGE_LEN);
        }
        Ok(())
    }

    /// Moves the closed pages, and all to come, to a file in `directory`.
    pub fn spill(&mut self, directory: &Path) -> Result<()> {
        let file = unlinked_file(directory)?;
        for (number, page) in std::mem::take(&mut self.resident).into_iter().enumerate() {
            write(&file, number as u64, &page)?;
        }
        self.spilled = Some(file);
        Ok(())
    }

    pub fn get(&mut self, ordinal: u64) -> Result<FragmentId> {
        let (page, at) = (ordinal / PAGE_IDS as u64, (ordinal % PAGE_IDS as u64) as usize);
        let id = if let Some(resident) = self.resident.get(page as usize) {
            id_at(resident, at)
        } else if page >= self.closed_pages() {
            id_at(&self.open, at)
        } else {
            id_at(self.part(ordinal / PART_IDS as u64)?, at % PART_IDS)
        };
        id.ok_or_else(|| Error::Parameter(format!("fragment ordinal {ordinal}")))
    }

    fn closed_pages(&self) -> u64 {
        (self.len - (self.open.len() / ID_LEN) as u64) / PAGE_IDS as u64
    }

    fn part(&mut self, part: u64) -> Result<&[u8]> {
        match self.cache.iter().position(|(cached, _)| *cached == part) {
            Some(position) => self.cache[..=position].rotate_right(1),
            None => self.cache_part(part)?,
        }
        Ok(&self.cache[0].1)
    }

    fn cache_part(&mut self, part: u64) -> Result<()> {
        let mut bytes = match self.cache.len() {
            CACHED_PARTS => self.cache.pop().map(|(_, bytes)| bytes),
            _ => None,
        }
        .unwrap_or_else(|| vec![0; PART_LEN].into_boxed_slice());
        self.read(part * PART_LEN as u64, &mut bytes)?;
        self.cache.insert(0, (part, bytes));
        Ok(())
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let file = self.spilled.as_ref();
        let file = file.ok_or_else(|| Error::Parameter("fragment ids: no page there".into()))?;
        file.read_exact_at(bytes, offset).map_err(|e| Error::io("read spilled fragment ids", e))
    }

    /// Calls `visit` with every ordinal from `first` on and its id, in order.
    pub fn for_each(&self, first: u64, mut visit: impl FnMut(u64, &FragmentId)) -> Result<()> {
        let mut bytes = vec![0; if self.spilled.is_some() { PAGE_LEN } else { 0 }];
        for page in first / PAGE_IDS as u64..=self.closed_pages() {
            let ids = match (self.resident.get(page as usize), page < self.closed_pages()) {
                (Some(resident), _) => resident,
                (None, false) => self.open.as_slice(),
                (None, true) => {
                    self.read(page * PAGE_LEN as u64, &mut bytes)?;
                    bytes.as_slice()
                }
            };
            for (ordinal, id) in (page * PAGE_IDS as u64..).zip(ids.as_chunks::<ID_LEN>().0) {
                if ordinal >= first {
                    visit(ordinal, id);
                }
            }
        }
        Ok(())
    }
}

fn id_at(ids: &[u8], at: usize) -> Option<FragmentId> {
    ids.as_chunks::<ID_LEN>().0.get(at).copied()
}

fn write(file: &File, page: u64, bytes: &[u8]) -> Result<()> {
    file.write_all_at(bytes, page * PAGE_LEN as u64).map_err(|e| Error::io("write spilled fragment ids", e))
}
