//! Where connections begin: a thread of its own that dials, accepts and moves frames.

use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, Incoming};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::identity::{Identity, PublicKey, key_of};
use crate::link::{Carrier, EXPORTER_BYTES, Ends, Link};
use crate::queue::Queue;
use crate::socket::SplittingRuntime;
use crate::tls::{self, EXPORTER_LABEL};
use crate::tuning::Tuning;
use crate::{Error, Result, quic, stream};

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections that may be in their handshake at once; QUIC asks for a proof of address from half of it on.
const HALF_OPEN_MAX: usize = 64;
/// Accepted connections that wait to be taken.
const BACKLOG: usize = 16;

/// A socket pair (UDP and TCP on one port) and the thread that serves it.
pub struct Endpoint {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    identity: Identity,
    tuning: Tuning,
    quic: quinn::Endpoint,
    address: SocketAddr,
    /// Bytes that the kernel gave each direction of the UDP socket.
    buffers: (usize, usize),
    accepted: Queue<Arc<Link>>,
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
        let (udp, tcp) = bind(address, listening)?;
        let bound = udp.local_addr().map_err(|error| Error::io("socket", &error))?;
        let buffers = enlarge(&udp, tuning.socket_buffer)?;
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
                    match serve(identity, tuning, udp, tcp, (bound, buffers)) {
                        Ok(shared) => {
                            let quic = shared.quic.clone();
                            drop(ready.send(Ok((shared, tokio::runtime::Handle::current()))));
                            stopping.notified().await;
                            quic.close(0u32.into(), b"");
                            let _ = tokio::time::timeout(Duration::from_secs(1), quic.wait_idle()).await;
                        }
                        Err(error) => drop(ready.send(Err(error))),
                    }
                });
            })
            .map_err(|error| Error::io("thread", &error))?;
        let (shared, runtime) = started.recv().map_err(|_| Error::Cancelled)??;
        Ok(Self { shared, runtime, stop, thread: Some(thread) })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Bytes that the kernel gave for receiving and for sending datagrams; less than asked for slows fast paths down.
    pub fn buffers(&self) -> (usize, usize) {
        self.shared.buffers
    }

    /// The next connection from outside; None if there was none within `timeout`.
    pub fn accept(&self, timeout: Duration) -> Result<Option<Arc<Link>>> {
        self.shared.accepted.pop(timeout)
    }

    /// Opens a connection to a machine that holds `expected`, or to any if that is None.
    pub fn dial(
        &self,
        address: SocketAddr,
        expected: Option<PublicKey>,
        carrier: Carrier,
        timeout: Duration,
    ) -> Result<Arc<Link>> {
        let (reply, answer) = mpsc::sync_channel(1);
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let dialing = async {
                match carrier {
                    Carrier::Quic => dial_quic(&shared, address, expected).await,
                    Carrier::Tcp => dial_tcp(&shared, address, expected).await,
                    Carrier::Pipe => Err(Error::Parameter("carrier: a pipe is not dialed".into())),
                }
            };
            let link = match tokio::time::timeout(timeout, dialing).await {
                Ok(link) => link,
                Err(_) => Err(Error::network(format!("{address}"), "no answer")),
            };
            drop(reply.send(link));
        });
        answer.recv().map_err(|_| Error::Cancelled)?
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.accepted.fail(Error::Cancelled);
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread itself.
            let _ = thread.join();
        }
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
    identity: Identity,
    tuning: Tuning,
    udp: UdpSocket,
    tcp: Option<StdTcpListener>,
    (address, buffers): (SocketAddr, (usize, usize)),
) -> Result<Arc<Shared>> {
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(tuning.mtu_most.max(1472))
        .map_err(|error| Error::Parameter(format!("datagram size: {error}")))?;
    let server = tcp.is_some().then(|| quic_server(&identity, &tuning)).transpose()?;
    let quic = quinn::Endpoint::new(config, server, udp, Arc::new(SplittingRuntime))
        .map_err(|error| Error::io("QUIC", &error))?;
    let accepted = Queue::new(BACKLOG);
    let shared = Arc::new(Shared { identity, tuning, quic, address, buffers, accepted });
    if let Some(tcp) = tcp {
        let acceptor = TlsAcceptor::from(Arc::new(tls::listener(&shared.identity)?));
        let listener = TcpListener::from_std(tcp).map_err(|error| Error::io("TCP", &error))?;
        tokio::spawn(accept_quic(Arc::clone(&shared)));
        tokio::spawn(accept_tcp(Arc::clone(&shared), listener, acceptor));
    }
    Ok(shared)
}

