//! How the files of a tree were cut on an earlier connection of the same session: a file that is what it was need not be read.
//!
//! Header, 32 bytes: `"warpcuts"`, u32 version (1), u32 zero, seal (16). Record: u32 fragments, u32 flags, file (16), u64 start, for each
//! fragment u32 length and id (24), the first 8 bytes of BLAKE3 of all before. `start` is where the first of them begins in the file's
//! data, holes left out; flag 1: the file has extended attributes. A record of no fragments takes back what was said of its file.
//!
//! Seal and file are keyed: the seal stands for the session's keys and its cutter, the file for what `stat` tells of it. What a file is
//! cut into depends on these alone, so a record is right for as long as its file is found again, and never wrong for another one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cutter::Cutter;
use crate::digest::{self, FragmentId};
use crate::entry::{Entry, FLAG_SPARSE, Timestamp};
use crate::keys::ScopeKeys;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"warpcuts";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
const RECORD_BYTES: usize = 32;
const FRAGMENT_BYTES: usize = 28;
const CHECK_BYTES: usize = 8;
const ATTRIBUTES: u32 = 1;
/// A record has no more fragments; a piece of a large file has some hundred.
const MOST_FRAGMENTS: usize = 1 << 14;
/// Beyond this nothing is added: the fragments of some terabytes.
const MOST_BYTES: u64 = 4 << 30;
/// What is known of a record takes about 64 bytes of memory.
const MOST_RECORDS: usize = 1 << 21;
/// A file that was changed so shortly before it was read may be changed again without another time: the kernel's clock ticks each 1 to
/// 10 ms …
const TICK: Duration = Duration::from_millis(100);
/// … and some file systems keep seconds, or two of them.
const COARSE_TICK: Duration = Duration::from_millis(2500);

/// Stands for a file as it is: its device, inode, size, times and holes.
pub type CutFile = [u8; 16];

/// Fragments of a file that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutPart {
    offset: u64,
    count: u32,
    /// Bytes that they have together.
    pub length: u64,
    /// Whether the file has extended attributes.
    pub attributes: bool,
}

impl CutPart {
    fn record_bytes(&self) -> usize {
        RECORD_BYTES + self.count as usize * FRAGMENT_BYTES + CHECK_BYTES
    }
}

/// Parts by file and start.
type Known = BTreeMap<(CutFile, u64), CutPart>;

/// Records that are still to be written.
#[derive(Debug, Default)]
pub struct CutRecords {
    bytes: Vec<u8>,
    count: usize,
}

impl CutRecords {
    /// Fragments that `file` has from `start` on.
    pub fn push(&mut self, file: &CutFile, start: u64, attributes: bool, fragments: &[(u32, FragmentId)]) {
        let mut start = start;
        for some in fragments.chunks(MOST_FRAGMENTS) {
            self.put(file, start, attributes, some);
            start += some.iter().map(|(length, _)| u64::from(*length)).sum::<u64>();
        }
    }

