//! The side that opens a connection: a task of the endpoint's, and a handle to wait for it.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use quinn::ConnectError;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::endpoint::{Shared, prepare};
use crate::identity::{PublicKey, key_of};
use crate::link::{Carrier, EXPORTER_BYTES, Ends, Link};
use crate::tls::{self, EXPORTER_LABEL};
use crate::{CANCELLED_CODE, Error, Result, quic, stream};

/// Stacks ask for a name; it is not sent, and raw keys have none.
const SERVER_NAME: &str = "warp.invalid";

/// A connection on its way; dropped, it is given up.
pub struct Dialing {
    answer: mpsc::Receiver<Result<Untaken>>,
    task: AbortHandle,
}

/// A link that ends unless somebody takes it.
struct Untaken(Option<Arc<Link>>);

impl Drop for Untaken {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.abort(CANCELLED_CODE, "cancelled");
        }
    }
}

impl Dialing {
    pub(crate) fn begin(
        runtime: &tokio::runtime::Handle,
        shared: Weak<Shared>,
        address: SocketAddr,
        expected: Option<PublicKey>,
        carrier: Carrier,
        timeout: Duration,
    ) -> Self {
        let (reply, answer) = mpsc::sync_channel(1);
        let task = runtime.spawn(async move {
            let dialing = async {
                let shared = shared.upgrade().ok_or(Error::Cancelled)?;
                match carrier {
                    Carrier::Quic => dial_quic(&shared, address, expected).await,
                    Carrier::Tcp => dial_tcp(&shared, address, expected).await,
                    Carrier::Pipe => Err(Error::Parameter("carrier: a pipe is not dialed".into())),
                }
            };
            let link = match tokio::time::timeout(timeout, dialing).await {
                Ok(link) => link.map(|link| Untaken(Some(link))),
                Err(_) => Err(Error::network(format!("{address}"), "no answer")),
            };
            drop(reply.send(link.map_err(|error| error.at(&address.to_string()))));
        });
        Self { answer, task: task.abort_handle() }
    }

    /// The connection, or why there is none; None if neither is known within `timeout`. It comes once.
    pub fn wait(&mut self, timeout: Duration) -> Option<Result<Arc<Link>>> {
        match self.answer.recv_timeout(timeout) {
            Ok(Ok(mut link)) => link.0.take().map(Ok),
            Ok(Err(error)) => Some(Err(error)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(Error::Cancelled)),
        }
    }
}

impl Drop for Dialing {
    fn drop(&mut self) {
        self.task.abort();
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
        .map_err(|error| match error {
            ConnectError::EndpointStopping => Error::Cancelled,
            error => Error::network(format!("{address}"), error),
        })?
        .await
        .map_err(quic::closed)?;
    let link = Link::new(quic::ends(&connection, true)?, shared.tuning.window);
    tokio::spawn(quic::run(connection, Arc::clone(&link), shared.buffer));
    Ok(link)
}

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

/// rustls hands its errors through as those of the stream.
fn identity_or(error: &std::io::Error, address: SocketAddr) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => tls::failure(error),
        None => Error::io(format!("{address}"), error),
    }
}
