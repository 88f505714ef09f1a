//! Owner, extended attributes, mode and times of what was restored, in the order in which none undoes another:
//! a change of owner clears setuid bits and capabilities, and an ACL is part of the mode.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat,
    fchmod, fremovexattr, fsetxattr, removexattr, setxattr,
};
use rustix::io::{Errno, Result};
use rustix::process::{getegid, geteuid};

use super::beneath::Directory;
use super::report::{Attempt, Failure, Report, Skip};
use crate::entry::{Entry, Kind, Timestamp};

const SPECIAL_BITS: u32 = 0o6000;
const ACCESS_ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// Namespaces of attributes by which a file does more than its owner may.
const PRIVILEGED: [&[u8]; 2] = [b"security.", b"trusted."];
/// What file systems answer when they or the process may not have an attribute; a full disk is not among the reasons
/// for "no space" here, as an inode's room for attributes is small.
const NO_XATTR: [Errno; 7] =
    [Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP, Errno::NOSPC, Errno::TOOBIG, Errno::RANGE, Errno::INVAL];

/// Which metadata is restored, and what new files get by themselves.
#[derive(Debug)]
pub(super) struct Rules {
    pub owners: bool,
    pub setuid: bool,
    /// `None` if the system does not tell.
    umask: Option<u32>,
    uid: u32,
    gid: u32,
}

impl Rules {
    pub fn new(owners: bool, setuid: bool) -> Self {
        Self { owners, setuid, umask: read_umask(), uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// The mode an entry gets, setuid and setgid bits left out unless they are asked for.
    pub fn mode(&self, entry: &Entry, report: &Report) -> u32 {
        if self.setuid || entry.mode & SPECIAL_BITS == 0 {
            return entry.mode & 0o7777;
        }
        report.skip(Skip::Setuid);
        entry.mode & 0o7777 & !SPECIAL_BITS
    }

    /// Whether an extended attribute is restored: those that give privileges, as capabilities do, are as setuid bits.
    fn may_set(&self, name: &[u8]) -> bool {
        self.setuid || !PRIVILEGED.iter().any(|namespace| name.starts_with(namespace))
    }

    /// Whether what is made in `parent` does not belong to the entry's owner and group by itself.
    fn is_foreign(&self, entry: &Entry, gives_group: bool) -> bool {
        (entry.uid, entry.gid) != (self.uid, self.gid) || (gives_group && self.owners)
    }

    /// The mode to create a file with: the final one, which saves setting it, but nobody else's before it has its owner.
    pub fn creation_mode(&self, entry: &Entry, parent: &Directory) -> u32 {
        let others = if self.owners && self.is_foreign(entry, parent.gives_group) { 0 } else { 0o077 };
        entry.mode & (0o700 | others)
    }
}

/// The process's umask: there is no way to read it by a call without setting it.
fn read_umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(value.trim(), 8).ok()
}

/// What is dressed: an open file or directory, or by an `O_PATH` descriptor anything else.
pub(super) enum Handle<'a> {
    Open(BorrowedFd<'a>),
    /// Reached through /proc, which leads to the very inode and follows no link there.
    Node(BorrowedFd<'a>, String),
}

impl<'a> Handle<'a> {
    pub fn node(fd: &'a impl AsFd) -> Self {
        let fd = fd.as_fd();
        Self::Node(fd, format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }

    fn chown(&self, uid: u32, gid: u32) -> Result<()> {
        let (Self::Open(fd) | Self::Node(fd, _)) = self;
        let owner = (Uid::from_raw_unchecked(uid), Gid::from_raw_unchecked(gid));
        chownat(fd, "", Some(owner.0), Some(owner.1), AtFlags::EMPTY_PATH)
    }

    pub fn chmod(&self, mode: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => fchmod(fd, mode),
            Self::Node(_, path) => chmodat(CWD, path.as_str(), mode, AtFlags::empty()),
        }
    }

    fn set(&self, name: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Node(_, path) => setxattr(path.as_str(), name, value, XattrFlags::empty()),
        }
    }

    fn unset(&self, name: &str) -> Result<()> {
        let result = match self {
            Self::Open(fd) => fremovexattr(fd, name),
            Self::Node(_, path) => removexattr(path.as_str(), name),
        };
        match result {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            result => result,
        }
    }

    /// Remove the ACLs that its directory gave it: the archive knows all that it should have.
    pub fn disinherit(&self, directory: bool) -> std::result::Result<(), Failure> {
        self.unset(ACCESS_ACL).attempt("remove inherited ACL")?;
        if directory {
            self.unset(DEFAULT_ACL).attempt("remove inherited ACL")?;
        }
        Ok(())
    }
}

/// Something just made, with what is known of it.
pub(super) struct Fresh<'a> {
    handle: Handle<'a>,
    /// Its group may be its directory's.
    gives_group: bool,
    /// It may have an ACL from its directory.
    gives_acl: bool,
    /// The mode it was created with; `None` if that says nothing of its present one.
    created: Option<u32>,
    /// It was there before: its attributes and ACLs are left as they are.
    pub keeps_attributes: bool,
}

