//! Datagrams that the kernel gave to another socket of the port than that of their connection.
//!
//! It goes by the sender's address. Where that changes under a connection (a router forgot it, a laptop changed networks), its
//! connection ID tells where it belongs (RFC 9000 §5.2): our IDs begin with the number of their socket.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use quinn::ConnectionId;
use quinn::udp::RecvMeta;

/// Sockets that one port can have: a power of two.
pub const SOCKETS_MAX: usize = 8;
/// Bits of an ID's first byte that are the number of its socket.
const NUMBER_MASK: u8 = SOCKETS_MAX as u8 - 1;
/// Set in packets of handshakes (RFC 8999 §5.1), which stay where they came to: their IDs may be the other side's choice.
const LONG_HEADER: u8 = 0x80;
/// Receipts, of up to 64 KiB, that wait for one socket; more are lost, as they are where a socket is full.
const WAITING_MAX: usize = 64;

/// A random ID of a connection that lives at socket `number`.
pub(crate) fn numbered(mut id: [u8; 8], number: usize) -> ConnectionId {
    id[0] = (id[0] & !NUMBER_MASK) | (number as u8 & NUMBER_MASK);
    ConnectionId::new(&id)
}

/// What the sockets of a port hand to each other.
pub(crate) struct Mailboxes(Vec<Mutex<Mailbox>>);

#[derive(Default)]
struct Mailbox {
    waiting: VecDeque<(Vec<u8>, RecvMeta)>,
    waker: Option<Waker>,
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Mailboxes({})", self.0.len())
    }
}

/// One of the sockets of a port.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    number: usize,
    all: Arc<Mailboxes>,
}

impl Place {
    /// So many.
    pub fn all(count: usize) -> Vec<Self> {
        let all = Arc::new(Mailboxes((0..count).map(|_| Mutex::default()).collect()));
        (0..count).map(|number| Self { number, all: Arc::clone(&all) }).collect()
    }

    pub fn number(&self) -> usize {
        self.number
    }

    /// Takes what others have handed over; how many buffers were filled.
    pub fn take(
        &self,
        context: &Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> usize {
        if self.all.0.len() == 1 {
            return 0;
        }
        let mut mine = self.mailbox(self.number);
        mine.waker = Some(context.waker().clone());
        let count = mine.waiting.len().min(buffers.len()).min(meta.len());
        for (place, (datagrams, about)) in mine.waiting.drain(..count).enumerate() {
            let length = datagrams.len().min(buffers[place].len());
            buffers[place][..length].copy_from_slice(&datagrams[..length]);
            meta[place] = RecvMeta { len: length, ..about };
        }
        count
    }

    /// Hands over what is for others, of what was received; there it is empty then.
    pub fn sort(&self, buffers: &[IoSliceMut<'_>], meta: &mut [RecvMeta]) {
        if self.all.0.len() == 1 {
            return;
        }
        for (buffer, about) in buffers.iter().zip(meta) {
            // What was received together came from one sender.
            let Some(number) = number_of(&buffer[..about.len]) else { continue };
            if number == self.number || number >= self.all.0.len() {
                continue;
            }
            let mut other = self.mailbox(number);
            if other.waiting.len() < WAITING_MAX {
                other.waiting.push_back((buffer[..about.len].to_vec(), *about));
            }
            if let Some(waker) = other.waker.take() {
                waker.wake();
            }
            drop(other);
            about.len = 0;
        }
    }

    fn mailbox(&self, number: usize) -> MutexGuard<'_, Mailbox> {
        self.all.0[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket of the connection that a datagram is for; None if it does not say.
fn number_of(datagram: &[u8]) -> Option<usize> {
    let [flags, first, ..] = datagram else { return None };
    (flags & LONG_HEADER == 0).then_some(usize::from(first & NUMBER_MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(datagram: &[u8], buffer: &mut [u8]) -> RecvMeta {
        buffer[..datagram.len()].copy_from_slice(datagram);
        RecvMeta { len: datagram.len(), stride: datagram.len(), ..RecvMeta::default() }
    }

    #[test]
    fn a_datagram_goes_to_the_socket_of_its_connection_and_handshakes_stay() {
        let places = Place::all(4);
        let id = numbered([0xff; 8], 2);
        let short = [&[0x40], id.as_ref(), b"sealed"].concat();
        let long = [&[0xc0], id.as_ref(), b"hello"].concat();
        let (mut one, mut two) = ([0; 64], [0; 64]);
        let mut meta = [received(&short, &mut one), received(&long, &mut two)];
        let buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        places[2].sort(&buffers, &mut meta);
        assert_eq!([meta[0].len, meta[1].len], [short.len(), long.len()]);
        places[1].sort(&buffers, &mut meta);
        assert_eq!([meta[0].len, meta[1].len], [0, long.len()]);
        let context = Context::from_waker(Waker::noop());
        let (mut space, mut about) = ([0; 64], [RecvMeta::default()]);
        assert_eq!(places[3].take(&context, &mut [IoSliceMut::new(&mut space)], &mut about), 0);
        assert_eq!(places[2].take(&context, &mut [IoSliceMut::new(&mut space)], &mut about), 1);
        assert_eq!(space[..about[0].len], short);
        assert_eq!(places[2].take(&context, &mut [IoSliceMut::new(&mut space)], &mut about), 0);
    }

    #[test]
    fn what_nobody_takes_does_not_grow_and_what_is_for_nobody_stays() {
        let places = Place::all(2);
        let short = [&[0x40], numbered([0; 8], 1).as_ref()].concat();
        let mut one = [0; 64];
        for _ in 0..2 * WAITING_MAX {
            let mut meta = [received(&short, &mut one)];
            places[0].sort(&[IoSliceMut::new(&mut one)], &mut meta);
        }
        assert_eq!(places[0].mailbox(1).waiting.len(), WAITING_MAX);
        for datagram in [&[0x40, 7, 1, 1][..], &[0x40], &[]] {
            let mut meta = [received(datagram, &mut one)];
            places[0].sort(&[IoSliceMut::new(&mut one)], &mut meta);
            assert_eq!(meta[0].len, datagram.len());
        }
    }
}
