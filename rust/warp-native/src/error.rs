//! Errors of the core and of the carriers as exceptions of `warp_portal.errors`; those of the system as `OSError` with errno.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use warp_core::Error;

pyo3::import_exception!(warp_portal.errors, FormatError);
pyo3::import_exception!(warp_portal.errors, IntegrityError);
pyo3::import_exception!(warp_portal.errors, UsageError);
pyo3::import_exception!(warp_portal.errors, CancelledError);
pyo3::import_exception!(warp_portal.errors, ClosedError);
pyo3::import_exception!(warp_portal.errors, IdentityError);
pyo3::import_exception!(warp_portal.errors, ProtocolError);
pyo3::import_exception!(warp_portal.errors, UnreachableError);
pyo3::import_exception!(warp_portal.errors, WrongKeyError);

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

/// The exception for an error between two machines.
pub fn raise_net(error: warp_net::Error) -> PyErr {
    use warp_net::Error;
    let message = error.to_string();
    match error {
        Error::Identity(_) => IdentityError::new_err(message),
        Error::Closed { code, text } => ClosedError::new_err((message, code, text)),
        Error::Parameter(_) => UsageError::new_err(message),
        Error::Cancelled => CancelledError::new_err(message),
        Error::Protocol(_) => ProtocolError::new_err(message),
        _ => UnreachableError::new_err(message),
    }
}

/// The same where no other machine has a part in it: what the system refused is an `OSError`.
pub fn raise_socket(error: warp_net::Error) -> PyErr {
    match &error {
        warp_net::Error::Network { errno, .. } => {
            PyOSError::new_err((if *errno == 0 { EIO } else { *errno }, error.to_string()))
        }
        _ => raise_net(error),
    }
}

/// A share of CPace that is none, after which there is no key.
pub fn raise_share(_: pakery_cpace::CpaceError) -> PyErr {
    WrongKeyError::new_err(
        "the other side's share is no group element, or the neutral one: it does not hold the code",
    )
}

/// A `UsageError` for an argument that does not fit.
pub fn usage(message: impl Into<String>) -> PyErr {
    UsageError::new_err(message.into())
}

/// A duration given in seconds.
pub fn seconds(value: f64) -> PyResult<std::time::Duration> {
    std::time::Duration::try_from_secs_f64(value).map_err(|error| usage(format!("timeout: {error}")))
}
