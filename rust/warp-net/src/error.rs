//! One error type for the crate; `warp-native` maps each variant to a Python class.

use std::io;

/// What can go wrong between two machines.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network or the system refused an operation; the text names it and its object.
    #[error("{what}: {reason}")]
    Network {
        /// The failed operation and its object.
        what: String,
        /// The reason, as the system or the stack puts it.
        reason: String,
        /// The system's number of it, 0 if it has none.
        errno: i32,
    },
    /// The other side broke the protocol, or does not speak it.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
    /// The other side is not who it should be, or did not prove who it is.
    #[error("the other side could not prove its identity: {0}")]
    Identity(String),
    /// The other side closed the connection, with a code and a text of its own.
    #[error("closed by the other side: {text:?} (code {code})")]
    Closed {
        /// Code of docs/transfer-protocol.md §8.
        code: u32,
        /// What the other side said; not to be trusted.
        text: String,
    },
    /// A parameter is out of its range.
    #[error("invalid {0}")]
    Parameter(String),
    /// This side closed the connection.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An [`Error::Network`] from the system's error.
    pub fn io(what: impl Into<String>, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        let reason = error.to_string();
        // The number is told beside it.
        let reason = reason.strip_suffix(&format!(" (os error {errno})")).unwrap_or(&reason).into();
        Self::Network { what: what.into(), reason, errno }
    }

    /// An [`Error::Network`] from a stack that has no number for it.
    pub fn network(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Network { what: what.into(), reason: reason.to_string(), errno: 0 }
    }

    /// The same, of the machine at `address`: failures of the network name it.
    pub(crate) fn at(&self, address: &str) -> Self {
        match self.clone() {
            Self::Network { what, reason, errno } if !what.contains(address) => {
                Self::Network { what: format!("{address}: {what}"), reason, errno }
            }
            other => other,
        }
    }

    /// An [`Error::Protocol`].
    pub fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
