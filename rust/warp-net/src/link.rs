//! One connection as those above see it: messages and data in both directions, through queues bounded in bytes.
//!
//! What a carrier is, is who empties the one half of the queues and fills the other. Threads block on them; tasks wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

use crate::branch::{BRANCHES_MAX, Branches, Branching};
use crate::frame::{Frame, HEADER_BYTES, Header, Kind};
use crate::identity::PublicKey;
use crate::pool::{Lent, Pool};
use crate::queue::Queue;
use crate::tuning::UNPROVEN_WINDOW;
use crate::{Bell, Error, Result};

/// Bytes of the secret that only the two ends of a connection know.
pub const EXPORTER_BYTES: usize = 32;
/// A message before the proof.
const UNPROVEN_MESSAGE_BYTES: usize = 64 << 10;
/// Messages that wait, in one direction.
const MESSAGES_BYTES: usize = 4 << 20;
/// Data that waits to be sent: enough for the network to find some whenever it looks.
const OUTGOING_BYTES: usize = 8 << 20;
/// Idle payload buffers of one connection.
const SPARE_BUFFERS: usize = 24;

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// QUIC.
    Quic,
    /// TCP and TLS.
    Tcp,
    /// Memory.
    Pipe,
}

/// Who is at the other end, and what binds proofs to this connection.
#[derive(Clone, Debug)]
pub struct Ends {
    /// How frames travel.
    pub carrier: Carrier,
    /// This side opened the connection.
    pub dialed: bool,
    /// The key that the other side holds.
    pub peer: PublicKey,
    /// The exporter of docs/transfer-protocol.md §1.
    pub exporter: [u8; EXPORTER_BYTES],
    /// Address of the other side, for people.
    pub address: String,
}

/// Bytes of payload so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Sent, headers of frames included.
    pub sent: u64,
    /// Received, likewise.
    pub received: u64,
}

/// How the path looks to QUIC.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path {
    /// Round trip.
    pub rtt: Duration,
    /// UDP payload of a full datagram.
    pub mtu: u16,
    /// Congestion window in bytes.
    pub window: u64,
    /// Packets that were lost.
    pub lost: u64,
}

/// A connection.
pub struct Link {
    ends: Ends,
    window: usize,
    pub(crate) messages_out: Queue<Frame>,
    pub(crate) data_out: Queue<Frame>,
    messages_in: Queue<Bytes>,
    pub(crate) data_in: Queue<Frame>,
    pool: Arc<Pool>,
    proven: AtomicBool,
    proven_now: Notify,
    message_number: Mutex<u64>,
    sent: AtomicU64,
    received: AtomicU64,
    path: Mutex<Path>,
    pub(crate) aborted: Notify,
    pub(crate) abort: Mutex<Option<(u32, String)>>,
    /// The link whose data goes over this one, which is a branch of it.
    pub(crate) first: OnceLock<Weak<Link>>,
    pub(crate) branching: Branching,
    pub(crate) branches: Mutex<Branches>,
}

impl Link {
    pub(crate) fn new(ends: Ends, window: usize) -> Arc<Self> {
        Arc::new(Self {
            ends,
            window,
            messages_out: Queue::new(MESSAGES_BYTES),
            data_out: Queue::new(OUTGOING_BYTES),
            messages_in: Queue::new(UNPROVEN_WINDOW),
            data_in: Queue::new(window),
            pool: Pool::new(SPARE_BUFFERS),
            proven: AtomicBool::new(false),
            proven_now: Notify::new(),
            message_number: Mutex::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            path: Mutex::default(),
            aborted: Notify::new(),
            abort: Mutex::new(None),
            first: OnceLock::new(),
            branching: Branching::default(),
            branches: Mutex::default(),
        })
    }

    /// Who is at the other end.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The other side has proved that it may: it gets a full window, and data may come.
    pub fn authorize(&self) {
        self.proven.store(true, Ordering::Release);
        self.messages_in.set_most(MESSAGES_BYTES);
        self.proven_now.notify_one();
    }

