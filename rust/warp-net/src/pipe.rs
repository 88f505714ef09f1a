//! The carrier in memory: two links of one process, joined by a pipe; for tests of what is above.

use std::sync::Arc;

use crate::link::{Carrier, EXPORTER_BYTES, Ends, Link};
use crate::{Error, PublicKey, Result, stream};

/// Bytes that the pipe holds in each direction.
const PIPE_BYTES: usize = 1 << 20;

/// Two links that are each other's end: the first dialed.
pub fn pipe(keys: [PublicKey; 2], exporter: [u8; EXPORTER_BYTES], window: usize) -> Result<[Arc<Link>; 2]> {
    let ends = |dialed, peer| Ends { carrier: Carrier::Pipe, dialed, peer, exporter, address: "pipe".into() };
    let links = [Link::new(ends(true, keys[1]), window), Link::new(ends(false, keys[0]), window)];
    let [dialer, listener] = links.clone();
    std::thread::Builder::new()
        .name("warp-pipe".into())
        .spawn(move || {
            let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match built {
                Ok(runtime) => runtime.block_on(async {
                    let (left, right) = tokio::io::duplex(PIPE_BYTES);
                    tokio::join!(stream::run(left, dialer), stream::run(right, listener));
                }),
                Err(error) => dialer.fail(&Error::io("runtime", &error)),
            }
        })
        .map_err(|error| Error::io("thread", &error))?;
    Ok(links)
}
