//! Directories below the target, reached without following a link, and temporary files in them.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fgetxattr_query, fstat, openat,
    openat2, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, Result};
use rustix::process::geteuid;

use super::files::SharedFile;
use super::made::Identity;
use super::metadata::Handle;
use super::trail::Trail;
use crate::digest;

/// Directories that a thread keeps open: entries come in order, so nearly all need the last one, and there may be many
/// threads.
const OPEN_DIRECTORIES: usize = 4;
/// `openat2` takes no longer paths (PATH_MAX, with its NUL).
pub(super) const LONGEST_PATH: usize = 4095;
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const TEMPORARY: &str = ".warp-";
const PART: &str = ".part";
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// Nobody else may see a file before it is complete.
pub(super) const CREATION_MODE: u32 = 0o600;

/// A stored path's directory and name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

/// An open directory, and what new files inherit from it.
#[derive(Debug)]
pub(super) struct Directory {
    path: Vec<u8>,
    fd: OwnedFd,
    /// New files take its group.
    pub gives_group: bool,
    /// New files take an ACL from it, and no umask applies.
    pub gives_acl: bool,
}

impl Directory {
    fn from(path: &[u8], fd: OwnedFd) -> Result<Self> {
        let mode = fstat(&fd)?.st_mode;
        Ok(Self {
            path: path.to_vec(),
            gives_group: mode & 0o2000 != 0,
            gives_acl: fgetxattr_query(&fd, DEFAULT_ACL).is_ok(),
            fd,
        })
    }

    /// What `name` in it is; `None` if there is nothing. Links are not followed.
    pub fn look(&self, name: &[u8]) -> Result<Option<Stat>> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Remove `name`, no directory; it need not exist.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            result => result,
        }
    }

    /// Make something new at a temporary name, in the place of what a killed extraction left there.
    pub fn make<T>(&self, temporary: &[u8], make: impl Fn() -> Result<T>) -> Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                self.remove(temporary)?;
                make()
            }
            result => result,
        }
    }

    /// A new file, empty, open for writing.
    pub fn create(&self, temporary: &[u8], mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.make(temporary, || openat(&self.fd, temporary, flags, Mode::from_raw_mode(mode)))
    }

    /// A temporary file that was closed meanwhile; [`Errno::STALE`] if it is another now, or has further names.
    pub fn reopen(&self, temporary: &[u8], file: Identity) -> Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&self.fd, temporary, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        let is_it = Identity::of(&stat) == file && is_sole(&stat);
        if is_it { Ok(fd) } else { Err(Errno::STALE) }
    }

    /// The temporary file that an earlier try left, as it was created. What may be another's, or has further names, is none: it is
    /// removed. `owner`: who may have it besides us, for it may have got that already.
    pub fn left(&self, temporary: &[u8], owner: Option<u32>) -> Result<Option<Identity>> {
        let Some(stat) = self.look(temporary)? else { return Ok(None) };
        let is_ours = stat.st_uid == geteuid().as_raw() || owner == Some(stat.st_uid);
        if !is_sole(&stat) || !is_ours {
            return self.remove(temporary).map(|()| None);
        }
        let node = self.node(temporary)?;
        if Identity::of(&fstat(&node)?) != Identity::of(&stat) {
            return Err(Errno::STALE);
        }
        if stat.st_mode & 0o7777 != CREATION_MODE {
            Handle::node(&node).chmod(CREATION_MODE)?;
        }
        Ok(Some(Identity::of(&stat)))
    }

    /// Remove a temporary file if it is still this one.
    pub fn discard(&self, temporary: &[u8], file: Identity) -> Result<()> {
        let there = self.look(temporary)?;
        if there.is_some_and(|stat| Identity::of(&stat) == file) { self.remove(temporary) } else { Ok(()) }
    }

    /// Whatever is at `name`, itself, to be dressed by its descriptor.
    pub fn node(&self, name: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty())
    }

    /// Give what is complete its name, in the place of another unless `keep`; [`Errno::EXIST`] if that kept one.
    pub fn publish(&self, temporary: &[u8], name: &[u8], keep: bool) -> Result<()> {
        if !keep {
            return renameat(&self.fd, temporary, &self.fd, name);
        }
        let exclusive = RenameFlags::NOREPLACE;
        match renameat_with(&self.fd, temporary, &self.fd, name, exclusive) {
            // Some file systems cannot.
            Err(Errno::INVAL | Errno::NOSYS) => match self.look(name)? {
                Some(_) => Err(Errno::EXIST),
                None => renameat(&self.fd, temporary, &self.fd, name),
            },
            result => result,
        }
    }
}

