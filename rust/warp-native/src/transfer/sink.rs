//! `TreeSink`.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use warp_core::catalogue::MOST_FRAGMENTS;
use warp_core::unpack::{self, Landed, Landing, LandingOptions, Options, Records};
use warp_net::Bell;

use super::{NOW, PySpans, bell, descriptor, raise_transfer, stopped, to_core, to_python};
use crate::buffer::Bytes;
use crate::descriptor::duplicate;
use crate::error::{raise, seconds};
use crate::link::Link;
use crate::primitives::ScopeKeys;
use crate::unpack::overwrite;

/// Takes a tree from a link and restores it.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct TreeSink {
    inner: RwLock<Option<warp_transfer::TreeSink>>,
    bell: Arc<Bell>,
}

/// Digest, entries restored, and entries that failed.
type End<'py> = (Bound<'py, PyBytes>, u64, u64);
/// Fragments wanted, epochs with what is durable since, and the end.
type News<'py> = (Vec<(u32, PySpans)>, Vec<(u64, BTreeMap<u32, PySpans>)>, Option<End<'py>>);

impl TreeSink {
    fn get(&self) -> RwLockReadGuard<'_, Option<warp_transfer::TreeSink>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, work: impl FnOnce(&warp_transfer::TreeSink) -> PyResult<T>) -> PyResult<T> {
        work(self.get().as_ref().ok_or_else(stopped)?)
    }
}

#[pymethods]
impl TreeSink {
    #[new]
    #[pyo3(signature = (link, target_fd, records, session, keys, *, overwrite, owners, devices, setuid, everything, cutter,
        tag, threads, epoch_bytes, epoch_s))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        link: &Link,
        target_fd: i32,
        records: (i32, i32),
        session: Bytes,
        keys: &ScopeKeys,
        overwrite: u8,
        owners: bool,
        devices: bool,
        setuid: bool,
        everything: bool,
        cutter: (u8, u32, u32, u32),
        tag: Bytes,
        threads: usize,
        epoch_bytes: u64,
        epoch_s: f64,
    ) -> PyResult<Self> {
        let restore = Options {
            overwrite: self::overwrite(overwrite)?,
            owners,
            devices,
            setuid,
            whole: true,
            keep_damaged: false,
            tag: *tag.as_array("tag")?,
            threads,
            memory: 0,
        };
        let epoch = seconds(epoch_s)?;
        let options = LandingOptions { restore, everything, epoch_bytes, epoch };
        let records = Records {
            pages: File::from(duplicate(records.0)?),
            journal: File::from(duplicate(records.1)?),
            session: *session.as_array("session")?,
        };
        let (target, keys) = (duplicate(target_fd)?, Arc::clone(&keys.inner));
        let cutter = super::cutter(cutter, &keys)?;
        let landing = py.detach(|| Landing::new(target, records, keys, cutter, options)).map_err(raise)?;
        let (bell, ring) = bell()?;
        landing.on_news(ring);
        let sink = warp_transfer::TreeSink::new(Arc::clone(link.link()), landing, threads);
        Ok(Self { inner: RwLock::new(Some(sink.map_err(raise_transfer)?)), bell })
    }

    fn fileno(&self) -> i32 {
        descriptor(&self.bell)
    }

    fn news<'py>(&self, py: Python<'py>) -> PyResult<News<'py>> {
        self.bell.clear();
        let news = self.with(|sink| sink.news(NOW).map_err(raise_transfer))?;
        let wants = news.wants.iter().map(|(page, spans)| (*page, to_python(spans))).collect();
        let pages =
            |kept: BTreeMap<u32, _>| kept.iter().map(|(page, spans)| (*page, to_python(spans))).collect();
        let kept = news.kept.into_iter().map(|(epoch, kept)| (epoch, pages(kept))).collect();
        let end = |landed: Landed| {
            let totals = landed.totals;
            let restored = totals.entries.saturating_sub(totals.failed);
            (PyBytes::new(py, &landed.digest), restored, totals.failed)
        };
        Ok((wants, kept, news.landed.map(end)))
    }

    fn here<'py>(&self, py: Python<'py>) -> PyResult<(u32, Bound<'py, PyBytes>)> {
        let (pages, digest) = self.with(|sink| py.detach(|| sink.here()).map_err(raise_transfer))?;
        Ok((pages, PyBytes::new(py, &digest)))
    }

    fn spare(&self, pages: u32) -> PyResult<()> {
        self.with(|sink| {
            sink.spare(pages);
            Ok(())
        })
    }

    fn finish(&self, pages: u32) -> PyResult<()> {
        self.with(|sink| sink.landing().finish(pages).map_err(raise))
    }

    fn lost(&self, py: Python<'_>, page: u32, spans: PySpans) -> PyResult<()> {
        let spans = to_core(&spans, MOST_FRAGMENTS)?;
        self.with(|sink| py.detach(|| sink.lost(page, &spans)).map_err(raise_transfer))
    }

    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let ((totals, received), covered) =
            self.with(|sink| Ok((sink.landing().totals(), sink.landing().covered())))?;
        let found = PyDict::new(py);
        for (name, value) in [
            ("entries", totals.entries),
            ("files", totals.files),
            ("skipped", totals.skipped),
            ("bytes_written", totals.bytes_written),
            ("bytes_discarded", totals.bytes_discarded),
            ("bytes_received", received),
            ("bytes_covered", covered),
        ] {
            found.set_item(name, value)?;
        }
        Ok(found)
    }

    fn problems<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyBytes>, String, i32)>> {
        let problems = self.with(|sink| Ok(sink.landing().problems()))?;
        let problem = |p: unpack::Problem| (PyBytes::new(py, &p.path), p.what, p.errno);
        Ok(problems.into_iter().map(problem).collect())
    }

    fn skips<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(py);
        for (skip, count) in self.with(|sink| Ok(sink.landing().skips()))? {
            found.set_item(skip.name(), count)?;
        }
        Ok(found)
    }

    fn stop(&self, py: Python<'_>) {
        // Dropping it joins its threads.
        py.detach(|| drop(self.inner.write().unwrap_or_else(PoisonError::into_inner).take()));
    }
}
