//! Pages that are damaged: the rest of an index is of use all the same.
//!
//! A missing page is filled with what fits between its neighbours, so that everything behind it keeps its place; the
//! fragments of all chunks that it tells of count as lost, and no run of them is found.

use std::ops::Range;

use super::page::PAGE_RECORDS;
use super::{ChunkIndex, HEADER_LEN, push_sum};
use crate::codec::Codec;
use crate::{Error, Result};

/// What is missing of an index, and what is lost by that.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Chunks of which the place or the size is not known.
    chunks: Vec<Range<usize>>,
    /// Fragments of which the length is not known.
    fragments: Vec<Range<u64>>,
    /// Fragments of the chunks that either touches, sorted and apart.
    lost: Vec<Range<u64>>,
}

impl ChunkIndex {
    /// In place of a locator page of `count` records.
    ///
    /// # Errors
    /// [`Error::Format`] if there can be no such page here.
    pub fn add_missing_locators(&mut self, count: usize) -> Result<()> {
        let first = self.offsets.len();
        self.check_missing(first, count)?;
        let least = self.overhead() + 1;
        let mut end = match (self.offsets.last(), self.stored.last()) {
            (Some(offset), Some(stored)) => offset.saturating_add(u64::from(*stored)),
            _ => HEADER_LEN,
        };
        for _ in 0..count {
            self.offsets.push(end);
            self.stored.push(least);
            self.cids.push([0; 32]);
            end = end.saturating_add(u64::from(least));
        }
        self.missing.chunks.push(first..first + count);
        Ok(())
    }

    /// In place of a chunk page of `count` records, whose chunks hold so many `fragments`.
    ///
    /// # Errors
    /// [`Error::Format`] if there can be no such page here.
    pub fn add_missing_chunks(&mut self, count: usize, fragments: u64) -> Result<()> {
        let first = self.codecs.len();
        self.check_missing(first, count)?;
        let each = fragments.checked_div(count as u64).and_then(|each| u32::try_from(each).ok());
        let Some(each) = each.filter(|each| *each > 0 && *each < u32::MAX) else {
            return Err(Error::format("chunk page: number of fragments"));
        };
        let more = (fragments - u64::from(each) * count as u64) as usize;
        for chunk in 0..count {
            // A byte a fragment.
            let here = each + u32::from(chunk < more);
            self.codecs.push(Codec::Store as u8);
            push_sum(&mut self.raw_before, here);
            push_sum(&mut self.fragments_before, here);
        }
        if self.encrypted {
            self.dps.resize(first + count, [0; 32]);
        }
        self.missing.chunks.push(first..first + count);
        Ok(())
    }

    /// In place of a fragment page of `count` records; `keep_ids` as for the others.
    ///
    /// # Errors
    /// [`Error::Format`] if there can be no such page here.
    pub fn add_missing_fragments(&mut self, count: usize, keep_ids: bool) -> Result<()> {
        let first = self.lengths.len();
        self.check_missing(first, count)?;
        self.lengths.resize(first + count, 1);
        if keep_ids {
            self.ids.resize(first + count, [0; 24]);
        }
        self.missing.fragments.push(first as u64..(first + count) as u64);
        Ok(())
    }

    fn check_missing(&self, before: usize, count: usize) -> Result<()> {
        self.check_open()?;
        let fits =
            (before as u64).is_multiple_of(PAGE_RECORDS) && (1..=PAGE_RECORDS).contains(&(count as u64));
        if fits { Ok(()) } else { Err(Error::format("missing page: position or number of records")) }
    }

    /// Find what is lost: all fragments of the chunks that a missing page tells of.
    pub(super) fn lose(&mut self) {
        let chunks = std::mem::take(&mut self.missing.chunks);
        let fragments = std::mem::take(&mut self.missing.fragments);
        let touched =
            fragments.iter().map(|range| self.chunk_of(range.start)..self.chunk_of(range.end - 1) + 1);
        let mut lost: Vec<Range<usize>> = touched.chain(chunks).collect();
        lost.sort_unstable_by_key(|range| range.start);
        let known = self.fragments_before.len() - 1;
        for range in lost {
            let [start, end] = [range.start, range.end].map(|chunk| self.fragments_before[chunk.min(known)]);
            let range = start..end;
            match self.missing.lost.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => self.missing.lost.push(range),
            }
        }
    }

    /// The chunk that holds a fragment; the number of chunks if none does.
    fn chunk_of(&self, fragment: u64) -> usize {
        self.fragments_before.partition_point(|before| *before <= fragment).saturating_sub(1)
    }

    /// Whether the places of a chunk are lost.
    pub(super) fn is_lost(&self, chunk: usize) -> bool {
        self.chunk_fragments(chunk).is_some_and(|(first, end)| self.touches_lost(first, end))
    }

    /// # Errors
    /// [`Error::Integrity`] if fragments of these are lost.
    pub(super) fn check_known(&self, first: u64, end: u64) -> Result<()> {
        if self.touches_lost(first, end) {
            return Err(Error::integrity("index: the places of this are lost"));
        }
        Ok(())
    }

    fn touches_lost(&self, first: u64, end: u64) -> bool {
        let lost = &self.missing.lost;
        let next = lost.partition_point(|range| range.end <= first);
        lost.get(next).is_some_and(|range| range.start < end)
    }
}
