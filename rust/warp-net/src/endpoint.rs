//! Where connections begin: a thread of its own, or several, that dial, accept and move frames.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::dial::Dialing;
use crate::identity::{Identity, PublicKey, key_of};
use crate::link::{Carrier, EXPORTER_BYTES, Ends, Link};
use crate::ports::Ports;
use crate::queue::Queue;
use crate::socket::SplittingRuntime;
use crate::sorting::{Place, numbered};
use crate::tls::{self, EXPORTER_LABEL};
use crate::tuning::Tuning;
use crate::worker::Worker;
use crate::{Bell, Error, Result, quic, stream};

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections of a carrier that may be in their handshake at once; QUIC asks for a proof of address from half of it on.
const HALF_OPEN_MAX: usize = 64;
/// Accepted connections that wait to be taken.
const BACKLOG: usize = 16;

/// UDP and TCP on one port, and the threads that serve it.
pub struct Endpoint {
    address: SocketAddr,
    /// Bytes that the kernel gave each direction of a UDP socket.
    buffers: (usize, usize),
    accepted: Arc<Queue<Arc<Link>>>,
    shared: Weak<Shared>,
    runtime: tokio::runtime::Handle,
    workers: Mutex<Vec<Worker>>,
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
        let threads = (listening == Listening::Yes).then_some(tuning.threads);
        let ports = Ports::bind(address, threads, tuning.socket_buffer)?;
        let (address, buffers) = (ports.address, ports.buffers);
        let accepted = Arc::new(Queue::new(BACKLOG));
        let mut workers = Vec::new();
        for (udp, place) in ports.udp.into_iter().zip(Place::all(threads.unwrap_or(1))) {
            let shared = (identity.clone(), tuning.clone(), Arc::clone(&accepted));
            let serve = move || serve(shared, (udp, buffers.0), place, listening);
            workers.push(Worker::start(serve, listening == Listening::No)?);
        }
        let (shared, runtime) = (Weak::clone(&workers[0].shared), workers[0].runtime.clone());
        if let Some(tcp) = ports.tcp {
            let acceptor = TlsAcceptor::from(Arc::new(tls::listener(&identity)?));
            let spread =
                workers.iter().map(|each| (each.runtime.clone(), Weak::clone(&each.shared))).collect();
            runtime.spawn(accept_tcp(spread, tcp, acceptor));
        }
        Ok(Self { address, buffers, accepted, shared, runtime, workers: Mutex::new(workers) })
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

    /// Time that processors spent on the thread of an endpoint that only dials, as it was a moment ago.
    pub fn worked(&self) -> Duration {
        self.lock().iter().map(Worker::worked).sum()
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
        let workers = std::mem::take(&mut *self.lock());
        workers.iter().for_each(Worker::stop);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(
    (identity, tuning, accepted): (Identity, Tuning, Arc<Queue<Arc<Link>>>),
    (udp, buffer): (UdpSocket, usize),
    place: Place,
    listening: Listening,
) -> Result<Arc<Shared>> {
    let port = udp.local_addr().map_err(|error| Error::io("socket", &error))?.port();
    let mut config = endpoint_config(&identity, port, place.number());
    config
        .max_udp_payload_size(tuning.mtu_most.max(1472))
        .map_err(|error| Error::Parameter(format!("datagram size: {error}")))?;
    let server = (listening == Listening::Yes).then(|| quic_server(&identity, &tuning)).transpose()?;
    let quic = quinn::Endpoint::new(config, server, udp, Arc::new(SplittingRuntime(place)))
        .map_err(|error| Error::io("QUIC", &error))?;
    let shared = Arc::new(Shared { identity, tuning, quic, buffer, accepted });
    if listening == Listening::Yes {
        tokio::spawn(accept_quic(Arc::clone(&shared)));
    }
    Ok(shared)
}

/// After a restart an endpoint knows the packets of connections that it had, and resets them (RFC 9000 §10.3): the other side
/// would wait for its idle time else. The port is part of the key, so that no other endpoint of this machine does it (§21.11).
fn endpoint_config(identity: &Identity, port: u16, number: usize) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &identity.endpoint_secret(port));
    let mut config = EndpointConfig::new(Arc::new(secret));
    config.cid_generator(move || Box::new(RandomIds(number)));
    config
}

