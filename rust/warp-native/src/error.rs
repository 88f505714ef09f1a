//! Errors of the core as exceptions of `warp_portal.errors`; those of the system as `OSError` with errno.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use warp_core::Error;

pyo3::import_exception!(warp_portal.errors, FormatError);
pyo3::import_exception!(warp_portal.errors, IntegrityError);
pyo3::import_exception!(warp_portal.errors, UsageError);
pyo3::import_exception!(warp_portal.errors, CancelledError);

/// For failures that the system reports without a number (a short read, say): "input/output error".
const EIO: i32 = 5;

/// The exception for `error`: `call().map_err(raise)?`.
pub fn raise(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Io { source, .. } => PyOSError::new_err((source.raw_os_error().unwrap_or(EIO), message)),
        Error::Format(_) => FormatError::new_err(message),
        Error::Parameter(_) => UsageError::new_err(message),
        Error::Cancelled => CancelledError::new_err(message),
        _ => IntegrityError::new_err(message),
    }
}

/// A `UsageError` for an argument that does not fit.
pub fn usage(message: impl Into<String>) -> PyErr {
    UsageError::new_err(message.into())
}

/// A duration given in seconds.
pub fn seconds(value: f64) -> PyResult<std::time::Duration> {
    std::time::Duration::try_from_secs_f64(value).map_err(|error| usage(format!("timeout: {error}")))
}
