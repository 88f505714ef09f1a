//! Pages that an earlier try has left here, and that the other side need not send again (docs/transfer-protocol.md §6).

use std::sync::atomic::Ordering;

use super::{Landing, lock};
use crate::catalogue::PageStore;
use crate::digest::Digest;
use crate::{Error, Result};

impl Landing {
    /// What an earlier try has left here: how many pages, and the digest of their digests.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Integrity`].
    pub fn here(&self) -> Result<(u32, Digest)> {
        let store: &PageStore = &self.core.store;
        let count = store.len();
        Ok((count, store.digest_of(count)?))
    }

    /// The next page is the one that is here, by the other side's word. Of it nothing is told if nothing is wanted.
    ///
    /// # Errors
    /// [`Error::Integrity`] if it is not as it was stored: then it and all behind it are forgotten, and another try has them sent.
    /// [`Error::Format`] if there is none, and what [`Landing::page`] gives.
    pub fn same(&self) -> Result<()> {
        let core = &*self.core;
        if !core.running() {
            core.check()?;
        }
        let mut planner = lock(&core.planner);
        let number = planner.next;
        if number >= planner.stored {
            return Err(Error::format(format!("catalogue page {number} is said to be here, and is not")));
        }
        let found = core.store.payload(number).and_then(|stored| Ok((stored, core.store.raw(number)?)));
        let ((codec, _, payload), raw) = match found {
            Ok(found) => found,
            Err(error) => {
                core.forget(number)?;
                return Err(error);
            }
        };
        core.make_room()?;
        core.spared.store(number + 1, Ordering::Release);
        core.take_page(&mut planner, codec, &payload, &raw)?;
        core.changed.notify_all();
        Ok(())
    }
}
