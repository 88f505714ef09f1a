//! Names at which this extraction did not put, or find, the file that the archive has there: no link is made to them.
//!
//! Only these are remembered, by a hash of 64 bits with a random key, so a run in which all goes well remembers nothing. Two
//! paths with one hash would have a link refused that might be made, and said so; none is made that should not be.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Mutex;

use super::lock;

/// So many are remembered, some 100 MB; then no more links are made.
const MOST: usize = 4 << 20;

/// Why what lies at a name is not the archive's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its data is damaged.
    Damaged,
    /// It could not be restored.
    Failed,
    /// Another file was there, and stays.
    Other,
}

/// The names.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    hasher: RandomState,
    found: Mutex<HashMap<u64, Reason>>,
}

impl Strangers {
    /// Remember a stored path; the first reason counts.
    pub fn add(&self, path: &[u8], reason: Reason) {
        let mut found = lock(&self.found);
        if found.len() < MOST {
            found.entry(self.hasher.hash_one(path)).or_insert(reason);
        }
    }

    /// Why no link is to be made to a stored path, if none is.
    pub fn find(&self, path: &[u8]) -> Option<Reason> {
        let found = lock(&self.found);
        let full = (found.len() >= MOST).then_some(Reason::Other);
        found.get(&self.hasher.hash_one(path)).copied().or(full)
    }
}
