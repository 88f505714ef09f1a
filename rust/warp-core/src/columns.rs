//! File-table pages as columns (docs/format.md §7): the writing half.
//!
//! Each field of an entry goes to the end of its own column, numbers as LEB128 varints, most as the zigzag difference to
//! the entry before: `mode` 0644, 0644, 0755 becomes `c8 06`, `00`, `92 01`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entry::{Entry, FLAG_SPARSE, Kind, Xattrs};
use crate::paths::common_prefix;

/// Number of columns.
pub(crate) const COLUMNS: usize = 22;
/// The columns' keys, in the format's order.
pub const KEYS: [&str; COLUMNS] = [
    "n", "ps", "pb", "k", "m", "u", "g", "s", "ms", "mn", "cs", "cn", "i", "f", "ll", "lb", "r", "x", "xd",
    "e", "rn", "rr",
];

/// Positions of the columns among [`KEYS`].
pub(crate) mod at {
    pub const COUNT: usize = 0;
    pub const SHARED: usize = 1;
    pub const RESTS: usize = 2;
    pub const KINDS: usize = 3;
    pub const MODES: usize = 4;
    pub const UIDS: usize = 5;
    pub const GIDS: usize = 6;
    pub const SIZES: usize = 7;
    pub const MTIME_SECONDS: usize = 8;
    pub const MTIME_NANOS: usize = 9;
    pub const CTIME_SECONDS: usize = 10;
    pub const CTIME_NANOS: usize = 11;
    pub const INODES: usize = 12;
    pub const FLAGS: usize = 13;
    pub const LINK_LENGTHS: usize = 14;
    pub const LINKS: usize = 15;
    pub const DEVICES: usize = 16;
    pub const SET_NUMBERS: usize = 17;
    pub const SETS: usize = 18;
    pub const EXTENTS: usize = 19;
    pub const RUN_COUNTS: usize = 20;
    pub const RUNS: usize = 21;
}

/// One column of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The number of entries.
    Int(u64),
    /// Values one after the other.
    Bytes(Vec<u8>),
    /// Sets of extended attributes: (name, value) pairs sorted by name.
    Sets(Vec<Vec<(Vec<u8>, Vec<u8>)>>),
}

/// A column to be parsed, borrowed from wherever the page was decoded.
#[derive(Clone, Debug)]
pub enum ColumnRef<'a> {
    /// The number of entries.
    Int(u64),
    /// Values one after the other.
    Bytes(&'a [u8]),
    /// Sets of extended attributes.
    Sets(Vec<Vec<(&'a [u8], &'a [u8])>>),
}

/// The columns of a page with their keys, in the page's order.
pub type ColumnSource<'a> = [(&'a str, ColumnRef<'a>)];

impl<'a> From<&'a Column> for ColumnRef<'a> {
    fn from(column: &'a Column) -> Self {
        match column {
            Column::Int(number) => Self::Int(*number),
            Column::Bytes(bytes) => Self::Bytes(bytes),
            Column::Sets(sets) => Self::Sets(sets.iter().map(|set| borrow_set(set)).collect()),
        }
    }
}

fn borrow_set(set: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    set.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

/// Where a column's bytes go: into memory, or only into a count of them.
pub(crate) trait Sink: Default {
    fn put(&mut self, bytes: &[u8]);
    fn byte(&mut self, byte: u8);
    fn size(&self) -> usize;

    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// The zigzag varint of `value` less `previous`, modulo 2^64; `previous` becomes `value`.
    #[inline]
    fn delta(&mut self, previous: &mut u64, value: u64) {
        self.varint(zigzag(value.wrapping_sub(*previous)));
        *previous = value;
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline]
    fn size(&self) -> usize {
        self.len()
    }
}

/// Counts what a page would hold without building it.
impl Sink for usize {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        *self += bytes.len();
    }

    #[inline]
    fn byte(&mut self, _byte: u8) {
        *self += 1;
    }

    #[inline]
    fn size(&self) -> usize {
        *self
    }
}

/// Small magnitudes of either sign become small numbers: 0, -1, 1, -2 → 0, 1, 2, 3.
#[inline]
pub(crate) fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64 >> 63) as u64)
}

/// The inverse of [`zigzag`].
#[inline]
pub(crate) fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// The last values that the delta columns refer to.
#[derive(Debug, Default)]
pub(crate) struct Previous {
    pub mode: u64,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: u64,
    pub ctime: u64,
    pub inode: u64,
    pub run_end: u64,
}

/// The columns of one page, growing entry by entry.
#[derive(Debug, Default)]
pub(crate) struct ColumnWriter<S> {
    count: u64,
    /// By position among [`KEYS`]; those of the count and the sets stay empty.
    columns: [S; COLUMNS],
    previous: Previous,
    numbers: HashMap<Xattrs, u64>,
    sets: Vec<Xattrs>,
    /// MessagePack bytes of `sets`, without the outer array's header.
    sets_size: usize,
}

impl<S: Sink> ColumnWriter<S> {
    /// Append an entry that follows the one with `previous_path` (the first: an empty one).
    pub fn push(&mut self, previous_path: &[u8], entry: &Entry) {
        self.count += 1;
        self.push_path(previous_path, &entry.path);
        self.push_inode(entry);
        self.push_links(entry);
        let number = self.set_number(&entry.xattrs);
        self.columns[at::SET_NUMBERS].varint(number);
        self.push_content(entry);
    }

    #[inline]
    fn push_path(&mut self, previous: &[u8], path: &[u8]) {
        let shared = common_prefix(previous, path);
        let rest = path.get(shared..).unwrap_or_default();
        self.columns[at::SHARED].varint(shared as u64);
        self.columns[at::SHARED].varint(rest.len() as u64);
        self.columns[at::RESTS].put(rest);
    }

