//! Carriers: how frames of docs/transfer-protocol.md get from one machine to another.
//!
//! An [`Endpoint`] is threads that dial and accept; a [`Link`] is one connection, as queues. QUIC, TCP and a pipe in
//! memory fill and empty them; who uses a link doesn't see which. It decides nothing: who may, what is sent and when
//! comes from above.
#![forbid(unsafe_code)]

mod bell;
mod branch;
mod dial;
mod endpoint;
mod error;
pub mod frame;
mod identity;
mod link;
mod pipe;
mod pool;
mod ports;
mod queue;
mod quic;
mod socket;
mod sorting;
mod stream;
mod tls;
mod tuning;
mod window;
mod worker;

pub use bell::Bell;
pub use branch::BRANCHES_MAX;
pub use dial::Dialing;
pub use endpoint::{Endpoint, Listening};
pub use error::{Error, Result};
pub use identity::{Identity, KEY_BYTES, PublicKey};
pub use link::{Carrier, EXPORTER_BYTES, Ends, Link, Path, Traffic};
pub use pipe::pipe;
pub use pool::Lent;
pub use tuning::{Congestion, Tuning};

/// Codes of docs/transfer-protocol.md §8 that carriers give by themselves.
pub(crate) const PROTOCOL_CODE: u32 = 19;
pub(crate) const BUSY_CODE: u32 = 11;
pub(crate) const CANCELLED_CODE: u32 = 130;
