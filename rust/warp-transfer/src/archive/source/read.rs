//! Reading what is wanted, and whether it is what it should be.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use warp_core::digest;
use warp_net::frame::{Frame, Kind};

use super::{Core, FRAME_BYTES, Place};
use crate::archive::{Locators, PAGE_CHUNKS};
use crate::{Result, lock};

/// Locator pages that are kept at hand.
const AT_HAND: usize = 8;

impl Core {
    /// Sends a chunk, or tells that it is lost.
    pub(super) fn chunk(&self, request: u64, page: u32, index: u16) -> Result<()> {
        let Some(located) = self.locators(page).ok().and_then(|locators| locators.get(index)) else {
            self.lose(page.into(), index);
            return Ok(());
        };
        let mut buffer = self.link.lend(located.length as usize);
        let is_read = self.file.read_exact_at(&mut buffer.bytes, located.offset).is_ok();
        if !is_read || digest::hash(&buffer.bytes) != located.cid {
            self.lose(page.into(), index);
            return Ok(());
        }
        let number = u64::from(page) * PAGE_CHUNKS as u64 + u64::from(index);
        self.send(Frame::new(Kind::Chunk, 0, (number, request), Bytes::new(), buffer.freeze())?)?;
        self.sent.fetch_add(located.length.into(), Ordering::Relaxed);
        Ok(())
    }

    /// Sends a metadata page, or tells that it is lost.
    pub(super) fn metadata(&self, number: u64, place: Place) -> Result<()> {
        // Read twice: it may be long, and what is damaged does not leave.
        let mut hasher = digest::Hasher::default();
        let is_read = self.parts(place, |_, part| {
            hasher.update(&part);
            Ok(())
        });
        if !is_read? || hasher.digest() != place.digest {
            self.lose(number, 0);
            return Ok(());
        }
        let is_sent = self.parts(place, |offset, part| {
            self.send(Frame::new(Kind::Bytes, 0, (offset, 0), Bytes::new(), part)?)
        });
        if !is_sent? {
            self.lose(number, 0);
        }
        Ok(())
    }

    /// Hands over what lies at a place, a frame's bytes at a time; false if it can't be read.
    fn parts(&self, place: Place, mut take: impl FnMut(u64, Bytes) -> Result<()>) -> Result<bool> {
        let mut at = 0;
        while at < place.length {
            let length = (place.length - at).min(FRAME_BYTES as u64);
            let mut buffer = self.link.lend(length as usize);
            if self.file.read_exact_at(&mut buffer.bytes, place.offset + at).is_err() {
                return Ok(false);
            }
            self.check()?;
            take(place.offset + at, buffer.freeze())?;
            at += length;
        }
        Ok(true)
    }

    fn locators(&self, number: u32) -> Result<Arc<Locators>> {
        let mut at_hand = lock(&self.at_hand);
        if let Some((_, locators)) = at_hand.iter().find(|(page, _)| *page == number) {
            return Ok(Arc::clone(locators));
        }
        let damaged = || warp_core::Error::integrity(format!("locator page {number}"));
        let place = self.locators.get(number as usize).ok_or_else(damaged)?;
        let length = usize::try_from(place.length).ok().filter(|length| *length <= FRAME_BYTES);
        let mut stored = vec![0; length.ok_or_else(damaged)?];
        self.file
            .read_exact_at(&mut stored, place.offset)
            .map_err(|error| warp_core::Error::io("read a locator page", error))?;
        if digest::hash(&stored) != place.digest {
            return Err(damaged().into());
        }
        let locators = Arc::new(Locators::parse(&stored, number, self.end)?);
        if at_hand.len() >= AT_HAND {
            at_hand.pop_front();
        }
        at_hand.push_back((number, Arc::clone(&locators)));
        Ok(locators)
    }
}
