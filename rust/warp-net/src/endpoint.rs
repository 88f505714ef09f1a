//! Where connections begin: a thread of its own that dials, accepts and moves frames.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::dial::Dialing;
use crate::identity::{Identity, PublicKey, key_of};
use crate::link::{Carrier, EXPORTER_BYTES, Ends, Link};
use crate::queue::Queue;
use crate::socket::SplittingRuntime;
use crate::tls::{self, EXPORTER_LABEL};
use crate::tuning::Tuning;
use crate::{Bell, Error, Result, quic, stream};

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections of a carrier that may be in their handshake at once; QUIC asks for a proof of address from half of it on.
const HALF_OPEN_MAX: usize = 64;
/// How long an endpoint that closes waits for the other sides to hear of it.
const CLOSING: Duration = Duration::from_secs(1);
/// Accepted connections that wait to be taken.
const BACKLOG: usize = 16;

/// A socket pair (UDP and TCP on one port) and the thread that serves it.
pub struct Endpoint {
    address: SocketAddr,
    /// Bytes that the kernel gave each direction of the UDP socket.
    buffers: (usize, usize),
    accepted: Arc<Queue<Arc<Link>>>,
    /// The thread has it, so that the sockets are closed with it.
    shared: Weak<Shared>,
    runtime: tokio::runtime::Handle,
    stop: Arc<Notify>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) struct Shared {
    pub identity: Identity,
    pub tuning: Tuning,
    pub quic: quinn::Endpoint,
    /// Bytes that the kernel gave for receiving datagrams.
    pub buffer: usize,
    accepted: Arc<Queue<Arc<Link>>>,
}

/// Whether an endpoint takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Only dials.
    No,
    /// Takes QUIC and TCP on the address given.
    Yes,
}

impl Endpoint {
    /// Binds UDP and, to listen, TCP to `address` (port 0: any that is free for both).
    pub fn new(
        identity: Identity,
        tuning: Tuning,
        address: SocketAddr,
        listening: Listening,
    ) -> Result<Self> {
        // What does not do is told before anything is bound.
        tuning.transport()?;
        let (udp, tcp) = bind(address, listening)?;
        let address = udp.local_addr().map_err(|error| Error::io("socket", &error))?;
        let buffers = enlarge(&udp, tuning.socket_buffer)?;
        let accepted = Arc::new(Queue::new(BACKLOG));
        let taken = Arc::clone(&accepted);
        let (ready, started) = mpsc::sync_channel(1);
        let stop = Arc::new(Notify::new());
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("warp-net".into())
            .spawn(move || {
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(ready.send(Err(Error::io("runtime", &error)))),
                };
                runtime.block_on(async move {
                    match serve((identity, tuning), (udp, buffers.0), tcp, taken) {
                        Ok(shared) => {
                            let runtime = tokio::runtime::Handle::current();
                            drop(ready.send(Ok((Arc::downgrade(&shared), runtime))));
                            stopping.notified().await;
                            shared.quic.close(0u32.into(), b"");
                            let _ = tokio::time::timeout(CLOSING, shared.quic.wait_idle()).await;
                        }
                        Err(error) => drop(ready.send(Err(error))),
                    }
                });
            })
            .map_err(|error| Error::io("thread", &error))?;
        let (shared, runtime) = started.recv().map_err(|_| Error::Cancelled)??;
        Ok(Self { address, buffers, accepted, shared, runtime, stop, thread: Mutex::new(Some(thread)) })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that the kernel gave for receiving and for sending datagrams; less than asked for slows fast paths down.
    pub fn buffers(&self) -> (usize, usize) {
        self.buffers
    }

    /// The next connection from outside; None if there was none within `timeout`.
    pub fn accept(&self, timeout: Duration) -> Result<Option<Arc<Link>>> {
        self.accepted.pop(timeout)
    }

    /// Rings `bell` while connections wait to be accepted, and from the end on.
    pub fn set_bell(&self, bell: Arc<Bell>) {
        self.accepted.set_bell(bell);
    }

    /// Begins to open a connection to a machine that holds `expected`, or to any if that is None.
    pub fn begin(
        &self,
        address: SocketAddr,
        expected: Option<PublicKey>,
        carrier: Carrier,
        timeout: Duration,
    ) -> Dialing {
        Dialing::begin(&self.runtime, Weak::clone(&self.shared), address, expected, carrier, timeout)
    }

