//! What a page comes to: which of its fragments may come, what is here already, and what ends with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::files::SharedFile;
use super::super::lock;
use super::super::report::Failure;
use super::super::window::EntryRef;
use super::held::Account;
use super::local::LocalJob;
use super::page::{ActivePage, Bits, Late, Need};
use super::plan::{Draft, Planner};
use super::turns::Ends;
use super::{Core, Landing};
use crate::catalogue::{Again, Layout, Listing, Spans, StoredPage};
use crate::codec::Codec;
use crate::digest;
use crate::table::EntryTable;
use crate::{Error, Result};

/// What pages under way, and all else of a catalogue that is not done with, take in memory: four times the window that our side gives,
/// for an honest sender weighs its pages otherwise.
const MOST_HELD: u64 = 256 << 20;
/// Fragments that wait to be written to one file more.
const MOST_LATE: u64 = 8 << 20;
/// How soon a thread that waits looks again.
const PATIENCE: Duration = Duration::from_millis(50);

impl Landing {
    /// Takes the page `number`: `payload` is what travelled, encoded with `codec`, and `raw` what it decodes to.
    /// False if it is not the next one: then nothing was taken.
    ///
    /// # Errors
    /// [`Error::Format`] for a page that can't be, [`Error::Io`], and what ended the landing.
    pub fn page(&self, number: u32, codec: Codec, payload: &[u8], raw: &[u8]) -> Result<bool> {
        let core = &*self.core;
        if !core.running() {
            core.check()?;
        }
        core.hold_back();
        let mut planner = lock(&core.planner);
        if number > planner.next {
            return Ok(false);
        }
        if number < planner.next {
            return Err(Error::format(format!("catalogue page {number}, twice")));
        }
        core.make_room()?;
        core.take_page(&mut planner, codec, payload, raw)?;
        core.changed.notify_all();
        Ok(true)
    }
}

impl Core {
    /// Waits until what is here already has been looked at, if too many pages are under way. That of what waits for the other side there
    /// is not so much it sees to: pages that were not answered, or of which fragments are to leave, have their place in its window.
    pub(super) fn make_room(&self) -> Result<()> {
        loop {
            if self.account.bytes() <= MOST_HELD && self.late.load(Ordering::Relaxed) <= MOST_LATE {
                return Ok(());
            }
            if self.jobs.load(Ordering::Acquire) == 0 {
                return Err(Error::format("catalogue: more pages at once than the window holds"));
            }
            if !self.running() {
                self.check()?;
            }
            self.local.release();
            let shared = lock(&self.shared);
            drop(self.changed.wait_timeout(shared, PATIENCE));
        }
    }

    pub(super) fn take_page(
        &self,
        planner: &mut Planner,
        codec: Codec,
        payload: &[u8],
        raw: &[u8],
    ) -> Result<()> {
        let mut listing = Listing::decode(raw, self.cutter.sizes().max)?;
        let digest = digest::hash(raw);
        let number = planner.next;
        let is_known = number < planner.stored && self.store.digest(number)? == digest;
        if !is_known && number < planner.stored {
            planner.stored = number;
            self.forget(number)?;
        }
        let base = planner.base;
        let position = planner.open.as_ref().filter(|_| listing.resumes).map_or(0, |open| open.position);
        let mut earlier = |first, left| self.store.span(first, left);
        let layout = Layout::new(&listing, base, position, &mut earlier)?;
        // Files keep the entries for as long as they need them; who needs the page later has it decoded again.
        let table = Arc::new(std::mem::take(&mut listing.table));
        let extents = table.entries.iter().map(|entry| entry.extents.len()).sum::<usize>();
        let files = table.entries.len() * size_of::<SharedFile>() + extents * size_of::<(u64, u64, u64)>();
        let held = Arc::new(self.account.hold(table.weight() + files));
        let mut draft = Draft {
            table: &table,
            held: &held,
            listing: &listing,
            layout: &layout,
            files: Vec::with_capacity(table.entries.len()),
            ends: Ends::default(),
        };
        let ended = planner.open.as_ref().and_then(|open| open.file.clone());
        planner.entries(&mut draft)?;
        self.covered.fetch_add(std::mem::take(&mut planner.spared), Ordering::Relaxed);
        let (files, ends) = (draft.files, draft.ends);
        let stored = Arc::new(StoredPage {
            number,
            base,
            position,
            places: layout.places.clone(),
            offsets: layout.offsets.clone(),
            listing,
        });
        if !is_known {
            self.store.record(&stored, codec, raw, payload)?;
        }
        let page = draft_page(&stored, &layout, &files, &self.account);
        let before = if is_known { lock(&self.before).of(number) } else { Spans::new() };
        lock(&self.order).push(Arc::clone(&page), ends);
        self.expect(&page, &Bits::of_spans(&before));
        lock(&self.active).insert(Arc::clone(&page));
        self.repeat(planner, &page, &layout.again, &files);
        planner.digest.update(&digest);
        planner.next += 1;
        planner.base += stored.listing.fragments.len() as u64;
        self.conclude(planner, &page, ended, &table);
        let lost = lock(&self.early).take(number);
        self.lose(&mut planner.restorer, &page, &lost)?;
        self.release(&page);
        planner.restorer.tell();
        Ok(())
    }

