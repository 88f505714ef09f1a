//! `warp_portal._native`: converts arguments, detaches from the interpreter, calls `warp-core`.

use pyo3::prelude::*;

mod buffer;
mod error;
mod index;
mod primitives;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    primitives::register(module)?;
    module.add_class::<index::FragmentIndex>()
}
