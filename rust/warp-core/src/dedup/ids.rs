//! Ids by ordinal, in pages: all in memory, or closed ones in a file and the open one in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::file::unlinked_file;
use crate::digest::FragmentId;
use crate::{Error, Result};

pub(super) const ID_LEN: usize = size_of::<FragmentId>();
/// Ids of a page, the unit of reading: 12 KiB.
pub(super) const PAGE_IDS: usize = 512;
const PAGE_LEN: usize = PAGE_IDS * ID_LEN;
/// Spilled pages kept for reading: 192 KiB.
const CACHED_PAGES: usize = 16;

#[derive(Default)]
pub(super) struct Ids {
    len: u64,
    /// Closed pages, as long as they are in memory.
    resident: Vec<Box<[u8]>>,
    /// The page that is being filled.
    open: Vec<u8>,
    /// Closed pages, once they are not.
    spilled: Option<File>,
    /// Spilled pages lately read, the last used first.
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
        let page = ordinal / PAGE_IDS as u64;
        let index = (ordinal % PAGE_IDS as u64) as usize;
        let (ids, _) = self.page(page)?.as_chunks::<ID_LEN>();
        ids.get(index).copied().ok_or_else(|| Error::Parameter(format!("fragment ordinal {ordinal}")))
    }

    fn page(&mut self, page: u64) -> Result<&[u8]> {
        if page >= self.closed_pages() {
            return Ok(&self.open);
        }
        if self.spilled.is_none() {
            return Ok(&self.resident[page as usize]);
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
        let file = self.spilled.as_ref();
        let file = file.ok_or_else(|| Error::Parameter("fragment ids: no page there".into()))?;
        file.read_exact_at(bytes, page * PAGE_LEN as u64)
            .map_err(|e| Error::io("read spilled fragment ids", e))
    }

    /// Calls `visit` with every ordinal from `first` on and its id, in order.
    pub fn for_each(&self, first: u64, mut visit: impl FnMut(u64, &FragmentId)) -> Result<()> {
        let mut bytes = vec![0; if self.spilled.is_some() { PAGE_LEN } else { 0 }];
        for page in first / PAGE_IDS as u64..=self.closed_pages() {
            let ids = match (self.resident.get(page as usize), page < self.closed_pages()) {
                (Some(resident), _) => resident,
                (None, false) => self.open.as_slice(),
                (None, true) => {
                    self.read(page, &mut bytes)?;
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

fn write(file: &File, page: u64, bytes: &[u8]) -> Result<()> {
    file.write_all_at(bytes, page * PAGE_LEN as u64).map_err(|e| Error::io("write spilled fragment ids", e))
}
