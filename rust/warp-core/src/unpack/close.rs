//! What had to wait for all files of a window: hard links, then the metadata of directories that get no more entries.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, futimens, linkat, statat};
use rustix::io::Errno;

use super::Overwrite;
use super::beneath::split;
use super::existing::{is_directory, occupied};
use super::metadata::{Fresh, times};
use super::report::{Attempt, Failure, Outcome, Skip};
use super::restore::{Restorer, publish};
use super::strangers::Reason;
use super::window::{EntryRef, Window};
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

    fn close_directory(&mut self, entry: &Entry) -> Result<(), Failure> {
        let site = &*self.site;
        let fd = self.directories.open(&entry.path).attempt("open directory")?;
        Fresh::directory(fd.as_fd()).dress(entry, &site.rules, &site.report)?;
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
        if let Some(reason) = site.report.strangers.find(&entry.link) {
            let exists = directory.look(name).attempt("look at what exists")?;
            return match exists {
                Some(stat) if is_directory(&stat) => Err(occupied()),
                Some(_) if site.overwrite == Overwrite::Never => Ok(Outcome::Skipped(Skip::Exists)),
                _ => Err(stranded(entry, reason)),
            };
        }
        match link(name) {
            Err(Errno::EXIST) => {}
            result => {
                result.attempt("link to its file")?;
                let left = directory.remove(&temporary);
                return left.attempt("remove temporary file").map(|()| Outcome::Restored);
            }
        }
        let existing = directory.look(name).attempt("look at what exists")?;
        let file = statat(&source, original, AtFlags::SYMLINK_NOFOLLOW);
        let file = file.attempt("find the file it is a name of")?;
        let is_done = match &existing {
            Some(stat) if is_directory(stat) => return Err(occupied()),
            Some(stat) => (stat.st_dev, stat.st_ino) == (file.st_dev, file.st_ino),
            None => false,
        };
        let outcome = if is_done || site.overwrite == Overwrite::Never {
            Ok(Outcome::Skipped(Skip::Exists))
        } else {
            let made = directory.make(&temporary, || link(&temporary));
            made.attempt("link to its file")?;
            publish(site, directory, &temporary, name)
        };
        // Renaming a name of a file over another of the same file does nothing.
        let left = directory.remove(&temporary);
        left.attempt("remove temporary file").and(outcome)
    }
}

/// A name of a file that is not at the name where the archive has it.
fn stranded(link: &Entry, reason: Reason) -> Failure {
    let name = format!("it is a name of {}", String::from_utf8_lossy(&link.link));
    match reason {
        Reason::Damaged => Failure::damage(name),
        Reason::Failed => Failure::system(format!("{name}, which was not restored"), Errno::NOENT),
        Reason::Other => Failure::system(format!("{name}, where another file lies"), Errno::EXIST),
    }
}
