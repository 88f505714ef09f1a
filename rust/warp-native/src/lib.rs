//! `warp_portal._native`: converts arguments, detaches from the interpreter, calls `warp-core`.

use pyo3::prelude::*;

#[pymodule]
fn _native(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
