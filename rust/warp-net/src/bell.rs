//! A descriptor that is readable while there is something to take, for programs that wait with select, poll or epoll.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use crate::{Error, Result};

/// An eventfd that a queue rings when it gets something to take, and clears when all is taken.
pub struct Bell(OwnedFd);

impl Bell {
    /// A bell that was not rung.
    pub fn new() -> Result<Arc<Self>> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Error::io("eventfd", &error.into()))?;
        Ok(Arc::new(Self(descriptor)))
    }

    pub fn ring(&self) {
        // It could only fail if the counter were at its end, and then it is readable.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub fn clear(&self) {
        // Reading sets it to 0; where it is 0 there is nothing to read.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
