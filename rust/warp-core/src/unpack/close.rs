//! What had to wait for all files of a window: hard links, then the metadata of directories that get no more entries.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Stat, fstat, futimens, linkat, statat};
use rustix::io::Errno;

use super::beneath::{Directory, split};
use super::existing::{is_directory, occupied};
use super::made::Identity;
use super::metadata::{Fresh, times};
use super::naming::publish;
use super::report::{Attempt, Failure, Outcome, Skip};
use super::restore::Restorer;
use super::session::note;
use super::strangers::Reason;
use super::window::{EntryRef, Window};
use super::{Overwrite, Site};
use crate::entry::Entry;

impl Restorer {
    /// Close a window, all of whose files are complete.
    pub fn close(&mut self, window: &Window) {
        self.end(&window.links, &window.closing);
    }

    /// Make `links`, all of whose files are complete, and then end directories.
    pub fn end(&mut self, links: &[EntryRef], directories: &[EntryRef]) {
        for link in links {
            if self.site.report.stopped() {
                break;
            }
            let result = self.link(link.get());
            self.settle(link.get(), result);
        }
        for directory in directories {
            if self.site.report.stopped() {
                break;
            }
            let result = self.close_directory(directory.get());
            self.settle(directory.get(), result.map(|()| Outcome::Restored));
        }
        self.tell();
    }

    /// A directory of a landing was made: it has its attributes from now on, so that a try that finds it need not know whose it is.
    pub fn own(&mut self, entry: &Entry) -> Result<(), Failure> {
        let site = &*self.site;
        let fd = self.directories.open(&entry.path).attempt("open directory")?;
        site.made.add(Identity::of(&fstat(&fd).attempt("look at the directory")?));
        if entry.xattrs.is_empty() {
            return Ok(());
        }
        Fresh::directory(fd.as_fd()).attribute(entry, &site.rules, &site.report).map(drop)
    }

    fn close_directory(&mut self, entry: &Entry) -> Result<(), Failure> {
        let site = &*self.site;
        let fd = self.directories.open(&entry.path).attempt("open directory")?;
        let mut directory = Fresh::directory(fd.as_fd());
        if site.session.is_some() && site.overwrite == Overwrite::Never {
            let file = Identity::of(&fstat(&fd).attempt("look at the directory")?);
            directory.keeps_attributes = !site.made.has(file);
        }
        directory.dress(entry, &site.rules, &site.report)?;
        futimens(&fd, &times(entry.mtime)).attempt("set times")
    }

    /// Restore a further name of a file.
    fn link(&mut self, entry: &Entry) -> Result<Outcome, Failure> {
        let site = &*self.site;
        let (from, original) = split(&entry.link);
        let source = self.directories.open(from).attempt("find the file it is a name of")?;
        let (to, name) = split(&entry.path);
        let directory = self.directories.get(to).attempt("open directory")?;
        let link = |new: &[u8]| linkat(&source, original, directory, new, AtFlags::empty());
        let temporary = site.names.name(&entry.path);
        let existing = directory.look(name).attempt("look at what exists")?;
        if existing.as_ref().is_some_and(is_directory) {
            return Err(occupied());
        }
        let found = find(&source, original)?;
        let Some(file) = found.filter(|file| site.made.has(*file)) else {
            let is_kept = existing.is_some_and(|stat| is_kept(site, entry, &stat));
            let stranded = || Err(stranded(site, entry, found.is_some()));
            return if is_kept { Ok(Outcome::Skipped(Skip::Exists)) } else { stranded() };
        };
        let outcome = match existing {
            None => new_name(directory, name, file, link),
            Some(stat) if Identity::of(&stat) == file && site.session.is_some() => Ok(Outcome::Restored),
            Some(stat) if Identity::of(&stat) == file || is_kept(site, entry, &stat) => {
                Ok(Outcome::Skipped(Skip::Exists))
            }
            Some(_) => {
                let made = directory.make(&temporary, || link(&temporary));
                made.attempt("link to its file")?;
                publish(site, directory, (&temporary, file), (&entry.path, name))
            }
        };
        if let (Ok(Outcome::Restored), Some(session)) = (&outcome, &site.session)
            && let Some(stat) = directory.look(name).attempt("look at the new name")?
        {
            session.give(note(&entry.path, &stat));
        }
        // Renaming a name of a file over another of the same file does nothing.
        let left = directory.remove(&temporary);
        left.attempt("remove temporary file").and(outcome)
    }
}

/// Whether what lies at an entry's name stays.
fn is_kept(site: &Site, entry: &Entry, there: &Stat) -> bool {
    site.overwrite == Overwrite::Never && !site.is_ours(&entry.path, there)
}

/// What lies at the name where the archive has a file.
fn find(source: &OwnedFd, original: &[u8]) -> Result<Option<Identity>, Failure> {
    match statat(source, original, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Identity::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Failure::system("find the file it is a name of", errno)),
    }
}

/// Make a further name, of this very file.
fn new_name(
    directory: &Directory,
    name: &[u8],
    file: Identity,
    link: impl Fn(&[u8]) -> rustix::io::Result<()>,
) -> Result<Outcome, Failure> {
    match link(name) {
        Err(Errno::EXIST) => return Ok(Outcome::Skipped(Skip::Exists)),
        result => result.attempt("link to its file")?,
    }
    let made = directory.look(name).attempt("look at the new name")?;
    if made.is_some_and(|stat| Identity::of(&stat) == file) {
        return Ok(Outcome::Restored);
    }
    // Another came to the name of its file in this moment.
    directory.remove(name).attempt("remove the new name")?;
    Err(Failure::system("link to its file", Errno::STALE))
}

/// A name of a file that this run did not restore, or find to be what it should, at the name where the archive has it.
fn stranded(site: &Site, link: &Entry, is_there: bool) -> Failure {
    let unknown = if is_there { Reason::Other } else { Reason::Failed };
    let reason = site.report.strangers.find(&link.link).unwrap_or(unknown);
    let name = format!("it is a name of {}", String::from_utf8_lossy(&link.link));
    match reason {
        Reason::Damaged => Failure::damage(name),
        Reason::Failed => Failure::system(format!("{name}, which was not restored"), Errno::NOENT),
        Reason::Other => Failure::system(format!("{name}, where another file lies"), Errno::EXIST),
    }
}
