//! A UDP socket that sends at once only what the kernel takes at once.
//!
//! quinn hands over up to ten datagrams of equal size for segmentation offload, whatever their size; the kernel refuses
//! more than 64 KiB together (EMSGSIZE), which quinn takes for a loss: with datagrams above 6.5 KB nothing would get through.
//! Of what it receives it takes what is for connections of its own (see `sorting`).

use std::fmt::Debug;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

use crate::sorting::Place;

/// What one UDP datagram can hold over IPv4, which also bounds the datagrams sent together.
const TOGETHER_BYTES: usize = 65_507;

/// tokio, with such sockets; this one's place among those of the port.
#[derive(Debug)]
pub(crate) struct SplittingRuntime(pub Place);

impl Runtime for SplittingRuntime {
    fn new_timer(&self, until: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(until)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(SplittingSocket(TokioRuntime.wrap_udp_socket(socket)?, self.0.clone())))
    }
}

#[derive(Debug)]
struct SplittingSocket(Arc<dyn AsyncUdpSocket>, Place);

impl AsyncUdpSocket for SplittingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // If the socket is full after a part, all is sent again: a datagram that comes twice does no harm.
        parts(transmit.contents, transmit.segment_size)
            .try_for_each(|contents| self.0.try_send(&Transmit { contents, ..transmit.clone() }))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let handed_over = self.1.take(context, buffers, meta);
        if handed_over > 0 {
            return Poll::Ready(Ok(handed_over));
        }
        let received = ready!(self.0.poll_recv(context, buffers, meta))?;
        self.1.sort(&buffers[..received], &mut meta[..received]);
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

/// Runs of whole datagrams of `segment` bytes that may be sent together.
fn parts(contents: &[u8], segment: Option<usize>) -> std::slice::Chunks<'_, u8> {
    let segment = segment.filter(|&size| size > 0).unwrap_or(contents.len());
    contents.chunks((TOGETHER_BYTES / segment.max(1)).max(1) * segment.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_stay_whole_and_parts_stay_below_the_bound() {
        let lengths =
            |total: usize, segment| parts(&vec![0; total], segment).map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(12_000, Some(1200)), [12_000]);
        assert_eq!(lengths(85_000, Some(8952)), [62_664, 22_336]);
        assert_eq!(lengths(600_000, Some(60_000)), [60_000; 10]);
        assert_eq!(lengths(65_507, Some(65_507)), [65_507]);
        assert_eq!(lengths(40_000, None), [40_000]);
    }
}
