//! Extended attributes, ACLs included, as `listxattr(2)` and `getxattr(2)` give them.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use rustix::fs::{fgetxattr, flistxattr, getxattr, listxattr};
use rustix::io::Errno;

use crate::entry::Xattrs;

/// Most bytes of names and values of one entry (docs/format.md §10).
pub const MAX_XATTRS: usize = 16 << 20;
/// Linux' limit for one value and for the list of names (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const KERNEL_LIMIT: usize = 65_536;
/// Holds nearly every list and value without a second call.
const FIRST_TRY: usize = 1_024;

/// Where the attributes of an object are read.
#[derive(Clone, Debug)]
pub enum XattrSource<'a> {
    /// An object opened for reading.
    Descriptor(BorrowedFd<'a>),
    /// A path that the kernel follows to the object.
    Path(PathBuf),
}

impl XattrSource<'_> {
    /// An object opened with `O_PATH` only, of any type: attribute calls refuse such a descriptor but follow its link.
    pub fn handle(fd: BorrowedFd<'_>) -> Self {
        Self::Path(format!("/proc/self/fd/{}", fd.as_raw_fd()).into())
    }

    fn list(&self, into: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Descriptor(fd) => flistxattr(fd, into),
            Self::Path(path) => listxattr(path, into),
        }
    }

    fn get(&self, name: &CStr, into: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Descriptor(fd) => fgetxattr(fd, name, into),
            Self::Path(path) => getxattr(path, name, into),
        }
    }
}

/// Remembers which file systems have no extended attributes, so that they are not asked again. Shared by all readers.
#[derive(Debug)]
pub struct XattrSupport {
    privileged: bool,
    without: RwLock<Vec<u64>>,
}

impl Default for XattrSupport {
    fn default() -> Self {
        Self::new()
    }
}

impl XattrSupport {
    /// Nothing is known yet of any file system.
    pub fn new() -> Self {
        Self { privileged: rustix::process::geteuid().is_root(), without: RwLock::default() }
    }

    /// Whether attribute calls on this device (`st_dev`) may give something.
    pub fn supports(&self, device: u64) -> bool {
        !self.without.read().unwrap_or_else(PoisonError::into_inner).contains(&device)
    }

    /// The attributes of an object on `device` that an archive keeps, sorted by name.
    pub fn read(&self, device: u64, source: &XattrSource<'_>) -> io::Result<Xattrs> {
        if !self.supports(device) {
            return Ok(Xattrs::default());
        }
        match with_growing(|buffer| source.list(buffer)) {
            Ok(names) if names.is_empty() => Ok(Xattrs::default()),
            Ok(names) => self.values(source, &names),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.without.write().unwrap_or_else(PoisonError::into_inner).push(device);
                Ok(Xattrs::default())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn values(&self, source: &XattrSource<'_>, names: &[u8]) -> io::Result<Xattrs> {
        let mut kept = Vec::new();
        let mut total = 0;
        for name in
            names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        {
            if !self.keeps(name.to_bytes()) {
                continue;
            }
            let value = match with_growing(|buffer| source.get(name, buffer)) {
                Ok(value) => value,
                // Removed since it was listed, or listed though not ours to read.
                Err(Errno::NODATA | Errno::PERM | Errno::ACCESS) => continue,
                Err(errno) => return Err(errno.into()),
            };
            total += name.to_bytes().len() + value.len();
            if total > MAX_XATTRS {
                return Err(Errno::TOOBIG.into());
            }
            kept.push((name.to_bytes().to_vec(), value));
        }
        kept.sort_unstable();
        kept.dedup_by(|a, b| a.0 == b.0);
        Ok(kept.into())
    }

    /// `trusted.*` is kept for root only: nobody else could restore it.
    fn keeps(&self, name: &[u8]) -> bool {
        name.starts_with(b"user.")
            || name.starts_with(b"security.")
            || matches!(name, b"system.posix_acl_access" | b"system.posix_acl_default")
            || self.privileged && name.starts_with(b"trusted.")
    }
}

/// Call with a small buffer, then with the largest the kernel ever fills.
fn with_growing(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; FIRST_TRY];
    match call(&mut small) {
        Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; KERNEL_LIMIT];
            let length = call(&mut large)?;
            large.truncate(length);
            large.shrink_to_fit();
            Ok(large)
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{XattrFlags, fsetxattr};
    use std::os::fd::AsFd;

    #[test]
    fn kept_names_are_those_that_mean_the_same_elsewhere() {
        let plain = XattrSupport { privileged: false, without: RwLock::default() };
        for name in [&b"user.a"[..], b"security.capability", b"security.selinux", b"system.posix_acl_default"]
        {
            assert!(plain.keeps(name));
        }
        assert!(!plain.keeps(b"trusted.overlay") && !plain.keeps(b"system.nfs4_acl"));
        assert!(XattrSupport { privileged: true, without: RwLock::default() }.keeps(b"trusted.overlay"));
    }

    #[test]
    fn a_device_without_attributes_is_asked_once() {
        let support = XattrSupport::new();
        let proc = std::fs::File::open("/proc/self/status").unwrap();
        let source = XattrSource::Descriptor(proc.as_fd());
        assert!(support.read(7, &source).unwrap().is_empty());
        if flistxattr(&proc, &mut [0; 8]) == Err(Errno::OPNOTSUPP) {
            assert!(!support.supports(7));
        }
        assert!(support.supports(8));
    }

    #[test]
    fn attributes_come_sorted_by_descriptor_and_by_handle() {
        let directory = crate::walk::tests::Scratch::new("xattrs");
        let path = directory.path().join("f");
        let file = std::fs::File::create(&path).unwrap();
        let large = vec![7; 3_000];
        for (name, value) in [("user.b", &b"2"[..]), ("user.a", &large), ("user.empty", b"")] {
            match fsetxattr(&file, name, value, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => {
                    return eprintln!("skipped: no user attributes on this file system");
                }
                other => other.unwrap(),
            }
        }
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW;
        let handle = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
        let expected = [
            (b"user.a".to_vec(), large),
            (b"user.b".to_vec(), b"2".to_vec()),
            (b"user.empty".to_vec(), vec![]),
        ];
        for source in [XattrSource::Descriptor(file.as_fd()), XattrSource::handle(handle.as_fd())] {
            assert_eq!(*XattrSupport::new().read(1, &source).unwrap(), expected);
        }
    }
}