    fn put(&mut self, file: &CutFile, start: u64, attributes: bool, fragments: &[(u32, FragmentId)]) {
        let from = self.bytes.len();
        let flags = if attributes { ATTRIBUTES } else { 0 };
        self.bytes.extend_from_slice(&(fragments.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&flags.to_le_bytes());
        self.bytes.extend_from_slice(file);
        self.bytes.extend_from_slice(&start.to_le_bytes());
        for (length, id) in fragments {
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(id);
        }
        let check = check(self.bytes.get(from..).unwrap_or_default());
        self.bytes.extend_from_slice(&check);
        self.count += 1;
    }
}

/// What an earlier connection has left, and what this one adds.
#[derive(Debug)]
pub struct Cuts {
    file: File,
    key: [u8; 32],
    most: u32,
    known: Known,
    /// Where the next record goes, and how many there are.
    end: Mutex<(u64, usize)>,
}

impl Cuts {
    /// Opens what was noted with these keys and this cutter. What is of others counts as nothing, and a torn end is cut off.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(file: File, keys: &ScopeKeys, cutter: &Cutter) -> Result<Self> {
        let key = digest::derive("cuts of files", keys.cutter_key());
        let (header, most) = (header(&key, cutter), cutter.sizes().max);
        let unreadable = |error| Error::io("read how files were cut", error);
        let length = file.metadata().map_err(unreadable)?.len();
        (&file).rewind().map_err(unreadable)?;
        let found = read_cuts(BufReader::with_capacity(1 << 20, &file), &header, most);
        let (known, records, end) = found.map_err(unreadable)?;
        if end != length {
            file.set_len(end).map_err(|error| Error::io("cut off a torn record", error))?;
        }
        let cuts = Self { file, key, most, known, end: Mutex::new((end, records)) };
        if end == 0 {
            cuts.write(&header, 0)?;
            *cuts.end.lock().unwrap_or_else(PoisonError::into_inner) = (HEADER_BYTES as u64, 0);
        }
        Ok(cuts)
    }

    /// Stands for a file on `device` as `entry` has it.
    pub fn file(&self, device: u64, entry: &Entry) -> CutFile {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for number in [device, entry.inode, entry.size] {
            hasher.update(&number.to_le_bytes());
        }
        for Timestamp { seconds, nanos } in [entry.mtime, entry.ctime] {
            hasher.update(&seconds.to_le_bytes());
            hasher.update(&nanos.to_le_bytes());
        }
        if entry.flags & FLAG_SPARSE != 0 {
            for (offset, length) in &entry.extents {
                hasher.update(&offset.to_le_bytes());
                hasher.update(&length.to_le_bytes());
            }
        }
        let mut file = [0; 16];
        hasher.finalize_xof().fill(&mut file);
        file
    }

    /// What is known of a file, from its start as far as it goes without a gap.
    pub fn parts(&self, file: &CutFile) -> Vec<CutPart> {
        let mut end = 0;
        let mut parts = Vec::new();
        for ((_, start), part) in self.known.range((*file, 0)..=(*file, u64::MAX)) {
            if *start == end {
                parts.push(*part);
                end += part.length;
            }
        }
        parts
    }

    /// Appends the fragments of a part.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Integrity`] if they are not what they were when this was opened.
    pub fn read(&self, part: &CutPart, fragments: &mut Vec<(u32, FragmentId)>) -> Result<()> {
        let mut record = vec![0; part.record_bytes()];
        let read = self.file.read_exact_at(&mut record, part.offset);
        read.map_err(|error| Error::io("read how a file was cut", error))?;
        let found = parse(&record, part.offset, self.most);
        if found.is_none_or(|(_, found)| found != *part) {
            return Err(Error::integrity("how a file was cut: it is not what it was"));
        }
        fragments.extend(fragments_of(&record));
        Ok(())
    }

    /// Writes records; none of them once there are too many.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&self, records: &mut CutRecords) -> Result<()> {
        let CutRecords { bytes, count } = std::mem::take(records);
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.is_empty() || end.0 + bytes.len() as u64 > MOST_BYTES || end.1 + count > MOST_RECORDS {
            return Ok(());
        }
        self.write(&bytes, end.0)?;
        end.0 += bytes.len() as u64;
        end.1 += count;
        Ok(())
    }

    /// A file is not what was said of it, whatever its times say.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget(&self, file: &CutFile) -> Result<()> {
        let mut records = CutRecords::default();
        records.put(file, 0, false, &[]);
        self.append(&mut records)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|error| Error::io("note how files were cut", error))
    }
}

/// Whether a file that is read from `now` on can't be changed without its times telling.
pub fn is_settled(entry: &Entry, now: SystemTime) -> bool {
    [entry.mtime, entry.ctime].into_iter().all(|time| {
        let tick = if time.nanos == 0 { COARSE_TICK } else { TICK };
        let Ok(seconds) = u64::try_from(time.seconds) else { return true };
        let changed = UNIX_EPOCH.checked_add(Duration::new(seconds, time.nanos) + tick);
        changed.is_some_and(|changed| changed < now)
    })
}