/// Connection IDs that those of an endpoint that was restarted are not told from; they hold the number of the socket.
struct RandomIds(usize);

/// Bytes of a connection ID.
const ID_BYTES: usize = 8;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // It fails on no system; equal ones would only be refused by the endpoint.
        let _ = aws_lc_rs::rand::fill(&mut id);
        numbered(id, self.0)
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
    config.max_incoming(HALF_OPEN_MAX / tuning.threads);
    Ok(config)
}

/// Connections in their handshake, the oldest first. For one too many the oldest is given up: who means it was through
/// long before, and whoever only holds places is left with none.
struct HalfOpen {
    held: VecDeque<oneshot::Sender<()>>,
    most: usize,
}

impl HalfOpen {
    fn new(most: usize) -> Self {
        Self { held: VecDeque::new(), most }
    }

    /// Takes a place, to be dropped when the handshake is over. It resolves if it is lost before.
    fn enter(&mut self) -> oneshot::Receiver<()> {
        if self.count() == self.most {
            self.held.pop_front();
        }
        let (held, place) = oneshot::channel();
        self.held.push_back(held);
        place
    }

    fn count(&mut self) -> usize {
        self.held.retain(|held| !held.is_closed());
        self.held.len()
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
    let mut half_open = HalfOpen::new(HALF_OPEN_MAX / shared.tuning.threads);
    while let Some(incoming) = shared.quic.accept().await {
        if half_open.count() >= half_open.most / 2 && incoming.may_retry() {
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

/// Takes connections, each for the next of the threads.
async fn accept_tcp(
    spread: Vec<(tokio::runtime::Handle, Weak<Shared>)>,
    listener: StdTcpListener,
    acceptor: TlsAcceptor,
) {
    // It fails where there is no runtime, and here is one.
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut half_open = HalfOpen::new(HALF_OPEN_MAX);
    for (runtime, shared) in spread.iter().cycle() {
        let socket = loop {
            match listener.accept().await {
                Ok((socket, _)) => break socket,
                // Out of descriptors, as a rule: trying at once again would only burn the processor.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let place = half_open.enter();
        // A socket is waited for by the runtime in which it was made.
        if let Ok(socket) = socket.into_std() {
            runtime.spawn(take_tcp(Weak::clone(shared), socket, acceptor.clone(), place));
        }
    }
}

async fn take_tcp(
    shared: Weak<Shared>,
    socket: StdTcpStream,
    acceptor: TlsAcceptor,
    place: oneshot::Receiver<()>,
) {
    let (Ok(socket), Some(shared)) = (TcpStream::from_std(socket), shared.upgrade()) else { return };
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
    fn a_connection_outlives_its_address_however_many_sockets_there_are() {
        const LONG: Duration = Duration::from_secs(20);
        let local = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), 0);
        let identity = |number| Identity::from_seed(&[number; 32]).unwrap();
        let tuning = Tuning { threads: 8, ..Tuning::default() };
        let server = Endpoint::new(identity(1), tuning, local, Listening::Yes).unwrap();
        let client = Endpoint::new(identity(2), Tuning::default(), local, Listening::No).unwrap();
        let here = client.dial(server.address(), None, Carrier::Quic, LONG).unwrap();
        let there = server.accept(LONG).unwrap().unwrap();
        for number in 0..6u8 {
            assert!(here.send_message(vec![number].into(), LONG).unwrap());
            assert_eq!(there.receive_message(LONG).unwrap().unwrap(), [number].as_slice());
            assert!(there.send_message(vec![number].into(), LONG).unwrap());
            assert_eq!(here.receive_message(LONG).unwrap().unwrap(), [number].as_slice());
            // Another port, and so another of the eight sockets, as a rule.
            let _runtime = client.runtime.enter();
            client.shared.upgrade().unwrap().quic.rebind(UdpSocket::bind(local).unwrap()).unwrap();
        }
    }

    #[test]
    fn one_too_many_takes_the_place_of_the_oldest() {
        let mut half_open = HalfOpen::new(HALF_OPEN_MAX);
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
