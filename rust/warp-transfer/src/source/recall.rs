//! What is wanted once more: read from the tree again, and checked.

use bytes::Bytes;
use rustix::io::{Errno, pread};
use warp_core::catalogue::{Spans, StoredPage};

use super::core::Core;
use super::frames::{Packer, cut};
use crate::{Result, lock};

impl Core {
    /// Sends fragments of a page that is gone; those that are not in the tree any more are lost.
    pub(super) fn again(&self, packer: &mut Packer, number: u32, spans: &Spans) -> Result<()> {
        let page = self.store.get(number)?;
        let mut lost = Spans::new();
        for runs in cut(&page.listing, spans) {
            for (first, count) in runs {
                let mut sound = first;
                let mut data = Vec::new();
                for index in first..first + count {
                    if self.read(&page, index, &mut data) {
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
        self.send(frame)
    }

    /// Appends a fragment's bytes, read from its first place; false if they are not there.
    fn read(&self, page: &StoredPage, index: u16, data: &mut Vec<u8>) -> bool {
        let start = data.len();
        let is_sound =
            self.read_raw(page, index, data).is_ok()
                && page.listing.fragments.get(usize::from(index)).is_some_and(|(_, id)| {
                    self.keys.fragment_id(data.get(start..).unwrap_or_default()) == *id
                });
        if !is_sound {
            data.truncate(start);
        }
        is_sound
    }

    fn read_raw(&self, page: &StoredPage, index: u16, data: &mut Vec<u8>) -> std::io::Result<()> {
        let missing = || std::io::Error::from(Errno::NOENT);
        let (place, position) = page.locate(index.into()).ok_or_else(missing)?;
        let entry = page.listing.table.entries.get(place.entry as usize).ok_or_else(missing)?;
        let (length, _) = page.listing.fragments.get(usize::from(index)).ok_or_else(missing)?;
        let file = lock(&self.finder).open(&entry.path)?;
        for (offset, length) in entry.data_places(position, u64::from(*length)) {
            let start = data.len();
            data.resize(start + length as usize, 0);
            let mut at = start;
            while at < data.len() {
                let place = offset + (at - start) as u64;
                match pread(&file, data.get_mut(at..).unwrap_or_default(), place) {
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
