//! Pages that are not done with, and what of the others the journal does not have yet. Pages are large and a file system may take
//! minutes to sync, so that one of which nothing is awaited leaves no more than a set of its fragments until then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::page::{ActivePage, Bits};
use super::{Core, lock};

/// Pages by number.
#[derive(Debug, Default)]
pub(super) struct Active {
    pages: BTreeMap<u32, Arc<ActivePage>>,
    /// Of pages that are done with: what was written and is not noted.
    unnoted: BTreeMap<u32, Bits>,
}

impl Active {
    pub fn get(&self, number: u32) -> Option<Arc<ActivePage>> {
        self.pages.get(&number).cloned()
    }

    pub fn insert(&mut self, page: Arc<ActivePage>) {
        self.pages.insert(page.stored.number, page);
    }

    /// Lets go of this page, unless something of it is awaited.
    pub fn release(&mut self, page: &Arc<ActivePage>) {
        let number = page.stored.number;
        let is_there = self.pages.get(&number).is_some_and(|there| Arc::ptr_eq(there, page));
        if let Some(rest) = is_there.then(|| page.rest()).flatten() {
            self.pages.remove(&number);
            if !rest.is_empty() {
                self.unnoted.entry(number).or_default().add(&rest);
            }
        }
    }

    /// Lets go of all pages of which nothing is awaited.
    pub fn release_all(&mut self) {
        for page in self.pages.values().cloned().collect::<Vec<_>>() {
            self.release(&page);
        }
    }

    /// What is written and not noted yet.
    pub fn written(&self) -> BTreeMap<u32, Bits> {
        let mut written = self.unnoted.clone();
        for (number, page) in &self.pages {
            let state = page.state();
            let new = state.written.without(&state.noted);
            if !new.is_empty() {
                written.entry(*number).or_default().add(&new);
            }
        }
        written
    }

    /// The journal has this now.
    pub fn note(&mut self, written: &BTreeMap<u32, Bits>) {
        for (number, bits) in written {
            if let Some(page) = self.pages.get(number) {
                page.state().noted.add(bits);
            }
            if let Some(rest) = self.unnoted.get_mut(number) {
                *rest = rest.without(bits);
            }
        }
        self.unnoted.retain(|_, rest| !rest.is_empty());
    }
}

impl Core {
    /// So many bytes of a page's files are dealt with.
    pub(super) fn settle(&self, page: &ActivePage, bytes: u64) {
        self.covered.fetch_add(bytes, Ordering::Relaxed);
        if page.settle(bytes) {
            self.end_pages(page);
        }
    }

    /// Lets go of a page, if it is done with.
    pub(super) fn release(&self, page: &Arc<ActivePage>) {
        lock(&self.active).release(page);
    }
}
