//! Hashing, the Merkle tree, keys with sealing, cutting and measuring.

use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use warp_core::codec::{Codec, Decoder, Encoder};
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::digest::{Digest, Mode};
use warp_core::entropy::Probe;
use warp_core::keys::{self, ObjectKind, Suite};
use warp_core::{Result, merkle, seal};

use crate::buffer::Bytes;
use crate::error::{raise, usage};

/// Registers what this module defines.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add("OBJECT_CHUNK", ObjectKind::Chunk as u8)?;
    module.add("OBJECT_PAGE", ObjectKind::Page as u8)?;
    module.add("OBJECT_TOC", ObjectKind::Toc as u8)?;
    module.add_class::<Frontier>()?;
    module.add_class::<ScopeKeys>()?;
    module.add_function(wrap_pyfunction!(blake3, module)?)?;
    module.add_function(wrap_pyfunction!(merkle_leaves, module)?)?;
    module.add_function(wrap_pyfunction!(merkle_root, module)?)?;
    module.add_function(wrap_pyfunction!(cut, module)?)?;
    module.add_function(wrap_pyfunction!(bits_per_byte, module)?)?;
    module.add_function(wrap_pyfunction!(measure, module)?)?;
    module.add_function(wrap_pyfunction!(measure_creation, module)?)?;
    module.add_function(wrap_pyfunction!(measure_files, module)?)
}

/// BLAKE3 in plain, keyed or derive-key mode.
#[pyfunction]
#[pyo3(signature = (data, /, *, key=None, context=None, length=32))]
fn blake3<'py>(
    py: Python<'py>,
    data: Bytes,
    key: Option<Bytes>,
    context: Option<&str>,
    length: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let mode = match (&key, context) {
        (None, None) => Mode::Plain,
        (Some(key), None) => Mode::Keyed(key.as_array("key")?),
        (None, Some(context)) => Mode::DeriveKey(context),
        _ => return Err(usage("blake3: either a key or a context")),
    };
    let data = data.as_slice();
    let mut output = py.detach(|| warp_core::digest::extended(mode, data));
    PyBytes::new_with(py, length, |out| {
        output.fill(out);
        Ok(())
    })
}

/// Leaf hashes of chunks.
#[pyfunction]
fn merkle_leaves<'py>(py: Python<'py>, cids: Bytes, stored_lengths: Bytes) -> PyResult<Bound<'py, PyBytes>> {
    let cids = cids.as_arrays::<32>("cids")?;
    let lengths = stored_lengths.as_arrays::<4>("stored lengths")?;
    if cids.len() != lengths.len() {
        return Err(usage(format!("{} cids, but {} lengths", cids.len(), lengths.len())));
    }
    let leaf = |(cid, length): (_, &[u8; 4])| merkle::leaf_hash(cid, u32::from_le_bytes(*length));
    let leaves: Vec<_> = py.detach(|| cids.iter().zip(lengths).map(leaf).collect());
    Ok(PyBytes::new(py, leaves.as_flattened()))
}

/// Root over leaf hashes.
#[pyfunction]
fn merkle_root<'py>(py: Python<'py>, leaves: Bytes) -> PyResult<Bound<'py, PyBytes>> {
    let leaves = leaves.as_arrays::<32>("leaves")?;
    Ok(PyBytes::new(py, &py.detach(|| merkle::root_of(leaves))))
}

/// The right edge of a Merkle tree.
#[pyclass(module = "warp_portal._native")]
struct Frontier {
    inner: merkle::Frontier,
}

#[pymethods]
impl Frontier {
    #[new]
    #[pyo3(signature = (size=0, nodes=None), text_signature = "(size=0, nodes=b'')")]
    fn new(size: u64, nodes: Option<Bytes>) -> PyResult<Self> {
        let nodes = match &nodes {
            Some(nodes) => nodes.as_arrays::<32>("nodes")?.to_vec(),
            None => Vec::new(),
        };
        Ok(Self { inner: merkle::Frontier::from_nodes(size, nodes).map_err(raise)? })
    }

    #[getter]
    fn size(&self) -> u64 {
        self.inner.size()
    }

    #[getter]
    fn hashed(&self) -> u64 {
        self.inner.hashed()
    }

    fn append(&mut self, py: Python<'_>, leaves: Bytes) -> PyResult<()> {
        let leaves = leaves.as_arrays::<32>("leaves")?;
        py.detach(|| leaves.iter().for_each(|leaf| self.inner.append(leaf)));
        Ok(())
    }

    fn nodes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.nodes().as_flattened())
    }

    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.root())
    }
}

/// Every key of one scope; never shows them.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct ScopeKeys {
    /// Shared with the pipelines.
    pub inner: Arc<keys::ScopeKeys>,
}

#[pymethods]
impl ScopeKeys {
    #[new]
    #[pyo3(signature = (archive_key, suite))]
    fn new(archive_key: Option<Bytes>, suite: u8) -> PyResult<Self> {
        let key = archive_key.as_ref().map(|key| key.as_array("archive key")).transpose()?;
        let suite = Suite::try_from(suite).map_err(raise)?;
        Ok(Self { inner: Arc::new(keys::ScopeKeys::new(key, suite).map_err(raise)?) })
    }

    #[getter]
    fn suite(&self) -> u8 {
        self.inner.suite() as u8
    }