    /// The pages from this one on are not those of the earlier try.
    pub(super) fn forget(&self, number: u32) -> Result<()> {
        lock(&self.journal).forget(number)?;
        lock(&self.before).forget(number);
        self.store.truncate(number)
    }

    /// Settles what may come of a page of which `kept` is here already. What of it is wanted is known when the files of before have
    /// been looked through.
    fn expect(&self, page: &Arc<ActivePage>, kept: &Bits) {
        let everything = self.options.everything;
        let mut needed = Bits::default();
        for need in &page.needs {
            (need.first..need.first + need.count).for_each(|index| needed.set(index));
        }
        let mut state = page.state();
        for index in 0..page.stored.listing.fragments.len() as u32 {
            if everything || (needed.has(index) && !kept.has(index)) {
                state.expected.set(index);
            }
            if kept.has(index) {
                state.noted.set(index);
            }
        }
        drop(state);
        if everything {
            return;
        }
        lock(&self.unanswered).push_back(Arc::clone(page));
        self.look_through(page);
        page.looked();
        self.answer();
        for (at, need) in page.needs.iter().enumerate() {
            let mut first = need.first;
            while first < need.first + need.count {
                let is_kept = kept.has(first);
                let end = (first..need.first + need.count).find(|index| kept.has(*index) != is_kept);
                let end = end.unwrap_or(need.first + need.count);
                if is_kept {
                    let page = Arc::clone(page);
                    self.submit(LocalJob::Check { page, need: at, first, count: end - first });
                }
                first = end;
            }
        }
    }

    /// Files that are to be replaced may have some of it.
    fn look_through(&self, page: &Arc<ActivePage>) {
        let mut first = 0;
        while let Some(need) = page.needs.get(first) {
            let file = &need.file;
            let same = |other: &Need| Arc::ptr_eq(&other.file, file);
            let count =
                page.needs.get(first..).unwrap_or_default().iter().take_while(|other| same(other)).count();
            if file.replaces() {
                page.look();
                self.submit(LocalJob::Look { page: Arc::clone(page), needs: first..first + count });
            }
            first += count;
        }
    }

    /// Tells what is wanted of the pages of which it is known, in their order.
    pub(super) fn answer(&self) {
        let mut unanswered = lock(&self.unanswered);
        while unanswered.front().is_some_and(|page| page.is_known()) {
            let Some(page) = unanswered.pop_front() else { return };
            let wanted = page.state().expected.spans();
            let is_spared = page.stored.number < self.spared.load(Ordering::Acquire);
            if is_spared && wanted.is_empty() {
                continue;
            }
            self.tell(|news| news.wants.push((page.stored.number, wanted)));
        }
    }

