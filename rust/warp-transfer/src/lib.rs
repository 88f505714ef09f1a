//! The two ends of a transfer (docs/transfer-protocol.md): a source reads a tree, or an archive, and puts frames on a link; a sink
//! takes them from a link and restores the tree, or writes the archive's file.
//!
//! Both move bytes on threads of their own. What is said in messages (what is offered, wanted, kept) is for those above: they
//! hand in answers and are told news. Nothing here retries, asks a person or knows a configuration.
#![forbid(unsafe_code)]

mod archive;
mod error;
mod sink;
mod source;
mod throttle;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use archive::{ArchiveNews, ArchiveSink, ArchiveSource, ArchiveSourceNews, Epochs, PAGE_CHUNKS, Place};
pub use error::{Error, Result};
pub use sink::TreeSink;
pub use source::{Catalogued, Compression, SourceNews, SourceOptions, SourceRecords, TreeSource};
pub use throttle::Throttle;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
