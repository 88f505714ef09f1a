//! An archive's chunks over every carrier, and peers that do not keep to the page.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{LONG, frame, pair, random};
use warp_core::catalogue::{Journal, Spans};
use warp_core::digest;
use warp_net::frame::{Frame, Kind};
use warp_net::{Carrier, Link};
use warp_transfer::{ArchiveSink, ArchiveSource, Epochs, Error, PAGE_CHUNKS, Place, Throttle};

const ID: [u8; 16] = [5; 16];
/// More than a page of chunks, of which some are long.
const CHUNKS: usize = PAGE_CHUNKS + 100;

/// Chunks behind a header's room, then the locator pages that tell where they are.
struct Scratch {
    path: PathBuf,
    content: Vec<u8>,
    chunks: Vec<(u64, u32)>,
    pages: Vec<Place>,
    end: u64,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("warp-archive-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let mut scratch =
            Self { path, content: random(0, 256), chunks: Vec::new(), pages: Vec::new(), end: 0 };
        for number in 0..CHUNKS {
            let length = if number % 512 == 7 { 1 << 20 } else { 100 + number % 900 };
            scratch.chunks.push((scratch.content.len() as u64, length as u32));
            scratch.content.extend(random(number as u64, length));
        }
        scratch.end = scratch.content.len() as u64;
        for first in (0..CHUNKS).step_by(PAGE_CHUNKS) {
            let page = scratch.page(first);
            let place = Place {
                offset: scratch.content.len() as u64,
                length: page.len() as u64,
                digest: digest::hash(&page),
            };
            scratch.pages.push(place);
            scratch.content.extend(page);
        }
        fs::write(scratch.path.join("archive"), &scratch.content).unwrap();
        scratch
    }

    fn page(&self, first: usize) -> Vec<u8> {
        let chunks = &self.chunks[first..CHUNKS.min(first + PAGE_CHUNKS)];
        let mut raw = (first as u64).to_le_bytes().to_vec();
        raw.extend((chunks.len() as u64).to_le_bytes());
        chunks.iter().for_each(|(offset, _)| raw.extend(offset.to_le_bytes()));
        chunks.iter().for_each(|(_, length)| raw.extend(length.to_le_bytes()));
        for (offset, length) in chunks {
            raw.extend(digest::hash(&self.content[*offset as usize..][..*length as usize]));
        }
        let length = (raw.len() as u64).to_le_bytes();
        [&[0; 4], &length[..], &length, &raw].concat()
    }

    fn stored(&self, page: u32) -> Bytes {
        let place = self.pages[page as usize];
        Bytes::copy_from_slice(&self.content[place.offset as usize..][..place.length as usize])
    }

