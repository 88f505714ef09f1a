//! The pages of a session on disk, for whoever needs one again: to go on after a kill, or to find where a fragment lies.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use super::layout::{Layout, Place};
use super::listing::{Listing, MOST_BYTES};
use super::record::{HEADER_BYTES, Header, PLACE_BYTES, check_of, read_places, write_places};
use crate::codec::{Codec, Decoder};
use crate::digest::{self, Digest};
use crate::{Error, Result};

/// Decoded pages that are kept at hand.
const AT_HAND: usize = 32;

/// A page as it was stored, decoded.
#[derive(Debug)]
pub struct StoredPage {
    /// Its number, from 0.
    pub number: u32,
    /// Ordinal of its first new fragment.
    pub base: u64,
    /// Bytes of data that the first entry has in the pages before.
    pub position: u64,
    /// What it says.
    pub listing: Listing,
    /// Where its new fragments belong.
    pub places: Vec<Place>,
    /// Offset of each new fragment in the page's data, and at last the length of all.
    pub offsets: Vec<u64>,
}

impl StoredPage {
    /// The place that holds a new fragment, and the fragment's position in the file's data there.
    pub fn locate(&self, fragment: u32) -> Option<(Place, u64)> {
        let behind = self.places.partition_point(|place| place.first <= fragment);
        let place = *self.places.get(behind.checked_sub(1)?)?;
        if fragment - place.first >= place.count {
            return None;
        }
        let at = |index: u32| self.offsets.get(index as usize).copied();
        Some((place, place.position.checked_add(at(fragment)?.checked_sub(at(place.first)?)?)?))
    }
}

/// Where each record is: all of a page that is always in memory.
#[derive(Debug, Default)]
struct Index {
    offsets: Vec<u64>,
    bases: Vec<u64>,
    end: u64,
    /// Ordinal behind the last page's fragments.
    fragments: u64,
}

/// Pages in order.
#[derive(Debug)]
pub struct PageStore {
    file: File,
    most: u32,
    index: Mutex<Index>,
    at_hand: Mutex<Vec<Arc<StoredPage>>>,
}

