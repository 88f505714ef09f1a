//! Tables of entries in archive order: one file-table page (docs/format.md §7), or a batch that is to become some.

use std::collections::BTreeSet;

use crate::Result;
use crate::columns::{Column, ColumnSource, ColumnWriter};
use crate::entry::{Entry, Kind, xattrs_weight};
use crate::matcher::{Matcher, SortedMatches};
pub use crate::pages::PageCutter;
use crate::parse::parse_columns;
pub use crate::paths::compare_paths;

/// Entries of a tree, strictly ascending by [`compare_paths`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryTable {
    /// In archive order.
    pub entries: Vec<Entry>,
}

impl EntryTable {
    /// The columns of docs/format.md §7 with their keys, in that order.
    pub fn to_columns(&self) -> Vec<(&'static str, Column)> {
        let mut writer = ColumnWriter::with_capacity(self.entries.len());
        let mut previous: &[u8] = &[];
        for entry in &self.entries {
            writer.push(previous, entry);
            previous = &entry.path;
        }
        writer.finish()
    }

    /// The table of at most 4,096 entries that [`Self::to_columns`] gives exactly these columns for; [`Error::Format`]
    /// if there is none.
    ///
    /// [`Error::Format`]: crate::Error::Format
    pub fn from_columns(columns: &ColumnSource<'_>) -> Result<Self> {
        Ok(Self { entries: parse_columns(columns)? })
    }

    /// Bytes that it takes in memory, roughly.
    pub fn weight(&self) -> usize {
        let mut last = None;
        self.entries
            .iter()
            .map(|entry| {
                let shares = last.replace(entry.xattrs.as_ptr()) == Some(entry.xattrs.as_ptr());
                entry.weight() + if shares { 0 } else { xattrs_weight(&entry.xattrs) }
            })
            .sum()
    }

    /// Index of the entry with exactly this path.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| compare_paths(&entry.path, path)).ok()
    }

    /// Indices of the entries that match, themselves or by a directory above them.
    pub fn matching(&self, matcher: &Matcher) -> Vec<usize> {
        let mut matches = SortedMatches::new(matcher);
        self.indices(|entry| matches.matches(&entry.path, entry.kind == Kind::Directory))
    }

    /// Distinct owners and groups, ascending.
    pub fn owners(&self) -> (Vec<u32>, Vec<u32>) {
        let uids: BTreeSet<u32> = self.entries.iter().map(|entry| entry.uid).collect();
        let gids: BTreeSet<u32> = self.entries.iter().map(|entry| entry.gid).collect();
        (uids.into_iter().collect(), gids.into_iter().collect())
    }

    /// Number of regular files, further names not counted, and their logical bytes.
    pub fn totals(&self) -> (u64, u64) {
        let files = self.entries.iter().filter(|entry| entry.kind == Kind::File);
        files.fold((0, 0), |(count, bytes), file| (count + 1, file.size.saturating_add(bytes)))
    }

    /// Indices of the entries whose recipe touches any of the ordinal ranges `[first, end)`, sorted and disjoint.
    pub fn using(&self, fragments: &[(u64, u64)]) -> Vec<usize> {
        let touched = |first: u64, count: u64| {
            let next = fragments.partition_point(|(_, end)| *end <= first);
            fragments.get(next).is_some_and(|(start, _)| *start < first.saturating_add(count))
        };
        self.indices(|entry| entry.runs.iter().any(|run| touched(run.first, run.count)))
    }

    fn indices(&self, mut wanted: impl FnMut(&Entry) -> bool) -> Vec<usize> {
        self.entries.iter().enumerate().filter(|(_, entry)| wanted(entry)).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
