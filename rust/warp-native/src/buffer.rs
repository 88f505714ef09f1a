//! Arguments that support Python's buffer protocol, borrowed as byte slices.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use crate::error::usage;

/// A contiguous buffer of bytes: `bytes`, `bytearray`, `memoryview`, `mmap`, …; held, and so not resized, while it lives.
pub struct Bytes(PyBuffer<u8>);

impl Bytes {
    /// Its content. As with every function that reads a buffer while detached from the interpreter, the caller
    /// must not write to it meanwhile.
    pub fn as_slice(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer is C-contiguous (checked on extraction), pinned by its export until `self` is dropped, and
        // has `len_bytes` readable bytes behind a non-null pointer.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }

    /// Its content as an array of exactly `N` bytes; `what` names the argument in the error.
    pub fn as_array<const N: usize>(&self, what: &str) -> PyResult<&[u8; N]> {
        let bytes = self.as_slice();
        bytes.try_into().map_err(|_| usage(format!("{what}: {} bytes instead of {N}", bytes.len())))
    }

    /// Its content as arrays of `N` bytes each; `what` names the argument in the error.
    pub fn as_arrays<const N: usize>(&self, what: &str) -> PyResult<&[[u8; N]]> {
        match self.as_slice().as_chunks::<N>() {
            (arrays, []) => Ok(arrays),
            _ => Err(usage(format!("{what}: {} bytes are no multiple of {N}", self.as_slice().len()))),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(&object)?;
        if buffer.is_c_contiguous() { Ok(Self(buffer)) } else { Err(usage("buffer: not contiguous")) }
    }
}