    fn commitment<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.commitment())
    }

    fn header_mac<'py>(&self, py: Python<'py>, data: Bytes) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.header_mac(data.as_slice()))
    }

    fn slot_mac<'py>(&self, py: Python<'py>, data: Bytes) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.slot_mac(data.as_slice()))
    }

    fn commit_mac<'py>(&self, py: Python<'py>, data: Bytes) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.commit_mac(data.as_slice()))
    }

    fn seal<'py>(
        &self,
        py: Python<'py>,
        kind: u8,
        raw: Bytes,
        codec: u8,
        level: i32,
    ) -> PyResult<Sealed<'py>> {
        let raw = raw.as_slice();
        let (stored, dp) =
            py.detach(|| seal_object(&self.inner, kind, raw, (codec, level))).map_err(raise)?;
        Ok((PyBytes::new(py, &stored), PyBytes::new(py, &dp)))
    }

    fn open<'py>(
        &self,
        py: Python<'py>,
        kind: u8,
        stored: Bytes,
        dp: Bytes,
        max_raw: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let stored = stored.as_slice();
        let dp = match self.inner.suite() {
            Suite::Plain => &[0; 32],
            _ => dp.as_array("dp")?,
        };
        let raw = py.detach(|| open_object(&self.inner, kind, (stored, dp), max_raw)).map_err(raise)?;
        Ok(PyBytes::new(py, &raw))
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.inner)
    }
}

/// Stored bytes and `dp`.
type Sealed<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

thread_local! {
    /// Codec contexts are large, and metadata pages many.
    static CODECS: RefCell<(Encoder, Decoder)> = RefCell::new((Encoder::new(), Decoder::new()));
}

fn seal_object(keys: &keys::ScopeKeys, kind: u8, raw: &[u8], codec: (u8, i32)) -> Result<(Vec<u8>, Digest)> {
    let kind = ObjectKind::try_from(kind)?;
    let (codec, level) = (Codec::try_from(codec.0)?, codec.1);
    let codec = if raw.len() > kind.max_compressed() { Codec::Store } else { codec };
    let mut buffer = vec![0; seal::prefix_len(keys.suite())];
    CODECS.with_borrow_mut(|(encoder, _)| encoder.encode_as(raw, codec, level, &mut buffer))?;
    let dp = seal::seal_in_place(keys, kind, &mut buffer)?;
    Ok((buffer, dp))
}

fn open_object(
    keys: &keys::ScopeKeys,
    kind: u8,
    sealed: (&[u8], &Digest),
    max_raw: usize,
) -> Result<Vec<u8>> {
    let kind = ObjectKind::try_from(kind)?;
    let (stored, dp) = sealed;
    // A plain payload needs no copy that can be decrypted in place.
    let mut copy = if keys.suite() == Suite::Plain { Vec::new() } else { stored.to_vec() };
    let payload = match keys.suite() {
        Suite::Plain => stored,
        _ => seal::open_in_place(keys, kind, dp, &mut copy)?,
    };
    let mut raw = Vec::new();
    CODECS.with_borrow_mut(|(_, decoder)| {
        decoder.decode_bounded(payload, (max_raw, kind.max_compressed()), &mut raw)
    })?;
    Ok(raw)
}

/// End offsets of the fragments of `data`.
#[pyfunction]
fn cut(
    py: Python<'_>,
    data: Bytes,
    keys: &ScopeKeys,
    algorithm: u8,
    sizes: (u32, u32, u32),
    segment: usize,
    threads: usize,
) -> PyResult<Vec<u64>> {
    let (min, mean, max) = sizes;
    let data = data.as_slice();
    let key = keys.inner.cutter_key();
    let cut = || -> Result<Vec<u64>> {
        let cutter = Cutter::new(Algorithm::try_from(algorithm)?, Sizes { min, mean, max }, key)?;
        let mut ends = Vec::new();
        cutter.cut_parallel(data, segment, threads, &mut ends)?;
        Ok(ends)
    };
    py.detach(cut).map_err(raise)
}

/// What a compression policy looks at.
#[pyfunction]
fn bits_per_byte(data: Bytes, enough: f64) -> f64 {
    Probe::new().bits_per_byte_unless_below(data.as_slice(), enough)
}

/// Throughput of a primitive.
#[pyfunction]
#[pyo3(signature = (primitive, data, threads, seconds, lengths = None))]
fn measure(
    py: Python<'_>,
    primitive: &str,
    data: Bytes,
    threads: usize,
    seconds: f64,
    lengths: Option<Vec<usize>>,
) -> PyResult<(u64, f64)> {
    let data = data.as_slice();
    let lengths = lengths.unwrap_or_default();
    py.detach(|| warp_core::measure::measure(primitive, data, threads, seconds, &lengths)).map_err(raise)
}

/// Seconds to open, stat, read and close files.
#[pyfunction]
#[pyo3(signature = (paths, most = 1))]
fn measure_files(py: Python<'_>, paths: Vec<Vec<u8>>, most: usize) -> PyResult<f64> {
    let paths: Vec<PathBuf> = paths.into_iter().map(|path| OsString::from_vec(path).into()).collect();
    py.detach(|| warp_core::measure::read_files(&paths, most)).map_err(raise)
}

/// Seconds to create, write, date, rename and close files.
#[pyfunction]
fn measure_creation(py: Python<'_>, directory: Vec<u8>, sizes: Vec<usize>) -> PyResult<f64> {
    let directory = PathBuf::from(OsString::from_vec(directory));
    py.detach(|| warp_core::measure::create_files(&directory, &sizes)).map_err(raise)
}
