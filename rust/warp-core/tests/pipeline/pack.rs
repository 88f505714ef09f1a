//! The create pipeline end to end: what it writes can be read back, and does not depend on the threads.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use warp_core::codec::Decoder;
use warp_core::dedup::FragmentIndex;
use warp_core::digest;
use warp_core::entry::{Entry, FLAG_CHANGED_WHILE_READ, FLAG_SPARSE, Kind};
use warp_core::keys::ObjectKind;
use warp_core::pack::{ChunkColumns, Counters, Events, PackPipeline, Problem};
use warp_core::recipe::Recipe;
use warp_core::seal;

use super::*;

#[derive(Default)]
struct Packed {
    chunks: ChunkColumns,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    counters: Counters,
    archive: Vec<u8>,
}

fn pipeline(threads: usize, archive: &Path, index: &Arc<Mutex<FragmentIndex>>) -> PackPipeline {
    let output = OwnedFd::from(File::create(archive).unwrap());
    PackPipeline::new(options(threads), output, 0, Arc::clone(index)).unwrap()
}

/// Polls to the end.
fn gather(pipeline: &PackPipeline, packed: &mut Packed) {
    while !take(pipeline.poll(Duration::from_millis(50)).unwrap(), packed) {}
}

fn take(events: Events, packed: &mut Packed) -> bool {
    let (to, from) = (&mut packed.chunks, events.chunks);
    to.offset.extend(from.offset);
    to.stored.extend(from.stored);
    to.cid.extend(from.cid);
    to.raw.extend(from.raw);
    to.fragments.extend(from.fragments);
    to.codec.extend(from.codec);
    to.dp.extend(from.dp);
    to.fragment_length.extend(from.fragment_length);
    to.fragment_id.extend(from.fragment_id);
    packed.entries.extend(events.tables.into_iter().flat_map(|table| table.entries.clone()));
    packed.problems.extend(events.problems);
    packed.counters = events.counters;
    events.done
}

fn pack(root: &Path, threads: usize, archive: &Path) -> Packed {
    let pipeline = pipeline(threads, archive, &new_index());
    let mut walker = walker(root);
    let mut packed = Packed::default();
    while let Some(batch) = walker.next(64).unwrap() {
        let mut accepted = pipeline.submit(batch).unwrap();
        while !accepted {
            take(pipeline.poll(Duration::ZERO).unwrap(), &mut packed);
            accepted = pipeline.submit_rest().unwrap();
        }
    }
    pipeline.finish();
    gather(&pipeline, &mut packed);
    packed.archive = fs::read(archive).unwrap();
    packed
}

/// All fragments, by opening every chunk.
fn fragments(packed: &Packed) -> Vec<Vec<u8>> {
    let keys = keys();
    let word = |column: &[u8], i: usize| u32::from_le_bytes(column[4 * i..4 * i + 4].try_into().unwrap());
    let mut decoder = Decoder::new();
    let mut raw = Vec::new();
    let mut out = Vec::new();
    for chunk in 0..packed.chunks.codec.len() {
        let start =
            u64::from_le_bytes(packed.chunks.offset[8 * chunk..8 * chunk + 8].try_into().unwrap()) as usize;
        let mut stored = packed.archive[start..start + word(&packed.chunks.stored, chunk) as usize].to_vec();
        assert_eq!(digest::hash(&stored), packed.chunks.cid[32 * chunk..32 * chunk + 32]);
        let dp = packed.chunks.dp[32 * chunk..32 * chunk + 32].try_into().unwrap();
        let payload = seal::open_in_place(&keys, ObjectKind::Chunk, &dp, &mut stored).unwrap();
        decoder.decode(payload, CHUNK.max as usize, &mut raw).unwrap();
        assert_eq!(raw.len(), word(&packed.chunks.raw, chunk) as usize);
        let mut at = 0;
        for _ in 0..word(&packed.chunks.fragments, chunk) {
            let length = word(&packed.chunks.fragment_length, out.len()) as usize;
            let fragment = raw[at..at + length].to_vec();
            let ordinal = out.len();
            assert_eq!(
                keys.fragment_id(&fragment),
                packed.chunks.fragment_id[24 * ordinal..24 * ordinal + 24]
            );
            out.push(fragment);
            at += length;
        }
        assert_eq!(at, raw.len());
    }
    out
}

fn content(entry: &Entry, fragments: &[Vec<u8>]) -> Vec<u8> {
    let data: Vec<u8> = entry
        .runs
        .iter()
        .flat_map(|run| fragments[run.first as usize..(run.first + run.count) as usize].concat())
        .collect();
    if entry.flags & FLAG_SPARSE == 0 {
        return data;
    }
    let mut out = vec![0; entry.size as usize];
    let mut at = 0;
    for &(offset, length) in &entry.extents {
        let (offset, length) = (offset as usize, length as usize);
        out[offset..offset + length].copy_from_slice(&data[at..at + length]);
        at += length;
    }
    out
}

