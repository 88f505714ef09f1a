//! How a stored page is written: a header of 80 bytes, the page as it travelled, and its places.
//!
//! Header: u32 stored bytes, u32 raw bytes, u32 codec, u32 new fragments, u64 ordinal of the first of them, u64 position, u32 places, the
//! first 4 bytes of BLAKE3 of the places, digest (32), the first 8 bytes of BLAKE3 of all before. A place is first, count, entry as u32
//! each, then u64 position.

use super::layout::Place;
use crate::digest::{self, Digest};

pub(super) const HEADER_BYTES: usize = 80;
const CHECKED_BYTES: usize = HEADER_BYTES - 8;
pub(super) const PLACE_BYTES: usize = 20;

/// What a header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub stored: u32,
    pub raw: u32,
    pub codec: u32,
    pub fragments: u32,
    pub base: u64,
    pub position: u64,
    pub places: u32,
    /// Of what is said of the places.
    pub places_check: [u8; 4],
    pub digest: Digest,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let words = [self.stored, self.raw, self.codec, self.fragments];
        for (at, word) in words.into_iter().enumerate() {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.places.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.places_check);
        bytes[40..72].copy_from_slice(&self.digest);
        let check = digest::hash(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&check[..8]);
        bytes
    }

    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let check = digest::hash(&bytes[..CHECKED_BYTES]);
        if bytes[CHECKED_BYTES..] != check[..8] {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Some(Self {
            stored: word(0),
            raw: word(4),
            codec: word(8),
            fragments: word(12),
            base: long(16),
            position: long(24),
            places: word(32),
            places_check: std::array::from_fn(|i| bytes[36 + i]),
            digest: std::array::from_fn(|i| bytes[40 + i]),
        })
    }

    pub fn length(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.stored) + u64::from(self.places) * PLACE_BYTES as u64
    }
}

/// The check of places, as they are written.
pub(super) fn check_of(places: &[u8]) -> [u8; 4] {
    let digest = digest::hash(places);
    std::array::from_fn(|at| digest[at])
}

pub(super) fn write_places(places: &[Place]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(places.len() * PLACE_BYTES);
    for place in places {
        for word in [place.first, place.count, place.entry] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&place.position.to_le_bytes());
    }
    bytes
}

pub(super) fn read_places(bytes: &[u8]) -> Vec<Place> {
    let read = |bytes: &[u8; PLACE_BYTES]| {
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let position = u64::from_le_bytes(std::array::from_fn(|i| bytes[12 + i]));
        Place { first: word(0), count: word(4), entry: word(8), position }
    };
    bytes.as_chunks::<PLACE_BYTES>().0.iter().map(read).collect()
}