fn quic_server(identity: &Identity, tuning: &Tuning) -> Result<quinn::ServerConfig> {
    let crypto = QuicServerConfig::try_from(tls::listener(identity)?)
        .map_err(|error| Error::Parameter(format!("TLS for QUIC: {error}")))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(tuning.transport()?);
    config.max_incoming(HALF_OPEN_MAX);
    Ok(config)
}

async fn accept_quic(shared: Arc<Shared>) {
    let half_open = Arc::new(Semaphore::new(HALF_OPEN_MAX));
    while let Some(incoming) = shared.quic.accept().await {
        if half_open.available_permits() < HALF_OPEN_MAX / 2 && incoming.may_retry() {
            // Costs nothing here, and only who can be reached at its address goes on.
            let _ = incoming.retry();
            continue;
        }
        let Ok(permit) = Arc::clone(&half_open).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let link = tokio::time::timeout(HANDSHAKE, take_quic(&shared, incoming)).await;
            drop(permit);
            if let Ok(Ok((connection, link))) = link {
                take(&shared, &link);
                quic::run(connection, link, shared.buffers.0).await;
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
    let half_open = Arc::new(Semaphore::new(HALF_OPEN_MAX));
    loop {
        let Ok(permit) = Arc::clone(&half_open).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(_) => {
                // Out of descriptors, as a rule: trying at once again would only burn the processor.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        tokio::spawn(async move {
            let address = prepare(&socket);
            let session = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await;
            drop(permit);
            let Ok(Ok(session)) = session else { return };
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

async fn dial_quic(shared: &Shared, address: SocketAddr, expected: Option<PublicKey>) -> Result<Arc<Link>> {
    let crypto = QuicClientConfig::try_from(tls::dialer(&shared.identity, expected)?)
        .map_err(|error| Error::Parameter(format!("TLS for QUIC: {error}")))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(shared.tuning.transport()?);
    let connection = shared
        .quic
        .connect_with(config, address, SERVER_NAME)
        .map_err(|error| Error::network(format!("{address}"), error))?
        .await
        .map_err(quic::closed)?;
    let link = Link::new(quic::ends(&connection, true)?, shared.tuning.window);
    tokio::spawn(quic::run(connection, Arc::clone(&link), shared.buffers.0));
    Ok(link)
}

/// Stacks ask for a name; it is not sent, and raw keys have none.
const SERVER_NAME: &str = "warp.invalid";

async fn dial_tcp(shared: &Shared, address: SocketAddr, expected: Option<PublicKey>) -> Result<Arc<Link>> {
    let connector = TlsConnector::from(Arc::new(tls::dialer(&shared.identity, expected)?));
    let socket =
        TcpStream::connect(address).await.map_err(|error| Error::io(format!("{address}"), &error))?;
    let shown = prepare(&socket);
    let name = ServerName::try_from(SERVER_NAME).map_err(|_| Error::Parameter("name".into()))?;
    let session = connector.connect(name, socket).await.map_err(|error| identity_or(&error, address))?;
    let state = session.get_ref().1;
    let peer = state.peer_certificates().and_then(|shown| key_of(shown.first()?));
    let mut exporter = [0; EXPORTER_BYTES];
    state
        .export_keying_material(&mut exporter, EXPORTER_LABEL, Some(b""))
        .map_err(|_| Error::protocol("TLS has no exporter"))?;
    let peer = peer.ok_or_else(|| Error::Identity("it showed no key".into()))?;
    let link = Link::new(
        Ends { carrier: Carrier::Tcp, dialed: true, peer, exporter, address: shown },
        shared.tuning.window,
    );
    tokio::spawn(stream::run(session, Arc::clone(&link)));
    Ok(link)
}

/// Small messages go at once; the address of the other side.
fn prepare(socket: &TcpStream) -> String {
    // Without it a message waits for an acknowledgement; it is no reason to fail.
    let _ = socket.set_nodelay(true);
    socket.peer_addr().map_or_else(|_| String::new(), |address| address.to_string())
}

/// rustls hands its errors through as those of the stream.
fn identity_or(error: &std::io::Error, address: SocketAddr) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => Error::Identity(tls.to_string()),
        None => Error::io(format!("{address}"), error),
    }
}