/// A regular file with one name.
fn is_sole(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The directories that a thread used last.
pub(super) struct Directories {
    root: Arc<OwnedFd>,
    open: VecDeque<Directory>,
    trail: Trail,
    /// Of what is opened for itself.
    others: Trail,
}

impl Directories {
    pub fn new(root: Arc<OwnedFd>) -> Self {
        let open = VecDeque::with_capacity(OPEN_DIRECTORIES + 1);
        Self { root, open, trail: Trail::default(), others: Trail::default() }
    }

    /// The directory at a stored path.
    ///
    /// # Errors
    /// The system's; [`Errno::LOOP`] or [`Errno::NOTDIR`] if any component is a link.
    pub fn get(&mut self, path: &[u8]) -> Result<&Directory> {
        let found = self.open.iter().position(|open| open.path == path);
        match found {
            Some(0) => {}
            Some(at) => self.open.swap(0, at),
            None => {
                let root = self.root.as_fd();
                let directory = Directory::from(path, self.trail.open(root, path)?)?;
                self.open.push_front(directory);
                self.open.truncate(OPEN_DIRECTORIES);
            }
        }
        self.open.front().ok_or(Errno::NOENT)
    }

    /// The same, of its own: the cache holds one directory still only until the next is asked for.
    ///
    /// # Errors
    /// As [`Directories::get`].
    pub fn open(&mut self, path: &[u8]) -> Result<OwnedFd> {
        self.others.open(self.root.as_fd(), path)
    }
}

/// Open the directory at a stored path below `root`; no component may be a link.
pub(super) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    match open_with(root, path, DIRECTORY) {
        // One that may be searched, but not listed, will do.
        Err(Errno::ACCESS) => open_with(root, path, DIRECTORY | OFlags::PATH),
        result => result,
    }
}

fn open_with(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    if path.is_empty() {
        return openat(root, ".", flags, Mode::empty());
    }
    if path.len() > LONGEST_PATH {
        return walk(root, path, flags);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        // An old kernel, or a filter that knows no openat2.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => walk(root, path, flags),
        result => result,
    }
}

/// The same, a component at a time.
fn walk(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let (parents, last) = split(path);
    let mut at: Option<OwnedFd> = None;
    let down = DIRECTORY | OFlags::PATH;
    for name in parents.split(|byte| *byte == b'/').filter(|n| !n.is_empty()) {
        let from = at.as_ref().map_or(root, AsFd::as_fd);
        at = Some(openat(from, name, down, Mode::empty())?);
    }
    openat(at.as_ref().map_or(root, AsFd::as_fd), last, flags, Mode::empty())
}

/// Names of temporary files: `.warp-<tag>-<hash of the stored path>.part`, the same for each try of an extraction. Whoever sends a
/// tree does not know the tag, so that nothing of it can be put there beforehand.
#[derive(Clone, Debug)]
pub(super) struct TemporaryNames {
    prefix: String,
    /// Names of others that look alike are refused too.
    strict: bool,
}

impl TemporaryNames {
    pub fn new(tag: &[u8; 8], strict: bool) -> Self {
        let prefix = format!("{TEMPORARY}{:016x}-", u64::from_be_bytes(*tag));
        Self { prefix, strict }
    }

    /// The name for an entry: 64 bits of hash, so that no two files of one directory meet.
    pub fn name(&self, path: &[u8]) -> Vec<u8> {
        let digest = digest::hash(path);
        let hash = u64::from_be_bytes(std::array::from_fn(|i| digest[i]));
        format!("{}{hash:016x}{PART}", self.prefix).into_bytes()
    }

    /// The name for a file that several pieces make up; one that began anew leaves that of before as it is.
    pub fn of(&self, file: &SharedFile) -> Vec<u8> {
        self.name_of(&file.entry().path, file.begun())
    }

    /// The same for a file that was begun so many times before.
    pub fn name_of(&self, path: &[u8], begun: u32) -> Vec<u8> {
        match begun {
            0 => self.name(path),
            // No path has a NUL.
            times => self.name(&[path, b"\0", &times.to_le_bytes()].concat()),
        }
    }

    /// Whether an entry's own name is one of these.
    pub fn has(&self, path: &[u8]) -> bool {
        let name = split(path).1;
        if !self.strict {
            return name.starts_with(self.prefix.as_bytes());
        }
        let middle = name.strip_prefix(TEMPORARY.as_bytes());
        let middle = middle.and_then(|rest| rest.strip_suffix(PART.as_bytes()));
        middle.is_some_and(|middle| middle.len() == 33 && middle.get(16) == Some(&b'-'))
    }
}
