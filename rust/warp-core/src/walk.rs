//! Walking trees in archive order.
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use crate::Result;
use crate::attributes::XattrSupport;
use crate::entry::{Entry, Xattrs};
use crate::matcher::Matcher;

/// A tree, or a single object, to be walked.
#[derive(Clone, Debug)]
pub struct Root {
    /// Stored path; empty for the tree's root itself.
    pub stored: Vec<u8>,
    /// Path on disk.
    pub path: PathBuf,
}

/// What to walk and what to leave out.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// Sorted by stored path, disjoint.
    pub roots: Vec<Root>,
    /// Patterns of what is left out, against paths relative to each root.
    pub excludes: Matcher,
    /// Leave out what is in directories marked by a `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Do not descend into other file systems.
    pub one_file_system: bool,
    /// Objects (st_dev, st_ino) that are left out.
    pub skip: Vec<(u64, u64)>,
}

/// An opened root.
#[derive(Debug)]
pub struct RootDirectory {}

/// An object found by a walk.
#[derive(Clone, Debug)]
pub struct WalkEntry {
    /// Its record; symbolic links have no target, nothing has attributes or a recipe yet.
    pub entry: Entry,
    /// Where it was found.
    pub root: Arc<RootDirectory>,
    /// `st_dev`.
    pub device: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Recipe, attributes and target are those of an earlier snapshot: nothing is read.
    pub reused: bool,
}

impl WalkEntry {
    /// Open the regular file for reading.
    pub fn open(&self) -> io::Result<OwnedFd> {
        todo!()
    }
    /// The symbolic link's target.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        todo!()
    }
    /// Extended attributes.
    pub fn xattrs(
        &self,
        _support: &XattrSupport,
        _file: Option<BorrowedFd<'_>>,
    ) -> io::Result<Xattrs> {
        todo!()
    }
}

/// Something that could not be walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path on disk.
    pub path: Vec<u8>,
    /// The operation that failed.
    pub what: String,
    /// The system's reason.
    pub errno: i32,
}

/// Entries found by a walk, not yet read.
#[derive(Clone, Debug, Default)]
pub struct WalkBatch {
    /// In archive order.
    pub entries: Vec<WalkEntry>,
}

impl WalkBatch {
    /// Logical bytes of its files.
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// Stored path of its last entry; empty if it has none.
    pub fn last_path(&self) -> &[u8] {
        todo!()
    }
}

/// A walk in archive order.
#[derive(Debug)]
pub struct Walker {}

impl Walker {
    /// Open the roots.
    pub fn new(_options: WalkOptions) -> Result<Self> {
        todo!()
    }
    /// The next 1 to `max_entries` entries; `None` at the end.
    pub fn next(&mut self, _max_entries: usize) -> Result<Option<WalkBatch>> {
        todo!()
    }
    /// What went wrong since the last call.
    pub fn problems(&mut self) -> Vec<Problem> {
        todo!()
    }
}
