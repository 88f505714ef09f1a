//! A tree over every carrier, and peers that do not keep to the page.

mod common;

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use common::{LONG, WINDOW, frame, pair, random};
use warp_core::catalogue::{CutRecords, Cuts, Spans};
use warp_core::codec::{Codec, Policy, PolicyRow};
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::digest::Digest;
use warp_core::keys::{ScopeKeys, Suite};
use warp_core::pack::PackOptions;
use warp_core::unpack::{self, Landed, Landing, LandingOptions, Overwrite, Records};
use warp_core::walk::{Finder, Root, WalkOptions, Walker};
use warp_net::frame::{Frame, Kind};
use warp_net::{Carrier, Link};
use warp_transfer::{Compression, Error, SourceOptions, SourceRecords, Throttle, TreeSink, TreeSource};

const FRAGMENT: Sizes = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };
const CHUNK: Sizes = Sizes { min: 64 << 10, mean: 128 << 10, max: 256 << 10 };

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("warp-transfer-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("target")).unwrap();
        fs::create_dir_all(path.join("source/sub")).unwrap();
        for number in 0..200_u64 {
            let name = format!("source/sub/small-{number}");
            fs::write(path.join(name), random(number % 150, (number * 397) as usize % 30_000)).unwrap();
        }
        let mut large = random(1000, 18 << 20);
        fs::write(path.join("source/large"), &large).unwrap();
        large.splice(3_000_000..3_000_000, *b"more");
        fs::write(path.join("source/large-edited"), &large).unwrap();
        let lines: String = (0..150_000).map(|number| format!("line {number}\n")).collect();
        fs::write(path.join("source/text"), lines).unwrap();
        fs::hard_link(path.join("source/text"), path.join("source/text-too")).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> File {
        let path = self.0.join(name);
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    /// Waits until a change of any file would show in its times.
    fn settle(&self) {
        let start = SystemTime::now();
        while start.elapsed().unwrap() < Duration::from_millis(110) {
            std::thread::yield_now();
        }
    }

    fn target(&self) -> PathBuf {
        self.0.join("target")
    }

    fn assert_landed(&self) {
        assert!(contents(&self.target()) == contents(&self.0.join("source")));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn contents(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn keys() -> Arc<ScopeKeys> {
    Arc::new(ScopeKeys::new(Some(&[7; 32]), Suite::ChaCha20Poly1305).unwrap())
}

fn policy() -> Policy {
    Policy { rows: vec![PolicyRow { entropy_below: 7.9, codec: Codec::Zstd, level: 1 }] }
}

fn sink(scratch: &Scratch, link: Arc<Link>, everything: bool) -> TreeSink {
    let restore = unpack::Options {
        overwrite: Overwrite::Never,
        owners: true,
        devices: false,
        setuid: true,
        whole: true,
        keep_damaged: false,
        tag: [9; 8],
        threads: 2,
        memory: 64 << 20,
    };
    let options =
        LandingOptions { restore, everything, epoch_bytes: 1 << 20, epoch: Duration::from_millis(20) };
    let records =
        Records { pages: scratch.file("pages"), journal: scratch.file("journal"), session: [1; 16] };
    let target = OwnedFd::from(File::open(scratch.target()).unwrap());
    let landing = {
        let keys = keys();
        let cutter = Cutter::new(Algorithm::Buzhash64, FRAGMENT, keys.cutter_key()).unwrap();
        Landing::new(target, records, keys, cutter, options).unwrap()
    };
    TreeSink::new(link, landing, 2).unwrap()
}

fn source(scratch: &Scratch, link: Arc<Link>, everything: bool, compression: Compression) -> TreeSource {
    source_for(scratch, link, everything, compression, None)
}

/// A source whose sink says that it has these pages.
fn source_for(
    scratch: &Scratch,
    link: Arc<Link>,
    everything: bool,
    compression: Compression,
    here: Option<(u32, Digest)>,
) -> TreeSource {
    let roots = vec![Root { stored: Vec::new(), path: scratch.0.join("source") }];
    let finder = Finder::new(&roots).unwrap();
    let walker = Arc::new(Mutex::new(Walker::new(WalkOptions { roots, ..WalkOptions::default() }).unwrap()));
    let keys = keys();
    let cutter = Cutter::new(Algorithm::Buzhash64, FRAGMENT, keys.cutter_key()).unwrap();
    let pack = PackOptions {
        keys,
        cutter,
        chunk: CHUNK,
        policy: policy(),
        threads: 2,
        memory: 64 << 20,
        verify: false,
    };
    let options = SourceOptions { everything, window: WINDOW, threads: 2, compression, here };
    let records = SourceRecords { pages: scratch.file("sent"), cuts: scratch.file("cuts") };
    TreeSource::new(link, walker, finder, records, pack, options, Arc::new(Throttle::default())).unwrap()
}

/// Passes on what is wanted until it landed, or until so much came.
fn talk(source: &TreeSource, sink: &TreeSink, until: u64) -> Option<Landed> {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if let Some(done) = source.news(Duration::ZERO).unwrap().catalogued {
            sink.landing().finish(done.pages).unwrap();
        }
        let news = sink.news(Duration::from_millis(10)).unwrap();
        for (page, spans) in news.wants {
            source.answer(page, &spans).unwrap();
        }
        if news.landed.is_some() || sink.landing().totals().1 >= until {
            return news.landed;
        }
    }
    panic!("it never landed");
}

#[test]
fn a_tree_goes_over_every_carrier_in_every_way() {
    for carrier in [Carrier::Pipe, Carrier::Quic, Carrier::Tcp] {
        for everything in [true, false] {
            let compressions =
                [Compression::None, Compression::Always(policy()), Compression::Adaptive(policy(), 1 << 40)];
            for (number, compression) in compressions.into_iter().enumerate() {
                let scratch = Scratch::new(&format!("{carrier:?}-{everything}-{number}"));
                let ([dialer, listener], _ends) = pair(carrier);
                let sink = sink(&scratch, listener, everything);
                let source = source(&scratch, Arc::clone(&dialer), everything, compression);
                let landed = talk(&source, &sink, u64::MAX).unwrap();
                assert_eq!(landed.totals.files, 203);
                assert_eq!(source.problems(), []);
                scratch.assert_landed();
                let (_, pages, packed) = source.totals();
                assert!(pages > 1 && packed < 30 << 20, "{pages} pages, {packed} bytes");
                if number == 1 {
                    assert!(dialer.traffic().sent < packed - (512 << 10), "compressed");
                }
            }
        }
    }
}

#[test]
fn a_transfer_that_was_cut_goes_on() {
    let scratch = Scratch::new("cut");
    scratch.settle();
    let (mut read, mut reused) = (0, 0);
    for until in [1 << 20, 4 << 20, 6 << 20, u64::MAX] {
        let ([dialer, listener], _ends) = pair(Carrier::Pipe);
        let sink = sink(&scratch, listener, false);
        let source = source(&scratch, dialer, false, Compression::None);
        assert_eq!(talk(&source, &sink, until).is_some(), until == u64::MAX);
        let counters = source.totals().0;
        read += counters.bytes_read;
        reused = counters.bytes_reused;
    }
    scratch.assert_landed();
    assert!(reused > 6 << 20, "{reused}");
    // But for what a try has read and not noted when it ended, each byte is read once.
    let total: u64 = contents(&scratch.target()).iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(read < total + (16 << 20), "{read} of {total}");
}

/// A try of a sink that is cut after so many bytes.
fn cut(scratch: &Scratch, until: u64) {
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let sink = sink(scratch, listener, false);
    let source = source(scratch, dialer, false, Compression::None);
    assert!(talk(&source, &sink, until).is_none());
}

/// Goes on to the end with the pages that are here: how many those are, how many were spared, and how many left.
fn go_on(scratch: &Scratch, lie: Option<(u32, Digest)>) -> Result<(u32, u32, u32), Error> {
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let sink = sink(scratch, listener, false);
    let here = sink.here()?;
    let said = Some(lie.unwrap_or(here)).filter(|(count, _)| *count > 0);
    let source = source_for(scratch, dialer, false, Compression::None, said);
    let (mut spared, mut left) = (0, 0);
    loop {
        let news = source.news(Duration::ZERO)?;
        if let Some((pages, _)) = news.spared {
            assert!(left == 0 && pages > spared && pages <= here.0);
            spared = pages;
            sink.spare(pages);
        }
        left += news.pages.len() as u32;
        if let Some(done) = news.catalogued {
            sink.landing().finish(done.pages)?;
        }
        let news = sink.news(Duration::from_millis(10))?;
        for (page, spans) in news.wants {
            assert!(page >= spared || !spans.is_empty(), "nothing of page {page}");
            source.answer(page, &spans)?;
        }
        if news.landed.is_some() {
            assert_eq!(source.totals().1, spared + left);
            return Ok((here.0, spared, left));
        }
    }
}

#[test]
fn pages_that_are_here_do_not_travel_again() {
    let scratch = Scratch::new("spared");
    scratch.settle();
    cut(&scratch, 9 << 20);
    let (here, spared, left) = go_on(&scratch, None).unwrap();
    assert!(here > 0 && left > 0, "{here} {left}");
    assert_eq!(spared, here);
    scratch.assert_landed();
    // All is here now.
    let (here, spared, left) = go_on(&scratch, None).unwrap();
    assert_eq!((spared, left), (here, 0));
    scratch.assert_landed();
}

#[test]
fn from_a_change_on_pages_travel_again() {
    for offset in [0, 12 << 20] {
        let scratch = Scratch::new(&format!("spared-changed-{offset}"));
        scratch.settle();
        cut(&scratch, 15 << 20);
        let file = OpenOptions::new().write(true).open(scratch.0.join("source/large")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"changed", offset).unwrap();
        let (here, spared, left) = go_on(&scratch, None).unwrap();
        assert!(spared < here && left > 0, "{spared} of {here}, {left}");
        scratch.assert_landed();
    }
}

#[test]
fn who_says_that_it_has_other_pages_gets_all() {
    let scratch = Scratch::new("spared-lie");
    scratch.settle();
    cut(&scratch, 9 << 20);
    let (here, spared, _) = go_on(&scratch, Some((1, [7; 32]))).unwrap();
    assert!(here > 0 && spared == 0, "{here} {spared}");
    scratch.assert_landed();
    let (here, spared, _) = go_on(&scratch, Some((u32::MAX, [7; 32]))).unwrap();
    assert!(here > 0 && spared == 0, "{here} {spared}");
}

#[test]
fn a_page_that_is_damaged_here_costs_a_try_and_no_more() {
    for name in ["pages", "sent"] {
        let scratch = Scratch::new(&format!("spared-damaged-{name}"));
        scratch.settle();
        cut(&scratch, 9 << 20);
        let mut stored = fs::read(scratch.0.join(name)).unwrap();
        // In the first page's payload, of which the header has no check.
        stored[200] ^= 1;
        fs::write(scratch.0.join(name), stored).unwrap();
        let mut tries = 0;
        while let Err(error) = go_on(&scratch, None) {
            assert!(matches!(error, Error::Core(warp_core::Error::Integrity(_))), "{error:?}");
            tries += 1;
            assert!(tries < 2, "{name}");
        }
        assert!(tries == 1 || name == "sent");
        scratch.assert_landed();
    }
}

/// The fragments that are lost, once they are.
fn lost(source: &TreeSource) -> Vec<(u32, Spans)> {
    loop {
        let news = source.news(LONG).unwrap();
        if !news.lost.is_empty() {
            return news.lost;
        }
    }
}

/// Frames of a kind, from one side of a link.
fn next(link: &Link, kind: Kind) -> Frame {
    loop {
        let frame = link.receive_data(LONG).unwrap().unwrap();
        if frame.header.kind == kind {
            return frame;
        }
    }
}

#[test]
fn what_was_not_read_is_read_when_it_is_wanted_and_checked() {
    let scratch = Scratch::new("unread");
    scratch.settle();
    let mut pages = Vec::new();
    let mut sent = Vec::new();
    for round in 0..2 {
        let ([dialer, listener], _ends) = pair(Carrier::Pipe);
        let source = source(&scratch, dialer, false, Compression::None);
        pages.push(next(&listener, Kind::Page));
        assert_eq!(source.totals().0.bytes_reused > 0, round > 0);
        source.answer(0, &vec![(0, 3)]).unwrap();
        sent.push(next(&listener, Kind::Fragments));
        if round == 0 {
            continue;
        }
        let file = OpenOptions::new().write(true).open(scratch.0.join("source/large")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"changed", 0).unwrap();
        source.answer(0, &vec![(0, 2)]).unwrap();
        assert_eq!(lost(&source), [(0, vec![(0, 1)])]);
        assert_eq!(next(&listener, Kind::Fragments).extension[4..], [1, 0, 1, 0]);
    }
    assert!(pages[0] == pages[1] && sent[0] == sent[1]);
}

#[test]
fn notes_that_are_wrong_cost_a_try_and_no_more() {
    let scratch = Scratch::new("wrong-notes");
    scratch.settle();
    let keys = keys();
    let cutter = Cutter::new(Algorithm::Buzhash64, FRAGMENT, keys.cutter_key()).unwrap();
    let roots = vec![Root { stored: Vec::new(), path: scratch.0.join("source") }];
    let mut walker = Walker::new(WalkOptions { roots, ..WalkOptions::default() }).unwrap();
    let found = walker.next(1000).unwrap().unwrap().entries;
    let large = found.iter().find(|found| found.entry.path == b"large").unwrap();
    let cuts = Cuts::open(scratch.file("cuts"), &keys, &cutter).unwrap();
    let mut records = CutRecords::default();
    records.push(&cuts.file(large.device, &large.entry), 0, false, &[(20_000, [1; 24]), (30_000, [2; 24])]);
    cuts.append(&mut records).unwrap();
    for expected in [1, 0] {
        let ([dialer, listener], _ends) = pair(Carrier::Pipe);
        let source = source(&scratch, dialer, false, Compression::None);
        next(&listener, Kind::Page);
        source.answer(0, &vec![(0, 1)]).unwrap();
        if expected == 1 {
            assert_eq!(lost(&source), [(0, vec![(0, 1)])]);
        } else {
            let first = next(&listener, Kind::Fragments);
            assert!(fs::read(scratch.0.join("source/large")).unwrap().starts_with(&first.payload));
        }
    }
}

#[test]
fn what_is_wanted_again_is_read_again_and_checked() {
    let scratch = Scratch::new("again");
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let source = source(&scratch, dialer, false, Compression::None);
    next(&listener, Kind::Page);
    source.answer(0, &vec![(0, 3)]).unwrap();
    let first = next(&listener, Kind::Fragments);
    source.answer(0, &vec![(0, 3)]).unwrap();
    assert_eq!(next(&listener, Kind::Fragments), first);
    let file = OpenOptions::new().write(true).open(scratch.0.join("source/large")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"changed", 0).unwrap();
    source.answer(0, &vec![(0, 3)]).unwrap();
    assert_eq!(lost(&source), [(0, vec![(0, 1)])]);
    let rest = next(&listener, Kind::Fragments);
    assert_eq!(rest.extension[4..], [1, 0, 2, 0]);
}

/// A peer that sends these frames; what the sink makes of it.
fn lie(name: &str, frames: Vec<Frame>) -> Error {
    let scratch = Scratch::new(&format!("lie-{name}"));
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let sink = sink(&scratch, listener, false);
    for frame in frames {
        if dialer.send_data(frame, LONG).is_err() {
            break;
        }
    }
    let deadline = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < deadline, "{name}: not found");
        if let Err(error) = sink.news(Duration::from_millis(20)) {
            assert_eq!(fs::read_dir(scratch.target()).unwrap().count(), 0, "{name}");
            return error;
        }
    }
}

#[test]
fn frames_that_nobody_asked_for_end_the_sink() {
    let bomb = zstd_of_zeros(64 << 20);
    let empty = warp_core::catalogue::Listing::default().encode();
    let page = |number| frame(Kind::Page, 0, (number, empty.len() as u64), b"", &empty);
    let runs = |page: u32| [&page.to_le_bytes()[..], &[0, 0], &[1, 0]].concat();
    let lies = [
        ("chunk", vec![frame(Kind::Chunk, 0, (0, 0), b"", b"x")]),
        ("bytes", vec![frame(Kind::Bytes, 0, (0, 0), b"", b"x")]),
        ("garbage", vec![frame(Kind::Page, 0, (0, 4), b"", b"oops")]),
        ("length", vec![frame(Kind::Page, 0, (0, 5), b"", b"oops")]),
        ("far", vec![frame(Kind::Page, 0, (1 << 32, 4), b"", b"oops")]),
        ("bomb", vec![frame(Kind::Page, 1, (0, 4 << 20), b"", &bomb)]),
        ("large", vec![frame(Kind::Page, 1, (0, 64 << 20), b"", &bomb)]),
        ("twice", vec![page(0), page(0)]),
        ("twice-early", vec![page(1), page(1)]),
        ("never", (1..2000).map(page).collect()),
        ("fragments", vec![page(0), frame(Kind::Fragments, 0, (0, 1), &runs(0), b"x")]),
        ("early", (0..2000).map(|_| frame(Kind::Fragments, 0, (0, 1), &runs(7), b"x")).collect()),
    ];
    for (name, frames) in lies {
        let error = lie(name, frames);
        let is_told = matches!(
            &error,
            Error::Net(warp_net::Error::Protocol(_)) | Error::Core(warp_core::Error::Format(_))
        );
        assert!(is_told, "{name}: {error:?}");
    }
}

fn zstd_of_zeros(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = warp_core::codec::Encoder::new();
    encoder.encode_as(&vec![0; length], Codec::Zstd, 1, &mut out).unwrap();
    out.split_off(warp_core::codec::PAYLOAD_HEADER_LEN)
}

#[test]
fn a_request_for_what_was_not_sent_is_refused() {
    let scratch = Scratch::new("request");
    let ([dialer, _listener], _ends) = pair(Carrier::Pipe);
    let source = source(&scratch, dialer, false, Compression::None);
    let deadline = Instant::now() + LONG;
    while source.totals().1 == 0 {
        assert!(Instant::now() < deadline);
        source.news(Duration::from_millis(5)).unwrap();
    }
    for (page, spans) in [(1_000_000, vec![]), (0, vec![(2000, 1)]), (0, vec![(0, 60_000)])] {
        assert!(matches!(source.answer(page, &spans), Err(Error::Core(warp_core::Error::Format(_)))));
    }
}
