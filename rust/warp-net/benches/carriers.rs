//! How fast a carrier moves frames of 1 MiB between two endpoints of one process over loopback.
//!
//!     cargo bench -p warp-net --bench carriers -- quic|tcp [GIB] [DATAGRAM_BYTES]

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
    let tuning = Tuning { mtu_most: datagram, mtu_first: datagram, ..Tuning::default() };
    let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let endpoint = |seed: u8, listening| {
        let identity = Identity::from_seed(&[seed; 32]).expect("identity");
        Endpoint::new(identity, tuning.clone(), local, listening).expect("endpoint")
    };
    let (client, server) = (endpoint(1, Listening::No), endpoint(2, Listening::Yes));
    let dialer = client.dial(server.address(), None, carrier, LONG).expect("dial");
    dialer.send_message(Bytes::from_static(b"hello"), LONG).expect("message");
    let listener = server.accept(LONG).expect("accept").expect("a connection");
    dialer.authorize();
    listener.authorize();
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
        assert_eq!(frame.header.number, number);
    }
    let seconds = start.elapsed().as_secs_f64();
    let dialer = sending.join().expect("sender");
    println!("{carrier:?} {:.0} MiB/s, {:?}", count as f64 / seconds, dialer.path());
}