    /// Bytes of data that may wait to be taken by this side.
    pub fn window(&self) -> usize {
        // All branches together have as much as the first link.
        if self.is_branch() { self.window / (BRANCHES_MAX + 1) } else { self.window }
    }

    /// Sends one message; false if there was no room within `timeout`.
    pub fn send_message(&self, payload: Bytes, timeout: Duration) -> Result<bool> {
        let mut number = self.message_number.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = Frame::message(*number, payload)?;
        let size = frame.size();
        let sent = self.messages_out.push(frame, size, timeout)?.is_none();
        *number += u64::from(sent);
        Ok(sent)
    }

    /// The next message; None if there was none within `timeout`.
    pub fn receive_message(&self, timeout: Duration) -> Result<Option<Bytes>> {
        self.messages_in.pop(timeout)
    }

    /// All messages that wait. What was received before a failure is taken before that is told.
    pub fn take_messages(&self) -> Result<Vec<Bytes>> {
        self.messages_in.drain()
    }

    /// Whether the other side has said all it had to say, and it was taken.
    pub fn has_ended(&self) -> bool {
        self.messages_in.is_at_end()
    }

    /// Rings `bell` while there are messages to take, and from the end on.
    pub fn set_bell(&self, bell: Arc<Bell>) {
        self.messages_in.set_bell(bell);
    }

    /// Sends one frame of data; gives it back if there was no room within `timeout`.
    pub fn send_data(&self, frame: Frame, timeout: Duration) -> Result<Option<Frame>> {
        if frame.header.kind == Kind::Message {
            return Err(Error::Parameter("frame: a message among data".into()));
        }
        let size = frame.size();
        self.data_out.push(frame, size, timeout)
    }

    /// The next frame of data; None if there was none within `timeout`.
    pub fn receive_data(&self, timeout: Duration) -> Result<Option<Frame>> {
        self.data_in.pop(timeout)
    }

    /// A buffer for a payload, to be overwritten; it is used again once the frame that holds it has gone.
    pub fn lend(&self, length: usize) -> Lent {
        self.pool.take(length)
    }

    /// Bytes of data that wait to be sent.
    pub fn backlog(&self) -> usize {
        self.data_out.bytes()
    }

    /// Nothing more is sent by this side; what waits still goes.
    pub fn finish(&self) {
        self.data_out.close();
        self.messages_out.close();
        for branch in self.close_branches() {
            branch.finish();
        }
    }

