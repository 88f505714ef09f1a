//! The way down to directories whose paths are too long to be opened at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Result;

use super::beneath::{DIRECTORY, LONGEST_PATH, open_directory, split};

/// Directories above the last path that was too long to be opened at once: without them each further one would cost a walk
/// from the top, and a tree of 32,768 levels half a thousand million of steps.
///
/// Kept are those at about a power of two of levels above its end, so going down or up a level costs a few steps.
#[derive(Debug, Default)]
pub(super) struct Trail {
    path: Vec<u8>,
    /// Length of the path of each, ascending, its level, and the directory.
    kept: Vec<(usize, usize, OwnedFd)>,
}

impl Trail {
    /// Open the directory at a stored path below `root`.
    ///
    /// # Errors
    /// The system's; [`Errno::LOOP`] or [`Errno::NOTDIR`] if any component is a link.
    ///
    /// [`Errno::LOOP`]: rustix::io::Errno::LOOP
    /// [`Errno::NOTDIR`]: rustix::io::Errno::NOTDIR
    pub fn open(&mut self, root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
        if path.len() <= LONGEST_PATH {
            return open_directory(root, path);
        }
        let (parent, name) = split(path);
        open_directory(self.walk(root, parent)?, name)
    }

    /// The directory at a stored path; no component may be a link.
    fn walk<'a>(&'a mut self, root: BorrowedFd<'a>, path: &[u8]) -> Result<BorrowedFd<'a>> {
        let shared = self.path.iter().zip(path).take_while(|(one, other)| one == other).count();
        let is_above = |end: usize| end == path.len() || path.get(end) == Some(&b'/');
        self.kept.retain(|(end, ..)| *end <= shared && is_above(*end));
        self.path.clear();
        self.path.extend_from_slice(path);
        let start = self.kept.last().map_or(0, |(end, ..)| end + 1);
        let rest = path.get(start..).unwrap_or_default();
        let names: Vec<_> = rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let (mut end, mut level) = self.kept.last().map_or((0, 0), |(end, level, _)| (*end, *level));
        for (number, name) in names.iter().enumerate() {
            let from = self.kept.last().map_or(root, |(.., fd)| fd.as_fd());
            let next = openat(from, *name, DIRECTORY | OFlags::PATH, Mode::empty())?;
            let above = names.len() - number;
            if number > 0 && !above.is_power_of_two() {
                self.kept.pop();
            }
            (end, level) = (end + usize::from(end > 0) + name.len(), level + 1);
            self.kept.push((end, level, next));
        }
        self.thin(level);
        Ok(self.kept.last().map_or(root, |(.., fd)| fd.as_fd()))
    }

    /// Keep two at most in each span of levels above `deepest` that ends at a power of two.
    fn thin(&mut self, deepest: usize) {
        let mut spans = [0_u8; usize::BITS as usize + 1];
        let mut spare = Vec::new();
        for (at, (_, level, _)) in self.kept.iter().enumerate().rev() {
            let span = (usize::BITS - (deepest - level).leading_zeros()) as usize;
            spans[span] = spans[span].saturating_add(1);
            if spans[span] > 2 {
                spare.push(at);
            }
        }
        for at in spare {
            self.kept.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{fstat, mkdirat, symlinkat};
    use rustix::io::Errno;

    use super::*;
    use crate::walk::tests::Scratch;

    /// A path of so many levels, each of the name `level`.
    fn path(levels: usize) -> Vec<u8> {
        vec![b"level".as_slice(); levels].join(&b'/')
    }

    #[test]
    fn going_down_and_up_a_deep_tree_holds_few_directories_and_finds_each() {
        const LEVELS: usize = 1_500;
        let scratch = Scratch::new("trail");
        let root = OwnedFd::from(std::fs::File::open(scratch.path()).unwrap());
        let mut trail = Trail::default();
        let mut inodes = vec![fstat(&root).unwrap().st_ino];
        for levels in 1..=LEVELS {
            let parent = trail.open(root.as_fd(), &path(levels - 1)).unwrap();
            mkdirat(&parent, "level", Mode::RWXU).unwrap();
            inodes.push(fstat(trail.open(root.as_fd(), &path(levels)).unwrap()).unwrap().st_ino);
            assert!(trail.kept.len() <= 24, "{} directories are held", trail.kept.len());
        }
        for levels in (0..=LEVELS).rev() {
            let opened = trail.open(root.as_fd(), &path(levels)).unwrap();
            assert_eq!(fstat(&opened).unwrap().st_ino, inodes[levels]);
            assert!(trail.kept.len() <= 24, "{} directories are held", trail.kept.len());
        }
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let scratch = Scratch::new("trail");
        let root = OwnedFd::from(std::fs::File::open(scratch.path()).unwrap());
        let mut trail = Trail::default();
        for levels in 1..=1_000 {
            let parent = trail.open(root.as_fd(), &path(levels - 1)).unwrap();
            mkdirat(&parent, "level", Mode::RWXU).unwrap();
        }
        let above = trail.open(root.as_fd(), &path(900)).unwrap();
        symlinkat("level", &above, "link").unwrap();
        let through = [path(900), b"link".to_vec(), path(50)].join(&b'/');
        assert!(matches!(trail.open(root.as_fd(), &through), Err(Errno::NOTDIR | Errno::LOOP)));
    }
}