impl<'a> Fresh<'a> {
    /// Something made in `parent` with the mode `created`.
    pub fn made(handle: Handle<'a>, parent: &Directory, created: u32) -> Self {
        Self {
            handle,
            gives_group: parent.gives_group,
            gives_acl: parent.gives_acl,
            created: (!parent.gives_acl).then_some(created),
            keeps_attributes: false,
        }
    }

    /// A directory that was made earlier, possibly not by us: nothing is known of it.
    pub fn directory(fd: BorrowedFd<'a>) -> Self {
        Self {
            handle: Handle::Open(fd),
            gives_group: true,
            gives_acl: true,
            created: None,
            keeps_attributes: false,
        }
    }

    /// Give it the owner, attributes and mode of its entry; times come last and are the caller's.
    pub fn dress(&self, entry: &Entry, rules: &Rules, report: &Report) -> std::result::Result<(), Failure> {
        let mut mode = rules.mode(entry, report);
        let umasked = |created| rules.umask.map(|umask| created & !umask);
        let mut actual = self.created.and_then(umasked);
        if rules.is_foreign(entry, self.gives_group) && !self.own(entry, rules, report)? {
            // What was to be another's must not act as whoever extracts it.
            mode &= !SPECIAL_BITS;
        }
        if !self.keeps_attributes && self.attribute(entry, rules, report)? {
            actual = None;
        }
        if actual != Some(mode) && entry.kind != Kind::Symlink {
            self.handle.chmod(mode).attempt("set mode")?;
        }
        Ok(())
    }

    /// Set the owner; false if that was tried in vain.
    fn own(&self, entry: &Entry, rules: &Rules, report: &Report) -> std::result::Result<bool, Failure> {
        if rules.owners {
            match self.handle.chown(entry.uid, entry.gid) {
                Err(Errno::PERM | Errno::INVAL) => {}
                result => return result.attempt("set owner").map(|()| true),
            }
        }
        report.skip(Skip::Owner);
        Ok(!rules.owners)
    }

    /// Set the attributes and remove inherited ACLs; whether the mode may have changed by that.
    pub fn attribute(
        &self,
        entry: &Entry,
        rules: &Rules,
        report: &Report,
    ) -> std::result::Result<bool, Failure> {
        if self.gives_acl && entry.kind != Kind::Symlink {
            self.handle.disinherit(entry.kind == Kind::Directory)?;
        }
        for (name, value) in entry.xattrs.iter() {
            if !rules.may_set(name) {
                report.skip(Skip::Setuid);
                continue;
            }
            match self.handle.set(name, value) {
                Err(errno) if NO_XATTR.contains(&errno) => report.skip(Skip::Xattr),
                result => result.attempt("set extended attribute")?,
            }
        }
        Ok(!entry.xattrs.is_empty())
    }
}

/// Set owner and mode of an existing object that is otherwise as it should be.
pub(super) fn correct(
    handle: &Handle<'_>,
    stat: &Stat,
    entry: &Entry,
    rules: &Rules,
    report: &Report,
) -> std::result::Result<(), Failure> {
    let mut mode = stat.st_mode & 0o7777;
    if rules.owners && (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
        match handle.chown(entry.uid, entry.gid) {
            Err(Errno::PERM | Errno::INVAL) => report.skip(Skip::Owner),
            result => {
                result.attempt("set owner")?;
                mode &= !SPECIAL_BITS;
            }
        }
    }
    let wanted = rules.mode(entry, report);
    if mode != wanted && entry.kind != Kind::Symlink {
        handle.chmod(wanted).attempt("set mode")?;
    }
    Ok(())
}

/// The times to set: that of the last access is left as it is.
pub(super) fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}
