//! One file-system object as the archive records it (docs/format.md §7).

use std::sync::Arc;

use crate::recipe::Recipe;

/// The type of a file-system object; the values are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A regular file, with a recipe.
    File = 0,
    /// A directory.
    Directory = 1,
    /// A symbolic link; `link` holds its target.
    Symlink = 2,
    /// A further name of an earlier file; `link` holds that file's stored path.
    Hardlink = 3,
    /// A character device.
    CharDevice = 4,
    /// A block device.
    BlockDevice = 5,
    /// A named pipe.
    Fifo = 6,
    /// A Unix socket: recorded, never restored.
    Socket = 7,
}

/// Flag: the file changed while it was read, twice; its content may be torn.
pub const FLAG_CHANGED_WHILE_READ: u32 = 1;
/// Flag: `extents` lists the file's data; the rest is holes.
pub const FLAG_SPARSE: u32 = 2;

/// A point in time: seconds since the epoch (may be negative) and nanoseconds (0..1e9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// Consecutive fragment ordinals `first .. first + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First fragment ordinal.
    pub first: u64,
    /// Number of fragments, at least 1.
    pub count: u64,
}

/// Extended attributes, sorted by name. ACLs are the `system.posix_acl_*` attributes.
pub type Xattrs = Arc<[(Vec<u8>, Vec<u8>)]>;

/// Most data extents of a file (docs/format.md §7); what lies behind them is one extent more, holes and all.
pub const MAX_EXTENTS: usize = 1 << 18;

/// One object of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Stored path: relative, `/`-separated raw bytes, no empty, `.` or `..` component;
    /// empty for the root of a tree packed as `.`.
    pub path: Vec<u8>,
    /// Type.
    pub kind: Kind,
    /// Permission bits, `st_mode & 0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes; 0 for all but files and hard links (where it repeats the file's).
    pub size: u64,
    /// Last modification of the content.
    pub mtime: Timestamp,
    /// Last change of the inode: used only to skip unchanged files.
    pub ctime: Timestamp,
    /// Inode number: used only to skip unchanged files.
    pub inode: u64,
    /// Target of a symbolic link, or stored path of a hard link's file.
    pub link: Vec<u8>,
    /// Device number of a device: major in the upper 32 bits, minor in the lower.
    pub rdev: u64,
    /// `FLAG_*`.
    pub flags: u32,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Data extents (offset, length) of a sparse file, ascending, not touching.
    pub extents: Vec<(u64, u64)>,
    /// The content, as fragments of the data in order.
    pub runs: Recipe,
}

impl Entry {
    /// Where `length` bytes at `position` of a file's data, holes left out, lie in it: offsets and lengths.
    pub fn data_places(&self, position: u64, length: u64) -> Vec<(u64, u64)> {
        if self.flags & FLAG_SPARSE == 0 {
            return vec![(position, length)];
        }
        let (mut start, end) = (0_u64, position.saturating_add(length));
        let mut places = Vec::new();
        for (offset, extent) in &self.extents {
            let (from, to) = (position.max(start), end.min(start.saturating_add(*extent)));
            if from < to {
                places.push((offset + (from - start), to - from));
            }
            start = start.saturating_add(*extent);
        }
        places
    }

    /// Bytes that it takes in memory without its extended attributes, which others may share.
    pub fn weight(&self) -> usize {
        let extents = self.extents.len() * size_of::<(u64, u64)>();
        size_of::<Self>() + self.path.len() + self.link.len() + extents + self.runs.weight()
    }
}

/// Bytes that a set of extended attributes takes in memory.
pub fn xattrs_weight(xattrs: &Xattrs) -> usize {
    let pair = |(name, value): &(Vec<u8>, Vec<u8>)| {
        size_of_val(name) + size_of_val(value) + name.len() + value.len()
    };
    xattrs.iter().map(pair).sum()
}
