//! Opening a file of a walk by its stored path alone, later.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::root::RootOpener;
use super::{Opener, Root, RootDirectory};
use crate::paths::is_below;
use crate::{Error, Result};

/// Roots that stay open.
#[derive(Debug)]
pub struct Finder {
    roots: Vec<(Vec<u8>, Arc<RootDirectory>)>,
    opener: Opener,
}

impl Finder {
    /// Opens roots, as a walk does.
    ///
    /// # Errors
    /// [`Error::Io`] if one can't be opened.
    pub fn new(roots: &[Root]) -> Result<Self> {
        let mut opener = RootOpener::default();
        let mut open = |root: &Root| match opener.open(root) {
            Ok((directory, _)) => Ok((root.stored.clone(), Arc::new(directory))),
            Err(errno) => Err(Error::io(root.path.display().to_string(), errno)),
        };
        let roots = roots.iter().map(&mut open).collect::<Result<_>>()?;
        Ok(Self { roots, opener: Opener::default() })
    }

    /// Opens a regular file for reading, through no symbolic link. It may be another than the walk found.
    ///
    /// # Errors
    /// The system's.
    pub fn open(&mut self, stored: &[u8]) -> io::Result<OwnedFd> {
        let holds = |(root, _): &&(Vec<u8>, _)| root == stored || is_below(stored, root);
        let (_, root) = self.roots.iter().find(holds).ok_or(Errno::NOENT)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(self.opener.open(root, stored, flags)?)
    }
}
