//! Where the fragments of a page belong: each new one into the file in which it is first met, and again wherever a recipe
//! names it once more.

use super::Listing;
use crate::entry::{Entry, FLAG_SPARSE, Kind};
use crate::{Error, Result};

/// Runs of fragments that were met before, in one page: more would be made to keep a reader busy.
const MOST_AGAIN: usize = 4 << 20;

/// A run of a page's new fragments in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first of them, counted in the page.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Index of the file's entry in the page.
    pub entry: u32,
    /// Where in the file's data, holes left out.
    pub position: u64,
}

/// A run of fragments that were met before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Ordinal of the first of them.
    pub first: u64,
    /// How many; all of one page.
    pub count: u32,
    /// Index of the file's entry in the page that is laid out.
    pub entry: u32,
    /// Where in the file's data, holes left out.
    pub position: u64,
    /// How many bytes they are.
    pub bytes: u64,
}

/// The places of a page.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// In order; together they hold each new fragment exactly once, but for those of a file that was given up.
    pub places: Vec<Place>,
    /// In order of the entries.
    pub again: Vec<Again>,
    /// Bytes of data that each entry has in this page.
    pub lengths: Vec<u64>,
    /// Offset of each new fragment in the page's data, and at last the length of all.
    pub offsets: Vec<u64>,
}

/// Cuts a run of ordinals where pages end: `(fragments, bytes)` of the first part of it.
pub type Earlier<'a> = dyn FnMut(u64, u64) -> Result<(u64, u64)> + 'a;

impl Layout {
    /// Lays a page out whose first new fragment has the ordinal `base`, and whose first entry, if it goes on, has `position` bytes of
    /// data before. `earlier` gives, for a run of ordinals below `base`, how many are of one page with its first, and their bytes.
    ///
    /// # Errors
    /// [`Error::Format`] for a recipe that names fragments which were not met, or gives another length than the entry.
    pub fn new(listing: &Listing, base: u64, position: u64, earlier: &mut Earlier<'_>) -> Result<Self> {
        let mut layout = Self { offsets: Self::offsets_of(listing), ..Self::default() };
        let mut met = 0;
        let last = listing.table.entries.len().saturating_sub(1);
        for (index, entry) in listing.table.entries.iter().enumerate() {
            let start = if index == 0 && listing.resumes { position } else { 0 };
            let length = layout.entry((index as u32, entry), (base, &mut met), start, earlier)?;
            layout.lengths.push(length);
            let is_open = index == last && listing.continues;
            let whole = data_length(entry);
            if entry.kind == Kind::File && !is_open && start + length != whole {
                let path = String::from_utf8_lossy(&entry.path);
                return Err(Error::format(format!(
                    "catalogue page: the recipe of {path:?} gives {} bytes instead of {whole}",
                    start + length
                )));
            }
        }
        Ok(layout)
    }

    /// Offset of each new fragment in the page's data, and at last the length of all.
    pub fn offsets_of(listing: &Listing) -> Vec<u64> {
        let mut end = 0;
        let ends = listing.fragments.iter().map(|(length, _)| {
            end += u64::from(*length);
            end
        });
        std::iter::once(0).chain(ends).collect()
    }

    fn entry(
        &mut self,
        (index, entry): (u32, &Entry),
        (base, met): (u64, &mut u64),
        start: u64,
        earlier: &mut Earlier<'_>,
    ) -> Result<u64> {
        let mut position = start;
        let count = self.offsets.len() as u64 - 1;
        for run in &entry.runs {
            let (mut first, mut left) = (run.first, run.count);
            while left > 0 {
                let (taken, bytes) = if first < base {
                    let (taken, bytes) = earlier(first, left.min(base - first))?;
                    self.again.push(Again { first, count: taken as u32, entry: index, position, bytes });
                    (taken, bytes)
                } else {
                    let at = first - base;
                    let is_new = at >= *met;
                    let limit = if is_new { count } else { *met };
                    let taken = left.min(limit.saturating_sub(at));
                    if taken == 0 {
                        return Err(Error::format(
                            "catalogue page: a recipe names fragments that are not there",
                        ));
                    }
                    if is_new {
                        *met = at + taken;
                        let (first, count) = (at as u32, taken as u32);
                        self.places.push(Place { first, count, entry: index, position });
                    } else {
                        let bytes = self.bytes(at, taken);
                        self.again.push(Again { first, count: taken as u32, entry: index, position, bytes });
                    }
                    (taken, self.bytes(at, taken))
                };
                if self.again.len() > MOST_AGAIN {
                    return Err(Error::format("catalogue page: too many pieces"));
                }
                position = position
                    .checked_add(bytes)
                    .ok_or_else(|| Error::format("catalogue page: a file that is too large"))?;
                first += taken;
                left -= taken;
            }
        }
        Ok(position - start)
    }

    /// Bytes of data that the last entry has in this page and those before; the first one had `position` before.
    pub fn end(&self, listing: &Listing, position: u64) -> u64 {
        let before = if listing.resumes && self.lengths.len() == 1 { position } else { 0 };
        before + self.lengths.last().copied().unwrap_or_default()
    }

    /// Bytes of `count` new fragments from the one at `first` on; both are in the page.
    pub fn bytes(&self, first: u64, count: u64) -> u64 {
        let at = |index: u64| self.offsets.get(index as usize).copied().unwrap_or_default();
        at(first + count) - at(first)
    }
}

/// Bytes of data of a file, without its holes.
fn data_length(entry: &Entry) -> u64 {
    if entry.flags & FLAG_SPARSE == 0 {
        return entry.size;
    }
    entry.extents.iter().fold(0, |sum: u64, (_, length)| sum.saturating_add(*length))
}
