//! Walks trees in archive order and opens what was found.
//!
//! Excludes are matched against paths below each root, so `/target` means the one at the top of every root; a root itself
//! is never excluded.

mod finder;
mod listing;
mod record;
mod root;
mod walker;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{OFlags, readlinkat};

use crate::attributes::{XattrSource, XattrSupport};
use crate::entry::{Entry, Kind, Xattrs};
use crate::matcher::Matcher;
pub use finder::Finder;
pub use root::{Opener, RootDirectory};
pub use walker::Walker;

/// A tree, or a single object, to be walked.
#[derive(Clone, Debug)]
pub struct Root {
    /// Stored path; empty if the directory is to be the archive's root.
    pub stored: Vec<u8>,
    /// Path on disk.
    pub path: PathBuf,
}

/// What to walk and what to leave out.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// Ascending by stored path; none lies in another.
    pub roots: Vec<Root>,
    /// What is left out, by path below its root.
    pub excludes: Matcher,
    /// Leave out the content of directories that a `CACHEDIR.TAG` marks as caches; they and their tags stay.
    pub exclude_caches: bool,
    /// Leave out the content of directories on other file systems than their root's.
    pub one_file_system: bool,
    /// Objects, as (`st_dev`, `st_ino`), that are left out: the archive itself.
    pub skip: Vec<(u64, u64)>,
}

/// An object found by a walk, not yet read.
#[derive(Clone, Debug)]
pub struct WalkEntry {
    /// What `stat` tells of it. Content, extended attributes and a symbolic link's target are still to be read, unless
    /// `reused`. A hard link is readable like the file that it links to, should that have vanished since.
    pub entry: Entry,
    /// The root that it was found below.
    pub root: Arc<RootDirectory>,
    /// `st_dev`.
    pub device: u64,
    /// Allocated blocks of 512 bytes: fewer than its size needs if it is sparse.
    pub blocks: u64,
    /// Unchanged since an earlier snapshot, from which it has all that would be read.
    pub reused: bool,
}

impl WalkEntry {
    /// Open a regular file for reading, if possible without a change of its access time.
    ///
    /// It is opened where it was found and through no symbolic link, but may have been replaced: the caller compares
    /// `fstat` with the entry. What replaced it can't block the caller.
    pub fn open(&self, opener: &mut Opener) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(opener.open(&self.root, &self.entry.path, flags)?)
    }

    /// Read a symbolic link's target.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        let link = self.root.open_exactly(&self.entry.path, OFlags::PATH)?;
        Ok(readlinkat(&link, "", Vec::new())?.into_bytes())
    }

    /// Read the extended attributes: from `file` if it is open already, else from where the object was found.
    pub fn xattrs(&self, support: &XattrSupport, file: Option<BorrowedFd<'_>>) -> io::Result<Xattrs> {
        if !support.supports(self.device) {
            return Ok(Xattrs::default());
        }
        if let Some(file) = file {
            return support.read(self.device, &XattrSource::Descriptor(file));
        }
        if self.entry.kind == Kind::Directory
            && let Ok(directory) =
                self.root.open_quietly(&self.entry.path, OFlags::RDONLY | OFlags::DIRECTORY)
        {
            return support.read(self.device, &XattrSource::Descriptor(directory.as_fd()));
        }
        let handle = self.root.open_exactly(&self.entry.path, OFlags::PATH)?;
        support.read(self.device, &XattrSource::handle(handle.as_fd()))
    }
}

/// An object that is missing from the walk, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path on disk.
    pub path: Vec<u8>,
    /// The operation that failed.
    pub what: String,
    /// The system's reason.
    pub errno: i32,
}

/// Consecutive entries of a walk.
#[derive(Clone, Debug, Default)]
pub struct WalkBatch {
    /// In archive order.
    pub entries: Vec<WalkEntry>,
}

impl WalkBatch {
    /// Logical bytes of its regular files, further names not counted.
    pub fn size(&self) -> u64 {
        let files = self.entries.iter().filter(|found| found.entry.kind == Kind::File);
        files.fold(0, |bytes, file| bytes.saturating_add(file.entry.size))
    }

    /// Stored path of its last entry; empty if it has none.
    pub fn last_path(&self) -> &[u8] {
        self.entries.last().map_or(&[], |found| &found.entry.path)
    }
}

#[cfg(test)]
pub(crate) mod tests;