    /// Opens a connection, and waits for it.
    pub fn dial(
        &self,
        address: SocketAddr,
        expected: Option<PublicKey>,
        carrier: Carrier,
        timeout: Duration,
    ) -> Result<Arc<Link>> {
        let mut dialing = self.begin(address, expected, carrier, timeout);
        loop {
            if let Some(link) = dialing.wait(timeout) {
                return link;
            }
        }
    }

    /// Takes and opens no more connections, and ends those that there are. Waits until the ports are free.
    pub fn close(&self) {
        self.accepted.fail(Error::Cancelled);
        self.stop.notify_one();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic was printed by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
    }
}

/// UDP, and TCP on the same port.
fn bind(address: SocketAddr, listening: Listening) -> Result<(UdpSocket, Option<StdTcpListener>)> {
    let named = |error: std::io::Error| Error::io(format!("listen on {address}"), &error);
    // Another program may have the TCP port that UDP was given, so a few are tried.
    for _ in 0..16 {
        let udp = UdpSocket::bind(address).map_err(named)?;
        if listening == Listening::No {
            return Ok((udp, None));
        }
        match StdTcpListener::bind(udp.local_addr().map_err(named)?) {
            Ok(tcp) => {
                tcp.set_nonblocking(true).map_err(named)?;
                return Ok((udp, Some(tcp)));
            }
            Err(error) if address.port() != 0 || error.kind() != std::io::ErrorKind::AddrInUse => {
                return Err(named(error));
            }
            Err(_) => {}
        }
    }
    Err(Error::network(format!("listen on {address}"), "no port is free for both UDP and TCP"))
}

/// Asks for larger socket buffers; what the kernel gave.
fn enlarge(socket: &UdpSocket, wanted: usize) -> Result<(usize, usize)> {
    use rustix::net::sockopt;
    let named = |error: rustix::io::Errno| Error::io("socket buffers", &error.into());
    sockopt::set_socket_recv_buffer_size(socket, wanted).map_err(named)?;
    sockopt::set_socket_send_buffer_size(socket, wanted).map_err(named)?;
    // Linux counts its bookkeeping too and so reports twice what it grants.
    let receive = sockopt::socket_recv_buffer_size(socket).map_err(named)? / 2;
    let send = sockopt::socket_send_buffer_size(socket).map_err(named)? / 2;
    Ok((receive, send))
}

fn serve(
    (identity, tuning): (Identity, Tuning),
    (udp, buffer): (UdpSocket, usize),
    tcp: Option<StdTcpListener>,
    accepted: Arc<Queue<Arc<Link>>>,
) -> Result<Arc<Shared>> {
    let port = udp.local_addr().map_err(|error| Error::io("socket", &error))?.port();
    let mut config = endpoint_config(&identity, port);
    config
        .max_udp_payload_size(tuning.mtu_most.max(1472))
        .map_err(|error| Error::Parameter(format!("datagram size: {error}")))?;
    let server = tcp.is_some().then(|| quic_server(&identity, &tuning)).transpose()?;
    let quic = quinn::Endpoint::new(config, server, udp, Arc::new(SplittingRuntime))
        .map_err(|error| Error::io("QUIC", &error))?;
    let shared = Arc::new(Shared { identity, tuning, quic, buffer, accepted });
    if let Some(tcp) = tcp {
        let acceptor = TlsAcceptor::from(Arc::new(tls::listener(&shared.identity)?));
        let listener = TcpListener::from_std(tcp).map_err(|error| Error::io("TCP", &error))?;
        tokio::spawn(accept_quic(Arc::clone(&shared)));
        tokio::spawn(accept_tcp(Arc::clone(&shared), listener, acceptor));
    }
    Ok(shared)
}

/// After a restart an endpoint knows the packets of connections that it had, and resets them (RFC 9000 §10.3): the other side
/// would wait for its idle time else. The port is part of the key, so that no other endpoint of this machine does it (§21.11).
fn endpoint_config(identity: &Identity, port: u16) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &identity.endpoint_secret(port));
    let mut config = EndpointConfig::new(Arc::new(secret));
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Connection IDs that those of an endpoint that was restarted are not told from.
struct RandomIds;

/// Bytes of a connection ID.
const ID_BYTES: usize = 8;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // It fails on no system; equal ones would only be refused by the endpoint.
        let _ = aws_lc_rs::rand::fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn quic_server(identity: &Identity, tuning: &Tuning) -> Result<quinn::ServerConfig> {
    let crypto = QuicServerConfig::try_from(tls::listener(identity)?)
        .map_err(|error| Error::Parameter(format!("TLS for QUIC: {error}")))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(tuning.transport()?);
    config.max_incoming(HALF_OPEN_MAX);
    Ok(config)
}

