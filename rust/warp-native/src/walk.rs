//! `Walker`, `WalkBatch` and `Baseline`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use warp_core::baseline;
use warp_core::matcher::Matcher;
use warp_core::walk::{self, Root, WalkOptions};

use crate::error::{raise, usage};
use crate::table::EntryTable;

/// A walk over roots in archive order.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Walker(pub Arc<Mutex<walk::Walker>>);

/// Entries found by a walk, until a pipeline takes them.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct WalkBatch {
    entries: Mutex<Option<walk::WalkBatch>>,
    length: usize,
    size: u64,
    last_path: Vec<u8>,
}

/// An earlier snapshot's entries.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Baseline(Mutex<baseline::Baseline>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl Walker {
    #[new]
    #[pyo3(signature = (roots, *, excludes = vec![], exclude_caches = false, one_file_system = false, skip = vec![]))]
    fn new(
        py: Python<'_>,
        roots: Vec<(Vec<u8>, Vec<u8>)>,
        excludes: Vec<String>,
        exclude_caches: bool,
        one_file_system: bool,
        skip: Vec<(u64, u64)>,
    ) -> PyResult<Self> {
        let excludes = Matcher::new(&excludes).map_err(raise)?;
        let root = |(stored, path)| Root { stored, path: OsString::from_vec(path).into() };
        let roots = roots.into_iter().map(root).collect();
        let options = WalkOptions { roots, excludes, exclude_caches, one_file_system, skip };
        let walker = py.detach(|| walk::Walker::new(options)).map_err(raise)?;
        Ok(Self(Arc::new(Mutex::new(walker))))
    }

    fn next(&self, py: Python<'_>, max_entries: usize) -> PyResult<Option<WalkBatch>> {
        let batch = py.detach(|| lock(&self.0).next(max_entries)).map_err(raise)?;
        Ok(batch.map(WalkBatch::new))
    }

    fn problems<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, String, i32)> {
        let problems = py.detach(|| lock(&self.0).problems());
        problems
            .into_iter()
            .map(|problem| (PyBytes::new(py, &problem.path), problem.what, problem.errno))
            .collect()
    }

    fn used_excludes(&self) -> Vec<String> {
        lock(&self.0).used_excludes().iter().cloned().collect()
    }
}

impl WalkBatch {
    fn new(batch: walk::WalkBatch) -> Self {
        let (length, size, last_path) = (batch.entries.len(), batch.size(), batch.last_path().to_vec());
        Self { entries: Mutex::new(Some(batch)), length, size, last_path }
    }

    /// The entries themselves, to whoever asks first.
    pub fn take(&self) -> Option<walk::WalkBatch> {
        lock(&self.entries).take()
    }

    /// Looks at or changes the entries where they are.
    pub fn with<T>(&self, work: impl FnOnce(&mut walk::WalkBatch) -> T) -> PyResult<T> {
        let mut entries = lock(&self.entries);
        entries.as_mut().map(work).ok_or_else(|| usage("batch: a pipeline has its entries already"))
    }
}

#[pymethods]
impl WalkBatch {
    fn __len__(&self) -> usize {
        self.length
    }

    #[getter]
    fn size(&self) -> u64 {
        self.size
    }

    #[getter]
    fn last_path<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.last_path)
    }
}

#[pymethods]
impl Baseline {
    #[new]
    fn new(scan_time_ns: i64) -> Self {
        Self(Mutex::new(baseline::Baseline::new(scan_time_ns)))
    }

    fn push(&self, table: &EntryTable) {
        lock(&self.0).push(table.inner.clone());
    }

    fn finish(&self) {
        lock(&self.0).finish();
    }

    fn behind(&self, py: Python<'_>, batch: &WalkBatch) -> PyResult<bool> {
        py.detach(|| batch.with(|batch| lock(&self.0).behind(batch)))
    }

    fn apply(&self, py: Python<'_>, batch: &WalkBatch) -> PyResult<usize> {
        py.detach(|| batch.with(|batch| lock(&self.0).apply(batch)))
    }
}
