//! Stored chunks, from a file to raw bytes. Parts: suite, codec, flags │ `u32` raw length │ encoded bytes.
//!
//! Frame, seal, cid and index are made to fit, as an author of hostile archives would.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use rustix::fs::{MemfdFlags, memfd_create};
use warp_core::Error;
use warp_core::chunk_index::ChunkIndex;
use warp_core::chunk_read::ChunkReader;
use warp_core::digest;
use warp_core::keys::{ObjectKind, ScopeKeys, Suite};
use warp_core::seal::{prefix_len, seal_in_place};

use crate::payload::framed;
use crate::seal::keys;
use crate::{index, sections};

const CHUNK_MAX: u32 = 1 << 20;
/// Flag: the last byte of the file is missing.
const CUT_SHORT: u8 = 1;

pub fn run(data: &[u8]) {
    let [choice, raw, encoded] = sections::split_into::<3>(data);
    let suite = Suite::try_from(sections::byte(choice, 0) % 3).expect("there are three");
    let (codec, flags) = (sections::byte(choice, 1), sections::byte(choice, 2));
    let raw = sections::number(raw) as u32;
    let keys = keys(suite);
    let (stored, dp) = sealed(&keys, &framed(codec, raw, encoded));
    let Some(index) = index_of(&keys, &stored, dp, raw, codec) else {
        return;
    };
    let mut file = File::from(memfd_create("chunk", MemfdFlags::CLOEXEC).expect("a file in memory"));
    let kept = stored.len() - usize::from(flags & CUT_SHORT);
    file.write_all(&[&[0; 256], &stored[..kept]].concat()).expect("room in memory");
    let mut reader = ChunkReader::new();
    match reader.read(file.as_fd(), &index, &keys, 0) {
        Ok(read) => assert!(read.len() == raw as usize && flags & CUT_SHORT == 0),
        Err(Error::Integrity(why)) => assert!(why.starts_with("chunk 0"), "{why}"),
        Err(other) => panic!("not called damaged: {other}"),
    }
}

fn sealed(keys: &ScopeKeys, payload: &[u8]) -> (Vec<u8>, digest::Digest) {
    let mut stored = [&vec![0; prefix_len(keys.suite())][..], payload].concat();
    let dp = seal_in_place(keys, ObjectKind::Chunk, &mut stored).expect("there is room for the prefix");
    (stored, dp)
}

/// An index of this one chunk, if the format allows such a chunk.
fn index_of(keys: &ScopeKeys, stored: &[u8], dp: digest::Digest, raw: u32, codec: u8) -> Option<ChunkIndex> {
    let (offset, length) = (256_u64.to_le_bytes(), (stored.len() as u32).to_le_bytes());
    let (raw, count) = (raw.to_le_bytes(), 1_u32.to_le_bytes());
    let encrypted = keys.suite() != Suite::Plain;
    let mut index = ChunkIndex::new(encrypted, CHUNK_MAX).expect("an allowed size");
    index.add_locators(&index::page(0, 1, &[&offset, &length, &digest::hash(stored)])).ok()?;
    let dp: &[u8] = if encrypted { &dp } else { &[] };
    index.add_chunks(&index::page(0, 1, &[&raw, &count, &[codec], dp])).ok()?;
    index.add_fragments(&index::page(0, 1, &[&raw, &[0; 24]]), true).ok()?;
    index.finish(256 + stored.len() as u64).ok()?;
    Some(index)
}
