//! The order of pages: hard links of a page are made, and directories closed, once its files and those of all pages before are complete.
//!
//! What waits behind a page whose files are not complete may be much more than what is under way. Beyond a little of it no more is kept
//! than where it lies: when its turn comes it is read from the stored pages again.

use std::collections::VecDeque;
use std::slice::from_ref;
use std::sync::Arc;

use super::super::restore::Restorer;
use super::super::window::EntryRef;
use super::held::{Account, Held};
use super::page::ActivePage;
use super::{Core, lock};
use crate::{Error, Result};

/// So much of what is held may wait for its turn as it is.
const MOST_AT_HAND: u64 = 64 << 20;

/// Number of a page, and index of one of its entries.
pub(super) type EntryPlace = (u32, u32);

/// What is to be made at the end of a page.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// With their places.
    pub links: Vec<(EntryRef, EntryPlace)>,
    /// Directories that get no more entries, inner ones first; not all are of this page.
    pub closing: Vec<(EntryRef, EntryPlace)>,
}

/// As [`Ends`], of a page whose files are complete.
#[derive(Debug)]
pub(super) struct StoredEnds {
    links: Vec<EntryPlace>,
    closing: Vec<EntryPlace>,
    _held: Held,
}

/// A page and what is to be made when its turn comes.
#[derive(Debug)]
pub(super) enum Turn {
    Here(Arc<ActivePage>, Ends),
    Stored(u32, StoredEnds),
}

impl Turn {
    fn number(&self) -> u32 {
        match self {
            Self::Here(page, _) => page.stored.number,
            Self::Stored(number, _) => *number,
        }
    }

    fn is_settled(&self) -> bool {
        match self {
            Self::Here(page, _) => page.is_settled(),
            Self::Stored(..) => true,
        }
    }

    /// How many links and directories it has.
    fn count(&self) -> usize {
        match self {
            Self::Here(_, ends) => ends.links.len() + ends.closing.len(),
            Self::Stored(_, ends) => ends.links.len() + ends.closing.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Bytes of memory that it takes where little is at hand, roughly.
    fn weight(&self) -> u64 {
        (size_of::<Self>() + self.count() * size_of::<EntryPlace>()) as u64
    }

    /// Keeps of a page whose files are complete no more than where the rest lies.
    fn thin(&mut self, account: &Account) {
        let Self::Here(page, ends) = self else { return };
        let places =
            |ends: &[(EntryRef, EntryPlace)]| ends.iter().map(|(_, place)| *place).collect::<Vec<_>>();
        let (number, links, closing) = (page.stored.number, places(&ends.links), places(&ends.closing));
        let _held = account.hold(self.weight() as usize);
        *self = Self::Stored(number, StoredEnds { links, closing, _held });
    }
}

/// Pages whose files are not all complete, and those behind them.
#[derive(Debug, Default)]
pub(super) struct Turns(VecDeque<Turn>);

impl Turns {
    pub fn push(&mut self, page: Arc<ActivePage>, ends: Ends) {
        self.0.push_back(Turn::Here(page, ends));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next page, if its files are complete.
    fn next(&mut self) -> Option<Turn> {
        if self.0.front().is_some_and(Turn::is_settled) { self.0.pop_front() } else { None }
    }

    /// Keeps little of this page, whose files are complete.
    fn thin(&mut self, number: u32, account: &Account) {
        if let Ok(at) = self.0.binary_search_by_key(&number, Turn::number)
            && let Some(turn) = self.0.get_mut(at)
        {
            turn.thin(account);
        }
    }
}

impl Core {
    /// A page's files are complete: what waited for that is made when they have their names, in order.
    pub(super) fn end_pages(&self, page: &ActivePage) {
        let mut order = lock(&self.order);
        while let Some(mut turn) = order.next() {
            if !turn.is_empty() {
                if self.is_much_held() {
                    turn.thin(&self.account);
                }
                self.session.hold(turn.weight());
                lock(&self.ending).push(turn);
            }
        }
        if self.is_much_held() {
            order.thin(page.stored.number, &self.account);
        }
        let is_empty = order.is_empty();
        drop(order);
        if is_empty {
            self.changed.notify_all();
        }
    }

    fn is_much_held(&self) -> bool {
        self.account.bytes() > MOST_AT_HAND
    }

    /// These pages' files have their names: their links are made, and directories closed.
    pub(super) fn end_all(&self, restorer: &mut Restorer, turns: &[Turn]) -> Result<()> {
        for turn in turns {
            self.end_page(restorer, turn)?;
            self.session.release(turn.weight());
        }
        Ok(())
    }

    fn end_page(&self, restorer: &mut Restorer, turn: &Turn) -> Result<()> {
        match turn {
            Turn::Here(_, ends) => {
                let entries = |ends: &[(EntryRef, EntryPlace)]| {
                    ends.iter().map(|(entry, _)| entry.clone()).collect::<Vec<_>>()
                };
                restorer.end(&entries(&ends.links), &entries(&ends.closing));
            }
            Turn::Stored(_, ends) => {
                // One by one: paths of a deep tree together may be large.
                for place in &ends.links {
                    restorer.end(from_ref(&self.entry(*place)?), &[]);
                }
                for place in &ends.closing {
                    restorer.end(&[], from_ref(&self.entry(*place)?));
                }
            }
        }
        Ok(())
    }

    /// An entry, read from its stored page.
    fn entry(&self, (number, index): EntryPlace) -> Result<EntryRef> {
        let page = self.store.get(number)?;
        let entry = page.listing.table.entries.get(index as usize);
        let missing = || Error::integrity(format!("stored page {number}: an entry is not there"));
        Ok(EntryRef::alone(entry.ok_or_else(missing)?.clone()))
    }
}
