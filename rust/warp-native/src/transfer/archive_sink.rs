//! `ArchiveSink`.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use warp_core::catalogue::Spans;
use warp_net::Bell;
use warp_transfer::{Epochs, PAGE_CHUNKS};

use super::{NOW, PySpans, bell, descriptor, raise_transfer, stopped, to_core, to_python};
use crate::buffer::Bytes;
use crate::descriptor::duplicate;
use crate::error::seconds;
use crate::link::Link;

/// Takes an archive from a link.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct ArchiveSink {
    inner: RwLock<Option<warp_transfer::ArchiveSink>>,
    bell: Arc<Bell>,
}

type Pages = BTreeMap<u32, PySpans>;
/// Bytes by offset, locator pages by number, chunks to be wanted again, and epochs with what is durable since.
type News<'py> = (
    Vec<(u64, Bound<'py, PyBytes>)>,
    Vec<(u32, Bound<'py, PyBytes>)>,
    Vec<(u32, PySpans)>,
    Vec<(u64, Pages)>,
);

fn pages(kept: &BTreeMap<u32, Spans>) -> Pages {
    kept.iter().map(|(page, spans)| (*page, to_python(spans))).collect()
}

impl ArchiveSink {
    fn get(&self) -> RwLockReadGuard<'_, Option<warp_transfer::ArchiveSink>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, work: impl FnOnce(&warp_transfer::ArchiveSink) -> PyResult<T>) -> PyResult<T> {
        work(self.get().as_ref().ok_or_else(stopped)?)
    }
}

#[pymethods]
impl ArchiveSink {
    #[new]
    #[pyo3(signature = (link, fd, *, threads, epoch_bytes, epoch_s))]
    fn new(
        py: Python<'_>,
        link: &Link,
        fd: i32,
        threads: usize,
        epoch_bytes: u64,
        epoch_s: f64,
    ) -> PyResult<Self> {
        let epochs = Epochs { bytes: epoch_bytes, time: seconds(epoch_s)? };
        let (file, link) = (File::from(duplicate(fd)?), Arc::clone(link.link()));
        let start = move || warp_transfer::ArchiveSink::new(link, file, epochs, threads);
        let inner = py.detach(start).map_err(raise_transfer)?;
        let (bell, ring) = bell()?;
        inner.on_news(ring);
        // What happened before it was listened for.
        bell.ring();
        Ok(Self { inner: RwLock::new(Some(inner)), bell })
    }

    fn fileno(&self) -> i32 {
        descriptor(&self.bell)
    }

    fn open_journal(&self, py: Python<'_>, fd: i32, name: Bytes) -> PyResult<Pages> {
        let (file, name) = (File::from(duplicate(fd)?), *name.as_array("name")?);
        let opened =
            self.with(|sink| py.detach(|| sink.open_journal(file, &name)).map_err(raise_transfer))?;
        Ok(pages(&opened))
    }

    fn expect(&self, number: u32, stored: Bytes, end: u64, spans: PySpans) -> PyResult<()> {
        let spans = to_core(&spans, PAGE_CHUNKS)?;
        self.with(|sink| sink.expect(number, stored.as_slice(), end, &spans).map_err(raise_transfer))
    }

    fn lost(&self, page: u32, spans: PySpans) -> PyResult<()> {
        let spans = to_core(&spans, PAGE_CHUNKS)?;
        self.with(|sink| sink.lost(page, &spans).map_err(raise_transfer))
    }

    fn flush(&self) -> PyResult<()> {
        self.with(|sink| {
            sink.flush();
            Ok(())
        })
    }

    fn news<'py>(&self, py: Python<'py>) -> PyResult<News<'py>> {
        self.bell.clear();
        let news = self.with(|sink| sink.news(NOW).map_err(raise_transfer))?;
        let bytes = news.bytes.iter().map(|(offset, data)| (*offset, PyBytes::new(py, data))).collect();
        let stored = news.pages.iter().map(|(number, page)| (*number, PyBytes::new(py, page))).collect();
        let wants = news.wants.iter().map(|(page, spans)| (*page, to_python(spans))).collect();
        let kept = news.kept.iter().map(|(epoch, kept)| (*epoch, pages(kept))).collect();
        Ok((bytes, stored, wants, kept))
    }

    #[getter]
    fn received(&self) -> PyResult<u64> {
        self.with(|sink| Ok(sink.received()))
    }

    fn stop(&self, py: Python<'_>) {
        // Dropping it joins its threads.
        py.detach(|| drop(self.inner.write().unwrap_or_else(PoisonError::into_inner).take()));
    }
}
