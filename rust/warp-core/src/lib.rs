//! The byte-moving core: cutting, hashing, codecs, sealing and the pipelines built of them.
//!
//! Pure and synchronous; it knows no Python, reads no configuration and picks no policy.
#![forbid(unsafe_code)]

pub mod attributes;
pub mod baseline;
pub mod catalogue;
pub mod chunk_index;
pub mod chunk_read;
pub mod codec;
pub mod columns;
pub mod cutter;
pub mod dedup;
pub mod digest;
pub mod entropy;
pub mod entry;
pub mod error;
pub mod keys;
pub mod matcher;
pub mod measure;
pub mod merkle;
pub mod pack;
pub mod pages;
mod parse;
pub mod paths;
pub mod recipe;
pub mod seal;
pub mod survey;
pub mod table;
pub mod unpack;
pub mod verify;
pub mod walk;

pub use error::{Error, Result};
