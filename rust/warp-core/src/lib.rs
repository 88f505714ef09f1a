//! The byte-moving core: cutting, hashing, codecs, sealing and the pipelines built of them.
//!
//! Pure and synchronous; it knows no Python, reads no configuration and picks no policy.
#![forbid(unsafe_code)]

pub mod attributes;
pub mod baseline;
pub mod columns;
pub mod entry;
pub mod error;
pub mod matcher;
pub mod table;
pub mod walk;

pub use error::{Error, Result};
