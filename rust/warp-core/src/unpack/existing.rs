//! What already lies where an entry belongs: left alone, taken as done, or replaced.

use rustix::fs::{FileType, Stat, fstat, makedev, readlinkat};
use rustix::io::Errno;

use super::beneath::{Directory, split};
use super::made::Identity;
use super::metadata::{Handle, correct};
use super::report::{Attempt, Failure, Outcome, Skip};
use super::strangers::Reason;
use super::{Overwrite, Site};
use crate::entry::{Entry, Kind};

/// Decide about an entry other than a directory or hard link by what lies at its name; `None` = restore it.
pub(super) fn judge(site: &Site, directory: &Directory, entry: &Entry) -> Result<Option<Outcome>, Failure> {
    let name = split(&entry.path).1;
    let Some(stat) = directory.look(name).attempt("look at what exists")? else {
        return Ok(None);
    };
    if is_directory(&stat) {
        return Err(occupied());
    }
    let is_alike = match entry.kind {
        Kind::File => is_alike(&stat, entry),
        _ => is_same(directory, name, &stat, entry),
    };
    if site.is_ours(&entry.path, &stat) {
        // It was durable before it had its name.
        return if is_alike { taken(site, directory, entry, &stat).map(Some) } else { Ok(None) };
    }
    match site.overwrite {
        Overwrite::Never => {
            // An archive's files may be there of an extraction before; of another machine's nothing is.
            if is_alike && site.session.is_none() {
                site.made.add(Identity::of(&stat));
            } else {
                site.report.strangers.add(&entry.path, Reason::Other);
            }
        }
        Overwrite::Changed if is_same(directory, name, &stat, entry) => {
            let node = directory.node(name).attempt("open what exists")?;
            let stat = fstat(&node).attempt("look at what exists")?;
            // Another may have taken its place since: that is not to get our owner and mode.
            if !is_same(directory, name, &stat, entry) {
                return Ok(None);
            }
            let rules = &site.rules;
            correct(&Handle::node(&node), &stat, entry, rules, &site.report)?;
            site.made.add(Identity::of(&stat));
        }
        Overwrite::Changed | Overwrite::Always => return Ok(None),
    }
    // A killed try may have left it although the entry is complete, by another way, meanwhile.
    let left = directory.remove(&site.names.name(&entry.path));
    left.attempt("remove a temporary file")?;
    Ok(Some(Outcome::Skipped(Skip::Exists)))
}

/// What an earlier try restored is done.
fn taken(site: &Site, directory: &Directory, entry: &Entry, stat: &Stat) -> Result<Outcome, Failure> {
    site.made.add(Identity::of(stat));
    let left = directory.remove(&site.names.name(&entry.path));
    left.attempt("remove a temporary file").map(|()| Outcome::Restored)
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// An entry that is no directory cannot take the place of one.
pub(super) fn occupied() -> Failure {
    Failure::system("a directory lies at its name, and is not removed: move it away", Errno::ISDIR)
}

/// Whether a file may be the entry's by type, size and time: some file systems keep whole seconds only.
fn is_alike(stat: &Stat, entry: &Entry) -> bool {
    let mtime = (stat.st_mtime, stat.st_mtime_nsec as i64);
    let is_coarse = mtime.1 == 0;
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_size as u64 == entry.size
        && mtime.0 == entry.mtime.seconds
        && (is_coarse || mtime.1 == entry.mtime.nanos.into())
}

/// Whether what exists is what the entry describes, as far as that shows without reading it.
fn is_same(directory: &Directory, name: &[u8], stat: &Stat, entry: &Entry) -> bool {
    let mtime = (stat.st_mtime, stat.st_mtime_nsec);
    if mtime != (entry.mtime.seconds, entry.mtime.nanos.into()) {
        return false;
    }
    let special = |kind| FileType::from_raw_mode(stat.st_mode) == kind;
    match entry.kind {
        Kind::File => special(FileType::RegularFile) && stat.st_size as u64 == entry.size,
        Kind::Symlink => {
            let target = readlinkat(directory, name, Vec::new());
            special(FileType::Symlink) && target.is_ok_and(|target| target.as_bytes() == entry.link)
        }
        Kind::CharDevice => special(FileType::CharacterDevice) && stat.st_rdev == device(entry),
        Kind::BlockDevice => special(FileType::BlockDevice) && stat.st_rdev == device(entry),
        Kind::Fifo => special(FileType::Fifo),
        Kind::Directory | Kind::Hardlink | Kind::Socket => false,
    }
}

/// The system's number of a device.
pub(super) fn device(entry: &Entry) -> u64 {
    makedev((entry.rdev >> 32) as u32, entry.rdev as u32)
}
