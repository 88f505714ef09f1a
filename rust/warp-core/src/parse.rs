//! File-table pages as columns (docs/format.md §7): the reading half.
//!
//! Total and canonical: any columns give a table or [`Error::Format`], and only those that writing the table would give
//! back byte for byte give a table.

use std::collections::HashSet;

use crate::attributes::MAX_XATTRS;
use crate::columns::{COLUMNS, ColumnRef, ColumnSource, KEYS, Previous, at, unzigzag};
use crate::entry::{Entry, FLAG_CHANGED_WHILE_READ, FLAG_SPARSE, Kind, MAX_EXTENTS, Run, Timestamp, Xattrs};
use crate::paths::{MAX_PATH, compare_paths, has_valid_components, is_stored_path, rank};
use crate::recipe::Recipe;
use crate::{Error, Result};

/// A page closes at this many entries at the latest.
pub const MAX_PAGE_ENTRIES: usize = 4_096;
/// No entry follows once the paths of a page, each in full, are longer than this: they take memory, but hardly a stored byte.
pub(crate) const MAX_PAGE_PATHS: usize = 4 << 20;
/// No entry follows this many runs and extents: they take 2 bytes at least, and a page closes behind 1 MiB.
const MAX_PAGE_PAIRS: u64 = 1 << 19;
/// Encoded bytes of the longest run: two numbers below 2^64.
const MAX_RUN: usize = 20;
/// Longest target of a symbolic link or hard link.
const MAX_LINK: u64 = MAX_PATH as u64;
const MAX_NANOS: u64 = 999_999_999;
/// Linux' limit for the name of an extended attribute (XATTR_NAME_MAX).
const MAX_XATTR_NAME: usize = 255;

/// Entries from a page's columns; every rule of the format is checked.
pub(crate) fn parse_columns(source: &ColumnSource<'_>) -> Result<Vec<Entry>> {
    let (count, mut reader) = TableReader::new(source)?;
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = reader.entry(entries.last())?;
        entries.push(entry);
    }
    reader.end()?;
    Ok(entries)
}

#[cold]
fn malformed(column: usize, why: &str) -> Error {
    let key = KEYS.get(column).copied().unwrap_or_default();
    Error::Format(format!("file-table column `{key}`: {why}"))
}

/// What is left of one column.
#[derive(Clone, Copy, Default)]
struct Cursor<'a> {
    column: usize,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn varint(&mut self) -> Result<u64> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds the one bit that is left of 64.
            if i == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * i);
            if *byte < 0x80 {
                if *byte == 0 {
                    return Err(malformed(self.column, "a number not in its shortest form"));
                }
                self.rest = self.rest.get(i + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(malformed(self.column, "a number that is cut short or too large"))
    }

    /// A varint of at most `limit`.
    #[inline]
    fn bounded(&mut self, limit: u64) -> Result<u64> {
        let value = self.varint()?;
        if value > limit { Err(malformed(self.column, "a number out of its range")) } else { Ok(value) }
    }

    /// The value that differs from `previous` by the next zigzag varint, modulo 2^64.
    #[inline]
    fn delta(&mut self, previous: &mut u64) -> Result<u64> {
        *previous = previous.wrapping_add(unzigzag(self.varint()?));
        Ok(*previous)
    }

    #[inline]
    fn bounded_delta(&mut self, previous: &mut u64, limit: u32) -> Result<u32> {
        match u32::try_from(self.delta(previous)?) {
            Ok(value) if value <= limit => Ok(value),
            _ => Err(malformed(self.column, "a number out of its range")),
        }
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| malformed(self.column, "cut short"))?;
        self.rest = rest;
        Ok(taken)
    }
}

struct TableReader<'a> {
    cursors: [Cursor<'a>; COLUMNS],
    previous: Previous,
    sets: Vec<Xattrs>,
    sets_seen: u64,
    /// Bytes of the paths so far.
    path_bytes: usize,
    /// Runs and extents so far.
    pairs: u64,
}

impl<'a> TableReader<'a> {
    fn new(source: &ColumnSource<'a>) -> Result<(usize, Self)> {
        if !source.iter().map(|(key, _)| *key).eq(KEYS) {
            return Err(Error::format("file-table page: its keys are not the format's, in its order"));
        }
        let mut cursors = [Cursor::default(); COLUMNS];
        let (mut count, mut sets) = (0, Vec::new());
        for (column, (cursor, (_, content))) in cursors.iter_mut().zip(source).enumerate() {
            match (column, content) {
                (at::COUNT, ColumnRef::Int(number)) => count = *number,
                (at::SETS, ColumnRef::Sets(content)) => sets = parse_sets(content)?,
                (at::COUNT | at::SETS, _) | (_, ColumnRef::Int(_) | ColumnRef::Sets(_)) => {
                    return Err(malformed(column, "of the wrong type"));
                }
                (_, ColumnRef::Bytes(rest)) => *cursor = Cursor { column, rest },
            }
        }
        if count > MAX_PAGE_ENTRIES as u64 || count != cursors[at::KINDS].rest.len() as u64 {
            return Err(malformed(at::COUNT, "a number of entries that the page does not have"));
        }
        Ok((
            count as usize,
            Self { cursors, previous: Previous::default(), sets, sets_seen: 0, path_bytes: 0, pairs: 0 },
        ))
    }

