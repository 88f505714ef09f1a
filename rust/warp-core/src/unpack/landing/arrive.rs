//! Fragments as they come: checked, then written wherever they belong.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::lock;
use super::super::report::Failure;
use super::super::restore::Restorer;
use super::page::{ActivePage, Late, Need};
use super::{Core, Landing};
use crate::catalogue::Spans;
use crate::{Error, Result};

/// A run of a page's fragments in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number of the page.
    pub page: u32,
    /// The first fragment, counted in the page.
    pub first: u16,
    /// How many.
    pub count: u16,
}

/// One thread's hold on the target.
pub struct Arrival {
    pub(super) restorer: Restorer,
}

impl Landing {
    /// Takes fragments: `raw` is those of `spans`, joined. False if a page of them has not come yet: then nothing was taken.
    ///
    /// # Errors
    /// [`Error::Format`] for fragments that nobody asked for, [`Error::Integrity`] for one that is damaged a second time, and
    /// what ended the landing.
    pub fn fragments(&self, arrival: &mut Arrival, spans: &[Span], raw: &[u8]) -> Result<bool> {
        let core = &*self.core;
        if !core.running() {
            core.check()?;
        }
        core.hold_back();
        let mut runs = Vec::with_capacity(spans.len());
        let mut at = 0;
        for span in spans {
            let Some(page) = core.active(span.page) else {
                return core.unknown(span.page);
            };
            let (first, count) = (u32::from(span.first), u32::from(span.count));
            let known = page.stored.offsets.len() as u64 - 1;
            if count == 0 || u64::from(first) + u64::from(count) > known {
                return Err(Error::format("frame: fragments that its page does not have"));
            }
            let length = page.bytes(first, count) as usize;
            runs.push((page, first..first + count, at..at + length));
            at += length;
        }
        if at != raw.len() {
            return Err(Error::format("frame: another length than that of its fragments"));
        }
        core.local.release();
        for (page, run, bytes) in &runs {
            page.claim(run.clone())?;
            core.received.fetch_add((bytes.end - bytes.start) as u64, Ordering::Relaxed);
        }
        for (page, run, bytes) in runs {
            core.run(&mut arrival.restorer, &page, run, raw.get(bytes).unwrap_or_default())?;
            core.release(&page);
        }
        arrival.restorer.tell();
        Ok(true)
    }

    /// The other side can't give these fragments any more: what needs them fails. Where all is sent unasked, their page may not be here yet.
    ///
    /// # Errors
    /// [`Error::Format`] for fragments that are not awaited.
    pub fn lost(&self, arrival: &mut Arrival, number: u32, spans: &Spans) -> Result<()> {
        let core = &*self.core;
        if core.options.everything {
            let planner = lock(&core.planner);
            if number >= planner.next {
                return lock(&core.early).keep(number, spans);
            }
        }
        let unknown = || Error::format("fragments are lost that were not awaited");
        let page = core.active(number).ok_or_else(unknown)?;
        core.lose(&mut arrival.restorer, &page, spans)?;
        core.release(&page);
        arrival.restorer.tell();
        Ok(())
    }
}

impl ActivePage {
    /// Fragments come; each must be awaited, and comes once.
    fn claim(&self, run: Range<u32>) -> Result<()> {
        let mut state = self.state();
        for index in run {
            if !state.expected.take(index) {
                return Err(Error::format(format!(
                    "frame: fragment {index} of page {} was not asked for",
                    self.stored.number
                )));
            }
            state.arriving.set(index);
        }
        Ok(())
    }
}

impl Core {
    /// A page that is not active: it may still come, or is done with.
    fn unknown(&self, number: u32) -> Result<bool> {
        if number >= lock(&self.planner).next {
            return Ok(false);
        }
        // It may have become active meanwhile.
        match self.active(number) {
            Some(_) => Ok(false),
            None => Err(Error::format(format!("frame: nothing of page {number} was asked for"))),
        }
    }

    /// Checks and places fragments of one page.
    fn run(
        &self,
        restorer: &mut Restorer,
        page: &Arc<ActivePage>,
        run: Range<u32>,
        data: &[u8],
    ) -> Result<()> {
        let start = |index: u32| page.bytes(run.start, index - run.start) as usize;
        let mut sound = run.start;
        for index in run.clone() {
            let bytes = data.get(start(index)..start(index + 1)).unwrap_or_default();
            let expected = page.stored.listing.fragments.get(index as usize);
            if expected.is_some_and(|(_, id)| self.keys.fragment_id(bytes) == *id) {
                continue;
            }
            self.ask_again(page, index)?;
            self.place(
                restorer,
                page,
                sound..index,
                data.get(start(sound)..start(index)).unwrap_or_default(),
            );
            sound = index + 1;
        }
        self.place(restorer, page, sound..run.end, data.get(start(sound)..).unwrap_or_default());
        Ok(())
    }

