//! Entries in order.
use crate::Result;
use crate::columns::{Column, ColumnSource};
use crate::entry::Entry;
use std::cmp::Ordering;

/// Entries of a tree in archive order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryTable {
    /// Ascending by [`compare_paths`].
    pub entries: Vec<Entry>,
}

impl EntryTable {
    /// The columns of docs/format.md §7, in that order.
    pub fn to_columns(&self) -> Vec<(&'static str, Column)> {
        todo!()
    }
    /// Parse columns.
    pub fn from_columns(_columns: &ColumnSource<'_>) -> Result<Self> {
        todo!()
    }
}

/// The page-closing rule of docs/format.md §7.
#[derive(Debug, Default)]
pub struct PageCutter {
    entries: Vec<Entry>,
}

impl PageCutter {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }
    /// Add an entry; the page, if that closed it.
    pub fn push(&mut self, _entry: Entry) -> Option<EntryTable> {
        todo!()
    }
    /// The entries of the page still open.
    pub fn open(&self) -> &[Entry] {
        &self.entries
    }
    /// The last, partial page.
    pub fn finish(self) -> Option<EntryTable> {
        todo!()
    }
}

/// Bytewise per component: a directory before what is in it.
pub fn compare_paths(_a: &[u8], _b: &[u8]) -> Ordering {
    todo!()
}
