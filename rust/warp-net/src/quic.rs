//! The QUIC carrier: one bidirectional stream for messages, one unidirectional stream for this side's data.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{Connection, ConnectionError, RecvStream, SendStream, StoppedError, TransportErrorCode, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::frame::{Frame, Kind};
use crate::identity::{PublicKey, key_of};
use crate::link::{Carrier, Carrying, EXPORTER_BYTES, Ends, LOST, Link, Path};
use crate::tls::{self, EXPORTER_LABEL};
use crate::tuning::LANES_MAX;
use crate::window::ReceiveWindow;
use crate::{Error, PROTOCOL_CODE, Result};

/// How often the path is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a side waits for the other to open the stream of messages.
const OPENING: Duration = Duration::from_secs(10);
/// How long the reason for a broken stream may take to come.
const CLOSING: Duration = Duration::from_secs(1);

/// Who is at the other end of an established connection.
pub(crate) fn ends(connection: &Connection, dialed: bool) -> Result<Ends> {
    let mut exporter = [0; EXPORTER_BYTES];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
        .map_err(|_| Error::protocol("TLS has no exporter"))?;
    Ok(Ends {
        carrier: Carrier::Quic,
        dialed,
        peer: peer_key(connection).ok_or_else(|| Error::Identity("it showed no key".into()))?,
        exporter,
        address: connection.remote_address().to_string(),
    })
}

fn peer_key(connection: &Connection) -> Option<PublicKey> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    key_of(shown.first()?)
}

/// Moves frames between `link` and `connection` until both sides are done or something fails.
/// `buffer`: bytes that the socket can hold of what is received.
pub(crate) async fn run(connection: Connection, link: Arc<Link>, buffer: usize) {
    let carrying = Carrying::new(&link);
    let mut frames = pin!(carry(&connection, &link, buffer));
    let moved = tokio::select! {
        biased;
        () = link.aborted.notified() => Err(Error::Cancelled),
        moved = &mut frames => moved,
    };
    // Closed before the streams are dropped: a stream that is dropped looks finished to the other side.
    match moved {
        Ok(()) => connection.close(VarInt::from_u32(0), b""),
        Err(error) => {
            let (code, text) = link.abort_reason().unwrap_or_else(|| (PROTOCOL_CODE, error.to_string()));
            connection.close(VarInt::from_u32(code), text.as_bytes());
            link.fail(&error);
        }
    }
    carrying.done();
}

/// What is done of a connection.
enum Part {
    Sent,
    Heard,
    Taken,
}

async fn carry(connection: &Connection, link: &Arc<Link>, buffer: usize) -> Result<()> {
    let (send, receive) = control(connection, link).await?;
    let no_more = Arc::new(Notify::new());
    let mut parts = JoinSet::new();
    parts.spawn(write(Arc::clone(link), connection.clone(), send));
    parts.spawn(hear(Arc::clone(link), receive));
    parts.spawn(take_lanes(Arc::clone(link), connection.clone(), Arc::clone(&no_more)));
    let mut looking = pin!(look(connection, link, buffer));
    let (mut open, mut left) = (true, 3);
    while left > 0 {
        tokio::select! {
            Some(done) = parts.join_next() => {
                left -= 1;
                match done.unwrap_or(Err(Error::Cancelled)) {
                    // What it had to send after its last message was there before that.
                    Ok(Part::Heard) => {
                        link.all_heard();
                        no_more.notify_one();
                    }
                    Ok(Part::Sent | Part::Taken) => {}
                    Err(error) => return Err(reason(connection, error).await),
                }
            }
            error = connection.closed(), if open => match closed(error) {
                // It closes so when it has all; what came before can still be read.
                Error::Closed { code: 0, .. } => open = false,
                error => return Err(error),
            },
            () = &mut looking => {}
        }
    }
    link.ended();
    Ok(())
}

/// A stream that is reset when it is dropped, unless it was finished: quinn would finish it, which tells the other side
/// that all was said.
struct Outgoing(SendStream);

impl Drop for Outgoing {
    fn drop(&mut self) {
        // Of a stream that was finished and acknowledged there is nothing to reset.
        let _ = self.0.reset(VarInt::from_u32(0));
    }
}

async fn control(connection: &Connection, link: &Link) -> Result<(Outgoing, RecvStream)> {
    let streams = if link.ends().dialed {
        connection.open_bi().await
    } else {
        tokio::time::timeout(OPENING, connection.accept_bi())
            .await
            .map_err(|_| Error::protocol("it said nothing for ten seconds"))?
    };
    let (send, receive) = streams.map_err(closed)?;
    Ok((Outgoing(send), receive))
}

/// Sends what comes into both queues until they are closed. The stream of messages ends when all data has arrived.
async fn write(link: Arc<Link>, connection: Connection, mut messages: Outgoing) -> Result<Part> {
    let _ = messages.0.set_priority(1);
    tokio::try_join!(write_messages(&link, &mut messages), write_data(&link, &connection))?;
    match finish(messages).await {
        // It had all and closed before it acknowledged the end.
        Ok(()) | Err(Error::Closed { code: 0, .. }) => Ok(Part::Sent),
        Err(error) => Err(error),
    }
}

