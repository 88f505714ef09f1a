//! What a journal says of all pages, in one piece of memory: there may be millions of them.

use std::collections::BTreeMap;

use super::{Restored, Spans};

/// A span of one page's fragments: page, first, count.
type Note = (u32, u16, u16);

/// Files of earlier tries that are known, 256 MiB of them: others are taken for files that were there before.
const MOST_RESTORED: usize = 16 << 20;

/// Fragments that were noted, by page.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    notes: Vec<Note>,
    restored: Vec<Restored>,
}

impl Noted {
    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// The fragments of a page, in order.
    pub fn of(&self, page: u32) -> Spans {
        let start = self.notes.partition_point(|(number, ..)| *number < page);
        let notes = self.notes.get(start..).unwrap_or_default();
        notes
            .iter()
            .take_while(|(number, ..)| *number == page)
            .map(|(_, first, count)| (*first, *count))
            .collect()
    }

    /// All of it, for those who have few pages.
    pub fn by_page(&self) -> BTreeMap<u32, Spans> {
        let mut pages = BTreeMap::<u32, Spans>::new();
        for (page, first, count) in &self.notes {
            pages.entry(*page).or_default().push((*first, *count));
        }
        pages
    }

    /// The files that were restored, sorted. They stay though pages are forgotten.
    pub fn take_restored(&mut self) -> Vec<Restored> {
        std::mem::take(&mut self.restored)
    }

    /// Forgets this page and all behind it.
    pub fn forget(&mut self, page: u32) {
        self.notes.retain(|(number, ..)| *number < page);
    }

    /// One span more, in any order: [`Noted::settle`] is to follow.
    pub(super) fn add(&mut self, page: u32, first: u16, count: u16) {
        self.notes.push((page, first, count));
    }

    /// One file more, in any order; no more than [`MOST_RESTORED`] are known.
    pub(super) fn add_restored(&mut self, file: Restored) {
        if self.restored.len() < MOST_RESTORED {
            self.restored.push(file);
        }
    }

    /// Brings what was added into order, and joins what adjoins.
    pub(super) fn settle(&mut self) {
        self.notes.sort_unstable();
        self.notes.dedup_by(|(page, first, count), (number, start, length)| {
            let end = u32::from(*start) + u32::from(*length);
            let adjoin = page == number && u32::from(*first) <= end;
            if adjoin {
                let end = end.max(u32::from(*first) + u32::from(*count));
                *length = (end - u32::from(*start)).try_into().unwrap_or(u16::MAX);
            }
            adjoin
        });
        self.notes.shrink_to_fit();
        self.restored.sort_unstable();
        self.restored.dedup();
        self.restored.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_all_that_was_added(
            notes in proptest::collection::vec((0u32..6, 0u16..40, 1u16..9), 0..60), from in 0u32..6,
        ) {
            let mut noted = Noted::default();
            let mut expected = BTreeMap::<u32, BTreeSet<u16>>::new();
            for (page, first, count) in notes {
                noted.add(page, first, count);
                expected.entry(page).or_default().extend(first..first + count);
            }
            noted.settle();
            let by_page = noted.by_page();
            for page in 0..6 {
                let spans = noted.of(page);
                prop_assert_eq!(&spans, &by_page.get(&page).cloned().unwrap_or_default());
                let found: Vec<_> = spans.iter().flat_map(|(first, count)| *first..first + count).collect();
                prop_assert_eq!(found, expected.remove(&page).unwrap_or_default().into_iter().collect::<Vec<_>>());
                prop_assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0));
            }
            noted.forget(from);
            prop_assert!((from..6).all(|page| noted.of(page).is_empty()));
        }
    }
}
