//! `TreeSource`, `TreeSink`, `ArchiveSource`, `ArchiveSink` and what they have in common.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use warp_core::Error;
use warp_core::catalogue::Spans;
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::keys::ScopeKeys;
use warp_net::Bell;

use crate::error::{raise, raise_net, raise_socket, usage};

mod archive_sink;
mod archive_source;
mod sink;
mod source;

pub use archive_sink::ArchiveSink;
pub use archive_source::ArchiveSource;
pub use sink::TreeSink;
pub use source::TreeSource;

/// Spans of a page's fragments, or chunks, as Python has them: first, and the one behind the last.
type PySpans = Vec<(u32, u32)>;

/// The exception for an error at an end of a transfer.
fn raise_transfer(error: warp_transfer::Error) -> PyErr {
    match error {
        warp_transfer::Error::Core(error) => raise(error),
        warp_transfer::Error::Net(error) => raise_net(error),
    }
}

/// Spans of a page that has at most so many records.
fn to_core(spans: &[(u32, u32)], most: usize) -> PyResult<Spans> {
    let span = |(first, end): &(u32, u32)| {
        let is_sound = first < end && *end <= most as u32;
        is_sound.then_some((*first as u16, (end - first) as u16))
    };
    spans.iter().map(span).collect::<Option<_>>().ok_or_else(|| usage("spans: out of a page's bounds"))
}

fn to_python(spans: &Spans) -> PySpans {
    spans.iter().map(|(first, count)| ((*first).into(), u32::from(*first) + u32::from(*count))).collect()
}

/// Called when there is news.
type Ring = Box<dyn Fn() + Send + Sync>;

/// A bell, and what rings it.
fn bell() -> PyResult<(Arc<Bell>, Ring)> {
    let bell = Bell::new().map_err(raise_socket)?;
    let rung = Arc::clone(&bell);
    Ok((bell, Box::new(move || rung.ring())))
}

fn descriptor(bell: &Bell) -> i32 {
    bell.as_fd().as_raw_fd()
}

/// The cutter of a session: algorithm, and least, mean and largest size.
fn cutter((algorithm, min, mean, max): (u8, u32, u32, u32), keys: &ScopeKeys) -> PyResult<Cutter> {
    let algorithm = Algorithm::try_from(algorithm).map_err(raise)?;
    Cutter::new(algorithm, Sizes { min, mean, max }, keys.cutter_key()).map_err(raise)
}

/// News without waiting.
const NOW: Duration = Duration::ZERO;

/// After it stopped it has nothing to say.
fn stopped() -> PyErr {
    raise(Error::Cancelled)
}