    fn file(&self, name: &str) -> File {
        let path = self.path.join(name);
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    fn source(&self, link: Arc<Link>) -> ArchiveSource {
        let (file, pages) = (self.file("archive"), self.pages.clone());
        ArchiveSource::new(link, file, self.end, pages, 2, Arc::new(Throttle::default())).unwrap()
    }

    fn sink(&self, link: Arc<Link>, epochs: Epochs) -> (ArchiveSink, BTreeMap<u32, Spans>) {
        let sink = ArchiveSink::new(link, self.file("part"), epochs, 2).unwrap();
        let kept = sink.open_journal(self.file("journal"), &ID).unwrap();
        (sink, kept)
    }

    /// How many of the chunks are in the part as they should be.
    fn landed(&self) -> usize {
        let part = fs::read(self.path.join("part")).unwrap();
        let is_there = |(offset, length): &&(u64, u32)| {
            let place = *offset as usize..*offset as usize + *length as usize;
            part.get(place.clone()) == self.content.get(place)
        };
        self.chunks.iter().filter(is_there).count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const PAUSE: Duration = Duration::from_millis(20);
const OFTEN: Epochs = Epochs { bytes: 1 << 20, time: Duration::from_millis(20) };
const NEVER: Epochs = Epochs { bytes: 1 << 40, time: Duration::from_secs(3600) };

fn count(spans: &Spans) -> usize {
    spans.iter().map(|(_, count)| usize::from(*count)).sum()
}

/// All chunks of a page but those that are kept.
fn missing(kept: &BTreeMap<u32, Spans>, page: u32) -> Spans {
    let size = (CHUNKS - page as usize * PAGE_CHUNKS).min(PAGE_CHUNKS) as u16;
    let none = Spans::new();
    let has = |index: u16| {
        kept.get(&page).unwrap_or(&none).iter().any(|(first, count)| (*first..first + count).contains(&index))
    };
    (0..size).filter(|index| !has(*index)).map(|index| (index, 1)).collect()
}

/// Sends all that is not kept, until so many chunks are; how many are kept, and lost.
fn talk(
    scratch: &Scratch,
    source: &ArchiveSource,
    sink: &ArchiveSink,
    mut left: usize,
    kept: &BTreeMap<u32, Spans>,
) -> (usize, usize) {
    for page in 0..2 {
        assert!(source.push_page(page, scratch.stored(page)).unwrap());
    }
    let (mut requests, mut done, mut lost) = (0, 0, 0);
    let deadline = Instant::now() + LONG;
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} are missing");
        let news = sink.news(Duration::from_millis(10)).unwrap();
        for (page, stored) in news.pages {
            assert_eq!(stored, scratch.stored(page));
            let wanted = missing(kept, page);
            sink.expect(page, &stored, scratch.end, &wanted).unwrap();
            requests += 1;
            source.answer(requests, page, &wanted).unwrap();
        }
        for (page, spans) in news.wants {
            source.answer(99, page, &spans).unwrap();
        }
        let now: usize = news.kept.iter().flat_map(|(_, pages)| pages.values()).map(count).sum();
        let gone = source.news(Duration::ZERO).unwrap().lost;
        gone.iter().for_each(|(page, spans)| sink.lost(*page as u32, spans).unwrap());
        let gone: usize = gone.values().map(count).sum();
        (done, lost, left) = (done + now, lost + gone, left.saturating_sub(now + gone));
    }
    (done, lost)
}

#[test]
fn chunks_go_over_every_carrier() {
    for carrier in [Carrier::Pipe, Carrier::Quic, Carrier::Tcp] {
        let scratch = Scratch::new(&format!("{carrier:?}"));
        let ([dialer, listener], _ends) = pair(carrier);
        let (sink, kept) = scratch.sink(listener, OFTEN);
        let source = scratch.source(dialer);
        assert_eq!(talk(&scratch, &source, &sink, CHUNKS, &kept), (CHUNKS, 0));
        assert_eq!(scratch.landed(), CHUNKS);
        let stored: u64 = scratch.chunks.iter().map(|(_, length)| u64::from(*length)).sum();
        assert_eq!((source.sent(), sink.received()), (stored, stored));
    }
}

#[test]
fn only_what_is_not_durable_travels_again() {
    let scratch = Scratch::new("cut");
    let mut told = 0;
    for least in [1, 1500, 3000, CHUNKS] {
        let ([dialer, listener], _ends) = pair(Carrier::Pipe);
        let (sink, kept) = scratch.sink(listener, OFTEN);
        // What is noted may not have been told any more.
        let had = kept.values().map(count).sum::<usize>();
        assert!(had >= told && scratch.landed() >= had, "{had} of {told}");
        let source = scratch.source(dialer);
        told = had + talk(&scratch, &source, &sink, least.min(CHUNKS - had), &kept).0;
        let missed: u64 = (0..2)
            .flat_map(|page| missing(&kept, page).into_iter().map(move |(index, _)| (page, index)))
            .map(|(page, index)| {
                u64::from(scratch.chunks[page as usize * PAGE_CHUNKS + usize::from(index)].1)
            })
            .sum();
        assert!(source.sent() <= missed);
    }
    assert_eq!((told, scratch.landed()), (CHUNKS, CHUNKS));
}

#[test]
fn a_flush_does_not_wait_for_the_epoch() {
    let scratch = Scratch::new("flush");
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let (sink, kept) = scratch.sink(listener, NEVER);
    let source = scratch.source(dialer);
    let page = scratch.stored(1);
    let all = missing(&kept, 1);
    sink.expect(1, &page, scratch.end, &all).unwrap();
    source.answer(1, 1, &all).unwrap();
    let deadline = Instant::now() + LONG;
    let mut done = 0;
    while done < all.len() {
        assert!(Instant::now() < deadline);
        sink.flush();
        done += sink.news(PAUSE).unwrap().kept.iter().map(|(_, pages)| count(&pages[&1])).sum::<usize>();
    }
    let (_, kept) = Journal::open(scratch.file("journal"), &ID).unwrap();
    assert_eq!(count(&kept.of(1)), all.len());
}

#[test]
fn damaged_chunks_do_not_leave() {
    let scratch = Scratch::new("damaged");
    let archive = scratch.file("archive");
    archive.write_all_at(b"damage", scratch.chunks[3].0).unwrap();
    archive.write_all_at(b"damage", scratch.chunks[PAGE_CHUNKS].0).unwrap();
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let (sink, kept) = scratch.sink(listener, OFTEN);
    let source = scratch.source(dialer);
    assert_eq!(talk(&scratch, &source, &sink, CHUNKS, &kept), (CHUNKS - 2, 2));
    assert_eq!(scratch.landed(), CHUNKS - 2);
}

#[test]
fn a_damaged_locator_page_loses_its_chunks() {
    let scratch = Scratch::new("locators");
    scratch.file("archive").write_all_at(b"damage", scratch.pages[1].offset + 50).unwrap();
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let (sink, kept) = scratch.sink(listener, OFTEN);
    let source = scratch.source(dialer);
    assert_eq!(talk(&scratch, &source, &sink, CHUNKS, &kept), (PAGE_CHUNKS, CHUNKS - PAGE_CHUNKS));
}

#[test]
fn bytes_are_pushed_in_order_and_metadata_is_checked() {
    let scratch = Scratch::new("metadata");
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let source = scratch.source(dialer);
    let begin = Bytes::copy_from_slice(&scratch.content[..3 << 20]);
    assert!(source.push(0, &begin).unwrap());
    let mut at = 0;
    while at < begin.len() {
        let frame = listener.receive_data(LONG).unwrap().unwrap();
        assert_eq!((frame.header.kind, frame.header.number), (Kind::Bytes, at as u64));
        assert_eq!(frame.payload, begin.slice(at..at + frame.payload.len()));
        at += frame.payload.len();
    }
    let place = scratch.pages[0];
    source.answer_metadata(1, 1 << 32, place);
    let frame = listener.receive_data(LONG).unwrap().unwrap();
    assert_eq!((frame.header.number, frame.payload), (place.offset, scratch.stored(0)));
    source.answer_metadata(2, (1 << 32) + 9, Place { digest: [0; 32], ..place });
    source.answer_metadata(3, (1 << 32) + 4, Place { offset: 1 << 40, ..place });
    let mut lost = BTreeMap::new();
    while lost.len() < 2 {
        lost.append(&mut source.news(LONG).unwrap().lost);
    }
    assert_eq!(lost, BTreeMap::from([((1 << 32) + 4, vec![(0, 1)]), ((1 << 32) + 9, vec![(0, 1)])]));
}

#[test]
fn too_much_is_not_taken_and_room_is_told() {
    let scratch = Scratch::new("room");
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let source = scratch.source(dialer);
    let megabyte = Bytes::from(vec![7; 1 << 20]);
    let mut pushed = 0;
    while source.push(pushed << 20, &megabyte).unwrap() {
        pushed += 1;
        assert!(pushed < 100);
    }
    for _ in 0..pushed {
        listener.receive_data(LONG).unwrap().unwrap();
    }
    assert!(source.news(LONG).unwrap().room);
    assert!(source.push(pushed << 20, &megabyte).unwrap());
}

#[test]
fn what_was_revoked_need_not_leave() {
    let scratch = Scratch::new("revoke");
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let source = scratch.source(dialer);
    source.answer(1, 0, &vec![(0, PAGE_CHUNKS as u16)]).unwrap();
    source.answer(2, 1, &vec![(1, 1)]).unwrap();
    source.revoke(1);
    let mut before = 0;
    loop {
        let frame = listener.receive_data(LONG).unwrap().unwrap();
        if frame.header.auxiliary == 2 {
            assert_eq!(frame.header.number, PAGE_CHUNKS as u64 + 1);
            break;
        }
        before += 1;
    }
    assert!(before < PAGE_CHUNKS, "{before}");
}

/// A peer that sends these frames to a sink that awaits chunks 5 and 6; what the sink makes of it.
fn lie(name: &str, frames: Vec<Frame>) -> Error {
    let scratch = Scratch::new(&format!("lie-{name}"));
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let (sink, _) = scratch.sink(listener, OFTEN);
    sink.expect(0, &scratch.stored(0), scratch.end, &vec![(5, 2)]).unwrap();
    for frame in frames {
        if dialer.send_data(frame, LONG).is_err() {
            break;
        }
    }
    let deadline = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < deadline, "{name}: not found");
        if let Err(error) = sink.news(PAUSE) {
            assert!(scratch.landed() <= 1, "{name}");
            return error;
        }
    }
}

