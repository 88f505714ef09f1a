//! `ChunkIndex` and `ChunkVerifier`.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use warp_core::chunk_read::ChunkReader;
use warp_core::{chunk_index, verify};

use crate::buffer::Bytes;
use crate::descriptor::duplicate;
use crate::error::{raise, seconds, usage};
use crate::primitives::ScopeKeys;

/// Where chunks and fragments lie.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct ChunkIndex(Mutex<State>);

/// Places in a recipe: byte, ordinal behind the run before, bytes of data before.
type Marks = Vec<(usize, u64, u64)>;

/// An index is filled, and shared from `finish` on.
enum State {
    Filling(Box<chunk_index::ChunkIndex>),
    Ready(Arc<chunk_index::ChunkIndex>),
}

impl ChunkIndex {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(
        &self,
        py: Python<'_>,
        add: impl FnOnce(&mut chunk_index::ChunkIndex) -> warp_core::Result<()> + Send,
    ) -> PyResult<()> {
        py.detach(|| match &mut *self.lock() {
            State::Filling(index) => add(index).map_err(raise),
            State::Ready(_) => Err(usage("chunk index: it is finished")),
        })
    }

    /// The finished index, for a pipeline.
    pub fn ready(&self) -> PyResult<Arc<chunk_index::ChunkIndex>> {
        match &*self.lock() {
            State::Ready(index) => Ok(Arc::clone(index)),
            State::Filling(_) => Err(usage("chunk index: it is not finished")),
        }
    }
}

#[pymethods]
impl ChunkIndex {
    #[new]
    fn new(encrypted: bool, chunk_max: u32) -> PyResult<Self> {
        let index = chunk_index::ChunkIndex::new(encrypted, chunk_max).map_err(raise)?;
        Ok(Self(Mutex::new(State::Filling(Box::new(index)))))
    }

    fn add_locators(&self, py: Python<'_>, raw: Bytes) -> PyResult<()> {
        let raw = raw.as_slice();
        self.fill(py, |index| index.add_locators(raw))
    }

    fn add_chunks(&self, py: Python<'_>, raw: Bytes) -> PyResult<()> {
        let raw = raw.as_slice();
        self.fill(py, |index| index.add_chunks(raw))
    }

    fn add_fragments(&self, py: Python<'_>, raw: Bytes, keep_ids: bool) -> PyResult<()> {
        let raw = raw.as_slice();
        self.fill(py, |index| index.add_fragments(raw, keep_ids))
    }

    fn add_missing_locators(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        self.fill(py, |index| index.add_missing_locators(count))
    }

    fn add_missing_chunks(&self, py: Python<'_>, count: usize, fragments: u64) -> PyResult<()> {
        self.fill(py, |index| index.add_missing_chunks(count, fragments))
    }

    fn add_missing_fragments(&self, py: Python<'_>, count: usize, keep_ids: bool) -> PyResult<()> {
        self.fill(py, |index| index.add_missing_fragments(count, keep_ids))
    }

    fn finish(&self, py: Python<'_>, data_end: u64) -> PyResult<()> {
        self.fill(py, |index| index.finish(data_end))?;
        let mut state = self.lock();
        if let State::Filling(index) = &mut *state {
            let empty = chunk_index::ChunkIndex::new(index.encrypted(), index.chunk_max()).map_err(raise)?;
            *state = State::Ready(Arc::new(std::mem::replace(index, empty)));
        }
        Ok(())
    }

    #[getter]
    fn chunks(&self) -> PyResult<usize> {
        Ok(self.ready()?.chunks())
    }

    #[getter]
    fn fragments(&self) -> PyResult<u64> {
        Ok(self.ready()?.fragments())
    }

    fn chunk_fragments(&self, chunk: usize) -> PyResult<(u64, u64)> {
        self.ready()?
            .chunk_fragments(chunk)
            .ok_or_else(|| usage(format!("chunk: there is no number {chunk}")))
    }

    fn locate(&self, py: Python<'_>, first: u64, count: u64) -> PyResult<Vec<(u32, u32, u32)>> {
        let index = self.ready()?;
        let pieces = py.detach(|| index.locate(first, count)).map_err(raise)?;
        Ok(pieces.into_iter().map(|piece| (piece.chunk, piece.offset, piece.length)).collect())
    }

    fn marks(&self, py: Python<'_>, recipe: Bytes, every: usize) -> PyResult<(Marks, u64)> {
        let (index, recipe) = (self.ready()?, recipe.as_slice());
        let (marks, bytes) = py.detach(|| index.marks(recipe, every)).map_err(raise)?;
        Ok((marks.into_iter().map(|mark| (mark.at, mark.end, mark.position)).collect(), bytes))
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        fd: i32,
        keys: &ScopeKeys,
        chunk: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (index, keys, file) = (self.ready()?, Arc::clone(&keys.inner), duplicate(fd)?);
        let read = || {
            let mut reader = ChunkReader::new();
            reader.read(file.as_fd(), &index, &keys, chunk).map(|_| ())?;
            Ok(reader.into_raw())
        };
        let raw = py.detach(read).map_err(raise)?;
        Ok(PyBytes::new(py, &raw))
    }

    fn leaves<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let index = self.ready()?;
        let leaves = py.detach(|| index.leaves());
        Ok(PyBytes::new(py, leaves.as_flattened()))
    }
}

/// Read and check chunks on threads.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct ChunkVerifier(Mutex<verify::ChunkVerifier>);

impl ChunkVerifier {
    fn lock(&self) -> MutexGuard<'_, verify::ChunkVerifier> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl ChunkVerifier {
    #[new]
    #[pyo3(signature = (fd, index, keys, threads))]
    fn new(fd: i32, index: &ChunkIndex, keys: Option<&ScopeKeys>, threads: usize) -> PyResult<Self> {
        let keys = keys.map(|keys| Arc::clone(&keys.inner));
        let verifier = verify::ChunkVerifier::new(duplicate(fd)?, index.ready()?, keys, threads);
        Ok(Self(Mutex::new(verifier.map_err(raise)?)))
    }

    fn poll(&self, py: Python<'_>, timeout_s: f64) -> PyResult<(u64, u64, bool)> {
        let timeout = seconds(timeout_s)?;
        let progress = py.detach(|| self.lock().poll(timeout)).map_err(raise)?;
        Ok((progress.chunks, progress.bytes, progress.done))
    }

    fn damaged(&self, py: Python<'_>) -> Vec<(u32, String)> {
        py.detach(|| self.lock().damaged())
    }

    fn abort(&self, py: Python<'_>) {
        py.detach(|| self.lock().abort());
    }
}