/// The first bytes of a file of these keys and this cutter.
fn header(key: &[u8; 32], cutter: &Cutter) -> [u8; HEADER_BYTES] {
    let sizes = cutter.sizes();
    let words = [cutter.algorithm() as u32, sizes.min, sizes.mean, sizes.max];
    let seal = digest::keyed(key, words.map(u32::to_le_bytes).as_flattened());
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..].copy_from_slice(&seal[..16]);
    header
}

/// What a file behind this header says, the number of its records, and where what is whole and right of it ends: 0 if it has another
/// header. No fragment is longer than `most`.
///
/// # Errors
/// The reader's.
fn read_cuts(
    mut source: impl Read,
    header: &[u8; HEADER_BYTES],
    most: u32,
) -> std::io::Result<(Known, usize, u64)> {
    let mut known = Known::new();
    let (mut records, mut end) = (0, HEADER_BYTES as u64);
    let mut record = Vec::new();
    if !fill(&mut source, &mut record, HEADER_BYTES)? || record != header {
        return Ok((known, 0, 0));
    }
    while records < MOST_RECORDS {
        record.clear();
        if !fill(&mut source, &mut record, RECORD_BYTES)? {
            break;
        }
        let count = record.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        if count > MOST_FRAGMENTS || !fill(&mut source, &mut record, count * FRAGMENT_BYTES + CHECK_BYTES)? {
            break;
        }
        let Some(((file, start), part)) = parse(&record, end, most) else { break };
        if count == 0 {
            forget(&mut known, file);
        } else {
            known.insert((file, start), part);
        }
        records += 1;
        end += record.len() as u64;
    }
    Ok((known, records, end))
}

fn forget(known: &mut Known, file: CutFile) {
    while let Some((place, _)) = known.range((file, 0)..=(file, u64::MAX)).next() {
        let place = *place;
        known.remove(&place);
    }
}

/// Appends so many bytes; false if there are not so many.
fn fill(source: &mut impl Read, record: &mut Vec<u8>, length: usize) -> std::io::Result<bool> {
    Ok(source.by_ref().take(length as u64).read_to_end(record)? == length)
}

/// What a record at `offset` says; `None` if it is damaged.
fn parse(record: &[u8], offset: u64, most: u32) -> Option<((CutFile, u64), CutPart)> {
    let (bytes, found) = record.split_last_chunk::<CHECK_BYTES>()?;
    let (head, _) = bytes.split_first_chunk::<RECORD_BYTES>()?;
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[at + i]));
    let (count, flags) = (word(0), word(4));
    let file = std::array::from_fn(|i| head[8 + i]);
    let start = u64::from_le_bytes(std::array::from_fn(|i| head[24 + i]));
    if check(bytes) != *found || flags & !ATTRIBUTES != 0 {
        return None;
    }
    let part = CutPart { offset, count, length: 0, attributes: flags & ATTRIBUTES != 0 };
    if record.len() != part.record_bytes() {
        return None;
    }
    let mut length = 0;
    for (fragment, _) in fragments_of(record) {
        length += if (1..=most).contains(&fragment) { u64::from(fragment) } else { return None };
    }
    start.checked_add(length)?;
    Some(((file, start), CutPart { length, ..part }))
}

/// The fragments of a record that was checked.
fn fragments_of(record: &[u8]) -> impl Iterator<Item = (u32, FragmentId)> {
    let inner = record.get(RECORD_BYTES..record.len().saturating_sub(CHECK_BYTES)).unwrap_or_default();
    inner.as_chunks::<FRAGMENT_BYTES>().0.iter().map(|bytes| {
        let [l0, l1, l2, l3, id @ ..] = *bytes;
        (u32::from_le_bytes([l0, l1, l2, l3]), id)
    })
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = digest::hash(bytes);
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests;
