//! The two ends of a transfer (docs/transfer-protocol.md): a source reads a tree and puts frames on a link, a sink takes them
//! from a link and restores the tree.
//!
//! Both move bytes on threads of their own. What is said in messages (what is offered, wanted, kept) is for those above: they
//! hand in answers and are told news. Nothing here retries, asks a person or knows a configuration.
#![forbid(unsafe_code)]

mod error;
mod sink;
mod source;
mod throttle;

pub use error::{Error, Result};
pub use sink::TreeSink;
pub use source::{Catalogued, Compression, SourceNews, SourceOptions, TreeSource};
pub use throttle::Throttle;
