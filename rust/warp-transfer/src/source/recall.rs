//! What was not read, or is wanted once more: read from the tree, and checked.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rustix::fs::fstat;
use rustix::io::{Errno, pread};
use warp_core::catalogue::{Spans, StoredPage};
use warp_core::entry::Entry;

use super::core::Core;
use super::frames::{Packer, cut};
use crate::{Result, lock};

/// The file that was read last.
type Open = Option<(u32, OwnedFd)>;

impl Core {
    /// Sends fragments that are not at hand; those that are not in the tree any more are lost.
    pub(super) fn again(&self, packer: &mut Packer, number: u32, spans: &Spans) -> Result<()> {
        let page = self.page(number)?;
        let (mut lost, mut open) = (Spans::new(), None);
        for runs in cut(&page.listing, spans) {
            for (first, count) in runs {
                let mut sound = first;
                let mut data = Vec::new();
                for index in first..first + count {
                    if self.read(&page, index, &mut open, &mut data)? {
                        continue;
                    }
                    self.send_again(packer, number, (sound, index - sound), &mut data)?;
                    lost.push((index, 1));
                    sound = index + 1;
                }
                self.send_again(packer, number, (sound, first + count - sound), &mut data)?;
            }
        }
        if !lost.is_empty() {
            self.tell(|news| news.lost.push((number, lost)));
        }
        Ok(())
    }

    fn send_again(
        &self,
        packer: &mut Packer,
        number: u32,
        run: (u16, u16),
        data: &mut Vec<u8>,
    ) -> Result<()> {
        if run.1 == 0 {
            return Ok(());
        }
        let raw = Bytes::from(std::mem::take(data));
        let frame = packer.frame(self, number, &vec![run], raw)?;
        self.packed.fetch_add(frame.header.auxiliary, Ordering::Relaxed);
        self.send(frame)
    }

    /// Appends a fragment's bytes, read from its first place; false if they are not there.
    fn read(&self, page: &StoredPage, index: u16, open: &mut Open, data: &mut Vec<u8>) -> Result<bool> {
        let start = data.len();
        let is_read = self.read_raw(page, index, open, data).is_ok();
        let id = page.listing.fragments.get(usize::from(index)).map(|(_, id)| *id);
        let found = is_read.then(|| self.keys.fragment_id(data.get(start..).unwrap_or_default()));
        if found.is_some() && found == id {
            return Ok(true);
        }
        data.truncate(start);
        if is_read {
            self.doubt(page, index, open)?;
        }
        Ok(false)
    }

    /// A file whose times say that it is what it was, and that is not, is to be read by the next try.
    fn doubt(&self, page: &StoredPage, index: u16, open: &Open) -> Result<()> {
        let entry = entry_of(page, index).map(|(_, entry, _)| entry);
        let device = open.as_ref().and_then(|(_, file)| fstat(file).ok()).map(|stat| stat.st_dev);
        match (device, entry) {
            (Some(device), Some(entry)) => Ok(self.cuts.forget(&self.cuts.file(device, entry))?),
            _ => Ok(()),
        }
    }

    fn read_raw(&self, page: &StoredPage, index: u16, open: &mut Open, data: &mut Vec<u8>) -> io::Result<()> {
        let missing = || io::Error::from(Errno::NOENT);
        let (number, entry, position) = entry_of(page, index).ok_or_else(missing)?;
        let (length, _) = page.listing.fragments.get(usize::from(index)).ok_or_else(missing)?;
        let file = match open.take().filter(|(of, _)| *of == number) {
            Some((_, file)) => file,
            None => lock(&self.finder).open(&entry.path)?,
        };
        let (_, file) = open.insert((number, file));
        for (offset, length) in entry.data_places(position, u64::from(*length)) {
            let start = data.len();
            data.resize(start + length as usize, 0);
            let mut at = start;
            while at < data.len() {
                let place = offset + (at - start) as u64;
                match pread(&*file, data.get_mut(at..).unwrap_or_default(), place) {
                    Ok(0) => return Err(missing()),
                    Ok(read) => at += read,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }
}

/// The file that a fragment was first met in: its number in the page, what it is, and where the fragment lies in its data.
fn entry_of(page: &StoredPage, index: u16) -> Option<(u32, &Entry, u64)> {
    let (place, position) = page.locate(index.into())?;
    Some((place.entry, page.listing.table.entries.get(place.entry as usize)?, position))
}
