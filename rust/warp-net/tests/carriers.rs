//! What every carrier promises, tried on each: frames arrive whole, in order and once; limits hold; ends are told apart.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use warp_net::frame::{Frame, Kind};
use warp_net::{Bell, Carrier, Endpoint, Error, Identity, Link, Listening, Tuning, pipe};

const LONG: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const CARRIERS: [Carrier; 3] = [Carrier::Quic, Carrier::Tcp, Carrier::Pipe];

fn identity(number: u8) -> Identity {
    Identity::from_seed(&[number; 32]).unwrap()
}

fn tuning() -> Tuning {
    Tuning { window: 4 << 20, ..Tuning::default() }
}

/// Two ends of one connection, and what keeps them alive.
struct Pair {
    dialer: Arc<Link>,
    listener: Arc<Link>,
    ends: Vec<Endpoint>,
}

impl Pair {
    fn new(carrier: Carrier) -> Self {
        if carrier == Carrier::Pipe {
            let keys = [*identity(1).public(), *identity(2).public()];
            let [dialer, listener] = pipe(keys, [7; 32], tuning().window).unwrap();
            return Self { dialer, listener, ends: Vec::new() };
        }
        let (client, server) = endpoints();
        let dialer = client.dial(server.address(), Some(*identity(2).public()), carrier, LONG).unwrap();
        if carrier == Carrier::Quic {
            // The other side hears of a connection at once, of its stream with the first message.
            assert!(dialer.send_message(Bytes::from_static(b"hello"), LONG).unwrap());
        }
        let listener = server.accept(LONG).unwrap().unwrap();
        if carrier == Carrier::Quic {
            assert_eq!(listener.receive_message(LONG).unwrap().unwrap(), "hello");
        }
        Self { dialer, listener, ends: vec![client, server] }
    }

    fn proven(carrier: Carrier) -> Self {
        let pair = Self::new(carrier);
        pair.dialer.authorize();
        pair.listener.authorize();
        pair
    }
}

fn endpoints() -> (Endpoint, Endpoint) {
    let client = Endpoint::new(identity(1), tuning(), LOCAL, Listening::No).unwrap();
    let server = Endpoint::new(identity(2), tuning(), LOCAL, Listening::Yes).unwrap();
    (client, server)
}

/// A frame whose content follows from its number.
fn chunk(number: u64, length: usize) -> Frame {
    let seed = number as u8;
    let payload: Vec<u8> =
        (0..length).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect();
    Frame::new(Kind::Chunk, 0, (number, 0), Bytes::new(), payload.into()).unwrap()
}

fn lengths() -> impl Iterator<Item = (u64, usize)> {
    let few = [0, 1, 23, 65_535, 65_536, 1 << 20, (9 << 20), 3];
    (0..).zip(few.into_iter().chain((0..40).map(|at| at * 40_001)))
}

#[test]
fn messages_and_data_arrive_whole_and_in_order_both_ways() {
    for carrier in CARRIERS {
        let pair = Pair::proven(carrier);
        let ends = [(&pair.dialer, &pair.listener), (&pair.listener, &pair.dialer)];
        std::thread::scope(|scope| {
            for (from, to) in ends {
                scope.spawn(|| {
                    for (number, length) in lengths() {
                        let left = from.send_data(chunk(number, length), LONG).unwrap();
                        assert!(left.is_none(), "{carrier:?}: frame {number} does not go");
                        let text = Bytes::from(format!("message {number}"));
                        assert!(from.send_message(text, LONG).unwrap());
                    }
                    from.finish();
                });
                scope.spawn(|| {
                    for (number, length) in lengths() {
                        let frame = to
                            .receive_data(LONG)
                            .unwrap()
                            .unwrap_or_else(|| panic!("{carrier:?}: no frame {number}"));
                        assert!(frame == chunk(number, length), "{carrier:?}: frame {number}");
                    }
                });
                scope.spawn(|| {
                    for (number, _) in lengths() {
                        let text = to
                            .receive_message(LONG)
                            .unwrap()
                            .unwrap_or_else(|| panic!("{carrier:?}: no message {number}"));
                        assert_eq!(text, format!("message {number}"), "{carrier:?}");
                    }
                    assert!(
                        matches!(to.receive_message(LONG), Err(Error::Cancelled)),
                        "{carrier:?}: the end"
                    );
                });
            }
        });
        assert!(matches!(pair.listener.receive_data(LONG), Err(Error::Cancelled)), "{carrier:?}: the end");
        let sent = lengths().map(|(_, length)| length as u64 + 24).sum::<u64>();
        assert!(pair.dialer.traffic().sent > sent && pair.listener.traffic().received > sent);
    }
}