    fn entry(&mut self, before: Option<&Entry>) -> Result<Entry> {
        if self.path_bytes > MAX_PAGE_PATHS || self.pairs > MAX_PAGE_PAIRS {
            return Err(malformed(at::COUNT, "an entry behind where a writer closes the page"));
        }
        let path = self.path(before.map(|entry| entry.path.as_slice()))?;
        let kind = self.kind()?;
        let previous = &mut self.previous;
        let cursors = &mut self.cursors;
        let mode = cursors[at::MODES].bounded_delta(&mut previous.mode, 0o7777)?;
        let uid = cursors[at::UIDS].bounded_delta(&mut previous.uid, u32::MAX)?;
        let gid = cursors[at::GIDS].bounded_delta(&mut previous.gid, u32::MAX)?;
        let size = cursors[at::SIZES].delta(&mut previous.size)?;
        let seconds = cursors[at::MTIME_SECONDS].delta(&mut previous.mtime)? as i64;
        let mtime = Timestamp { seconds, nanos: cursors[at::MTIME_NANOS].bounded(MAX_NANOS)? as u32 };
        let seconds = cursors[at::CTIME_SECONDS].delta(&mut previous.ctime)? as i64;
        let ctime = Timestamp { seconds, nanos: cursors[at::CTIME_NANOS].bounded(MAX_NANOS)? as u32 };
        let inode = cursors[at::INODES].delta(&mut previous.inode)?;
        let flags = cursors[at::FLAGS].bounded(u64::from(FLAG_CHANGED_WHILE_READ | FLAG_SPARSE))? as u32;
        if size != 0 && !matches!(kind, Kind::File | Kind::Hardlink) || flags != 0 && kind != Kind::File {
            return Err(malformed(at::SIZES, "a size or flags for what has no content"));
        }
        let link = self.link(kind, &path)?;
        let rdev = self.device(kind)?;
        let xattrs = self.xattrs()?;
        let extents = if flags & FLAG_SPARSE == 0 { Vec::new() } else { self.extents(size)? };
        let runs = self.runs(kind)?;
        Ok(Entry {
            path,
            kind,
            mode,
            uid,
            gid,
            size,
            mtime,
            ctime,
            inode,
            link,
            rdev,
            flags,
            xattrs,
            extents,
            runs,
        })
    }

    /// The next path: valid, after the one before, and sharing with it all that it can.
    #[inline]
    fn path(&mut self, before: Option<&[u8]>) -> Result<Vec<u8>> {
        let previous = before.unwrap_or_default();
        let shared = self.cursors[at::SHARED].bounded(previous.len() as u64)? as usize;
        let length = self.cursors[at::SHARED].bounded((MAX_PATH - shared) as u64)?;
        let rest = self.cursors[at::RESTS].take(length)?;
        let (kept, dropped) = previous.split_at_checked(shared).unwrap_or_default();
        let (old, new) = (rank(dropped.first()), rank(rest.first()));
        // Where they part, the new path must be the greater: this also proves that no more could be shared.
        if old >= new && before.is_some() {
            return Err(malformed(at::SHARED, "paths out of order or not in their shortest form"));
        }
        let mut path = Vec::with_capacity(shared + rest.len());
        path.extend_from_slice(kept);
        path.extend_from_slice(rest);
        self.path_bytes += path.len();
        // The components before the one that `rest` continues were those of the path before.
        let checked = kept.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        if !path.is_empty() && !has_valid_components(path.get(checked..).unwrap_or_default()) {
            return Err(malformed(at::RESTS, "a path that the format forbids"));
        }
        Ok(path)
    }

    #[inline]
    fn kind(&mut self) -> Result<Kind> {
        Ok(match self.cursors[at::KINDS].take(1)? {
            [0] => Kind::File,
            [1] => Kind::Directory,
            [2] => Kind::Symlink,
            [3] => Kind::Hardlink,
            [4] => Kind::CharDevice,
            [5] => Kind::BlockDevice,
            [6] => Kind::Fifo,
            [7] => Kind::Socket,
            _ => return Err(malformed(at::KINDS, "an unknown type")),
        })
    }

