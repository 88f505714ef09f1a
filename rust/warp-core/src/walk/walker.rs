//! The walk: depth first, the names of a directory sorted bytewise, a directory before what is in it.
//!
//! One sweep lists a directory and one call looks at each entry, both relative to the open directory. The way down is an
//! explicit stack of which only the innermost directories stay open, so neither the depth of a tree nor the length of its
//! paths is limited by the thread's stack, by descriptors or by PATH_MAX.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::vec::IntoIter;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, lstat, openat, statat};
use rustix::io::Errno;

use super::listing::{Listing, ListingBuffer};
use super::record::{entry_of, kind_of};
use super::root::{RootDirectory, RootOpener};
use super::{Problem, Root, WalkBatch, WalkEntry, WalkOptions};
use crate::entry::{Entry, Kind};
use crate::paths::{MAX_PATH, compare_paths, is_below, is_stored_path};
use crate::{Error, Result};

/// Directories kept open on the way down; the others are opened again on the way back.
const OPEN_LEVELS: usize = 32;
/// Memory that a batch sets aside at first, in entries.
const FIRST_BATCH: usize = 4_096;
/// Name and first bytes of the file that marks a cache (bford.info/cachedir).
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";
const LIST: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way down.
#[derive(Debug)]
struct Level {
    /// `None` while it is far up, or for ever if it could not be opened again.
    directory: Option<OwnedFd>,
    identity: (u64, u64),
    /// Bytes of its stored path.
    path_length: usize,
    listing: Listing,
}

/// The first name of a file with several.
#[derive(Debug)]
struct FirstName {
    path: Vec<u8>,
    names_left: u64,
}

/// A walk over roots in archive order.
#[derive(Debug)]
pub struct Walker {
    options: WalkOptions,
    roots: IntoIter<Root>,
    opener: RootOpener,
    root: Option<Arc<RootDirectory>>,
    root_device: u64,
    levels: Vec<Level>,
    /// Stored path of what is looked at; a child of the last level.
    path: Vec<u8>,
    names: HashMap<(u64, u64), FirstName>,
    problems: Vec<Problem>,
    used_excludes: HashSet<String>,
    spare: Vec<Listing>,
    buffer: ListingBuffer,
}

impl Walker {
    /// Check the roots: [`Error::Parameter`] if they are not sorted, disjoint and of valid stored paths, [`Error::Io`]
    /// if one does not exist.
    pub fn new(mut options: WalkOptions) -> Result<Self> {
        let roots = std::mem::take(&mut options.roots);
        for root in &roots {
            if !is_stored_path(&root.stored) {
                return Err(Error::Parameter(format!("stored path `{}`", root.stored.escape_ascii())));
            }
            lstat(&root.path).map_err(|errno| Error::io(root.path.display().to_string(), errno))?;
        }
        for pair in roots.windows(2) {
            let [a, b] = pair else { continue };
            if compare_paths(&a.stored, &b.stored).is_ge() || is_below(&b.stored, &a.stored) {
                let (a, b) = (a.stored.escape_ascii(), b.stored.escape_ascii());
                return Err(Error::Parameter(format!("roots `{a}` and `{b}`: not sorted and disjoint")));
            }
        }
        Ok(Self {
            options,
            roots: roots.into_iter(),
            opener: RootOpener::default(),
            root: None,
            root_device: 0,
            levels: Vec::new(),
            path: Vec::new(),
            names: HashMap::new(),
            problems: Vec::new(),
            used_excludes: HashSet::new(),
            spare: Vec::new(),
            buffer: ListingBuffer::default(),
        })
    }

    /// The next entries, from one to `max_entries` of them; `None` at the end.
    pub fn next(&mut self, max_entries: usize) -> Result<Option<WalkBatch>> {
        if max_entries == 0 {
            return Err(Error::Parameter("batch of no entries".into()));
        }
        let mut entries = Vec::with_capacity(max_entries.min(FIRST_BATCH));
        while entries.len() < max_entries
            && let Some(entry) = self.advance()
        {
            entries.push(entry);
        }
        Ok((!entries.is_empty()).then_some(WalkBatch { entries }))
    }

