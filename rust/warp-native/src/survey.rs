//! `Census` and `Survey`: what a tree would become, before it is packed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use warp_core::codec::{Codec, Policy, PolicyRow};
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::survey::{self, LARGEST_TWIN, SurveyOptions, Trial};

use crate::error::{raise, usage};
use crate::primitives::ScopeKeys;
use crate::walk::WalkBatch;

/// Files and bytes that a walk found, by type.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Census(Mutex<Arc<survey::Census>>);

/// A look at a tree under way.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Survey(Mutex<(survey::Survey, bool)>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl Census {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn add(&self, py: Python<'_>, batch: &WalkBatch) -> PyResult<()> {
        py.detach(|| {
            let mut census = lock(&self.0);
            let census =
                Arc::get_mut(&mut census).ok_or_else(|| usage("census: a survey uses it already"))?;
            batch.with(|batch| census.add(batch))
        })
    }

    #[getter]
    fn totals(&self) -> (u64, u64, u64, u64) {
        let census = lock(&self.0);
        (census.entries, census.files, census.bytes, census.large_bytes)
    }

    fn types<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, u64, u64)> {
        let census = lock(&self.0);
        census.types.iter().map(|kind| (PyBytes::new(py, &kind.name), kind.files, kind.bytes)).collect()
    }

    fn shared_sizes(&self, least_bytes: u64) -> Vec<(u64, u64)> {
        lock(&self.0).shared_sizes(LARGEST_TWIN, least_bytes)
    }
}

type Cut = (u8, u32, u32, u32);

fn cutter(keys: &ScopeKeys, (algorithm, min, mean, max): Cut) -> warp_core::Result<Cutter> {
    Cutter::new(Algorithm::try_from(algorithm)?, Sizes { min, mean, max }, keys.inner.cutter_key())
}

#[pymethods]
impl Survey {
    #[new]
    #[pyo3(signature = (census, keys, *, cutter, chunk, policy, threads, verify, read_one_in, encode_one_in, finer = None, certain = vec![]))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        census: &Census,
        keys: &ScopeKeys,
        cutter: Cut,
        chunk: (u32, u32, u32),
        policy: Vec<(f64, u8, i32)>,
        threads: usize,
        verify: bool,
        read_one_in: u64,
        encode_one_in: u64,
        finer: Option<Cut>,
        certain: Vec<u64>,
    ) -> PyResult<Self> {
        let rows = policy
            .into_iter()
            .map(|(entropy_below, codec, level)| {
                Ok(PolicyRow { entropy_below, codec: Codec::try_from(codec)?, level })
            })
            .collect::<warp_core::Result<_>>()
            .map_err(raise)?;
        let options = SurveyOptions {
            keys: Arc::clone(&keys.inner),
            cutter: self::cutter(keys, cutter).map_err(raise)?,
            finer: finer.map(|finer| self::cutter(keys, finer)).transpose().map_err(raise)?,
            chunk: Sizes { min: chunk.0, mean: chunk.1, max: chunk.2 },
            policy: Policy { rows },
            verify,
            threads,
            read_one_in,
            encode_one_in,
            certain,
        };
        let census = Arc::clone(&lock(&census.0));
        survey::Survey::new(options, census).map(|survey| Self(Mutex::new((survey, false)))).map_err(raise)
    }

    fn add(&self, py: Python<'_>, batch: &WalkBatch) -> PyResult<()> {
        let entries = batch.take().ok_or_else(|| usage("batch: its entries were taken already"))?;
        py.detach(|| lock(&self.0).0.add(entries));
        Ok(())
    }

    fn finish(&self) {
        let mut state = lock(&self.0);
        state.0.finish();
        state.1 = true;
    }

    fn step(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| {
            let mut state = lock(&self.0);
            let finished = state.1;
            state.0.step(finished)
        })
        .map_err(raise)
    }

    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let totals = lock(&self.0).0.totals();
        let found = PyDict::new(py);
        for (name, value) in [
            ("packed_planned", totals.packed_planned),
            ("packed", totals.packed),
            ("fragments", totals.fragments),
            ("drawn", totals.drawn),
            ("drawn_new", totals.drawn_new),
            ("certain", totals.certain),
            ("certain_new", totals.certain_new),
            ("finer", totals.finer),
            ("finer_new", totals.finer_new),
            ("read", totals.read),
            ("read_ns", totals.read_ns),
            ("name_ns", totals.name_ns),
            ("pack_ns", totals.pack_ns),
            ("wait_ns", totals.wait_ns),
            ("busy_ns", totals.busy_ns),
            ("busy_wall_ns", totals.busy_wall_ns),
        ] {
            found.set_item(name, value)?;
        }
        Ok(found)
    }

    fn strata(&self) -> Vec<(u64, u64, u64, u64, u64, u64)> {
        let state = lock(&self.0);
        let row = |row: &survey::Stratum| {
            (row.chunks, row.raw, row.sampled, row.stored, row.encode_ns, row.check_ns)
        };
        state.0.strata().iter().map(row).collect()
    }

    fn types(&self) -> Vec<(u64, f64, u64)> {
        lock(&self.0).0.types().into_iter().map(|kind| (kind.bytes, kind.entropy, kind.dense)).collect()
    }

    #[pyo3(signature = (codec, parts = 1))]
    fn attempt(
        &self,
        py: Python<'_>,
        codec: Option<(u8, i32)>,
        parts: usize,
    ) -> PyResult<Vec<(u64, u64, u64, u64)>> {
        let codec =
            codec.map(|(codec, level)| Ok((Codec::try_from(codec)?, level))).transpose().map_err(raise)?;
        let rows = py.detach(|| lock(&self.0).0.attempt(codec, parts)).map_err(raise)?;
        let row = |row: Trial| (row.stored, row.ns, row.stored_by_policy, row.ns_by_policy);
        Ok(rows.into_iter().map(row).collect())
    }

    fn problems<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, String, i32)> {
        let problems = lock(&self.0).0.problems();
        problems
            .into_iter()
            .map(|problem| (PyBytes::new(py, &problem.path), problem.what, problem.errno))
            .collect()
    }
}
