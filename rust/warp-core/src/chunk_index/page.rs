//! Raw index pages: a position, a number of records, and columns.

use crate::{Error, Result};

/// Records of a full page; only the last page of a kind may have fewer.
pub(super) const PAGE_RECORDS: u64 = 4096;

/// An index page whose columns are taken off one by one.
pub(super) struct Page<'a> {
    name: &'static str,
    count: usize,
    rest: &'a [u8],
}

impl<'a> Page<'a> {
    /// A page that follows `records` records of its kind.
    pub fn parse(raw: &'a [u8], name: &'static str, records: usize) -> Result<Self> {
        let header = raw.split_first_chunk::<16>();
        let (header, rest) = header.ok_or_else(|| Error::format(format!("{name}: length")))?;
        let [a, b] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| header[at + i])));
        let count = b & 0xffff_ffff;
        let page = Self { name, count: count as usize, rest };
        // A page after one that is not full would be out of place.
        if b >> 32 != 0 || a != records as u64 || !a.is_multiple_of(PAGE_RECORDS) {
            return Err(page.malformed("position"));
        }
        if !(1..=PAGE_RECORDS).contains(&count) {
            return Err(page.malformed("number of records"));
        }
        Ok(page)
    }

    /// The next column, of `N` bytes a record.
    pub fn column<const N: usize>(&mut self) -> Result<&'a [[u8; N]]> {
        let (column, rest) =
            self.rest.split_at_checked(self.count * N).ok_or_else(|| self.malformed("length"))?;
        self.rest = rest;
        Ok(column.as_chunks::<N>().0)
    }

    /// Nothing may follow the last column.
    pub fn end(&self) -> Result<()> {
        match self.rest {
            [] => Ok(()),
            _ => Err(self.malformed("length")),
        }
    }

    /// The error of this page.
    pub fn malformed(&self, what: &str) -> Error {
        Error::format(format!("{}: {what}", self.name))
    }
}