#[test]
fn frames_that_nobody_asked_for_end_the_sink() {
    let scratch = Scratch::new("lies");
    let chunk = |number: usize| {
        let (offset, length) = scratch.chunks[number];
        let payload = &scratch.content[offset as usize..][..length as usize];
        frame(Kind::Chunk, 0, (number as u64, 1), b"", payload)
    };
    let lies = [
        ("unasked", vec![chunk(7)]),
        ("twice", vec![chunk(5), chunk(5)]),
        ("page", vec![chunk(PAGE_CHUNKS)]),
        ("far", vec![frame(Kind::Chunk, 0, (u64::MAX, 1), b"", b"x")]),
        ("length", vec![frame(Kind::Chunk, 0, (5, 1), b"", b"x")]),
        ("empty", vec![frame(Kind::Chunk, 0, (5, 1), b"", b"")]),
        ("fragments", vec![frame(Kind::Fragments, 0, (0, 1), b"", b"x")]),
        ("codec", vec![frame(Kind::Page, 1, (0, 1), b"", b"x")]),
        ("raw", vec![frame(Kind::Page, 0, (0, 2), b"", b"x")]),
        ("beyond", vec![frame(Kind::Page, 0, (1 << 32, 1), b"", b"x")]),
    ];
    for (name, frames) in lies {
        let error = lie(name, frames);
        assert!(matches!(&error, Error::Net(warp_net::Error::Protocol(_))), "{name}: {error:?}");
    }
}

