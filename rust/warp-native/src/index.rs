//! `FragmentIndex`: deduplication, shared with the pipeline that fills it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use warp_core::dedup;

use crate::buffer::Bytes;
use crate::error::raise;

/// Fragment id → ordinal.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct FragmentIndex {
    /// Locked by a pipeline while it runs.
    pub inner: Arc<Mutex<dedup::FragmentIndex>>,
}

impl FragmentIndex {
    fn lock(&self) -> MutexGuard<'_, dedup::FragmentIndex> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl FragmentIndex {
    #[new]
    fn new(memory: usize, directory: Vec<u8>) -> Self {
        let directory = PathBuf::from(OsString::from_vec(directory));
        Self { inner: Arc::new(Mutex::new(dedup::FragmentIndex::new(memory, directory))) }
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        py.detach(|| self.lock().len() as usize)
    }

    fn load(&self, py: Python<'_>, first: u64, ids: Bytes) -> PyResult<()> {
        let ids = ids.as_slice();
        py.detach(|| self.lock().load(first, ids)).map_err(raise)
    }
}
