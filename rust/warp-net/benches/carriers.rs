//! How fast a carrier moves frames of 1 MiB between two endpoints of one process over loopback.
//!
//!     cargo bench -p warp-net --bench carriers -- quic|tcp [GIB] [DATAGRAM_BYTES] [CONNECTIONS]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use warp_net::frame::{Frame, Kind};
use warp_net::{Carrier, Endpoint, Identity, Listening, Tuning};

const LONG: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let word = |at: usize, default: &str| arguments.get(at).cloned().unwrap_or_else(|| default.into());
    let carrier = if word(0, "quic") == "tcp" { Carrier::Tcp } else { Carrier::Quic };
    let count = word(1, "2").parse::<u64>().expect("GIB") * 1024;
    let datagram = word(2, "1452").parse::<u16>().expect("DATAGRAM_BYTES");
    let connections = word(3, "1").parse::<usize>().expect("CONNECTIONS");
    let threads = if connections > 1 { 8 } else { 1 };
    let tuning = Tuning { mtu_most: datagram, mtu_first: datagram, threads, ..Tuning::default() };
    let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let endpoint = |seed: u8, listening| {
        let identity = Identity::from_seed(&[seed; 32]).expect("identity");
        Endpoint::new(identity, tuning.clone(), local, listening).expect("endpoint")
    };
    let server = endpoint(2, Listening::Yes);
    let clients: Vec<_> = (0..connections).map(|_| endpoint(1, Listening::No)).collect();
    let links: Vec<_> = clients
        .iter()
        .map(|client| {
            let dialer = client.dial(server.address(), None, carrier, LONG).expect("dial");
            dialer.send_message(Bytes::from_static(b"hello"), LONG).expect("message");
            (dialer, server.accept(LONG).expect("accept").expect("a connection"))
        })
        .collect();
    let (dialer, listener) = links[0].clone();
    dialer.authorize();
    listener.authorize();
    for (here, there) in &links[1..] {
        dialer.receive_over(here).expect("a branch");
        listener.receive_over(there).expect("a branch");
        dialer.send_over(here).expect("a branch");
        listener.send_over(there).expect("a branch");
    }
    let payload = Bytes::from(vec![0x5a; MIB]);
    let start = Instant::now();
    let sending = std::thread::spawn(move || {
        for number in 0..count {
            let frame =
                Frame::new(Kind::Chunk, 0, (number, 0), Bytes::new(), payload.clone()).expect("frame");
            assert!(dialer.send_data(frame, LONG).expect("send").is_none());
        }
        dialer.finish();
        dialer
    });
    for number in 0..count {
        let frame = listener.receive_data(LONG).expect("receive").expect("a frame");
        assert!(connections > 1 || frame.header.number == number);
    }
    let seconds = start.elapsed().as_secs_f64();
    let dialer = sending.join().expect("sender");
    println!("{carrier:?} × {connections}: {:.0} MiB/s, {:?}", count as f64 / seconds, dialer.path());
}
