//! Buffers on their way round the pipeline.

use std::sync::Mutex;

use super::lock;

/// Buffers that are used again: fresh ones cost a page fault per 4 KiB.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    pub fn take(&self) -> Vec<u8> {
        lock(&self.0).pop().unwrap_or_default()
    }

    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut pool = lock(&self.0);
        if pool.len() < 64 && buffer.capacity() <= 16 << 20 {
            pool.push(buffer);
        }
    }
}
