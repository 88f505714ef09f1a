//! Buffers for payloads, used again: fresh ones would cost a page fault for every 4 KiB.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Smaller payloads take memory of their own.
const LEAST: usize = 64 << 10;
/// Larger buffers than this are not worth keeping.
const LARGEST: usize = 10 << 20;

/// Up to a number of idle buffers.
pub(crate) struct Pool {
    most: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, idle: Mutex::default() })
    }

    /// A buffer of `length` bytes to be overwritten.
    pub fn take(self: &Arc<Self>, length: usize) -> Lent {
        let idle = if length < LEAST { None } else { self.lock().pop() };
        let mut bytes = idle.unwrap_or_default();
        // Only what the buffer did not hold before is zeroed.
        bytes.resize(length, 0);
        Lent { bytes, pool: Arc::clone(self) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that returns to its pool with its last reader.
pub struct Lent {
    /// What it holds.
    pub bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Lent {
    /// What it holds, to be read by any number.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let capacity = self.bytes.capacity();
        if (LEAST..=LARGEST).contains(&capacity) {
            let mut idle = self.pool.lock();
            if idle.len() < self.pool.most {
                idle.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}
