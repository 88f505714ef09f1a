//! Finding runs of fragments on the line of all raw bytes, and the chunks below an interval of it.

use super::ChunkIndex;
use crate::recipe::Runs;
use crate::{Error, Result};

/// Part of one chunk's raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of the chunk.
    pub chunk: u32,
    /// Where it starts in the chunk's raw bytes.
    pub offset: u32,
    /// How long it is, at least 1.
    pub length: u32,
}

/// A run of an encoded recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where it starts in the encoded recipe.
    pub at: usize,
    /// Ordinal behind the run before it.
    pub end: u64,
    /// Bytes of data before it.
    pub position: u64,
}

/// The last fragment looked up: the next look-up is likely to be a little further on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    chunk: usize,
    fragment: u64,
    offset: u64,
}

impl ChunkIndex {
    /// Where a run of fragments lies in the line of all raw bytes: start and end.
    ///
    /// # Errors
    /// [`Error::Format`] if there are no such fragments, [`Error::Integrity`] if the index is damaged there.
    pub fn span(&self, first: u64, count: u64, cursor: &mut Cursor) -> Result<(u64, u64)> {
        let end = first.checked_add(count);
        let end = end.filter(|end| *end <= self.fragments());
        let end = end.ok_or_else(|| Error::format("recipe: a fragment that there is not"))?;
        self.check_known(first, end)?;
        let start = self.raw_offset(first, cursor);
        Ok((start, self.raw_offset(end, cursor)))
    }

    /// Raw bytes before a fragment ≤ `fragments()`.
    fn raw_offset(&self, fragment: u64, cursor: &mut Cursor) -> u64 {
        if fragment == self.fragments() {
            return self.raw_total();
        }
        let next = self.fragments_before.get(cursor.chunk + 1);
        let near = fragment >= cursor.fragment && next.is_some_and(|next| fragment < *next);
        if !near {
            let chunk = self.fragments_before.partition_point(|n| *n <= fragment) - 1;
            *cursor =
                Cursor { chunk, fragment: self.fragments_before[chunk], offset: self.raw_before[chunk] };
        }
        let between = self.lengths.get(cursor.fragment as usize..fragment as usize);
        let skipped = between.unwrap_or_default().iter().copied().map(u64::from);
        cursor.offset += skipped.sum::<u64>();
        cursor.fragment = fragment;
        cursor.offset
    }

    /// The pieces of chunks that make up an interval of the line of all raw bytes, given by [`ChunkIndex::span`].
    pub fn pieces(&self, (start, end): (u64, u64)) -> impl Iterator<Item = Piece> + use<'_> {
        let end = end.min(self.raw_total());
        let first = self.raw_before.partition_point(|n| *n <= start);
        let chunks = self.raw_before.get(first.saturating_sub(1)..);
        let bounds = chunks.unwrap_or_default().windows(2);
        bounds.enumerate().take_while(move |(_, bounds)| bounds[0] < end && start < end).map(
            move |(i, bounds)| {
                let from = start.max(bounds[0]);
                Piece {
                    chunk: (first - 1 + i) as u32,
                    offset: (from - bounds[0]) as u32,
                    length: (end.min(bounds[1]) - from) as u32,
                }
            },
        )
    }

    /// Places in an encoded recipe, one every `every` runs from the first on, and the bytes of data that it gives.
    ///
    /// # Errors
    /// [`Error::Format`] if it names fragments that there are not, or too much data.
    pub fn marks(&self, encoded: &[u8], every: usize) -> Result<(Vec<Mark>, u64)> {
        let mut runs = Runs::of(encoded);
        let (mut marks, mut position, mut cursor) = (Vec::new(), 0_u64, Cursor::default());
        for number in 0.. {
            let (left, end) = runs.place();
            let Some(run) = runs.next() else {
                break;
            };
            if number % every.max(1) == 0 {
                marks.push(Mark { at: encoded.len() - left, end, position });
            }
            let (start, stop) = self.span(run.first, run.count, &mut cursor)?;
            let next = position.checked_add(stop - start);
            position = next.ok_or_else(|| Error::format("recipe: more data than there can be"))?;
        }
        Ok((marks, position))
    }

    /// The pieces of a run of fragments.
    ///
    /// # Errors
    /// [`Error::Format`] if there are no such fragments.
    pub fn locate(&self, first: u64, count: u64) -> Result<Vec<Piece>> {
        let span = self.span(first, count, &mut Cursor::default())?;
        Ok(self.pieces(span).collect())
    }
}
