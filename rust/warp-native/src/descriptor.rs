//! File descriptors of Python's.

use std::os::fd::{BorrowedFd, OwnedFd};

use pyo3::prelude::*;

use crate::error::usage;

/// A descriptor of our own for the file behind a Python one.
pub fn duplicate(fd: i32) -> PyResult<OwnedFd> {
    if fd < 0 {
        return Err(usage(format!("file descriptor: {fd}")));
    }
    // SAFETY: `fd` is not negative and only borrowed for the call of `dup`, which reports EBADF if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(borrowed.try_clone_to_owned()?)
}