    /// Closes at once. QUIC tells the other side why; TCP can't, so a message that says it should go before.
    pub fn abort(&self, code: u32, text: &str) {
        *self.abort.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, text.to_owned()));
        self.messages_in.fail(Error::Cancelled);
        self.fail(&Error::Cancelled);
        self.aborted.notify_one();
    }

    /// Bytes so far, those of branches too.
    pub fn traffic(&self) -> Traffic {
        let mut sum = Traffic { sent: self.sent.load(Ordering::Relaxed), received: self.received() };
        for branch in self.branches() {
            let more = branch.traffic();
            sum.sent += more.sent;
            sum.received += more.received;
        }
        sum
    }

    /// The path, as it was when a carrier last looked; windows and losses are those of branches too.
    pub fn path(&self) -> Path {
        let mut sum = *self.path.lock().unwrap_or_else(PoisonError::into_inner);
        for branch in self.branches() {
            let more = branch.path();
            sum.window += more.window;
            sum.lost += more.lost;
        }
        sum
    }

    // --- what carriers do ---

    pub(crate) fn set_path(&self, path: Path) {
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// Ends for this reason. Messages that wait can still be taken: the last may say more than the reason does.
    pub(crate) fn fail(&self, error: &Error) {
        let error = error.at(&self.ends.address);
        self.messages_in.break_off(error.clone());
        self.data_in.fail(error.clone());
        self.messages_out.fail(error.clone());
        self.data_out.fail(error.clone());
        self.tell_failure(&error);
    }

    /// The other side sends nothing more; what waits can still be taken.
    pub(crate) fn ended(&self) {
        self.messages_in.close();
        self.tell_end();
    }

    /// The other side sends no more messages.
    pub(crate) fn all_heard(&self) {
        self.messages_in.close();
    }

    /// What this side said when it aborted.
    pub(crate) fn abort_reason(&self) -> Option<(u32, String)> {
        self.abort.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the other side has proved that it may.
    pub(crate) async fn proven(&self) {
        while !self.is_proven() {
            self.proven_now.notified().await;
        }
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Bytes that came over this connection alone.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn count_sent(&self, frame: &Frame) {
        self.sent.fetch_add(frame.size() as u64, Ordering::Relaxed);
    }

    /// Reads one frame and checks it; None at an end between two frames.
    pub(crate) async fn read<R: AsyncRead + Unpin>(&self, input: &mut R) -> Result<Option<Frame>> {
        let mut bytes = [0; HEADER_BYTES];
        if !read_or_end(input, &mut bytes).await? {
            return Ok(None);
        }
        let header = Header::parse(&bytes)?;
        if !self.is_proven()
            && (header.kind != Kind::Message || header.payload as usize > UNPROVEN_MESSAGE_BYTES)
        {
            return Err(Error::protocol("data, or a long message, before the proof"));
        }
        let extension = self.part(input, usize::from(header.extension)).await?;
        let payload = self.part(input, header.payload as usize).await?;
        let frame = Frame { header, extension, payload };
        self.received.fetch_add(frame.size() as u64, Ordering::Relaxed);
        Ok(Some(frame))
    }

    async fn part<R: AsyncRead + Unpin>(&self, input: &mut R, length: usize) -> Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        // Branches take from one pool, so that together they keep no more than one link does.
        let first = self.first();
        let pool = first.as_ref().map_or(&self.pool, |first| &first.pool);
        let mut buffer = pool.take(length);
        input.read_exact(&mut buffer.bytes).await.map_err(|error| lost(&error))?;
        Ok(buffer.freeze())
    }

    /// Hands a frame to those above; waits while they have enough.
    pub(crate) async fn deliver(&self, frame: Frame, expected_message: &mut u64) -> Result<()> {
        let size = frame.size();
        if frame.header.kind != Kind::Message {
            return match self.is_branch() {
                true => self.deliver_to_first(frame, size).await,
                false => self.data_in.push_async(frame, size).await,
            };
        }
        self.check_message(frame.header.number)?;
        if frame.header.number != *expected_message {
            return Err(Error::protocol(format!(
                "message {} where {expected_message} was next",
                frame.header.number
            )));
        }
        *expected_message += 1;
        self.messages_in.push_async(frame.payload, size).await
    }
}

/// Fills `buffer`; false if the input ends before its first byte.
async fn read_or_end<R: AsyncRead + Unpin>(input: &mut R, buffer: &mut [u8]) -> Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]).await.map_err(|error| lost(&error))? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(Error::protocol("the connection ended inside a frame")),
            more => filled += more,
        }
    }
    Ok(true)
}

/// What an error of a stream means.
pub(crate) fn lost(error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        // So it looks when the program at the other end was killed.
        Error::network(LOST, "it ended without a word")
    } else {
        Error::io(LOST, error)
    }
}

/// What is said of a connection that broke.
pub(crate) const LOST: &str = "the connection was lost";

/// Fails a link whose carrier was dropped in the middle, as it is when an endpoint closes: nobody else would tell.
pub(crate) struct Carrying(Option<Arc<Link>>);

impl Carrying {
    pub fn new(link: &Arc<Link>) -> Self {
        Self(Some(Arc::clone(link)))
    }

    /// The carrier has come to its end.
    pub fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Carrying {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.fail(&Error::Cancelled);
        }
    }
}
