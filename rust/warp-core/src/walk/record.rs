//! What `stat` tells of an object, as an entry records it.

use rustix::fs::{FileType, Stat, major, minor};

use crate::entry::{Entry, Kind, Timestamp, Xattrs};
use crate::recipe::Recipe;

/// The type; `None` for one that the format does not know.
pub(super) fn kind_of(stat: &Stat) -> Option<Kind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Directory),
        FileType::Symlink => Some(Kind::Symlink),
        FileType::CharacterDevice => Some(Kind::CharDevice),
        FileType::BlockDevice => Some(Kind::BlockDevice),
        FileType::Fifo => Some(Kind::Fifo),
        FileType::Socket => Some(Kind::Socket),
        FileType::Unknown => None,
    }
}

/// The entry, with nothing read yet.
pub(super) fn entry_of(path: Vec<u8>, kind: Kind, stat: &Stat) -> Entry {
    let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    let device = || u64::from(major(stat.st_rdev)) << 32 | u64::from(minor(stat.st_rdev));
    Entry {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if kind == Kind::File { stat.st_size as u64 } else { 0 },
        mtime: timestamp(stat.st_mtime, stat.st_mtime_nsec),
        ctime: timestamp(stat.st_ctime, stat.st_ctime_nsec),
        inode: stat.st_ino,
        link: Vec::new(),
        rdev: if is_device { device() } else { 0 },
        flags: 0,
        xattrs: Xattrs::default(),
        extents: Vec::new(),
        runs: Recipe::default(),
    }
}

/// Some file systems give nanoseconds out of range for times that were never set.
fn timestamp(seconds: i64, nanos: impl TryInto<u32>) -> Timestamp {
    Timestamp { seconds, nanos: nanos.try_into().unwrap_or(0).min(999_999_999) }
}
