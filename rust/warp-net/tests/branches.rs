//! Further connections of one link: what goes over them arrives whole and once, they end and break as one, and limits hold.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use warp_net::frame::{Frame, Kind};
use warp_net::{BRANCHES_MAX, Carrier, Endpoint, Error, Identity, Link, Listening, Tuning};

const LONG: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const CARRIERS: [Carrier; 2] = [Carrier::Quic, Carrier::Tcp];
const WINDOW: usize = 4 << 20;

fn identity(number: u8) -> Identity {
    Identity::from_seed(&[number; 32]).unwrap()
}

fn tuning() -> Tuning {
    Tuning { window: WINDOW, threads: 4, ..Tuning::default() }
}

/// One dialer and one listener, with as many connections as it takes.
struct Scene {
    carrier: Carrier,
    client: u8,
    server: Endpoint,
    clients: Vec<Endpoint>,
}

impl Scene {
    fn new(carrier: Carrier) -> Self {
        let server = Endpoint::new(identity(2), tuning(), LOCAL, Listening::Yes).unwrap();
        Self { carrier, client: 1, server, clients: Vec::new() }
    }

    /// Both ends of one more connection: what dialed, and what was accepted.
    fn connection(&mut self) -> [Arc<Link>; 2] {
        let client = Endpoint::new(identity(self.client), tuning(), LOCAL, Listening::No).unwrap();
        let expected = Some(*identity(2).public());
        let dialer = client.dial(self.server.address(), expected, self.carrier, LONG).unwrap();
        self.clients.push(client);
        assert!(dialer.send_message(Bytes::from_static(b"hello"), LONG).unwrap());
        let listener = self.server.accept(LONG).unwrap().unwrap();
        assert_eq!(listener.receive_message(LONG).unwrap().unwrap(), "hello");
        [dialer, listener]
    }

    fn proven(&mut self) -> [Arc<Link>; 2] {
        let pair = self.connection();
        pair.iter().for_each(|link| link.authorize());
        pair
    }

    /// A link with so many branches in use, and the branches.
    fn branched(&mut self, count: usize) -> ([Arc<Link>; 2], Vec<[Arc<Link>; 2]>) {
        let pair = self.proven();
        let branches = (0..count)
            .map(|_| {
                let branch = self.connection();
                for (link, branch) in pair.iter().zip(&branch) {
                    link.receive_over(branch).unwrap();
                }
                for (link, branch) in pair.iter().zip(&branch) {
                    link.send_over(branch).unwrap();
                }
                branch
            })
            .collect();
        (pair, branches)
    }
}

fn chunk(number: u64, length: usize) -> Frame {
    frame(Kind::Chunk, number, length)
}

fn frame(kind: Kind, number: u64, length: usize) -> Frame {
    let payload: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(31) ^ number as u8).collect();
    Frame::new(kind, 0, (number, 0), Bytes::new(), payload.into()).unwrap()
}

#[test]
fn all_data_arrives_once_over_all_connections_both_ways() {
    const COUNT: u64 = 300;
    const LENGTH: usize = 100_000;
    for carrier in CARRIERS {
        let mut scene = Scene::new(carrier);
        let (pair, branches) = scene.branched(3);
        assert_eq!([pair[0].connections(), pair[1].connections()], [4, 4]);
        let [dialer, listener] = &pair;
        std::thread::scope(|scope| {
            for (from, to) in [(dialer, listener), (listener, dialer)] {
                scope.spawn(move || {
                    for number in 0..COUNT {
                        assert!(from.send_data(chunk(number, LENGTH), LONG).unwrap().is_none());
                    }
                    from.finish();
                });
                scope.spawn(move || {
                    let mut left: BTreeSet<_> = (0..COUNT).collect();
                    while let Ok(Some(frame)) = to.receive_data(LONG) {
                        let number = frame.header.number;
                        assert!(left.remove(&number), "{carrier:?}: {number}, twice");
                        assert!(frame == chunk(number, LENGTH), "{carrier:?}: {number} is another");
                    }
                    assert!(left.is_empty(), "{carrier:?}: {left:?} did not come");
                    assert!(matches!(to.receive_data(NOW), Err(Error::Cancelled)), "{carrier:?}: the end");
                });
            }
        });
        let whole = COUNT * (LENGTH as u64 + 24);
        assert!((whole..whole + 1000).contains(&dialer.traffic().sent), "{:?}", dialer.traffic());
        let used =
            branches.iter().filter(|[_, listener]| listener.traffic().received > LENGTH as u64).count();
        assert!(used > 0, "{carrier:?}: all went over one connection");
    }
}

