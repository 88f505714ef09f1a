//! The ordered end of the pipeline: the only thread that writes chunks.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};

use super::shared::Shared;
use crate::{Error, Result};

/// A descriptor that is only appended to; it may be a pipe.
pub(super) struct Output {
    descriptor: OwnedFd,
    offset: u64,
}

impl Output {
    pub fn new(descriptor: OwnedFd, offset: u64) -> Self {
        Self { descriptor, offset }
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes all of `bytes`; where they begin.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let start = self.offset;
        let mut left = bytes;
        while !left.is_empty() {
            match rustix::io::write(&self.descriptor, left) {
                Ok(0) => return Err(Error::io("write archive", std::io::ErrorKind::WriteZero)),
                Ok(count) => {
                    self.offset += count as u64;
                    left = left.get(count..).unwrap_or_default();
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => wait_for(&self.descriptor, PollFlags::OUT)?,
                Err(errno) => return Err(Error::io("write archive", errno)),
            }
        }
        Ok(start)
    }
}

/// Waits on a pipe or socket that does not wait by itself, as other programs leave them.
pub(super) fn wait_for(descriptor: &OwnedFd, ready: PollFlags) -> Result<()> {
    match poll(&mut [PollFd::new(descriptor, ready)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::io("wait for a stream", errno)),
    }
}

/// Writes chunks by ordinal, counted from 0 for the first of this pipeline.
pub(super) fn run(shared: &Arc<Shared>) -> Result<()> {
    let mut ordinal = 0;
    while let Some(chunk) = shared.next_encoded(ordinal)? {
        shared.write_chunk(&chunk)?;
        shared.buffers.give(chunk.stored);
        ordinal += 1;
    }
    shared.finish_writing();
    Ok(())
}