#[test]
fn both_ends_know_each_other_and_share_a_secret_of_this_connection() {
    let mut secrets = Vec::new();
    for carrier in [Carrier::Quic, Carrier::Quic, Carrier::Tcp] {
        let pair = Pair::new(carrier);
        assert_eq!(pair.dialer.ends().peer, *identity(2).public());
        assert_eq!(pair.listener.ends().peer, *identity(1).public());
        assert_eq!(pair.dialer.ends().exporter, pair.listener.ends().exporter);
        assert!(pair.dialer.ends().dialed && !pair.listener.ends().dialed);
        secrets.push(pair.dialer.ends().exporter);
    }
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets.len(), 3);
}

#[test]
fn a_machine_with_another_key_is_refused_before_anything_is_said() {
    for carrier in [Carrier::Quic, Carrier::Tcp] {
        let (client, server) = endpoints();
        let dialed = client.dial(server.address(), Some(*identity(3).public()), carrier, LONG);
        assert!(matches!(dialed, Err(Error::Identity(_))), "{carrier:?}: {:?}", dialed.err());
        // The server lives, and takes the next one.
        assert!(client.dial(server.address(), Some(*identity(2).public()), carrier, LONG).is_ok());
    }
}

#[test]
fn nothing_but_short_messages_is_taken_before_the_proof() {
    for carrier in CARRIERS {
        let pair = Pair::new(carrier);
        pair.dialer.send_message(Bytes::from(vec![0; (64 << 10) + 1]), LONG).unwrap();
        let told = pair.listener.receive_message(LONG);
        assert!(matches!(told, Err(Error::Protocol(_))), "{carrier:?}: {told:?}");
    }
    let pair = Pair::new(Carrier::Tcp);
    pair.dialer.send_data(chunk(0, 10), LONG).unwrap();
    assert!(matches!(pair.listener.receive_data(LONG), Err(Error::Protocol(_))));
    // QUIC gives no stream for data until then: nothing arrives, and nothing breaks.
    let pair = Pair::new(Carrier::Quic);
    pair.dialer.send_data(chunk(5, 10), LONG).unwrap();
    pair.dialer.send_message(Bytes::from_static(b"still here"), LONG).unwrap();
    assert_eq!(pair.listener.receive_message(LONG).unwrap().unwrap(), "still here");
    assert!(pair.listener.receive_data(NOW).unwrap().is_none());
    pair.listener.authorize();
    assert!(pair.listener.receive_data(LONG).unwrap().unwrap() == chunk(5, 10));
}

#[test]
fn a_side_that_takes_nothing_stops_the_other() {
    for carrier in CARRIERS {
        let pair = Pair::proven(carrier);
        let mut sent = 0;
        while sent < 200
            && pair.dialer.send_data(chunk(sent, 1 << 20), Duration::from_secs(2)).unwrap().is_none()
        {
            sent += 1;
        }
        // What waits to go, the window of the other side (twice: in the stack and in the queue), and buffers of the kernel.
        assert!(sent < 60, "{carrier:?}: {sent} MiB");
        for number in 0..sent {
            assert!(pair.listener.receive_data(LONG).unwrap().unwrap() == chunk(number, 1 << 20));
        }
    }
}

#[test]
fn an_abort_is_told_with_its_reason() {
    for carrier in [Carrier::Quic, Carrier::Pipe] {
        let pair = Pair::proven(carrier);
        pair.dialer.abort(9, "the disk is full");
        assert!(matches!(pair.dialer.receive_message(LONG), Err(Error::Cancelled)));
        match pair.listener.receive_message(LONG) {
            Err(Error::Closed { code, text }) => assert_eq!((code, text.as_str()), (9, "the disk is full")),
            other => panic!("{carrier:?}: {other:?}"),
        }
    }
    let pair = Pair::proven(Carrier::Tcp);
    pair.dialer.abort(9, "the disk is full");
    let told = pair.listener.receive_message(LONG);
    assert!(matches!(told, Err(Error::Network { .. })), "{told:?}");
}

