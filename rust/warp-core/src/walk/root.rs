//! Opening what a walk found, later and from other threads, without being led astray.
//!
//! A root stays open; everything below it is opened relative to it and through no symbolic link (`openat2(2)`), so whoever
//! may write in the tree can't make a reader leave it by swapping a directory for a link.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, statat};
use rustix::io::Errno;

use super::Root;

/// The kernel takes paths shorter than this, its NUL included (PATH_MAX).
const PATH_MAX: usize = 4_096;

/// A directory to open other things from; it need not be readable.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Set once the kernel turns out to lack `openat2` (before Linux 5.6).
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// An opened root: a directory that stays open, and where the root lies in it.
#[derive(Debug)]
pub struct RootDirectory {
    /// The directory that holds the root, or the root itself.
    directory: Arc<OwnedFd>,
    /// Name of the root in `directory`; empty if that is the root.
    name: Vec<u8>,
    path: PathBuf,
    stored: Vec<u8>,
    /// Whether reading need not change access times; the kernel allows it for one's own files only.
    quiet: AtomicBool,
}

/// Opens roots; neighbours in one directory share its descriptor, so that their number is not limited by descriptors.
#[derive(Debug, Default)]
pub(super) struct RootOpener {
    last: Option<(PathBuf, Arc<OwnedFd>)>,
}

impl RootOpener {
    /// Open a root and look at it. A symbolic link is an object of its own, unless it is to be the tree's root or ends
    /// in `/`.
    pub fn open(&mut self, root: &Root) -> rustix::io::Result<(RootDirectory, Stat)> {
        let opened = |directory, name: &[u8]| {
            let (path, stored, quiet) = (root.path.clone(), root.stored.clone(), AtomicBool::new(true));
            RootDirectory { directory, name: name.to_vec(), path, stored, quiet }
        };
        if let Some(name) = root.path.file_name().filter(|_| !root.stored.is_empty()) {
            let directory = self.parent(&root.path)?;
            let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            if !(is_link && root.path.as_os_str().as_bytes().ends_with(b"/")) {
                return Ok((opened(directory, name.as_bytes()), stat));
            }
        }
        let directory = openat(CWD, &root.path, DIRECTORY, Mode::empty())?;
        let stat = fstat(&directory)?;
        Ok((opened(Arc::new(directory), b""), stat))
    }

    fn parent(&mut self, path: &Path) -> rustix::io::Result<Arc<OwnedFd>> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Some((_, directory)) = self.last.as_ref().filter(|(path, _)| path == parent) {
            return Ok(directory.clone());
        }
        let directory = Arc::new(openat(CWD, parent, DIRECTORY, Mode::empty())?);
        self.last = Some((parent.to_owned(), directory.clone()));
        Ok(directory)
    }
}

impl RootDirectory {
    /// Where a stored path of this root lies below its directory.
    fn relative<'a>(&self, stored: &'a [u8]) -> Cow<'a, [u8]> {
        let below = self.below(stored);
        if self.name.is_empty() {
            return Cow::Borrowed(if below.is_empty() { b"." } else { below });
        }
        // Most roots are stored under their own name: then the path is there already.
        if let Some(start) = self.stored.strip_suffix(self.name.as_slice()) {
            return Cow::Borrowed(stored.get(start.len()..).unwrap_or_default());
        }
        let parts = [self.name.as_slice(), below];
        Cow::Owned(if below.is_empty() { self.name.clone() } else { parts.join(&b'/') })
    }

    /// The part of a stored path below this root; empty for the root.
    pub(super) fn below<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        let below = stored.get(self.stored.len()..).unwrap_or_default();
        below.strip_prefix(b"/").unwrap_or(below)
    }

    /// Path on disk of a stored path, to show to people.
    pub(super) fn on_disk(&self, stored: &[u8]) -> Vec<u8> {
        let mut path = self.path.as_os_str().as_bytes().to_vec();
        let below = self.below(stored);
        if !below.is_empty() {
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(below);
        }
        path
    }

    /// Open for reading, below this root, without a change of access times where that is allowed.
    pub(super) fn open_quietly(&self, stored: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = self.relative(stored);
        self.quietly(flags, |flags| open_beneath(self.directory.as_fd(), &path, flags))
    }

    /// Open with exactly these flags, below this root.
    pub(super) fn open_exactly(&self, stored: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        open_beneath(self.directory.as_fd(), &self.relative(stored), flags)
    }

    /// Call with `O_NOATIME`, and without it where the kernel refuses it to us, from then on.
    pub(super) fn quietly<T>(
        &self,
        flags: OFlags,
        open: impl Fn(OFlags) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        if self.quiet.load(Ordering::Relaxed) {
            match open(flags | OFlags::NOATIME) {
                Err(Errno::PERM) => {}
                other => return other,
            }
        }
        let opened = open(flags)?;
        self.quiet.store(false, Ordering::Relaxed);
        Ok(opened)
    }
}