#[test]
fn every_file_can_be_read_back_from_the_chunks() {
    let scratch = Scratch::new("read-back");
    let root = scratch.0.join("tree");
    fs::create_dir(&root).unwrap();
    build_tree(&root);
    let packed = pack(&root, 2, &scratch.0.join("archive"));
    assert_eq!(packed.problems, []);
    let fragments = fragments(&packed);
    let mut files = 0;
    for entry in packed.entries.iter().filter(|entry| entry.kind == Kind::File) {
        let path = root.join(std::str::from_utf8(&entry.path).unwrap());
        assert!(content(entry, &fragments) == fs::read(&path).unwrap(), "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 305);
    assert_eq!(packed.counters.files, files);
    let sparse = packed.entries.iter().find(|entry| entry.path == b"f-sparse").unwrap();
    assert_eq!(sparse.flags & FLAG_SPARSE, FLAG_SPARSE);
    // The edited copy shares nearly all its fragments.
    assert!(packed.counters.bytes_duplicate > 12 << 20, "{:?}", packed.counters);
}

#[test]
fn chunks_and_recipes_do_not_depend_on_the_number_of_threads() {
    let scratch = Scratch::new("threads");
    let root = scratch.0.join("tree");
    fs::create_dir(&root).unwrap();
    build_tree(&root);
    let first = pack(&root, 1, &scratch.0.join("archive"));
    for threads in 2..=8 {
        let other = pack(&root, threads, &scratch.0.join("archive"));
        assert!(first.chunks == other.chunks, "{threads} threads");
        assert!(first.entries == other.entries, "{threads} threads");
        assert!(first.archive == other.archive, "{threads} threads");
    }
}

#[test]
fn a_held_pipeline_reports_only_what_is_written() {
    let scratch = Scratch::new("held");
    let root = scratch.0.join("tree");
    fs::create_dir(&root).unwrap();
    build_tree(&root);
    let index = new_index();
    let archive = scratch.0.join("archive");
    let pipeline = pipeline(2, &archive, &index);
    let mut walker = walker(&root);
    let mut packed = Packed::default();
    while let Some(batch) = walker.next(64).unwrap() {
        let mut accepted = pipeline.submit(batch).unwrap();
        while !accepted {
            accepted = pipeline.submit_rest().unwrap();
        }
        let held = pipeline.hold().unwrap();
        let partial = held.partial.clone();
        take(held, &mut packed);
        let fragments = packed.chunks.fragment_length.len() / 4;
        let known = packed.entries.iter().chain(partial.iter().flat_map(|table| &table.entries));
        assert!(
            known.flat_map(|entry| entry.runs.iter()).all(|run| run.first + run.count <= fragments as u64)
        );
        let at = pipeline.emit(b"metadata between two chunks").unwrap();
        assert_eq!(pipeline.offset(), at + 27);
        pipeline.release();
    }
    pipeline.finish();
    gather(&pipeline, &mut packed);
    packed.archive = fs::read(&archive).unwrap();
    assert_eq!(fragments(&packed).len(), packed.counters.fragments as usize);
}

#[test]
fn a_stream_is_packed_like_the_file_it_came_from() {
    let scratch = Scratch::new("stream");
    let root = scratch.0.join("tree");
    fs::create_dir(&root).unwrap();
    for length in [0, 1, 100_000, 4 << 20, 9_000_001] {
        let data = pseudo_random(9, length);
        fs::write(root.join("file"), &data).unwrap();
        let from_file = pack(&root, 2, &scratch.0.join("archive"));
        let (reader, mut writer) = std::io::pipe().unwrap();
        let feeder = std::thread::spawn(move || writer.write_all(&data).unwrap());
        let index = new_index();
        let pipeline = pipeline(2, &scratch.0.join("archive"), &index);
        let entry = Entry { runs: Recipe::default(), size: 0, ..from_file.entries[1].clone() };
        pipeline.submit_stream(reader.into(), entry).unwrap();
        pipeline.finish();
        let mut from_stream = Packed::default();
        gather(&pipeline, &mut from_stream);
        feeder.join().unwrap();
        assert_eq!(from_stream.entries[0].size, length as u64);
        assert!(from_stream.chunks == from_file.chunks, "{length}");
        assert_eq!(from_stream.entries[0].runs, from_file.entries[1].runs);
    }
}

#[test]
fn a_full_disk_is_an_error_and_stops_all_threads() {
    let scratch = Scratch::new("full");
    fs::write(scratch.0.join("file"), pseudo_random(1, 3 << 20)).unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let index = new_index();
    let pipeline = PackPipeline::new(options(2), full.into(), 0, index).unwrap();
    let mut walker = walker(&scratch.0);
    pipeline.submit(walker.next(10).unwrap().unwrap()).unwrap();
    pipeline.finish();
    let error = loop {
        match pipeline.poll(Duration::from_millis(50)) {
            Ok(events) => assert!(!events.done),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("write archive"), "{error}");
    pipeline.abort();
}

#[test]
fn a_file_that_outgrew_its_group_since_the_walk_is_kept_as_far_as_it_was_known() {
    let scratch = Scratch::new("outgrown");
    let (tree, archive) = (scratch.0.join("tree"), scratch.0.join("archive"));
    fs::create_dir(&tree).unwrap();
    let content = pseudo_random(1, 9 << 20);
    fs::write(tree.join("log"), &content[..1000]).unwrap();
    let batch = walker(&tree).next(10).unwrap().unwrap();
    fs::write(tree.join("log"), &content).unwrap();
    let pipeline = pipeline(1, &archive, &new_index());
    assert!(pipeline.submit(batch).unwrap());
    pipeline.finish();
    let mut packed = Packed::default();
    gather(&pipeline, &mut packed);
    packed.archive = fs::read(&archive).unwrap();
    let log = packed.entries.iter().find(|entry| entry.path == b"log").unwrap();
    assert_eq!((log.size, log.flags & FLAG_CHANGED_WHILE_READ), (1000, FLAG_CHANGED_WHILE_READ));
    assert_eq!(self::content(log, &fragments(&packed)), content[..1000]);
    assert_eq!(packed.problems.len(), 1);
}