async fn write_messages(link: &Link, stream: &mut Outgoing) -> Result<()> {
    while let Some(frame) = link.messages_out.pop_async().await? {
        send(link, stream, frame).await?;
    }
    Ok(())
}

async fn write_data(link: &Link, connection: &Connection) -> Result<()> {
    let Some(first) = link.next_data().await? else {
        return Ok(());
    };
    let mut stream = Outgoing(connection.open_uni().await.map_err(closed)?);
    send(link, &mut stream, first).await?;
    while let Some(frame) = link.next_data().await? {
        send(link, &mut stream, frame).await?;
    }
    finish(stream).await
}

/// Ends a stream and waits until the other side has all of it.
async fn finish(mut stream: Outgoing) -> Result<()> {
    // The other side may have stopped the stream: `stopped` says so.
    let _ = stream.0.finish();
    match stream.0.stopped().await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(Error::protocol("it stopped a stream")),
        Err(StoppedError::ConnectionLost(error)) => Err(closed(error)),
        Err(StoppedError::ZeroRttRejected) => Err(Error::protocol("0-RTT")),
    }
}

async fn send(link: &Link, stream: &mut Outgoing, frame: Frame) -> Result<()> {
    link.count_sent(&frame);
    let header = bytes::Bytes::copy_from_slice(&frame.header.to_bytes());
    let mut parts = [header, frame.extension, frame.payload];
    stream.0.write_all_chunks(&mut parts).await.map_err(|error| match error {
        quinn::WriteError::ConnectionLost(error) => closed(error),
        other => Error::network("sending", other),
    })
}

/// Takes messages, to their end.
async fn hear(link: Arc<Link>, stream: RecvStream) -> Result<Part> {
    read(link, stream, true).await?;
    Ok(Part::Heard)
}

/// Takes what comes on a stream, to its end.
async fn read(link: Arc<Link>, mut stream: RecvStream, messages: bool) -> Result<()> {
    let mut expected = 0;
    while let Some(frame) = link.read(&mut stream).await? {
        if (frame.header.kind == Kind::Message) != messages {
            return Err(Error::protocol("a message among data, or data among messages"));
        }
        link.deliver(frame, &mut expected).await?;
    }
    Ok(())
}

/// Takes data. Once the other side has proved that it may, it may open lanes and send into a full window.
async fn take_lanes(link: Arc<Link>, connection: Connection, no_more: Arc<Notify>) -> Result<Part> {
    tokio::select! {
        () = link.proven() => {}
        () = no_more.notified() => return Ok(Part::Taken),
    }
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(LANES_MAX));
    let mut lanes = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = lanes.join_next() => done.unwrap_or(Err(Error::Cancelled))?,
            stream = connection.accept_uni() => match stream.map_err(closed) {
                Ok(stream) => { lanes.spawn(read(Arc::clone(&link), stream, false)); }
                Err(Error::Closed { code: 0, .. }) => break,
                Err(error) => return Err(error),
            },
            // Last, so that all streams that are there have been taken.
            () = no_more.notified() => break,
        }
    }
    while let Some(done) = lanes.join_next().await {
        done.unwrap_or(Err(Error::Cancelled))?;
    }
    Ok(Part::Taken)
}

async fn look(connection: &Connection, link: &Link, buffer: usize) {
    let mut window = None;
    loop {
        let stats = connection.stats().path;
        link.set_path(Path {
            rtt: stats.rtt,
            mtu: stats.current_mtu,
            window: stats.cwnd,
            lost: stats.lost_packets,
        });
        if link.is_proven()
            && let Some(larger) = window
                // What there is for it is known from the proof on.
                .get_or_insert_with(|| ReceiveWindow::new(buffer, link.window()))
                .look(stats.rtt, link.received(), Instant::now())
        {
            connection.set_receive_window(VarInt::try_from(larger).unwrap_or(VarInt::MAX));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why a part failed: of a connection that is being closed, streams only say that they broke.
async fn reason(connection: &Connection, error: Error) -> Error {
    if !matches!(error, Error::Network { .. }) {
        return error;
    }
    match tokio::time::timeout(CLOSING, connection.closed()).await {
        Ok(reason) => closed(reason),
        Err(_) => error,
    }
}

/// What the end of a connection means.
pub(crate) fn closed(error: ConnectionError) -> Error {
    match error {
        ConnectionError::ApplicationClosed(close) => Error::Closed {
            code: u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX),
            text: said(&close.reason),
        },
        ConnectionError::TransportError(error) => match alert(error.code) {
            Some(alert) => tls::failed(alert, "this side", error),
            None => Error::network(LOST, error),
        },
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(alert) => tls::failed(alert, "the other side", close.error_code),
            None => Error::network(LOST, format!("{}: {:?}", close.error_code, said(&close.reason))),
        },
        ConnectionError::LocallyClosed => Error::Cancelled,
        ConnectionError::VersionMismatch => Error::protocol("no QUIC version in common"),
        other => Error::network(LOST, other),
    }
}

/// The TLS alert in a code (RFC 9001 §4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    u64::from(code).checked_sub(0x100)?.try_into().ok()
}

/// What the other side said, of a length that is fit to be shown.
fn said(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason).chars().take(1024).collect()
}
