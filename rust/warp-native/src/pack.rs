//! `PackPipeline` and `PackEvents`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use warp_core::codec::{Codec, Policy, PolicyRow};
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::entry::Entry;
use warp_core::pack::{self, PackOptions};

use crate::buffer::Bytes;
use crate::descriptor::duplicate;
use crate::error::{raise, seconds};
use crate::index::FragmentIndex;
use crate::primitives::ScopeKeys;
use crate::table::EntryTable;
use crate::walk::WalkBatch;

type Triple = (u32, u32, u32);

/// Read → cut → hash → deduplicate → compress → seal → write.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct PackPipeline(pack::PackPipeline);

/// A batch of results.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct PackEvents(pack::Events);

fn sizes((min, mean, max): Triple) -> Sizes {
    Sizes { min, mean, max }
}

#[pymethods]
impl PackPipeline {
    #[new]
    #[pyo3(signature = (fd, offset, keys, index, *, cutter, chunk, policy, threads, memory, verify))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        fd: i32,
        offset: u64,
        keys: &ScopeKeys,
        index: &FragmentIndex,
        cutter: (u8, u32, u32, u32),
        chunk: Triple,
        policy: Vec<(f64, u8, i32)>,
        threads: usize,
        memory: usize,
        verify: bool,
    ) -> PyResult<Self> {
        let keys = Arc::clone(&keys.inner);
        let algorithm = Algorithm::try_from(cutter.0).map_err(raise)?;
        let cutter = Cutter::new(algorithm, sizes((cutter.1, cutter.2, cutter.3)), keys.cutter_key())
            .map_err(raise)?;
        let rows = policy
            .into_iter()
            .map(|(entropy_below, codec, level)| {
                Ok(PolicyRow { entropy_below, codec: Codec::try_from(codec)?, level })
            })
            .collect::<warp_core::Result<_>>()
            .map_err(raise)?;
        let options = PackOptions {
            keys,
            cutter,
            chunk: sizes(chunk),
            policy: Policy { rows },
            threads,
            memory,
            verify,
        };
        let output = duplicate(fd)?;
        let index = Arc::clone(&index.inner);
        py.detach(|| pack::PackPipeline::new(options, output, offset, index)).map(Self).map_err(raise)
    }

    fn submit(&self, py: Python<'_>, batch: &WalkBatch) -> PyResult<bool> {
        py.detach(|| match batch.take() {
            Some(entries) => self.0.submit(entries),
            None => self.0.submit_rest(),
        })
        .map_err(raise)
    }

    fn submit_stream(&self, py: Python<'_>, fd: i32, columns: &Bound<'_, PyDict>) -> PyResult<()> {
        let entry: Entry = EntryTable::single(columns)?;
        let input = duplicate(fd)?;
        py.detach(|| self.0.submit_stream(input, entry)).map_err(raise)
    }

    fn finish(&self) {
        self.0.finish();
    }

    fn poll(&self, py: Python<'_>, timeout_s: f64) -> PyResult<PackEvents> {
        let timeout = seconds(timeout_s)?;
        py.detach(|| self.0.poll(timeout)).map(PackEvents).map_err(raise)
    }

    fn hold(&self, py: Python<'_>) -> PyResult<PackEvents> {
        py.detach(|| self.0.hold()).map(PackEvents).map_err(raise)
    }

    fn release(&self) {
        self.0.release();
    }

    fn emit(&self, py: Python<'_>, blob: Bytes) -> PyResult<u64> {
        let blob = blob.as_slice();
        py.detach(|| self.0.emit(blob)).map_err(raise)
    }

    #[getter]
    fn offset(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.0.offset())
    }

    fn abort(&self, py: Python<'_>) {
        py.detach(|| self.0.abort());
    }
}

#[pymethods]
impl PackEvents {
    #[getter]
    fn done(&self) -> bool {
        self.0.done
    }

    #[getter]
    fn chunks<'py>(&self, py: Python<'py>) -> [Bound<'py, PyBytes>; 7] {
        let c = &self.0.chunks;
        [&c.offset, &c.stored, &c.cid, &c.raw, &c.fragments, &c.codec, &c.dp]
            .map(|column| PyBytes::new(py, column))
    }

    #[getter]
    fn fragments<'py>(&self, py: Python<'py>) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>) {
        let c = &self.0.chunks;
        (PyBytes::new(py, &c.fragment_length), PyBytes::new(py, &c.fragment_id))
    }

    #[getter]
    fn tables(&self) -> Vec<EntryTable> {
        self.0.tables.iter().map(|table| EntryTable::new(Arc::clone(table))).collect()
    }

    #[getter]
    fn partial(&self) -> Option<EntryTable> {
        self.0.partial.clone().map(EntryTable::new)
    }

    #[getter]
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let c = &self.0.counters;
        let counters = PyDict::new(py);
        for (name, value) in [
            ("entries", c.entries),
            ("files", c.files),
            ("bytes_read", c.bytes_read),
            ("bytes_reused", c.bytes_reused),
            ("bytes_duplicate", c.bytes_duplicate),
            ("bytes_raw", c.bytes_raw),
            ("bytes_stored", c.bytes_stored),
            ("chunks", c.chunks),
            ("fragments", c.fragments),
        ] {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    #[getter]
    fn problems<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, &str, i32)> {
        self.0.problems.iter().map(|p| (PyBytes::new(py, &p.path), p.what.as_str(), p.errno)).collect()
    }

    #[getter]
    fn current<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.current)
    }
}
