//! An archive on its way, as it is stored (docs/transfer-protocol.md §7): what both ends know of its chunks.

mod sink;
mod source;

pub use self::sink::{ArchiveNews, ArchiveSink, Epochs};
pub use self::source::{ArchiveSource, ArchiveSourceNews, Place};

use warp_core::catalogue::Spans;
use warp_core::digest::Digest;
use warp_core::{Error, Result};

/// Records of a locator page (docs/format.md §6).
pub const PAGE_CHUNKS: usize = 4096;
/// How a payload begins: codec, zeros, raw length, stored length (docs/format.md §5).
const PAYLOAD_BYTES: usize = 20;
const HEAD_BYTES: usize = 16;
const RECORD_BYTES: usize = 8 + 4 + 32;
/// No chunk lies in the header.
const FIRST_OFFSET: u64 = 256;
/// A chunk of 8 MiB raw, its frame and its seal, which a frame holds.
const MOST_STORED: u32 = (8 << 20) + PAYLOAD_BYTES as u32 + 52;

/// Where a chunk lies, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub offset: u64,
    pub length: u32,
    pub cid: Digest,
}

/// A locator page.
#[derive(Debug)]
pub(crate) struct Locators(Vec<Located>);

impl Locators {
    /// Reads locator page `number` as it is stored: its chunks must follow each other before `end`.
    pub fn parse(stored: &[u8], number: u32, end: u64) -> Result<Self> {
        let malformed = || Error::format(format!("locator page {number}"));
        let (payload, rest) = stored.split_first_chunk::<PAYLOAD_BYTES>().ok_or_else(malformed)?;
        let (head, columns) = rest.split_first_chunk::<HEAD_BYTES>().ok_or_else(malformed)?;
        let [first @ .., c0, c1, c2, c3, _, _, _, _] = *head;
        let count = u32::from_le_bytes([c0, c1, c2, c3]) as usize;
        let mut expected = [0; PAYLOAD_BYTES];
        expected[4..12].copy_from_slice(&(rest.len() as u64).to_le_bytes());
        expected[12..].copy_from_slice(&(rest.len() as u64).to_le_bytes());
        let is_sound = *payload == expected
            && u64::from_le_bytes(first) == u64::from(number) * PAGE_CHUNKS as u64
            && head[12..] == [0; 4]
            && (1..=PAGE_CHUNKS).contains(&count)
            && columns.len() == count * RECORD_BYTES;
        if !is_sound {
            return Err(malformed());
        }
        let (offsets, rest) = columns.split_at(count * 8);
        let (lengths, cids) = rest.split_at(count * 4);
        let parts =
            offsets.as_chunks::<8>().0.iter().zip(lengths.as_chunks::<4>().0).zip(cids.as_chunks::<32>().0);
        let mut page = Vec::with_capacity(count);
        let mut free = FIRST_OFFSET;
        for ((offset, length), cid) in parts {
            let located = Located {
                offset: u64::from_le_bytes(*offset),
                length: u32::from_le_bytes(*length),
                cid: *cid,
            };
            let behind = located.offset.checked_add(located.length.into()).ok_or_else(malformed)?;
            if located.offset < free || behind > end || !(1..=MOST_STORED).contains(&located.length) {
                return Err(malformed());
            }
            free = behind;
            page.push(located);
        }
        Ok(Self(page))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, index: u16) -> Option<Located> {
        self.0.get(usize::from(index)).copied()
    }
}

/// A set of a page's chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks([u64; PAGE_CHUNKS / 64]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; PAGE_CHUNKS / 64])
    }
}

impl Marks {
    pub fn has(&self, index: u16) -> bool {
        self.0.get(usize::from(index) / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub fn set(&mut self, index: u16) {
        if let Some(word) = self.0.get_mut(usize::from(index) / 64) {
            *word |= 1 << (index % 64);
        }
    }

    /// Takes one out; whether it was in.
    pub fn take(&mut self, index: u16) -> bool {
        let had = self.has(index);
        if let Some(word) = self.0.get_mut(usize::from(index) / 64) {
            *word &= !(1 << (index % 64));
        }
        had
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The set as spans, in order.
    pub fn spans(&self) -> Spans {
        let mut spans = Spans::new();
        for index in (0..PAGE_CHUNKS as u16).filter(|index| self.has(*index)) {
            match spans.last_mut() {
                Some((first, count)) if *first + *count == index => *count += 1,
                _ => spans.push((index, 1)),
            }
        }
        spans
    }
}

/// The single chunks of spans.
pub(crate) fn each(spans: &Spans) -> impl Iterator<Item = u16> + use<'_> {
    spans.iter().flat_map(|(first, count)| *first..first.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(number: u32, records: &[(u64, u32)]) -> Vec<u8> {
        let mut raw = (u64::from(number) * PAGE_CHUNKS as u64).to_le_bytes().to_vec();
        raw.extend((records.len() as u64).to_le_bytes());
        records.iter().for_each(|(offset, _)| raw.extend(offset.to_le_bytes()));
        records.iter().for_each(|(_, length)| raw.extend(length.to_le_bytes()));
        records.iter().for_each(|_| raw.extend([7; 32]));
        let length = (raw.len() as u64).to_le_bytes();
        [&[0; 4], &length[..], &length, &raw].concat()
    }

    #[test]
    fn chunks_follow_each_other_within_the_file() {
        let end = 1 << 30;
        for (records, is_read) in [
            (&[(256, 10), (266, 5)][..], true),
            (&[(255, 10)], false),
            (&[(256, 10), (265, 5)], false),
            (&[(300, 10), (256, 5)], false),
            (&[(256, 0)], false),
            (&[(256, MOST_STORED), (1 << 29, 1)], true),
            (&[(256, MOST_STORED + 1)], false),
            (&[(u64::MAX, 2)], false),
            (&[((1 << 30) - 9, 10)], false),
            (&[], false),
        ] {
            assert_eq!(Locators::parse(&page(3, records), 3, end).is_ok(), is_read, "{records:?}");
            assert!(Locators::parse(&page(3, records), 4, end).is_err());
        }
        let many: Vec<_> = (0..=PAGE_CHUNKS as u64).map(|number| (256 + number, 1)).collect();
        assert!(Locators::parse(&page(0, &many), 0, end).is_err());
        assert_eq!(Locators::parse(&page(0, &many[1..]), 0, end).unwrap().len(), PAGE_CHUNKS);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(at in 0usize..200, byte: u8) {
            let mut bytes = page(0, &[(256, 10), (266, 5)]);
            let length = bytes.len();
            bytes[at % length] = byte;
            if let Ok(locators) = Locators::parse(&bytes, 0, 1000) {
                prop_assert_eq!(locators.len(), 2);
            }
            bytes.truncate(at % length);
            prop_assert!(Locators::parse(&bytes, 0, 1000).is_err());
        }

        #[test]
        fn a_set_is_what_its_spans_hold(wanted in proptest::collection::btree_set(0u16..4096, 0..200)) {
            let mut marks = Marks::default();
            wanted.iter().for_each(|index| marks.set(*index));
            prop_assert!(each(&marks.spans()).eq(wanted.iter().copied()));
            for index in wanted {
                prop_assert!(marks.take(index) && !marks.take(index));
            }
            prop_assert!(marks.is_empty());
        }
    }
}
