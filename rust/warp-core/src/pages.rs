//! Where one file-table page ends and the next begins.

use crate::columns::ColumnWriter;
use crate::entry::Entry;
use crate::parse::{MAX_PAGE_ENTRIES, MAX_PAGE_PATHS};
use crate::table::EntryTable;

/// From this many entries on, a page closes where the hash of a path says so.
const MIN_PAGE_ENTRIES: usize = 1_024;
/// A page closes once its MessagePack form is larger than this.
const MAX_PAGE_SIZE: usize = 1 << 20;
/// The bits of the hash's first two bytes that are zero where a page closes: once in 1,024 paths.
const PAGE_MASK: u16 = 0x3ff;

/// Cuts a stream of complete entries into file-table pages by the rule of docs/format.md §7.
///
/// Where a page closes depends on the entries since the last close only, so most pages of a changed tree are those of
/// the tree before.
#[derive(Debug, Default)]
pub struct PageCutter {
    entries: Vec<Entry>,
    measure: ColumnWriter<usize>,
    path_bytes: usize,
}

impl PageCutter {
    /// A cutter at the beginning of a page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Add the next entry in archive order, its recipe complete; the page, if it closes after this entry.
    pub fn push(&mut self, entry: Entry) -> Option<EntryTable> {
        self.measure.push(self.entries.last().map_or(&[], |before| &before.path), &entry);
        self.path_bytes += entry.path.len();
        self.entries.push(entry);
        self.closes().then(|| EntryTable { entries: std::mem::take(self).entries })
    }

    /// The entries of the page that is still open.
    pub fn open(&self) -> &[Entry] {
        &self.entries
    }

    /// The last page, if it has any entry.
    pub fn finish(self) -> Option<EntryTable> {
        (!self.entries.is_empty()).then_some(EntryTable { entries: self.entries })
    }

    fn closes(&self) -> bool {
        let count = self.entries.len();
        let by_hash =
            || count >= MIN_PAGE_ENTRIES && self.entries.last().is_some_and(|entry| ends_page(&entry.path));
        let is_large = self.measure.raw_size() > MAX_PAGE_SIZE || self.path_bytes > MAX_PAGE_PATHS;
        count >= MAX_PAGE_ENTRIES || is_large || by_hash()
    }
}

/// Whether a page that is long enough closes after this path.
fn ends_page(path: &[u8]) -> bool {
    let hash = blake3::hash(path);
    let head = hash.as_bytes().first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
    head & PAGE_MASK == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::columns::{Column, KEYS};
    use crate::entry::Xattrs;
    use crate::table::tests::{file, table};

    proptest! {
    #[test]
    fn the_measured_size_is_that_of_the_page(table in table()) {
        let mut measure = ColumnWriter::<usize>::default();
        let mut previous: &[u8] = &[];
        for entry in &table.entries {
            measure.push(previous, entry);
            previous = &entry.path;
        }
        prop_assert_eq!(measure.raw_size(), message_pack(&table.to_columns()).len());
    }
    }

    /// A plain MessagePack writer for the types that a page has.
    fn message_pack(columns: &[(&'static str, Column)]) -> Vec<u8> {
        let mut out = vec![0xde, 0, KEYS.len() as u8];
        for (key, column) in columns {
            out.push(0xa0 | key.len() as u8);
            out.extend(key.as_bytes());
            match column {
                Column::Int(number) if *number < 0x80 => out.push(*number as u8),
                Column::Int(number) => out.extend([&[0xcd], &(*number as u16).to_be_bytes()[..]].concat()),
                Column::Bytes(bytes) => bin(&mut out, bytes),
                Column::Sets(sets) => {
                    array(&mut out, sets.len());
                    for set in sets {
                        array(&mut out, set.len());
                        for (name, value) in set {
                            array(&mut out, 2);
                            bin(&mut out, name);
                            bin(&mut out, value);
                        }
                    }
                }
            }
        }
        out
    }

    fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
        match bytes.len() {
            length @ 0..0x100 => out.extend([0xc4, length as u8]),
            length @ 0x100..0x1_0000 => out.extend([&[0xc5], &(length as u16).to_be_bytes()[..]].concat()),
            length => out.extend([&[0xc6], &(length as u32).to_be_bytes()[..]].concat()),
        }
        out.extend(bytes);
    }

    fn array(out: &mut Vec<u8>, length: usize) {
        match length {
            0..16 => out.push(0x90 | length as u8),
            _ => out.extend([&[0xdc], &(length as u16).to_be_bytes()[..]].concat()),
        }
    }

    fn cut(entries: impl IntoIterator<Item = Entry>) -> Vec<EntryTable> {
        let mut cutter = PageCutter::new();
        let mut pages: Vec<_> = entries.into_iter().filter_map(|entry| cutter.push(entry)).collect();
        pages.extend(cutter.finish());
        pages
    }

    #[test]
    fn pages_close_by_the_hash_of_a_path_once_long_enough() {
        let names: Vec<String> = (0..40_000).map(|i| format!("{i:05}")).collect();
        let pages = cut(names.iter().map(|name| file(name)));
        assert_eq!(pages.iter().map(|page| page.entries.len()).sum::<usize>(), names.len());
        for page in &pages[..pages.len() - 1] {
            let (count, last) = (page.entries.len(), &page.entries.last().unwrap().path);
            assert!(count == 4_096 || (1_024..4_096).contains(&count) && ends_page(last), "{count}");
            assert!(page.entries[1_023..count - 1].iter().all(|entry| !ends_page(&entry.path)));
        }
        let changed = cut(names[1..].iter().map(|name| file(name)));
        let same = changed.iter().filter(|page| pages.contains(page)).count();
        assert!(
            same * 2 > pages.len(),
            "most pages of a changed tree are those before: {same} of {}",
            pages.len()
        );
    }

    #[test]
    fn pages_close_when_their_size_passes_1_mib() {
        let xattrs = |i: usize| -> Xattrs { [(b"user.x".to_vec(), vec![i as u8; 60_000])].into() };
        let entries = (0..40).map(|i| Entry { xattrs: xattrs(i), ..file(&format!("{i:02}")) });
        let pages = cut(entries);
        assert_eq!(pages.iter().map(|page| page.entries.len()).collect::<Vec<_>>(), [18, 18, 4]);
        let size =
            |entries: &[Entry]| message_pack(&EntryTable { entries: entries.to_vec() }.to_columns()).len();
        assert!(size(&pages[0].entries) > MAX_PAGE_SIZE && size(&pages[0].entries[..17]) <= MAX_PAGE_SIZE);
    }

    #[test]
    fn an_open_page_shows_what_it_holds() {
        let mut cutter = PageCutter::new();
        assert!(cutter.open().is_empty() && cutter.push(file("a")).is_none());
        assert_eq!(cutter.open(), [file("a")]);
        assert_eq!(cutter.finish(), Some(EntryTable { entries: vec![file("a")] }));
        assert_eq!(PageCutter::new().finish(), None);
    }
}
