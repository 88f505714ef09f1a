//! What the tests of trees and archives have in common: two ends of a connection, and things to send.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use warp_core::digest;
use warp_net::frame::{Frame, Kind};
use warp_net::{Carrier, Endpoint, Identity, Link, Listening, Tuning, pipe};

pub const LONG: Duration = Duration::from_secs(20);
pub const WINDOW: usize = 4 << 20;

/// Two ends of a connection, and what keeps them alive.
pub fn pair(carrier: Carrier) -> ([Arc<Link>; 2], Vec<Endpoint>) {
    let identity = |seed: u8| Identity::from_seed(&[seed; 32]).unwrap();
    let tuning = Tuning { window: WINDOW, ..Tuning::default() };
    let (links, ends) = if carrier == Carrier::Pipe {
        (pipe([*identity(1).public(), *identity(2).public()], [7; 32], WINDOW).unwrap(), Vec::new())
    } else {
        let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let client = Endpoint::new(identity(1), tuning.clone(), local, Listening::No).unwrap();
        let server = Endpoint::new(identity(2), tuning, local, Listening::Yes).unwrap();
        let dialer = client.dial(server.address(), None, carrier, LONG).unwrap();
        dialer.send_message(Bytes::from_static(b"hello"), LONG).unwrap();
        let listener = server.accept(LONG).unwrap().unwrap();
        ([dialer, listener], vec![client, server])
    };
    links.iter().for_each(|link| link.authorize());
    (links, ends)
}

pub fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    digest::keyed_xof(&[3; 32], &[&seed.to_le_bytes()], &mut out);
    out
}

/// A frame, as a peer may send it.
pub fn frame(kind: Kind, codec: u8, ids: (u64, u64), extension: &[u8], payload: &[u8]) -> Frame {
    let copy = Bytes::copy_from_slice;
    Frame::new(kind, codec, ids, copy(extension), copy(payload)).unwrap()
}
