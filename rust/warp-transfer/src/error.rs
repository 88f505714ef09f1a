//! One error for both crates below.

/// What can go wrong at an end of a transfer.
#[derive(Debug)]
pub enum Error {
    /// Reading, writing, or bytes that are not what they should be.
    Core(warp_core::Error),
    /// The connection.
    Net(warp_net::Error),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Core(error) => error.fmt(f),
            Self::Net(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<warp_core::Error> for Error {
    fn from(error: warp_core::Error) -> Self {
        Self::Core(error)
    }
}

impl From<warp_net::Error> for Error {
    fn from(error: warp_net::Error) -> Self {
        Self::Net(error)
    }
}

impl Error {
    /// Whether it only says that this side stopped.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Core(warp_core::Error::Cancelled) | Self::Net(warp_net::Error::Cancelled))
    }
}
