//! Pages that the sink has from an earlier connection do not leave again, as long as they are what they were.
//!
//! The sink's word is that of all its pages together; which they are this side knows by its own store, if that gives the same digest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use warp_core::catalogue::{Layout, PageStore, StoredPage};
use warp_core::digest::Digest;
use warp_core::pack::Page;

use super::core::Core;
use crate::{Result, lock};

/// So many pages are told of at once.
const TOGETHER: u32 = 16;

/// How far the pages are those of before.
pub(super) struct Spare {
    /// Pages that may be spared.
    most: u32,
    pages: u32,
    fragments: u64,
    /// How many of them those above know of.
    told: u32,
}

impl Spare {
    /// `here`: what the sink says it has. The store is emptied if that is something else.
    ///
    /// # Errors
    /// [`crate::Error::Core`] if the store can't be read.
    pub fn new(store: &PageStore, here: Option<(u32, Digest)>) -> Result<Self> {
        let is_there = |(count, digest)| {
            Ok::<_, crate::Error>(count <= store.len() && store.digest_of(count)? == digest)
        };
        let most = match here {
            Some(here) if is_there(here)? => here.0,
            _ => 0,
        };
        store.truncate(most)?;
        Ok(Self { most, pages: 0, fragments: 0, told: 0 })
    }
}

impl Core {
    /// Whether the page is the one that the sink has; then it does not leave.
    pub(super) fn is_spared(&self, page: &Page, digest: &Digest) -> Result<bool> {
        let mut spare = lock(&self.spare);
        if page.number >= spare.most || self.store.digest(page.number)? != *digest {
            return Ok(false);
        }
        spare.pages += 1;
        spare.fragments += page.listing.fragments.len() as u64;
        self.sent_pages.store(spare.pages, Ordering::Release);
        let is_worth = spare.pages - spare.told >= TOGETHER;
        drop(spare);
        if is_worth {
            self.spared(false);
        }
        Ok(true)
    }

    /// Tells of the pages that were spared; `all`: those are all.
    pub(super) fn spared(&self, all: bool) {
        let mut spare = lock(&self.spare);
        if all {
            spare.most = 0;
        }
        if spare.told < spare.pages {
            spare.told = spare.pages;
            let spared = Some((spare.pages, spare.fragments));
            drop(spare);
            self.tell(|news| news.spared = spared);
        }
    }

    /// The first page that leaves: it and all behind it are others than those of before. Where the file that goes on has come to, if
    /// that is not known from the pages that left.
    pub(super) fn send_on(&self, page: &Page) -> Result<Option<u64>> {
        self.spared(true);
        if self.store.len() > page.number {
            self.store.truncate(page.number)?;
        }
        let is_first = page.number > 0 && lock(&self.spare).pages == page.number;
        if !is_first || !page.listing.resumes {
            return Ok(None);
        }
        let before = self.page(page.number - 1)?;
        let mut earlier = |first, left| self.earlier(first, left);
        let layout = Layout::new(&before.listing, before.base, before.position, &mut earlier)?;
        Ok(Some(layout.end(&before.listing, before.position)))
    }

    /// A stored page. One that is damaged is sent again by the next try, with all behind it.
    pub(super) fn page(&self, number: u32) -> Result<Arc<StoredPage>> {
        let found = self.store.get(number);
        if matches!(found, Err(warp_core::Error::Integrity(_))) {
            self.store.truncate(number)?;
        }
        Ok(found?)
    }

    /// As `PageStore::span`.
    pub(super) fn earlier(&self, first: u64, left: u64) -> warp_core::Result<(u64, u64)> {
        let found = self.store.span(first, left);
        if let (Err(warp_core::Error::Integrity(_)), Some(number)) = (&found, self.store.page_of(first)) {
            self.store.truncate(number)?;
        }
        found
    }
}
