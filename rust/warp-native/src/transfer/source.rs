//! `TreeSource`.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use warp_core::catalogue::MOST_FRAGMENTS;
use warp_core::codec::{Codec, Policy, PolicyRow};
use warp_core::pack::PackOptions;
use warp_core::walk::{Finder, Root};
use warp_net::Bell;
use warp_transfer::{Catalogued, Compression, SourceOptions, SourceRecords, Throttle};

use super::{NOW, PySpans, bell, descriptor, raise_transfer, stopped, to_core, to_python};
use crate::buffer::Bytes;
use crate::descriptor::duplicate;
use crate::error::{raise, usage};
use crate::link::Link;
use crate::primitives::ScopeKeys;
use crate::walk::Walker;

/// Reads a tree and puts it on a link.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct TreeSource {
    inner: RwLock<Option<warp_transfer::TreeSource>>,
    throttle: Arc<Throttle>,
    bell: Arc<Bell>,
}

type Roots = Vec<(Vec<u8>, Vec<u8>)>;
/// Pages, digest, entries, bytes.
type End<'py> = (u32, Bound<'py, PyBytes>, u64, u64);
/// Pages that are spared and their fragments, new fragments of pages that leave, fragments that are lost, and the end.
type News<'py> = (Option<(u32, u64)>, Vec<u16>, Vec<(u32, PySpans)>, Option<End<'py>>);

fn compression(name: &str, below: u64, policy: Policy) -> PyResult<Compression> {
    match name {
        "none" => Ok(Compression::None),
        "always" => Ok(Compression::Always(policy)),
        "adaptive" => Ok(Compression::Adaptive(policy, below)),
        other => Err(usage(format!("compression: {other:?}"))),
    }
}

fn policy(rows: Vec<(f64, u8, i32)>) -> PyResult<Policy> {
    let row = |(entropy_below, codec, level)| {
        Ok(PolicyRow { entropy_below, codec: Codec::try_from(codec)?, level })
    };
    let rows = rows.into_iter().map(row).collect::<warp_core::Result<_>>().map_err(raise)?;
    Ok(Policy { rows })
}

impl TreeSource {
    fn get(&self) -> RwLockReadGuard<'_, Option<warp_transfer::TreeSource>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, work: impl FnOnce(&warp_transfer::TreeSource) -> PyResult<T>) -> PyResult<T> {
        work(self.get().as_ref().ok_or_else(stopped)?)
    }
}

#[pymethods]
impl TreeSource {
    #[new]
    #[pyo3(signature = (link, walker, roots, records, keys, *, cutter, policy, compression, everything, window, threads, memory,
        here=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        link: &Link,
        walker: &Walker,
        roots: Roots,
        records: (i32, i32),
        keys: &ScopeKeys,
        cutter: (u8, u32, u32, u32),
        policy: Vec<(f64, u8, i32)>,
        compression: (String, u64),
        everything: bool,
        window: usize,
        threads: usize,
        memory: usize,
        here: Option<(u32, Bytes)>,
    ) -> PyResult<Self> {
        let keys = Arc::clone(&keys.inner);
        let cutter = super::cutter(cutter, &keys)?;
        let sizes = cutter.sizes();
        let policy = self::policy(policy)?;
        let compression = self::compression(&compression.0, compression.1, policy.clone())?;
        // Nothing is packed into chunks: their sizes play no part.
        let pack = PackOptions { keys, cutter, chunk: sizes, policy, threads, memory, verify: false };
        let digest = |(pages, digest): (u32, Bytes)| Ok::<_, PyErr>((pages, *digest.as_array("digest")?));
        let here = here.map(digest).transpose()?;
        let options = SourceOptions { everything, window, threads, compression, here };
        let root = |(stored, path)| Root { stored, path: OsString::from_vec(path).into() };
        let roots: Vec<Root> = roots.into_iter().map(root).collect();
        let throttle = Arc::new(Throttle::default());
        let [pages, cuts] = [duplicate(records.0)?, duplicate(records.1)?].map(File::from);
        let (records, link) = (SourceRecords { pages, cuts }, Arc::clone(link.link()));
        let (walker, rate) = (Arc::clone(&walker.0), Arc::clone(&throttle));
        let start = move || {
            let finder = Finder::new(&roots)?;
            warp_transfer::TreeSource::new(link, walker, finder, records, pack, options, rate)
        };
        let inner = py.detach(start).map_err(raise_transfer)?;
        let (bell, ring) = bell()?;
        inner.on_news(ring);
        // What happened before it was listened for.
        bell.ring();
        Ok(Self { inner: RwLock::new(Some(inner)), throttle, bell })
    }

    fn fileno(&self) -> i32 {
        descriptor(&self.bell)
    }

    fn news<'py>(&self, py: Python<'py>) -> PyResult<News<'py>> {
        self.bell.clear();
        let news = self.with(|source| source.news(NOW).map_err(raise_transfer))?;
        let lost = news.lost.iter().map(|(page, spans)| (*page, to_python(spans))).collect();
        let end = |end: Catalogued| {
            let bytes = end.counters.bytes_read + end.counters.bytes_reused;
            (end.pages, PyBytes::new(py, &end.digest), end.counters.entries, bytes)
        };
        Ok((news.spared, news.pages, lost, news.catalogued.map(end)))
    }

    fn answer(&self, py: Python<'_>, page: u32, spans: PySpans) -> PyResult<()> {
        let spans = to_core(&spans, MOST_FRAGMENTS)?;
        self.with(|source| py.detach(|| source.answer(page, &spans)).map_err(raise_transfer))
    }

    /// Bytes a second; 0: as many as go.
    fn limit(&self, rate: u64) {
        self.throttle.set(rate);
    }

    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (counters, pages, packed) = self.with(|source| Ok(source.totals()))?;
        let found = PyDict::new(py);
        for (name, value) in [
            ("entries", counters.entries),
            ("files", counters.files),
            ("bytes_read", counters.bytes_read + counters.bytes_reused),
            ("bytes_unread", counters.bytes_reused),
            ("bytes_duplicate", counters.bytes_duplicate),
            ("bytes_packed", packed),
            ("pages", u64::from(pages)),
        ] {
            found.set_item(name, value)?;
        }
        Ok(found)
    }

    fn problems<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyBytes>, String, i32)>> {
        let problems = self.with(|source| Ok(source.problems()))?;
        Ok(problems.into_iter().map(|p| (PyBytes::new(py, &p.path), p.what, p.errno)).collect())
    }

    fn stop(&self, py: Python<'_>) {
        // Dropping it joins its threads.
        py.detach(|| drop(self.inner.write().unwrap_or_else(PoisonError::into_inner).take()));
    }
}
