//! Buffers on their way round the pipeline: fresh ones would cost a page fault for every 4 KiB.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::lock;

/// Larger buffers than this are not worth keeping.
const LARGEST: usize = 16 << 20;

/// Buffers that are used again, up to a number of them.
pub(super) struct Pool {
    most: usize,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    pub fn new(most: usize) -> Self {
        Self { most, buffers: Mutex::default() }
    }

    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        let mut buffer = self.any();
        buffer.clear();
        buffer
    }

    /// A buffer of `length` bytes to be overwritten; it comes back with its last reader.
    pub fn lend(self: &Arc<Self>, length: usize) -> Lent {
        let mut bytes = self.any();
        // Only what the buffer did not hold before is zeroed.
        bytes.resize(length, 0);
        self.own(bytes)
    }

    /// A buffer that comes here with its last reader.
    pub fn own(self: &Arc<Self>, bytes: Vec<u8>) -> Lent {
        Lent { bytes, pool: Arc::clone(self) }
    }

    pub fn give(&self, buffer: Vec<u8>) {
        let mut buffers = lock(&self.buffers);
        if buffers.len() < self.most && buffer.capacity() <= LARGEST {
            buffers.push(buffer);
        }
    }

    fn any(&self) -> Vec<u8> {
        lock(&self.buffers).pop().unwrap_or_default()
    }
}

/// A buffer that returns to its pool.
pub(super) struct Lent {
    pub bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.bytes));
    }
}