#[test]
fn an_endpoint_that_closes_ends_its_links_and_what_is_dialed() {
    for carrier in [Carrier::Quic, Carrier::Tcp] {
        let (client, server) = endpoints();
        let link = client.dial(server.address(), None, carrier, LONG).unwrap();
        let deaf = std::net::UdpSocket::bind(LOCAL).unwrap();
        let mut dialing = client.begin(deaf.local_addr().unwrap(), None, Carrier::Quic, LONG);
        client.close();
        assert!(matches!(link.receive_message(LONG), Err(Error::Cancelled)), "{carrier:?}");
        assert!(matches!(dialing.wait(LONG), Some(Err(Error::Cancelled))));
        assert!(matches!(client.dial(server.address(), None, carrier, LONG), Err(Error::Cancelled)));
        client.close();
    }
}

#[test]
fn failures_of_the_network_name_the_address() {
    let (client, _server) = endpoints();
    let nobody = std::net::TcpListener::bind(LOCAL).unwrap().local_addr().unwrap();
    let refused = client.dial(nobody, None, Carrier::Tcp, LONG).err().unwrap();
    assert!(refused.to_string().contains(&nobody.to_string()), "{refused}");
    let deaf = std::net::UdpSocket::bind(LOCAL).unwrap().local_addr().unwrap();
    let silent = client.dial(deaf, None, Carrier::Quic, Duration::from_millis(100)).err().unwrap();
    assert!(silent.to_string().contains(&deaf.to_string()), "{silent}");
    let mut pair = Pair::new(Carrier::Tcp);
    drop(pair.ends.remove(0));
    let lost = pair.listener.receive_message(LONG).err().unwrap();
    assert!(matches!(lost, Error::Network { .. }), "{lost:?}");
    assert!(lost.to_string().contains(&pair.listener.ends().address), "{lost}");
}

#[test]
fn a_message_before_a_broken_connection_is_still_read() {
    for carrier in [Carrier::Tcp, Carrier::Pipe] {
        let pair = Pair::new(carrier);
        pair.listener.authorize();
        assert!(pair.dialer.send_message(Bytes::from_static(b"last words"), LONG).unwrap());
        assert_eq!(pair.listener.receive_message(LONG).unwrap().unwrap(), "last words");
        assert!(pair.dialer.send_message(Bytes::from_static(b"and these"), LONG).unwrap());
        let bell = Bell::new().unwrap();
        pair.listener.set_bell(Arc::clone(&bell));
        wait(&bell);
        pair.dialer.abort(9, "gone");
        // The failure is there when nothing can be sent any more.
        while pair.listener.send_message(Bytes::from_static(b"?"), NOW).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(pair.listener.take_messages().unwrap(), ["and these"], "{carrier:?}");
        assert!(pair.listener.take_messages().is_err() && !pair.listener.has_ended());
        wait(&bell);
    }
}

#[test]
fn the_end_of_one_side_is_seen_while_the_other_goes_on() {
    for carrier in CARRIERS {
        let pair = Pair::proven(carrier);
        let bell = Bell::new().unwrap();
        pair.listener.set_bell(Arc::clone(&bell));
        pair.dialer.finish();
        wait(&bell);
        assert!(pair.listener.take_messages().unwrap().is_empty() && pair.listener.has_ended());
        assert!(pair.listener.send_message(Bytes::from_static(b"more"), LONG).unwrap());
        pair.listener.finish();
        assert_eq!(pair.dialer.receive_message(LONG).unwrap().unwrap(), "more", "{carrier:?}");
        assert!(matches!(pair.dialer.receive_message(LONG), Err(Error::Cancelled)), "{carrier:?}");
        assert!(pair.dialer.has_ended(), "{carrier:?}");
    }
}

/// Until it rings.
fn wait(bell: &Bell) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut descriptors = [PollFd::new(bell, PollFlags::IN)];
    let rung = poll(&mut descriptors, Some(&Timespec { tv_sec: 20, tv_nsec: 0 })).unwrap();
    assert_eq!(rung, 1, "it did not ring");
}

#[test]
fn a_message_is_not_sent_as_data() {
    let pair = Pair::proven(Carrier::Pipe);
    let message = Frame::message(0, Bytes::from_static(b"x")).unwrap();
    assert!(matches!(pair.dialer.send_data(message, NOW), Err(Error::Parameter(_))));
}