    fn ask_again(&self, page: &ActivePage, index: u32) -> Result<()> {
        let number = page.stored.number;
        let mut state = page.state();
        state.arriving.take(index);
        if state.damaged.has(index) {
            return Err(Error::integrity(format!("fragment {index} of page {number}, twice")));
        }
        state.damaged.set(index);
        state.expected.set(index);
        drop(state);
        self.tell(|news| news.wants.push((number, vec![(index as u16, 1)])));
        Ok(())
    }

    /// Writes fragments that were checked wherever they belong.
    fn place(&self, restorer: &mut Restorer, page: &Arc<ActivePage>, run: Range<u32>, data: &[u8]) {
        if run.is_empty() {
            return;
        }
        let mut settled = 0;
        for need in page.needs_of(run.start, run.end) {
            let (first, end) = (run.start.max(need.first), run.end.min(need.first + need.count));
            let start = page.bytes(run.start, first - run.start) as usize;
            let length = page.bytes(first, end - first);
            let bytes = data.get(start..start + length as usize).unwrap_or_default();
            let position = need.position + page.bytes(need.first, first - need.first);
            write(restorer, need, position, bytes);
            settled += length;
        }
        self.dirty.fetch_add(data.len() as u64, Ordering::Relaxed);
        let mut state = page.state();
        let late = state.take_late(run.start, run.end - run.start);
        self.late.fetch_sub(late.len() as u64, Ordering::Relaxed);
        for index in run.clone() {
            state.arriving.take(index);
            state.written.set(index);
        }
        drop(state);
        // Only now: if these were the last bytes of all, what is written is noted for the last time.
        if settled > 0 {
            self.settle(page, settled);
        }
        for Late { fragment, position, file, owner } in late {
            let start = page.bytes(run.start, fragment - run.start) as usize;
            let length = page.bytes(fragment, 1);
            let bytes = data.get(start..start + length as usize).unwrap_or_default();
            restorer.piece(&file, (position, length as u32), Ok(bytes));
            self.settle(&owner, length);
        }
    }
}

/// Writes a piece of a file; at once with all else if it is all of it.
fn write(restorer: &mut Restorer, need: &Need, position: u64, bytes: &[u8]) {
    if need.whole == Some(bytes.len() as u64) {
        let entry = need.file.entry();
        let temporary = restorer.site.names.of(&need.file);
        let result = restorer.whole(entry, &temporary, bytes);
        restorer.settle(entry, result);
    } else {
        restorer.piece(&need.file, (position, bytes.len() as u32), Ok(bytes));
    }
}

impl Core {
    /// These fragments of a page, which were awaited, do not come.
    pub(super) fn lose(&self, restorer: &mut Restorer, page: &Arc<ActivePage>, spans: &Spans) -> Result<()> {
        for (first, count) in spans {
            let run = u32::from(*first)..u32::from(*first) + u32::from(*count);
            page.claim(run.clone())?;
            self.give_up(restorer, page, run);
        }
        Ok(())
    }

    /// What needs these fragments, which do not come, fails.
    fn give_up(&self, restorer: &mut Restorer, page: &Arc<ActivePage>, run: Range<u32>) {
        let failure = Failure::damage("the sender can't read it any more");
        for need in page.needs_of(run.start, run.end) {
            let (first, end) = (run.start.max(need.first), run.end.min(need.first + need.count));
            let length = page.bytes(first, end - first);
            for index in first..end {
                let length = page.bytes(index, 1) as u32;
                restorer.piece(&need.file, (need.position, length), Err(&failure));
            }
            self.settle(page, length);
        }
        let mut state = page.state();
        let late = state.take_late(run.start, run.end - run.start);
        self.late.fetch_sub(late.len() as u64, Ordering::Relaxed);
        for index in run {
            state.arriving.take(index);
        }
        drop(state);
        for Late { fragment, position, file, owner } in late {
            let length = page.bytes(fragment, 1);
            restorer.piece(&file, (position, length as u32), Err(&failure));
            self.settle(&owner, length);
        }
    }
}
