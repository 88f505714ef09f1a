//! One error type for the crate; `warp-native` maps each variant to a Python class.

use std::io;

/// What can go wrong while moving bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation; `what` names it and its object.
    #[error("{what}: {source}")]
    Io {
        /// The failed operation and its object.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Bytes that do not follow the format.
    #[error("malformed {0}")]
    Format(String),
    /// A digest, commitment or authentication tag does not match.
    #[error("damaged {0}")]
    Integrity(String),
    /// A parameter is out of its range.
    #[error("invalid {0}")]
    Parameter(String),
    /// The pipeline was told to stop, or another of its threads failed first.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An [`Error::Io`] that names the failed operation.
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }

    /// An [`Error::Format`].
    pub fn format(what: impl Into<String>) -> Self {
        Self::Format(what.into())
    }

    /// An [`Error::Integrity`].
    pub fn integrity(what: impl Into<String>) -> Self {
        Self::Integrity(what.into())
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