    #[inline]
    fn push_inode(&mut self, entry: &Entry) {
        let previous = &mut self.previous;
        self.columns[at::KINDS].byte(entry.kind as u8);
        self.columns[at::MODES].delta(&mut previous.mode, u64::from(entry.mode));
        self.columns[at::UIDS].delta(&mut previous.uid, u64::from(entry.uid));
        self.columns[at::GIDS].delta(&mut previous.gid, u64::from(entry.gid));
        self.columns[at::SIZES].delta(&mut previous.size, entry.size);
        self.columns[at::MTIME_SECONDS].delta(&mut previous.mtime, entry.mtime.seconds as u64);
        self.columns[at::MTIME_NANOS].varint(u64::from(entry.mtime.nanos));
        self.columns[at::CTIME_SECONDS].delta(&mut previous.ctime, entry.ctime.seconds as u64);
        self.columns[at::CTIME_NANOS].varint(u64::from(entry.ctime.nanos));
        self.columns[at::INODES].delta(&mut previous.inode, entry.inode);
        self.columns[at::FLAGS].varint(u64::from(entry.flags));
    }

    #[inline]
    fn push_links(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Symlink | Kind::Hardlink => {
                self.columns[at::LINK_LENGTHS].varint(entry.link.len() as u64);
                self.columns[at::LINKS].put(&entry.link);
            }
            Kind::CharDevice | Kind::BlockDevice => {
                self.columns[at::DEVICES].varint(entry.rdev >> 32);
                self.columns[at::DEVICES].varint(entry.rdev & u64::from(u32::MAX));
            }
            _ => {}
        }
    }

    #[inline]
    fn push_content(&mut self, entry: &Entry) {
        if entry.flags & FLAG_SPARSE != 0 {
            self.columns[at::EXTENTS].varint(entry.extents.len() as u64);
            let mut end = 0;
            for (offset, length) in &entry.extents {
                self.columns[at::EXTENTS].varint(offset.wrapping_sub(end));
                self.columns[at::EXTENTS].varint(*length);
                end = offset.wrapping_add(*length);
            }
        }
        self.columns[at::RUN_COUNTS].varint(entry.runs.len() as u64);
        for run in &entry.runs {
            self.columns[at::RUNS].delta(&mut self.previous.run_end, run.first);
            self.columns[at::RUNS].varint(run.count);
            self.previous.run_end = run.first.wrapping_add(run.count);
        }
    }

    /// 0 for no attributes, else 1 + the set's index, in the order of first use.
    fn set_number(&mut self, xattrs: &Xattrs) -> u64 {
        if xattrs.is_empty() {
            return 0;
        }
        // Most neighbours share one set, often the very allocation.
        if let Some(last) = self.sets.last().filter(|last| Arc::ptr_eq(last, xattrs) || *last == xattrs) {
            return self.numbers.get(last).copied().unwrap_or(0);
        }
        if let Some(number) = self.numbers.get(xattrs) {
            return *number;
        }
        self.sets.push(xattrs.clone());
        self.sets_size += set_size(xattrs);
        let number = self.sets.len() as u64;
        self.numbers.insert(xattrs.clone(), number);
        number
    }

    /// Bytes of the page as MessagePack.
    pub fn raw_size(&self) -> usize {
        let columns = self.columns.iter().enumerate().filter(|(at, _)| !matches!(*at, at::COUNT | at::SETS));
        let columns: usize = columns.map(|(_, column)| bin_size(column.size())).sum();
        FIXED_SIZE + int_size(self.count) + columns + array_header(self.sets.len()) + self.sets_size
    }
}

impl ColumnWriter<Vec<u8>> {
    /// Room for as many entries as a page of ordinary files has.
    pub fn with_capacity(entries: usize) -> Self {
        let mut writer = Self::default();
        for column in &mut writer.columns {
            column.reserve(entries);
        }
        writer.columns[at::RESTS].reserve(entries * 12);
        writer
    }

    /// The page's columns with their keys.
    pub fn finish(self) -> Vec<(&'static str, Column)> {
        let mut columns = self.columns.map(Column::Bytes);
        columns[at::COUNT] = Column::Int(self.count);
        columns[at::SETS] = Column::Sets(self.sets.iter().map(|set| set.to_vec()).collect());
        KEYS.into_iter().zip(columns).collect()
    }
}

/// The map's header (22 entries need `map 16`) and its keys, each a `fixstr`.
const FIXED_SIZE: usize = {
    let mut size = 3;
    let mut at = 0;
    while at < COLUMNS {
        size += 1 + KEYS[at].len();
        at += 1;
    }
    size
};

/// Bytes of an unsigned MessagePack integer in its shortest form.
fn int_size(value: u64) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// Bytes of a MessagePack `bin` that holds `length` bytes.
fn bin_size(length: usize) -> usize {
    length
        + if length < 0x100 {
            2
        } else if length < 0x1_0000 {
            3
        } else {
            5
        }
}

/// Bytes of a MessagePack array's header.
fn array_header(length: usize) -> usize {
    if length < 16 {
        1
    } else if length < 0x1_0000 {
        3
    } else {
        5
    }
}

/// MessagePack bytes of one set: an array of arrays of two `bin`.
fn set_size(set: &[(Vec<u8>, Vec<u8>)]) -> usize {
    let pair = |(name, value): &(Vec<u8>, Vec<u8>)| 1 + bin_size(name.len()) + bin_size(value.len());
    array_header(set.len()) + set.iter().map(pair).sum::<usize>()
}