impl PageStore {
    /// Opens a store whose fragments have at most `most` bytes; a torn end is cut off.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(file: File, most: u32) -> Result<Self> {
        let length = file.metadata().map_err(|error| Error::io("read the stored pages", error))?.len();
        let store = Self { file, most, index: Mutex::default(), at_hand: Mutex::default() };
        let mut index = Index::default();
        while index.end + HEADER_BYTES as u64 <= length {
            let Some(header) = store.header(index.end)? else { break };
            if index.end + header.length() > length || header.base != index.fragments {
                break;
            }
            index.add(&header);
        }
        store.file.set_len(index.end).map_err(|error| Error::io("cut the stored pages", error))?;
        *store.lock() = index;
        Ok(store)
    }

    /// Number of pages.
    pub fn len(&self) -> u32 {
        self.lock().offsets.len() as u32
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ordinal behind the last page's fragments.
    pub fn fragments(&self) -> u64 {
        self.lock().fragments
    }

    /// Number of the page that an ordinal belongs to, if there is one.
    pub fn page_of(&self, ordinal: u64) -> Option<u32> {
        let index = self.lock();
        let behind = index.bases.partition_point(|base| *base <= ordinal);
        (ordinal < index.fragments).then(|| behind.saturating_sub(1) as u32)
    }

    /// How many of a run of ordinals are of one page with the first of them, and their bytes.
    ///
    /// # Errors
    /// [`Error::Format`] for fragments that no page has, [`Error::Io`], [`Error::Integrity`].
    pub fn span(&self, first: u64, left: u64) -> Result<(u64, u64)> {
        let missing = || Error::format("catalogue page: a recipe names fragments that were not met");
        let page = self.get(self.page_of(first).ok_or_else(missing)?)?;
        let at = first - page.base;
        let taken = left.min(page.listing.fragments.len() as u64 - at);
        let offset = |index: u64| page.offsets.get(index as usize).copied().unwrap_or_default();
        Ok((taken, offset(at + taken) - offset(at)))
    }

    /// Appends a page, and keeps it at hand: `payload` is what travelled, encoded with `codec`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&self, page: &Arc<StoredPage>, codec: Codec, raw: &[u8], payload: &[u8]) -> Result<()> {
        self.record(page, codec, raw, payload)?;
        self.keep(Arc::clone(page));
        Ok(())
    }

    /// As [`PageStore::append`]; if it is asked for, it is decoded again. Its entries are those of `raw`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn record(&self, page: &StoredPage, codec: Codec, raw: &[u8], payload: &[u8]) -> Result<()> {
        let places = write_places(&page.places);
        let mut index = self.lock();
        let header = Header {
            stored: payload.len() as u32,
            raw: raw.len() as u32,
            codec: codec as u32,
            fragments: page.listing.fragments.len() as u32,
            base: index.fragments,
            position: page.position,
            places: page.places.len() as u32,
            places_check: check_of(&places),
            digest: digest::hash(raw),
        };
        let record = [&header.to_bytes()[..], payload, &places].concat();
        self.file.write_all_at(&record, index.end).map_err(|error| Error::io("store a page", error))?;
        index.add(&header);
        Ok(())
    }

    /// The digest of a page's raw bytes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Integrity`].
    pub fn digest(&self, number: u32) -> Result<Digest> {
        Ok(self.find(number)?.1.digest)
    }

    /// The digest of the digests of the first `count` pages, joined.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Integrity`] if there are not so many.
    pub fn digest_of(&self, count: u32) -> Result<Digest> {
        let mut digests = digest::Hasher::default();
        for number in 0..count {
            digests.update(&self.digest(number)?);
        }
        Ok(digests.digest())
    }

    /// A page as it travelled, with its codec and raw length.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Integrity`].
    pub fn payload(&self, number: u32) -> Result<(Codec, u32, Vec<u8>)> {
        let (offset, header) = self.find(number)?;
        let mut payload = vec![0; header.stored as usize];
        self.read(&mut payload, offset + HEADER_BYTES as u64)?;
        Ok((Codec::try_from(header.codec as u8)?, header.raw, payload))
    }

    /// A page's raw bytes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Integrity`] if they are not those that were stored.
    pub fn raw(&self, number: u32) -> Result<Vec<u8>> {
        let (codec, length, payload) = self.payload(number)?;
        let damaged = || Error::integrity(format!("stored page {number}"));
        if length as usize > MOST_BYTES {
            return Err(damaged());
        }
        let mut raw = payload;
        if codec != Codec::Store {
            let payload = std::mem::take(&mut raw);
            Decoder::new().decode_body(codec, &payload, length as usize, &mut raw).map_err(|_| damaged())?;
        }
        if digest::hash(&raw) == self.digest(number)? { Ok(raw) } else { Err(damaged()) }
    }

    /// A page, decoded.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Integrity`] if it is not as it was stored.
    pub fn get(&self, number: u32) -> Result<Arc<StoredPage>> {
        if let Some(page) = self.lock_at_hand().iter().find(|page| page.number == number) {
            return Ok(Arc::clone(page));
        }
        let (offset, header) = self.find(number)?;
        let payload = &self.raw(number)?;
        let mut places = vec![0; header.places as usize * PLACE_BYTES];
        self.read(&mut places, offset + HEADER_BYTES as u64 + u64::from(header.stored))?;
        if check_of(&places) != header.places_check {
            return Err(Error::integrity(format!("stored page {number}: its places")));
        }
        let listing = Listing::decode(payload, self.most)?;
        let page = Arc::new(StoredPage {
            number,
            base: header.base,
            position: header.position,
            places: read_places(&places),
            offsets: Layout::offsets_of(&listing),
            listing,
        });
        self.keep(Arc::clone(&page));
        Ok(page)
    }

    /// Forgets the pages from this one on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn truncate(&self, count: u32) -> Result<()> {
        let mut index = self.lock();
        let count = count as usize;
        if count < index.offsets.len() {
            index.end = index.offsets[count];
            index.fragments = index.bases[count];
            index.offsets.truncate(count);
            index.bases.truncate(count);
            self.lock_at_hand().clear();
            self.file.set_len(index.end).map_err(|error| Error::io("cut the stored pages", error))?;
        }
        Ok(())
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("sync the stored pages", error))
    }

    fn find(&self, number: u32) -> Result<(u64, Header)> {
        let missing = || Error::integrity(format!("stored page {number}: it is not there"));
        let offset = self.lock().offsets.get(number as usize).copied().ok_or_else(missing)?;
        Ok((offset, self.header(offset)?.ok_or_else(missing)?))
    }

    fn header(&self, offset: u64) -> Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        self.read(&mut bytes, offset)?;
        Ok(Header::parse(&bytes))
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| Error::io("read the stored pages", error))
    }

    fn keep(&self, page: Arc<StoredPage>) {
        let mut at_hand = self.lock_at_hand();
        if at_hand.len() >= AT_HAND {
            at_hand.remove(0);
        }
        at_hand.push(page);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_at_hand(&self) -> std::sync::MutexGuard<'_, Vec<Arc<StoredPage>>> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, header: &Header) {
        self.offsets.push(self.end);
        self.bases.push(header.base);
        self.end += header.length();
        self.fragments = header.base + u64::from(header.fragments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::EntryTable;
    use crate::walk::tests::Scratch;

    const MOST: u32 = 5000;

    fn page() -> StoredPage {
        let table = EntryTable { entries: Vec::new() };
        let fragments = vec![(7, [1; 24]), (9, [2; 24])];
        let listing = Listing { table, resumes: false, continues: false, fragments };
        let places = vec![
            Place { first: 0, count: 1, entry: 3, position: 0 },
            Place { first: 1, count: 1, entry: 4, position: 5 },
        ];
        StoredPage { number: 0, base: 0, position: 0, places, offsets: Layout::offsets_of(&listing), listing }
    }

    fn file(scratch: &Scratch) -> File {
        let path = scratch.path().join("pages");
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn every_flipped_byte_of_a_stored_page_is_found() {
        let scratch = Scratch::new("pages-flip");
        let page = page();
        let raw = page.listing.encode();
        PageStore::open(file(&scratch), MOST).unwrap().record(&page, Codec::Store, &raw, &raw).unwrap();
        let stored = PageStore::open(file(&scratch), MOST).unwrap().get(0).unwrap();
        assert_eq!((&stored.places, &stored.listing), (&page.places, &page.listing));
        let bytes = std::fs::read(scratch.path().join("pages")).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(scratch.path().join("pages"), flipped).unwrap();
            let store = PageStore::open(file(&scratch), MOST).unwrap();
            assert_eq!(store.len(), u32::from(at >= HEADER_BYTES), "{at}");
            assert!(matches!(store.get(0), Err(Error::Integrity(_))), "{at}");
        }
    }

    #[test]
    fn a_place_beyond_all_files_is_none() {
        let mut page = page();
        assert_eq!(page.locate(1).map(|(place, position)| (place.entry, position)), Some((4, 5)));
        page.places[1].position = u64::MAX;
        page.places[1].first = 0;
        page.places[1].count = 2;
        assert!(page.locate(1).is_none());
    }
}
