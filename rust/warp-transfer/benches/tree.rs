//! How fast a tree goes from disk to disk between two endpoints of one process over loopback, read, cut, hashed, encrypted,
//! verified and written.
//!
//!     cargo bench -p warp-transfer --bench tree -- SOURCE TARGET [quic|tcp] [DATAGRAM_BYTES] [push|want] [store|adaptive|zstd]

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use warp_core::codec::{Codec, Policy, PolicyRow};
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::keys::{ScopeKeys, Suite};
use warp_core::pack::PackOptions;
use warp_core::unpack::{self, Landing, LandingOptions, Overwrite, Records};
use warp_core::walk::{Finder, Root, WalkOptions, Walker};
use warp_net::{Carrier, Endpoint, Identity, Listening, Tuning};
use warp_transfer::{Compression, SourceOptions, SourceRecords, Throttle, TreeSink, TreeSource};

const LONG: Duration = Duration::from_secs(60);
const WINDOW: usize = 64 << 20;
const FRAGMENT: Sizes = Sizes { min: 16 << 10, mean: 64 << 10, max: 256 << 10 };
const CHUNK: Sizes = Sizes { min: 512 << 10, mean: 1 << 20, max: 2 << 20 };

fn file(path: &Path) -> std::fs::File {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("record")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let word = |at: usize, default: &str| arguments.get(at).cloned().unwrap_or_else(|| default.into());
    let [source, target] = [word(0, "."), word(1, "/tmp/landed")].map(std::path::PathBuf::from);
    let carrier = if word(2, "quic") == "tcp" { Carrier::Tcp } else { Carrier::Quic };
    let datagram = word(3, "1452").parse::<u16>().expect("DATAGRAM_BYTES");
    let everything = word(4, "push") == "push";
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let policy = Policy { rows: vec![PolicyRow { entropy_below: 7.9, codec: Codec::Zstd, level: 1 }] };
    let compression = match word(5, "store").as_str() {
        "store" => Compression::None,
        "zstd" => Compression::Always(policy.clone()),
        _ => Compression::Adaptive(policy.clone(), threads as u64 * 60_000_000),
    };
    std::fs::create_dir_all(&target).expect("target");
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

    let start = Instant::now();
    let keys = Arc::new(ScopeKeys::new(Some(&[7; 32]), Suite::ChaCha20Poly1305).expect("keys"));
    let restore = unpack::Options {
        overwrite: Overwrite::Never,
        owners: true,
        devices: false,
        setuid: true,
        whole: true,
        keep_damaged: false,
        tag: [9; 8],
        threads,
        memory: WINDOW,
    };
    let landing =
        LandingOptions { restore, everything, epoch_bytes: 256 << 20, epoch: Duration::from_secs(2) };
    let records = std::env::temp_dir().join(format!("warp-bench-{}", std::process::id()));
    std::fs::create_dir_all(&records).expect("records");
    let record = |name: &str| file(&records.join(name));
    let kept = Records { pages: record("pages"), journal: record("journal"), session: [1; 16] };
    let opened = OwnedFd::from(std::fs::File::open(&target).expect("target"));
    let cutter = || Cutter::new(Algorithm::Buzhash64, FRAGMENT, keys.cutter_key()).expect("cutter");
    let landing = Landing::new(opened, kept, Arc::clone(&keys), cutter(), landing).expect("landing");
    let sink = TreeSink::new(listener, landing, threads).expect("sink");

    let roots = vec![Root { stored: Vec::new(), path: source }];
    let finder = Finder::new(&roots).expect("finder");
    let walker =
        Arc::new(Mutex::new(Walker::new(WalkOptions { roots, ..WalkOptions::default() }).expect("walker")));
    let cutter = cutter();
    let pack = PackOptions { keys, cutter, chunk: CHUNK, policy, threads, memory: 256 << 20, verify: false };
    let options = SourceOptions { everything, window: WINDOW, threads, compression, here: None };
    let throttle = Arc::new(Throttle::default());
    let sent = SourceRecords { pages: record("sent"), cuts: record("cuts") };
    let source =
        TreeSource::new(Arc::clone(&dialer), walker, finder, sent, pack, options, throttle).expect("source");

    let mut first = None;
    let landed = loop {
        if let Some(done) = source.news(Duration::ZERO).expect("source").catalogued {
            sink.landing().finish(done.pages).expect("finish");
        }
        let news = sink.news(Duration::from_millis(20)).expect("sink");
        for (page, spans) in news.wants {
            source.answer(page, &spans).expect("answer");
        }
        if first.is_none() && sink.landing().totals().1 > 0 {
            first = Some(start.elapsed());
        }
        if let Some(landed) = news.landed {
            break landed;
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let (totals, received) = sink.landing().totals();
    println!(
        "{carrier:?} {seconds:.2} s, {:.0} MiB/s; {} files; first {first:?}; wire {:.0} MiB; raw {:.0} MiB; {:?}; {:?} {:?}",
        totals.bytes_written as f64 / seconds / 1048576.0,
        landed.totals.files,
        dialer.traffic().sent as f64 / 1048576.0,
        received as f64 / 1048576.0,
        dialer.path(),
        source.problems().len(),
        sink.landing().problems().len(),
    );
    let _ = std::fs::remove_dir_all(records);
}