/// Connections in their handshake, the oldest first. For one too many the oldest is given up: who means it was through
/// long before, and whoever only holds places is left with none.
#[derive(Default)]
struct HalfOpen(VecDeque<oneshot::Sender<()>>);

impl HalfOpen {
    /// Takes a place, to be dropped when the handshake is over. It resolves if it is lost before.
    fn enter(&mut self) -> oneshot::Receiver<()> {
        if self.count() == HALF_OPEN_MAX {
            self.0.pop_front();
        }
        let (held, place) = oneshot::channel();
        self.0.push_back(held);
        place
    }

    fn count(&mut self) -> usize {
        self.0.retain(|held| !held.is_closed());
        self.0.len()
    }
}

/// What a handshake gives, if it comes in time and keeps its place.
async fn in_time<T>(place: oneshot::Receiver<()>, handshake: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = tokio::time::timeout(HANDSHAKE, handshake) => done.ok(),
        _ = place => None,
    }
}

async fn accept_quic(shared: Arc<Shared>) {
    let mut half_open = HalfOpen::default();
    while let Some(incoming) = shared.quic.accept().await {
        if half_open.count() >= HALF_OPEN_MAX / 2 && incoming.may_retry() {
            // Costs nothing here, and only who can be reached at its address goes on.
            let _ = incoming.retry();
            continue;
        }
        let place = half_open.enter();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Some(Ok((connection, link))) = in_time(place, take_quic(&shared, incoming)).await {
                take(&shared, &link);
                quic::run(connection, link, shared.buffer).await;
            }
        });
    }
}

async fn take_quic(shared: &Shared, incoming: Incoming) -> Result<(quinn::Connection, Arc<Link>)> {
    let connection = incoming.accept().map_err(quic::closed)?.await.map_err(quic::closed)?;
    let link = Link::new(quic::ends(&connection, false)?, shared.tuning.window);
    Ok((connection, link))
}

async fn accept_tcp(shared: Arc<Shared>, listener: TcpListener, acceptor: TlsAcceptor) {
    let mut half_open = HalfOpen::default();
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(_) => {
                // Out of descriptors, as a rule: trying at once again would only burn the processor.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let place = half_open.enter();
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        tokio::spawn(async move {
            let address = prepare(&socket);
            let Some(Ok(session)) = in_time(place, acceptor.accept(socket)).await else { return };
            let state = session.get_ref().1;
            let peer = state.peer_certificates().and_then(|shown| key_of(shown.first()?));
            let mut exporter = [0; EXPORTER_BYTES];
            let exported = state.export_keying_material(&mut exporter, EXPORTER_LABEL, Some(b"")).is_ok();
            let (Some(peer), true) = (peer, exported) else { return };
            let ends = Ends { carrier: Carrier::Tcp, dialed: false, peer, exporter, address };
            let link = Link::new(ends, shared.tuning.window);
            take(&shared, &link);
            stream::run(session, link).await;
        });
    }
}

/// Hands a connection to whoever accepts; one too many is closed.
fn take(shared: &Shared, link: &Arc<Link>) {
    if !matches!(shared.accepted.push(Arc::clone(link), 1, Duration::ZERO), Ok(None)) {
        link.abort(crate::BUSY_CODE, "too many connections wait here");
    }
}

/// Small messages go at once; the address of the other side.
pub(crate) fn prepare(socket: &TcpStream) -> String {
    // Without it a message waits for an acknowledgement; it is no reason to fail.
    let _ = socket.set_nodelay(true);
    socket.peer_addr().map_or_else(|_| String::new(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn one_too_many_takes_the_place_of_the_oldest() {
        let mut half_open = HalfOpen::default();
        let mut places: Vec<_> = (0..HALF_OPEN_MAX).map(|_| half_open.enter()).collect();
        // One that is through leaves room for one.
        drop(places.pop());
        places.push(half_open.enter());
        assert!(places.iter_mut().all(|place| place.try_recv() == Err(TryRecvError::Empty)));
        places.push(half_open.enter());
        assert_eq!(places[0].try_recv(), Err(TryRecvError::Closed));
        assert!(places[1..].iter_mut().all(|place| place.try_recv() == Err(TryRecvError::Empty)));
        assert_eq!(half_open.count(), HALF_OPEN_MAX);
    }
}