/// Opens files one after another: further ones of a directory from there, which spares the kernel the way down.
#[derive(Debug, Default)]
pub struct Opener {
    root: Option<Arc<RootDirectory>>,
    /// Stored path of the directory that held the last file.
    parent: Vec<u8>,
    directory: Option<OwnedFd>,
}

impl Opener {
    /// Open for reading, below the root, as [`RootDirectory::open_quietly`] does.
    pub(super) fn open(
        &mut self,
        root: &Arc<RootDirectory>,
        stored: &[u8],
        flags: OFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let (parent, name) = split_name(stored);
        if !self.is_at(root, parent) {
            self.root = Some(Arc::clone(root));
            self.parent.clear();
            self.parent.extend_from_slice(parent);
            self.directory = None;
            return root.open_quietly(stored, flags);
        }
        if self.directory.is_none() {
            self.directory = root.open_exactly(parent, DIRECTORY).ok();
        }
        match &self.directory {
            Some(directory) => root.quietly(flags, |flags| open_beneath(directory.as_fd(), name, flags)),
            None => root.open_quietly(stored, flags),
        }
    }

    fn is_at(&self, root: &Arc<RootDirectory>, parent: &[u8]) -> bool {
        self.root.as_ref().is_some_and(|last| Arc::ptr_eq(last, root)) && self.parent == parent
    }
}

/// The directory and the last component of a stored path.
fn split_name(stored: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = stored.rsplitn(2, |byte| *byte == b'/');
    let name = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), name)
}

/// Open a path of any length below `directory`, through no symbolic link.
fn open_beneath(directory: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut rest = path;
    let mut held: Option<OwnedFd> = None;
    while rest.len() >= PATH_MAX {
        let head = rest.get(..PATH_MAX - 1).unwrap_or_default();
        let slash = head.iter().rposition(|byte| *byte == b'/').ok_or(Errno::NAMETOOLONG)?;
        let (head, tail) = rest.split_at_checked(slash).ok_or(Errno::NAMETOOLONG)?;
        let from = held.as_ref().map_or(directory, AsFd::as_fd);
        held = Some(open_short(from, head, OFlags::PATH | OFlags::DIRECTORY)?);
        rest = tail.strip_prefix(b"/").unwrap_or(tail);
    }
    open_short(held.as_ref().map_or(directory, AsFd::as_fd), rest, flags)
}

fn open_short(directory: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(directory, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS) => WITHOUT_OPENAT2.store(true, Ordering::Relaxed),
            other => return other,
        }
    }
    open_by_component(directory, path, flags)
}

/// What `openat2` does in one call, for kernels without it.
fn open_by_component(directory: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut names = path.split(|byte| *byte == b'/').peekable();
    let mut held: Option<OwnedFd> = None;
    while let Some(name) = names.next() {
        let from = held.as_ref().map_or(directory, AsFd::as_fd);
        let flags = if names.peek().is_some() { step } else { flags };
        held = Some(openat(from, name, flags, Mode::empty())?);
    }
    held.ok_or(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;
    use std::fs;

    #[test]
    fn neighbours_are_opened_from_their_directory_and_through_no_link() {
        let scratch = Scratch::new("neighbours");
        let tree = scratch.path();
        fs::create_dir_all(tree.join("t/d")).unwrap();
        for name in ["t/a", "t/b", "t/d/a", "t/d/b", "t/d/c"] {
            fs::write(tree.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("a", tree.join("t/d/l")).unwrap();
        for stored in ["t", "elsewhere/tree", ""] {
            let root = Root { stored: stored.into(), path: tree.join("t") };
            let root = Arc::new(RootOpener::default().open(&root).unwrap().0);
            let mut opener = Opener::default();
            for name in ["a", "b", "d/a", "d/b", "d/c", "d/l"] {
                let path = if stored.is_empty() { name.into() } else { format!("{stored}/{name}") };
                let opened = opener.open(&root, path.as_bytes(), OFlags::RDONLY);
                if name == "d/l" {
                    assert_eq!(opened.unwrap_err(), Errno::LOOP);
                    continue;
                }
                let content = std::io::read_to_string(fs::File::from(opened.unwrap())).unwrap();
                assert_eq!(content, format!("t/{name}"), "{path}");
            }
        }
    }

    #[test]
    fn no_symbolic_link_leads_out_or_astray() {
        let scratch = Scratch::new("beneath");
        let tree = scratch.path();
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/f"), "x").unwrap();
        std::os::unix::fs::symlink("a", tree.join("l")).unwrap();
        std::os::unix::fs::symlink("f", tree.join("a/b/m")).unwrap();
        let directory = openat(CWD, tree, OFlags::PATH, Mode::empty()).unwrap();
        for open in [open_short, open_by_component] {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
            assert!(open(directory.as_fd(), b"a/b/f", flags).is_ok());
            for astray in [&b"l/b/f"[..], b"a/b/m"] {
                let refused = open(directory.as_fd(), astray, flags).unwrap_err();
                assert!(matches!(refused, Errno::LOOP | Errno::NOTDIR), "{refused:?}");
            }
        }
    }
}