#[test]
fn what_must_stay_in_order_stays_on_the_first_connection() {
    for carrier in CARRIERS {
        let mut scene = Scene::new(carrier);
        let ([dialer, listener], branches) = scene.branched(2);
        for number in 0..200 {
            let kind = if number % 2 == 0 { Kind::Page } else { Kind::Bytes };
            assert!(dialer.send_data(frame(kind, number, 50_000), LONG).unwrap().is_none());
            assert_eq!(listener.receive_data(LONG).unwrap().unwrap().header.number, number);
        }
        dialer.keep_order();
        for number in 0..200 {
            assert!(dialer.send_data(chunk(number, 50_000), LONG).unwrap().is_none());
        }
        for number in 0..200 {
            assert_eq!(listener.receive_data(LONG).unwrap().unwrap().header.number, number, "{carrier:?}");
        }
        assert!(branches.iter().all(|[_, listener]| listener.traffic().received < 1000));
    }
}

#[test]
fn a_branch_that_breaks_takes_the_link_with_it_and_the_other_side_may_come_again() {
    for carrier in CARRIERS {
        let mut scene = Scene::new(carrier);
        let ([dialer, listener], branches) = scene.branched(2);
        drop(scene.clients.pop());
        assert!(dialer.receive_data(LONG).is_err() && dialer.receive_message(LONG).is_err());
        assert!(listener.receive_data(LONG).is_err());
        let told = listener.receive_message(LONG).err().unwrap();
        assert!(
            matches!(told, Error::Network { .. } | Error::Closed { code: 0, .. }),
            "{carrier:?}: {told:?}"
        );
        for link in branches.iter().flatten() {
            assert!(link.receive_message(LONG).is_err(), "{carrier:?}");
        }
    }
}

#[test]
fn an_abort_ends_all_connections_with_its_reason() {
    let mut scene = Scene::new(Carrier::Quic);
    let ([dialer, listener], branches) = scene.branched(2);
    dialer.abort(9, "the disk is full");
    for link in branches.iter().map(|[_, listener]| listener).chain([&listener]) {
        match link.receive_message(LONG) {
            Err(Error::Closed { code, text }) => assert_eq!((code, text.as_str()), (9, "the disk is full")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_branch_that_was_refused_leaves_the_link_as_it_was() {
    for carrier in CARRIERS {
        let mut scene = Scene::new(carrier);
        let [dialer, listener] = scene.proven();
        let refused = scene.connection();
        dialer.receive_over(&refused[0]).unwrap();
        refused[1].abort(11, "too many");
        assert!(refused[0].receive_message(LONG).is_err());
        assert!(listener.send_data(chunk(1, 10), LONG).unwrap().is_none());
        assert!(dialer.receive_data(LONG).unwrap().unwrap() == chunk(1, 10), "{carrier:?}");
        assert_eq!(dialer.connections(), 1);
        // Its place is free again.
        for _ in 0..BRANCHES_MAX {
            dialer.receive_over(&scene.connection()[0]).unwrap();
        }
    }
}

#[test]
fn a_branch_is_of_the_same_machines_once_and_not_too_many() {
    let mut scene = Scene::new(Carrier::Tcp);
    let ([dialer, listener], branches) = scene.branched(BRANCHES_MAX);
    let [_, more] = scene.connection();
    assert!(matches!(listener.receive_over(&more), Err(Error::Parameter(_))));
    assert!(matches!(listener.receive_over(&branches[0][1]), Err(Error::Parameter(_))));
    assert!(matches!(dialer.send_over(&more), Err(Error::Parameter(_))));
    scene.client = 3;
    let [_, stranger] = scene.connection();
    let [_, first] = Scene::new(Carrier::Tcp).proven();
    assert!(matches!(first.receive_over(&stranger), Err(Error::Parameter(_))));
    let [_, over] = scene.proven();
    over.finish();
    let [_, late] = scene.connection();
    assert!(matches!(over.receive_over(&late), Err(Error::Cancelled)));
}

#[test]
fn what_has_no_place_on_a_branch_breaks_the_link() {
    for carrier in CARRIERS {
        for is_message in [true, false] {
            let mut scene = Scene::new(carrier);
            let [dialer, listener] = scene.proven();
            let [hostile, branch] = scene.connection();
            listener.receive_over(&branch).unwrap();
            listener.send_over(&branch).unwrap();
            hostile.authorize();
            if is_message {
                for _ in 0..2 {
                    hostile.send_message(Bytes::from_static(b"?"), LONG).unwrap();
                }
            } else {
                hostile.send_data(frame(Kind::Page, 0, 10), LONG).unwrap();
            }
            let told = listener.receive_data(LONG);
            assert!(matches!(told, Err(Error::Protocol(_))), "{carrier:?}, {is_message}: {told:?}");
            assert!(dialer.receive_message(LONG).is_err());
        }
    }
}

#[test]
fn all_connections_together_have_one_window() {
    for carrier in CARRIERS {
        let mut scene = Scene::new(carrier);
        let ([dialer, listener], _branches) = scene.branched(3);
        let mut sent = 0;
        while sent < 200 && dialer.send_data(chunk(sent, 1 << 20), Duration::from_secs(2)).unwrap().is_none()
        {
            sent += 1;
        }
        // What waits to go, the window of the other side once in its queue and twice in the stack, and buffers of the kernel.
        assert!(sent < 90, "{carrier:?}: {sent} MiB");
        for _ in 0..sent {
            assert!(listener.receive_data(LONG).unwrap().is_some());
        }
    }
}