#[test]
fn a_damaged_chunk_is_asked_for_once_more() {
    let scratch = Scratch::new("again");
    let (offset, length) = scratch.chunks[5];
    let mut payload = scratch.content[offset as usize..][..length as usize].to_vec();
    let sound = frame(Kind::Chunk, 0, (5, 1), b"", &payload);
    payload[0] ^= 1;
    let damaged = frame(Kind::Chunk, 0, (5, 1), b"", &payload);
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let (sink, _) = scratch.sink(listener, OFTEN);
    sink.expect(0, &scratch.stored(0), scratch.end, &vec![(5, 1)]).unwrap();
    dialer.send_data(damaged.clone(), LONG).unwrap();
    assert_eq!(sink.news(LONG).unwrap().wants, [(0, vec![(5, 1)])]);
    dialer.send_data(sound, LONG).unwrap();
    assert_eq!(sink.news(LONG).unwrap().kept, [(1, BTreeMap::from([(0, vec![(5, 1)])]))]);
    let error = lie("damaged", vec![damaged.clone(), damaged]);
    assert!(matches!(error, Error::Core(warp_core::Error::Integrity(_))), "{error:?}");
}

#[test]
fn what_is_not_awaited_is_not_lost_and_what_a_page_lacks_not_expected() {
    let scratch = Scratch::new("expected");
    let ([_dialer, listener], _ends) = pair(Carrier::Pipe);
    let (sink, _) = scratch.sink(listener, OFTEN);
    sink.expect(1, &scratch.stored(1), scratch.end, &vec![(5, 2)]).unwrap();
    assert!(sink.lost(1, &vec![(7, 1)]).is_err());
    assert!(sink.lost(0, &vec![(5, 1)]).is_err());
    sink.lost(1, &vec![(5, 1)]).unwrap();
    assert!(sink.lost(1, &vec![(5, 1)]).is_err());
    assert!(sink.expect(1, &scratch.stored(1), scratch.end, &vec![(99, 2)]).is_err());
    assert!(sink.expect(2, &scratch.stored(1), scratch.end, &vec![(0, 1)]).is_err());
    assert!(sink.expect(0, &scratch.stored(0), 1 << 20, &vec![(0, 1)]).is_err());
}

#[test]
fn whoever_does_not_take_what_came_is_waited_for() {
    let scratch = Scratch::new("slow");
    let ([dialer, listener], _ends) = pair(Carrier::Pipe);
    let (sink, _) = scratch.sink(listener, OFTEN);
    let megabyte = Bytes::from(vec![7; 1 << 20]);
    let (mut sent, mut taken) = (0, 0);
    let bytes =
        |number: u64| Frame::new(Kind::Bytes, 0, (number << 20, 0), Bytes::new(), megabyte.clone()).unwrap();
    while dialer.send_data(bytes(sent), LONG / 40).unwrap().is_none() {
        sent += 1;
        assert!(sent < 100, "nothing holds it back");
    }
    let mut offsets = Vec::new();
    while taken < sent {
        let news = sink.news(LONG).unwrap();
        taken += news.bytes.len() as u64;
        offsets.extend(news.bytes.iter().map(|(offset, _)| offset >> 20));
    }
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq(0..sent));
}
