//! `UnpackPipeline`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use warp_core::unpack::{self, Archive, Options, Overwrite};

use crate::buffer::Bytes;
use crate::chunk_index::ChunkIndex;
use crate::descriptor::duplicate;
use crate::error::{raise, seconds, usage};
use crate::primitives::ScopeKeys;
use crate::table::EntryTable;

/// Restore entries below a directory.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct UnpackPipeline(Mutex<unpack::UnpackPipeline>);

impl UnpackPipeline {
    fn lock(&self) -> MutexGuard<'_, unpack::UnpackPipeline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a file: for people, the path of what holds it, and start and end of places that are lost, bytes that are.
type Rest<'py> = (String, Option<Bound<'py, PyBytes>>, Vec<(u64, u64)>, u64);
/// Stored path, what failed, errno, and what is left.
type Problem<'py> = (Bound<'py, PyBytes>, String, i32, Option<Rest<'py>>);

pub fn overwrite(number: u8) -> PyResult<Overwrite> {
    match number {
        0 => Ok(Overwrite::Never),
        1 => Ok(Overwrite::Changed),
        2 => Ok(Overwrite::Always),
        other => Err(usage(format!("overwrite: {other}"))),
    }
}

#[pymethods]
impl UnpackPipeline {
    #[new]
    #[pyo3(signature = (fd, index, keys, target_fd, *, overwrite, owners, devices, setuid, whole, keep_damaged, tag, threads, memory))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        fd: i32,
        index: &ChunkIndex,
        keys: &ScopeKeys,
        target_fd: i32,
        overwrite: u8,
        owners: bool,
        devices: bool,
        setuid: bool,
        whole: bool,
        keep_damaged: bool,
        tag: Bytes,
        threads: usize,
        memory: usize,
    ) -> PyResult<Self> {
        let archive = Archive { fd: duplicate(fd)?, index: index.ready()?, keys: Arc::clone(&keys.inner) };
        let overwrite = self::overwrite(overwrite)?;
        let tag = *tag.as_array("tag")?;
        let options =
            Options { overwrite, owners, devices, setuid, whole, keep_damaged, tag, threads, memory };
        let pipeline = unpack::UnpackPipeline::new(archive, duplicate(target_fd)?, &options);
        Ok(Self(Mutex::new(pipeline.map_err(raise)?)))
    }

    #[pyo3(signature = (table, indices))]
    fn submit(&self, py: Python<'_>, table: &EntryTable, indices: Option<Vec<usize>>) -> PyResult<bool> {
        let table = Arc::clone(&table.inner);
        py.detach(|| self.lock().submit(table, indices)).map_err(raise)
    }

    fn finish(&self) {
        self.lock().finish();
    }

    fn poll<'py>(&self, py: Python<'py>, timeout_s: f64) -> PyResult<Bound<'py, PyDict>> {
        let timeout = seconds(timeout_s)?;
        let (totals, done) = py.detach(|| self.lock().poll(timeout)).map_err(raise)?;
        let found = PyDict::new(py);
        for (name, value) in [
            ("entries", totals.entries),
            ("files", totals.files),
            ("skipped", totals.skipped),
            ("bytes_written", totals.bytes_written),
            ("bytes_discarded", totals.bytes_discarded),
            ("kept", totals.kept),
            ("bytes_read", totals.bytes_read),
            ("chunks", totals.chunks),
            ("done", u64::from(done)),
        ] {
            found.set_item(name, value)?;
        }
        Ok(found)
    }

    fn problems<'py>(&self, py: Python<'py>) -> Vec<Problem<'py>> {
        let problems = py.detach(|| self.lock().problems());
        let problem = |problem: unpack::Problem| {
            let rest = problem.rest.map(|rest| {
                let kept = rest.kept.map(|path| PyBytes::new(py, &path));
                (rest.says, kept, rest.lost, rest.lost_bytes)
            });
            (PyBytes::new(py, &problem.path), problem.what, problem.errno, rest)
        };
        problems.into_iter().map(problem).collect()
    }

    fn skips<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(py);
        for (skip, count) in py.detach(|| self.lock().skips()) {
            found.set_item(skip.name(), count)?;
        }
        Ok(found)
    }

    fn abort(&self, py: Python<'_>) {
        py.detach(|| self.lock().abort());
    }
}
