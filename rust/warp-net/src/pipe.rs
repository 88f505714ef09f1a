//! The carrier in memory: two links of one process, joined by a pipe; for tests of what is above.

use std::sync::Arc;

use tokio::io::DuplexStream;

use crate::link::{Carrier, EXPORTER_BYTES, Ends, LOST, Link};
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
                    tokio::join!(carry(left, &dialer, &listener), carry(right, &listener, &dialer));
                }),
                Err(error) => dialer.fail(&Error::io("runtime", &error)),
            }
        })
        .map_err(|error| Error::io("thread", &error))?;
    Ok(links)
}

/// Memory has no way to end but cleanly, so a failure is told from here.
async fn carry(stream: DuplexStream, link: &Arc<Link>, other: &Arc<Link>) {
    if !stream::run(stream, Arc::clone(link)).await {
        other.fail(&match link.abort_reason() {
            Some((code, text)) => Error::Closed { code, text },
            None => Error::network(LOST, "the other side failed"),
        });
    }
}