    /// Fragments that were met before: copied from where they lie, or written when they come.
    fn repeat(
        &self,
        planner: &mut Planner,
        page: &Arc<ActivePage>,
        again: &[Again],
        files: &[Option<Arc<SharedFile>>],
    ) {
        for piece in again {
            let Some(Some(file)) = files.get(piece.entry as usize) else { continue };
            let Some(number) = self.page_number(page, piece.first) else { continue };
            let origin = self.active(number);
            let base = match &origin {
                Some(origin) => origin.stored.base,
                None => match self.store.get(number) {
                    Ok(stored) => stored.base,
                    Err(error) => return self.stop(Some(error)),
                },
            };
            let first = (piece.first - base) as u32;
            self.repeat_run(planner, page, (origin, number), (first, piece.count), (file, piece.position));
        }
    }

    fn page_number(&self, page: &ActivePage, ordinal: u64) -> Option<u32> {
        if ordinal >= page.stored.base { Some(page.stored.number) } else { self.store.page_of(ordinal) }
    }

    fn repeat_run(
        &self,
        planner: &mut Planner,
        owner: &Arc<ActivePage>,
        (origin, number): (Option<Arc<ActivePage>>, u32),
        (first, count): (u32, u32),
        (file, position): (&Arc<SharedFile>, u64),
    ) {
        let copy = |first: u32, count: u32, position: u64| {
            let (file, owner) = (Arc::clone(file), Arc::clone(owner));
            self.submit(LocalJob::Copy { number, first, count, position, file, owner });
        };
        let Some(origin) = origin else { return copy(first, count, position) };
        let mut position = position;
        let mut here = None;
        let mut state = origin.state();
        for fragment in first..first + count {
            if state.expected.has(fragment) || state.arriving.has(fragment) {
                let (file, owner) = (Arc::clone(file), Arc::clone(owner));
                state.late.push(Late { fragment, position, file, owner });
                self.late.fetch_add(1, Ordering::Relaxed);
                if let Some((from, at)) = here.take() {
                    copy(from, fragment - from, at);
                }
            } else {
                here.get_or_insert((fragment, position));
            }
            position += origin.bytes(fragment, 1);
        }
        drop(state);
        if let Some((from, at)) = here {
            copy(from, first + count - from, at);
        }
        planner.restorer.tell();
    }

    /// The end of planning a page: files that went on and do so no more are complete once all of them came.
    fn conclude(
        &self,
        planner: &mut Planner,
        page: &Arc<ActivePage>,
        ended: Option<Arc<SharedFile>>,
        table: &Arc<EntryTable>,
    ) {
        if let Some(file) = ended {
            let still_open = planner.open.as_ref().and_then(|open| open.file.as_ref());
            let is_open = still_open.is_some_and(|open| Arc::ptr_eq(open, &file));
            if !is_open && page.stored.listing.resumes {
                let entry = table.entries.first().map(|entry| EntryRef::apart(entry, &self.account));
                let is_alike = entry.is_none_or(|entry| file.conclude(entry));
                if !is_alike && file.fail() {
                    let failure = Failure::damage("its holes moved while it was read");
                    planner.restorer.site.report.fail(&file.entry().path, failure);
                }
                if file.settle(1) {
                    planner.restorer.finish(&file);
                }
            } else if !is_open {
                planner.restorer.site.files.remove(&file);
                planner.given_up.push(file);
            }
        }
        if page.settle(1) {
            self.end_pages(page);
        }
    }
}

/// A page's needs, of the files that are restored.
fn draft_page(
    stored: &Arc<StoredPage>,
    layout: &Layout,
    files: &[Option<Arc<SharedFile>>],
    account: &Account,
) -> Arc<ActivePage> {
    let listing = &stored.listing;
    let last = files.len().saturating_sub(1);
    let mut open = 0;
    let needs = layout.places.iter().filter_map(|place| {
        let index = place.entry as usize;
        let file = files.get(index)?.clone()?;
        open += layout.bytes(place.first.into(), place.count.into());
        let is_part = index == 0 && listing.resumes || index == last && listing.continues;
        let whole = (!is_part).then(|| file.extents().length(file.entry()));
        Some(Need { first: place.first, count: place.count, position: place.position, file, whole })
    });
    let needs = needs.collect();
    for piece in &layout.again {
        if files.get(piece.entry as usize).is_some_and(Option::is_some) {
            open += piece.bytes;
        }
    }
    ActivePage::new(Arc::clone(stored), needs, open, account)
}