    #[inline]
    fn link(&mut self, kind: Kind, path: &[u8]) -> Result<Vec<u8>> {
        if !matches!(kind, Kind::Symlink | Kind::Hardlink) {
            return Ok(Vec::new());
        }
        let length = self.cursors[at::LINK_LENGTHS].bounded(MAX_LINK)?;
        let link = self.cursors[at::LINKS].take(length)?;
        let allowed = match kind {
            Kind::Symlink => !link.is_empty() && !link.contains(&0),
            _ => !link.is_empty() && is_stored_path(link) && compare_paths(link, path).is_lt(),
        };
        if allowed {
            Ok(link.to_vec())
        } else {
            Err(malformed(at::LINKS, "a target that the format forbids"))
        }
    }

    #[inline]
    fn device(&mut self, kind: Kind) -> Result<u64> {
        if !matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            return Ok(0);
        }
        let devices = &mut self.cursors[at::DEVICES];
        Ok(devices.bounded(u64::from(u32::MAX))? << 32 | devices.bounded(u64::from(u32::MAX))?)
    }

    /// Sets are numbered in the order of first use.
    #[inline]
    fn xattrs(&mut self) -> Result<Xattrs> {
        let number = self.cursors[at::SET_NUMBERS].bounded(self.sets_seen + 1)?;
        self.sets_seen = self.sets_seen.max(number);
        let Some(index) = number.checked_sub(1) else {
            return Ok(Xattrs::default());
        };
        let set = usize::try_from(index).ok().and_then(|index| self.sets.get(index));
        set.cloned().ok_or_else(|| malformed(at::SET_NUMBERS, "a set that the page does not have"))
    }

    /// Data extents ascend within the file and do not touch.
    fn extents(&mut self, size: u64) -> Result<Vec<(u64, u64)>> {
        let cursor = &mut self.cursors[at::EXTENTS];
        // Each extent takes two bytes at least: what is allocated is bounded by what is there.
        let count = cursor.bounded((MAX_EXTENTS as u64).min(cursor.rest.len() as u64 / 2))?;
        self.pairs += count;
        let mut extents = Vec::with_capacity(count as usize);
        let mut end = 0_u64;
        for i in 0..count {
            let (gap, length) = (cursor.varint()?, cursor.varint()?);
            let offset = end.checked_add(gap).filter(|_| i == 0 || gap > 0);
            let next = offset
                .and_then(|offset| offset.checked_add(length))
                .filter(|next| *next <= size && length > 0);
            let (Some(offset), Some(next)) = (offset, next) else {
                return Err(malformed(at::EXTENTS, "data that touches or lies outside its file"));
            };
            extents.push((offset, length));
            end = next;
        }
        Ok(extents)
    }

    #[inline]
    fn runs(&mut self, kind: Kind) -> Result<Recipe> {
        let most = if kind == Kind::File { self.cursors[at::RUNS].rest.len() as u64 / 2 } else { 0 };
        let count = self.cursors[at::RUN_COUNTS].bounded(most)?;
        let cursor = &mut self.cursors[at::RUNS];
        // Not by doubling: a single recipe may be nearly all of the archive. What is not filled is not touched either.
        let mut runs =
            Recipe::with_capacity(cursor.rest.len().min(count.saturating_sub(1) as usize * MAX_RUN));
        for _ in 0..count {
            let first = cursor.delta(&mut self.previous.run_end)?;
            let count = cursor.varint()?;
            let end = first.checked_add(count).filter(|_| count > 0);
            self.previous.run_end = end.ok_or_else(|| malformed(at::RUNS, "an empty or endless run"))?;
            runs.push(Run { first, count });
        }
        runs.shrink_to_fit();
        self.pairs += count;
        Ok(runs)
    }

    fn end(&self) -> Result<()> {
        if let Some(cursor) = self.cursors.iter().find(|cursor| !cursor.rest.is_empty()) {
            return Err(malformed(cursor.column, "more bytes than its entries need"));
        }
        if self.sets_seen != self.sets.len() as u64 {
            return Err(malformed(at::SETS, "a set that no entry uses"));
        }
        Ok(())
    }
}

/// Sets that are distinct, not empty and sorted by name without repetition.
fn parse_sets(sets: &[Vec<(&[u8], &[u8])>]) -> Result<Vec<Xattrs>> {
    let mut seen = HashSet::with_capacity(sets.len());
    for set in sets {
        let size: usize = set.iter().map(|(name, value)| name.len() + value.len()).sum();
        let named =
            set.iter().all(|(name, _)| (1..=MAX_XATTR_NAME).contains(&name.len()) && !name.contains(&0));
        let sorted = set.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0));
        if set.is_empty() || size > MAX_XATTRS || !named || !sorted || !seen.insert(set) {
            return Err(malformed(at::SETS, "a set of extended attributes that the format forbids"));
        }
    }
    Ok(sets
        .iter()
        .map(|set| set.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
        .collect())
}
