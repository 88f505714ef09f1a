//! `ArchiveSource`.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use pyo3::prelude::*;
use warp_net::Bell;
use warp_transfer::{PAGE_CHUNKS, Place, Throttle};

use super::{NOW, PySpans, bell, descriptor, raise_transfer, stopped, to_core, to_python};
use crate::buffer::Bytes;
use crate::descriptor::duplicate;
use crate::link::Link;

/// Puts an archive on a link.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct ArchiveSource {
    inner: RwLock<Option<warp_transfer::ArchiveSource>>,
    throttle: Arc<Throttle>,
    bell: Arc<Bell>,
}

fn place((offset, length, digest): (u64, u64, Bytes)) -> PyResult<Place> {
    Ok(Place { offset, length, digest: *digest.as_array("digest")? })
}

fn owned(data: &Bytes) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(data.as_slice())
}

impl ArchiveSource {
    fn get(&self) -> RwLockReadGuard<'_, Option<warp_transfer::ArchiveSource>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, work: impl FnOnce(&warp_transfer::ArchiveSource) -> PyResult<T>) -> PyResult<T> {
        work(self.get().as_ref().ok_or_else(stopped)?)
    }
}

#[pymethods]
impl ArchiveSource {
    #[new]
    #[pyo3(signature = (link, fd, end, locators, *, threads))]
    fn new(
        py: Python<'_>,
        link: &Link,
        fd: i32,
        end: u64,
        locators: Vec<(u64, u64, Bytes)>,
        threads: usize,
    ) -> PyResult<Self> {
        let locators = locators.into_iter().map(place).collect::<PyResult<_>>()?;
        let throttle = Arc::new(Throttle::default());
        let (file, link, rate) = (File::from(duplicate(fd)?), Arc::clone(link.link()), Arc::clone(&throttle));
        let start = move || warp_transfer::ArchiveSource::new(link, file, end, locators, threads, rate);
        let inner = py.detach(start).map_err(raise_transfer)?;
        let (bell, ring) = bell()?;
        inner.on_news(ring);
        Ok(Self { inner: RwLock::new(Some(inner)), throttle, bell })
    }

    fn fileno(&self) -> i32 {
        descriptor(&self.bell)
    }

    fn push(&self, offset: u64, data: Bytes) -> PyResult<bool> {
        self.with(|source| source.push(offset, &owned(&data)).map_err(raise_transfer))
    }

    fn push_page(&self, number: u32, stored: Bytes) -> PyResult<bool> {
        self.with(|source| source.push_page(number, owned(&stored)).map_err(raise_transfer))
    }

    fn answer(&self, request: u64, page: u32, spans: PySpans) -> PyResult<()> {
        let spans = to_core(&spans, PAGE_CHUNKS)?;
        self.with(|source| source.answer(request, page, &spans).map_err(raise_transfer))
    }

    fn answer_metadata(&self, request: u64, number: u64, place: (u64, u64, Bytes)) -> PyResult<()> {
        let place = self::place(place)?;
        self.with(|source| {
            source.answer_metadata(request, number, place);
            Ok(())
        })
    }

    fn revoke(&self, request: u64) -> PyResult<()> {
        self.with(|source| {
            source.revoke(request);
            Ok(())
        })
    }

    fn news(&self) -> PyResult<(BTreeMap<u64, PySpans>, bool)> {
        self.bell.clear();
        let news = self.with(|source| source.news(NOW).map_err(raise_transfer))?;
        let lost = news.lost.iter().map(|(page, spans)| (*page, to_python(spans))).collect();
        Ok((lost, news.room))
    }

    /// Bytes a second; 0: as many as go.
    fn limit(&self, rate: u64) {
        self.throttle.set(rate);
    }

    #[getter]
    fn sent(&self) -> PyResult<u64> {
        self.with(|source| Ok(source.sent()))
    }

    fn stop(&self, py: Python<'_>) {
        // Dropping it joins its threads.
        py.detach(|| drop(self.inner.write().unwrap_or_else(PoisonError::into_inner).take()));
    }
}