    /// What could not be walked, since the last call.
    pub fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    fn advance(&mut self) -> Option<WalkEntry> {
        loop {
            let found = if self.levels.is_empty() {
                let root = self.roots.next()?;
                self.start(root)
            } else if let Some(kind) = self.next_name() {
                self.look(kind)
            } else {
                self.leave();
                None
            };
            if found.is_some() {
                return found;
            }
        }
    }

    fn start(&mut self, root: Root) -> Option<WalkEntry> {
        match self.opener.open(&root) {
            Ok((directory, stat)) => {
                self.root = Some(Arc::new(directory));
                self.root_device = stat.st_dev;
                self.path = root.stored;
                self.found(&stat)
            }
            Err(errno) => {
                let path = root.path.as_os_str().as_bytes().to_vec();
                self.problems.push(Problem { path, what: "open".into(), errno: errno.raw_os_error() });
                None
            }
        }
    }

    /// Put the innermost directory's next name into `path`; its type, as far as the directory tells.
    fn next_name(&mut self) -> Option<FileType> {
        let level = self.levels.last_mut()?;
        let (name, kind) = level.listing.next()?;
        self.path.truncate(level.path_length);
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        Some(kind)
    }

    fn look(&mut self, kind: FileType) -> Option<WalkEntry> {
        // Before the object is looked at: an excluded mount point may hang.
        if kind != FileType::Unknown && self.is_excluded(kind) {
            return None;
        }
        let directory = self.levels.last()?.directory.as_ref()?;
        match statat(directory, self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat)
                if kind == FileType::Unknown && self.is_excluded(FileType::from_raw_mode(stat.st_mode)) =>
            {
                None
            }
            Ok(_) if self.path.len() > MAX_PATH => self.problem("store path", Errno::NAMETOOLONG),
            Ok(stat) => self.found(&stat),
            Err(errno) => self.problem("stat", errno),
        }
    }

    /// The patterns that left something out so far.
    pub fn used_excludes(&self) -> &HashSet<String> {
        &self.used_excludes
    }

    /// The last component of `path`.
    fn name(&self) -> &[u8] {
        let start =
            self.levels.last().map_or(0, |level| level.path_length + usize::from(level.path_length > 0));
        self.path.get(start..).unwrap_or_default()
    }

    fn is_excluded(&mut self, kind: FileType) -> bool {
        let (excludes, Some(root)) = (&self.options.excludes, &self.root) else { return false };
        if excludes.is_empty() {
            return false;
        }
        let deciding = excludes.deciding(root.below(&self.path), kind.is_dir());
        if let Some(pattern) = deciding
            && !self.used_excludes.contains(pattern)
        {
            self.used_excludes.insert(pattern.to_owned());
        }
        deciding.is_some()
    }

    /// Record the object at `path`, and go into it if it is a directory.
    fn found(&mut self, stat: &Stat) -> Option<WalkEntry> {
        if self.options.skip.contains(&(stat.st_dev, stat.st_ino)) {
            return None;
        }
        let Some(kind) = kind_of(stat) else {
            return self.problem("tell the type", Errno::OPNOTSUPP);
        };
        let mut entry = entry_of(self.path.clone(), kind, stat);
        if kind == Kind::File && stat.st_nlink > 1 {
            self.link_to_first_name(&mut entry, stat);
        }
        if kind == Kind::Directory && !(self.options.one_file_system && stat.st_dev != self.root_device) {
            self.enter(stat);
        }
        let (device, blocks) = (stat.st_dev, stat.st_blocks as u64);
        Some(WalkEntry { entry, root: self.root.clone()?, device, blocks, reused: false })
    }

    /// The first name of a file in the walk's order holds its content, the others refer to that.
    fn link_to_first_name(&mut self, entry: &mut Entry, stat: &Stat) {
        #[allow(clippy::unnecessary_cast, reason = "its width depends on the architecture")]
        let names = stat.st_nlink as u64;
        let identity = (stat.st_dev, stat.st_ino);
        let Some(first) = self.names.get_mut(&identity) else {
            let first = FirstName { path: entry.path.clone(), names_left: names - 1 };
            self.names.insert(identity, first);
            return;
        };
        entry.kind = Kind::Hardlink;
        first.names_left -= 1;
        if first.names_left > 0 {
            entry.link.clone_from(&first.path);
        } else if let Some(first) = self.names.remove(&identity) {
            entry.link = first.path;
        }
    }

    fn enter(&mut self, stat: &Stat) {
        let Some(root) = self.root.as_ref() else {
            return;
        };
        let opened = match self.levels.last() {
            Some(Level { directory: Some(directory), .. }) => {
                root.quietly(LIST, |flags| openat(directory, self.name(), flags, Mode::empty()))
            }
            _ => root.open_quietly(&self.path, LIST),
        };
        let directory = match opened {
            Ok(directory) => directory,
            Err(errno) => return drop(self.problem("open directory", errno)),
        };
        let mut listing = self.spare.pop().unwrap_or_default();
        if let Err(errno) = listing.read(&directory, &mut self.buffer) {
            self.problem("read directory", errno);
        }
        if self.options.exclude_caches && listing.contains(CACHE_TAG) && has_cache_tag(&directory) {
            listing.keep_only(CACHE_TAG);
        }
        let identity = (stat.st_dev, stat.st_ino);
        self.levels.push(Level {
            directory: Some(directory),
            identity,
            path_length: self.path.len(),
            listing,
        });
        let far = self.levels.len().checked_sub(OPEN_LEVELS + 1);
        if let Some(level) = far.and_then(|far| self.levels.get_mut(far)) {
            level.directory = None;
        }
    }

    /// Go back from a directory whose names are all done.
    fn leave(&mut self) {
        let Some(done) = self.levels.pop() else {
            return;
        };
        self.spare.push(done.listing);
        let Some(level) = self.levels.last().filter(|level| level.directory.is_none()) else {
            return;
        };
        self.path.truncate(level.path_length);
        let above = |below: &OwnedFd| {
            openat(below, "..", LIST, Mode::empty()).ok().filter(|fd| is(fd, level.identity))
        };
        let by_path = || {
            let opened = self.root.as_ref()?.open_exactly(&self.path, LIST).ok();
            opened.filter(|fd| is(fd, level.identity))
        };
        let opened = done.directory.as_ref().and_then(above).or_else(by_path);
        if opened.is_none() {
            self.problem("return to directory", Errno::NOENT);
        }
        if let Some(level) = self.levels.last_mut() {
            if opened.is_none() {
                level.listing.clear();
            }
            level.directory = opened;
        }
    }

    /// Note what went wrong with the object at `path`, which is then left out.
    fn problem(&mut self, what: &str, errno: Errno) -> Option<WalkEntry> {
        let path = self.root.as_ref().map_or_else(Vec::new, |root| root.on_disk(&self.path));
        self.problems.push(Problem { path, what: what.into(), errno: errno.raw_os_error() });
        None
    }
}

/// Whether this descriptor is of the object with this device and inode.
fn is(fd: &OwnedFd, identity: (u64, u64)) -> bool {
    fstat(fd).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == identity)
}

/// Whether the directory's `CACHEDIR.TAG` is a real one.
fn has_cache_tag(directory: impl AsFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(tag) = openat(directory, CACHE_TAG, flags, Mode::empty()) else {
        return false;
    };
    let mut head = [0; CACHE_SIGNATURE.len()];
    rustix::io::read(&tag, &mut head).is_ok_and(|length| length == head.len()) && head == *CACHE_SIGNATURE
}
