//! Small archives in memory, for tests.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::chunk_index::ChunkIndex;
use crate::codec::{Codec, Encoder};
use crate::digest::{self, Digest, FragmentId};
use crate::entry::{Entry, Kind, Run, Timestamp, Xattrs};
use crate::keys::{ObjectKind, ScopeKeys, Suite};
use crate::recipe::Recipe;
use crate::seal::{prefix_len, seal_in_place};

pub const CHUNK_MAX: u32 = 1 << 16;

/// Collects fragments and seals them as chunks.
pub struct Builder {
    pub keys: Arc<ScopeKeys>,
    pub bytes: Vec<u8>,
    pub locators: Vec<(u64, u32, Digest)>,
    pub chunks: Vec<(u32, u32, u8, Digest)>,
    pub fragments: Vec<(u32, FragmentId)>,
    raw: Vec<u8>,
    in_chunk: u32,
}

/// An archive's chunks with their index.
pub struct Built {
    pub keys: Arc<ScopeKeys>,
    pub bytes: Vec<u8>,
    pub index: Arc<ChunkIndex>,
}

/// Raw pages of each kind.
pub struct Pages {
    pub locators: Vec<Vec<u8>>,
    pub chunks: Vec<Vec<u8>>,
    pub fragments: Vec<Vec<u8>>,
}

impl Builder {
    pub fn new(suite: Suite) -> Self {
        let key = (suite != Suite::Plain).then_some(&[7; 32]);
        Self {
            keys: Arc::new(ScopeKeys::new(key, suite).unwrap()),
            bytes: vec![0; 256],
            locators: Vec::new(),
            chunks: Vec::new(),
            fragments: Vec::new(),
            raw: Vec::new(),
            in_chunk: 0,
        }
    }

    /// Add a fragment to the chunk that is open; its ordinal.
    pub fn fragment(&mut self, data: &[u8]) -> u64 {
        if self.raw.len() + data.len() > CHUNK_MAX as usize {
            self.close(Codec::Zstd);
        }
        self.raw.extend_from_slice(data);
        self.in_chunk += 1;
        let id = self.keys.fragment_id(data);
        self.fragments.push((data.len() as u32, id));
        self.fragments.len() as u64 - 1
    }

    /// Seal the chunk that is open, if it has any fragment.
    pub fn close(&mut self, codec: Codec) {
        if self.in_chunk == 0 {
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        let mut stored = vec![0; prefix_len(self.keys.suite())];
        let codec = Encoder::new().encode_as(&raw, codec, 1, &mut stored).unwrap();
        let dp = seal_in_place(&self.keys, ObjectKind::Chunk, &mut stored).unwrap();
        let offset = self.bytes.len() as u64;
        self.locators.push((offset, stored.len() as u32, digest::hash(&stored)));
        let fragments = std::mem::take(&mut self.in_chunk);
        self.chunks.push((raw.len() as u32, fragments, codec as u8, dp));
        self.bytes.extend_from_slice(&stored);
    }

    pub fn pages(&self) -> Pages {
        let encrypted = self.keys.suite() != Suite::Plain;
        Pages {
            locators: pages(&self.locators, |page| {
                let offsets = page.iter().flat_map(|record| record.0.to_le_bytes());
                let stored = page.iter().flat_map(|record| record.1.to_le_bytes());
                let cids = page.iter().flat_map(|record| record.2);
                offsets.chain(stored).chain(cids).collect()
            }),
            chunks: pages(&self.chunks, |page| {
                let raw = page.iter().flat_map(|record| record.0.to_le_bytes());
                let counts = page.iter().flat_map(|record| record.1.to_le_bytes());
                let codecs = page.iter().map(|record| record.2);
                let dps = page.iter().filter(|_| encrypted).flat_map(|record| record.3);
                raw.chain(counts).chain(codecs).chain(dps).collect()
            }),
            fragments: pages(&self.fragments, |page| {
                let lengths = page.iter().flat_map(|record| record.0.to_le_bytes());
                let ids = page.iter().flat_map(|record| record.1);
                lengths.chain(ids).collect()
            }),
        }
    }

    pub fn build(mut self) -> Built {
        self.close(Codec::Zstd);
        let index = self.pages().index(self.keys.suite() != Suite::Plain, true);
        let mut index = index.unwrap();
        index.finish(self.bytes.len() as u64).unwrap();
        Built { keys: self.keys, bytes: self.bytes, index: Arc::new(index) }
    }
}

fn pages<T>(records: &[T], columns: impl Fn(&[T]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let page = |(number, records): (usize, &[T])| {
        let mut page = (number as u64 * 4096).to_le_bytes().to_vec();
        page.extend((records.len() as u64).to_le_bytes());
        page.extend(columns(records));
        page
    };
    records.chunks(4096).enumerate().map(page).collect()
}

impl Pages {
    /// An index of these pages, not finished.
    pub fn index(&self, encrypted: bool, keep_ids: bool) -> crate::Result<ChunkIndex> {
        let mut index = ChunkIndex::new(encrypted, CHUNK_MAX)?;
        self.locators.iter().try_for_each(|page| index.add_locators(page))?;
        self.chunks.iter().try_for_each(|page| index.add_chunks(page))?;
        let mut fragments = self.fragments.iter();
        fragments.try_for_each(|page| index.add_fragments(page, keep_ids))?;
        Ok(index)
    }
}

impl Built {
    pub fn fd(&self) -> OwnedFd {
        let mut file = File::from(memfd_create("archive", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(&self.bytes).unwrap();
        file.into()
    }
}

/// An entry with a mode and time that no new file has.
pub fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: if kind == Kind::Directory { 0o750 } else { 0o604 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        size: 0,
        mtime: Timestamp { seconds: 1_000_000_000, nanos: 123_456_789 },
        ctime: Timestamp::default(),
        inode: 0,
        link: Vec::new(),
        rdev: 0,
        flags: 0,
        xattrs: Xattrs::default(),
        extents: Vec::new(),
        runs: Recipe::default(),
    }
}

/// A file of fragments that were added one after the other.
pub fn file(builder: &mut Builder, path: &[u8], fragments: &[&[u8]]) -> Entry {
    let mut entry = entry(path, Kind::File);
    for fragment in fragments {
        let first = builder.fragment(fragment);
        entry.size += fragment.len() as u64;
        entry.runs.push(Run { first, count: 1 });
    }
    entry
}
