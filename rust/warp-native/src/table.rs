//! `EntryTable` and `Matcher`.

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use warp_core::columns::{Column, ColumnRef};
use warp_core::entry::{Entry, Timestamp};
use warp_core::recipe::Recipe;
use warp_core::{Error, matcher, table};

use crate::error::{raise, usage};

/// Entries of a tree in order.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct EntryTable {
    /// Shared with whoever goes on reading it in threads.
    pub inner: Arc<table::EntryTable>,
}

/// A set of extended attributes as Python has it, before it is known to be one.
type PySet<'py> = Vec<[Bound<'py, PyBytes>; 2]>;

impl EntryTable {
    /// A table made by the core.
    pub fn new(table: impl Into<Arc<table::EntryTable>>) -> Self {
        Self { inner: table.into() }
    }

    /// The entry of a table that has only one, given as columns.
    pub fn single(columns: &Bound<'_, PyDict>) -> PyResult<Entry> {
        let mut table = parse(columns)?;
        match (table.entries.pop(), table.entries.is_empty()) {
            (Some(entry), true) => Ok(entry),
            _ => Err(usage("columns: not of exactly one entry")),
        }
    }

    fn at(&self, index: usize) -> PyResult<&Entry> {
        let missing = || PyIndexError::new_err("entry index out of range");
        self.inner.entries.get(index).ok_or_else(missing)
    }
}

fn parse(columns: &Bound<'_, PyDict>) -> PyResult<table::EntryTable> {
    let items: Vec<_> = columns.iter().collect();
    let sets = items.iter().map(|(_, value)| sets_of(value)).collect::<PyResult<Vec<_>>>()?;
    let mut source = Vec::with_capacity(items.len());
    for ((key, value), sets) in items.iter().zip(&sets) {
        let key = key.cast::<PyString>().map_err(|_| unfit("key"))?.to_str()?;
        source.push((key, column(value, sets)?));
    }
    columns.py().detach(|| table::EntryTable::from_columns(&source)).map_err(raise)
}

/// MessagePack readers give arrays as lists or as tuples.
fn is_array(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>()
}

/// The sets of a column that is an array; none of any other.
fn sets_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Vec<PySet<'py>>> {
    if !is_array(value) {
        return Ok(Vec::new());
    }
    value.extract().map_err(|_| unfit("sets of extended attributes"))
}

fn column<'a>(value: &'a Bound<'_, PyAny>, sets: &'a [PySet<'_>]) -> PyResult<ColumnRef<'a>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(ColumnRef::Bytes(bytes.as_bytes()));
    }
    if is_array(value) {
        let pair = |[name, value]: &'a [Bound<'_, PyBytes>; 2]| (name.as_bytes(), value.as_bytes());
        return Ok(ColumnRef::Sets(sets.iter().map(|set| set.iter().map(pair).collect()).collect()));
    }
    Ok(ColumnRef::Int(value.extract().map_err(|_| unfit("type of a column"))?))
}

fn unfit(what: &str) -> PyErr {
    raise(Error::format(format!("file-table page: {what}")))
}

fn nanoseconds(time: Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

#[pymethods]
impl EntryTable {
    #[staticmethod]
    fn from_columns(columns: &Bound<'_, PyDict>) -> PyResult<Self> {
        parse(columns).map(Self::new)
    }

    fn to_columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        for (key, column) in py.detach(|| self.inner.to_columns()) {
            match column {
                Column::Int(number) => columns.set_item(key, number)?,
                Column::Bytes(bytes) => columns.set_item(key, PyBytes::new(py, &bytes))?,
                Column::Sets(sets) => columns.set_item(key, sets_to_python(py, &sets)?)?,
            }
        }
        Ok(columns)
    }

    fn __len__(&self) -> usize {
        self.inner.entries.len()
    }

    fn path<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.at(index)?.path))
    }

    fn entry<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyTuple>> {
        let entry = self.at(index)?;
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
        let xattrs: Vec<_> = entry.xattrs.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        let runs = joined(py, &entry.runs)?;
        let head = (
            bytes(&entry.path),
            entry.kind as u8,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            nanoseconds(entry.mtime),
            nanoseconds(entry.ctime),
            entry.inode,
            entry.flags,
        );
        let tail = (bytes(&entry.link), entry.rdev, xattrs, entry.extents.clone(), runs);
        let fields = head.into_pyobject(py)?.add(tail.into_pyobject(py)?)?;
        Ok(fields.cast_into()?)
    }

    fn find(&self, path: &[u8]) -> Option<usize> {
        self.inner.find(path)
    }

    fn matching(&self, py: Python<'_>, matcher: &Matcher) -> Vec<usize> {
        py.detach(|| self.inner.matching(&matcher.inner))
    }

    fn owners(&self, py: Python<'_>) -> (Vec<u32>, Vec<u32>) {
        py.detach(|| self.inner.owners())
    }

    fn totals(&self) -> (u64, u64) {
        self.inner.totals()
    }

    fn using(&self, py: Python<'_>, fragments: Vec<(u64, u64)>) -> Vec<usize> {
        py.detach(|| self.inner.using(&fragments))
    }
}

/// An encoded recipe, copied once.
fn joined<'py>(py: Python<'py>, recipe: &Recipe) -> PyResult<Bound<'py, PyBytes>> {
    let (head, last) = recipe.encoded();
    PyBytes::new_with(py, head.len() + last.len(), |all| {
        let (start, end) = all.split_at_mut(head.len());
        start.copy_from_slice(head);
        end.copy_from_slice(&last);
        Ok(())
    })
}

/// Lists of two, as MessagePack would give them back.
fn sets_to_python<'py>(
    py: Python<'py>,
    sets: &[Vec<(Vec<u8>, Vec<u8>)>],
) -> PyResult<Vec<Vec<Bound<'py, PyList>>>> {
    let pair = |(name, value): &(Vec<u8>, Vec<u8>)| {
        PyList::new(py, [PyBytes::new(py, name), PyBytes::new(py, value)])
    };
    sets.iter().map(|set| set.iter().map(pair).collect()).collect()
}

/// gitignore-style patterns.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Matcher {
    /// Compiled once, used by any number of threads.
    pub inner: matcher::Matcher,
}

#[pymethods]
impl Matcher {
    #[new]
    fn new(patterns: Vec<String>) -> PyResult<Self> {
        Ok(Self { inner: matcher::Matcher::new(&patterns).map_err(raise)? })
    }

    fn matches(&self, path: &[u8], is_directory: bool) -> bool {
        self.inner.matches(path, is_directory)
    }
}
