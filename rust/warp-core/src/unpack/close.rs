//! What had to wait for all files of a window: hard links, then the metadata of directories that get no more entries.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Stat, futimens, linkat, statat};
use rustix::io::Errno;

use super::beneath::split;
use super::existing::{is_directory, is_regular, occupied};
use super::metadata::{Fresh, times};
use super::report::{Attempt, Failure, Outcome, Skip};
use super::restore::{Restorer, publish};
use super::window::Window;
use super::{Context, Overwrite};
use crate::entry::Entry;

impl Restorer {
    /// Close a window, all of whose files are complete.
    pub fn close(&mut self, window: &Window) {
        for link in &window.links {
            if self.context.report.stopped() {
                break;
            }
            let result = self.link(link.get());
            self.settle(link.get(), result);
        }
        for directory in &window.closing {
            if self.context.report.stopped() {
                break;
            }
            let result = self.close_directory(directory.get());
            self.settle(directory.get(), result.map(|()| Outcome::Restored));
        }
        self.tell();
    }

    fn close_directory(&mut self, entry: &Entry) -> Result<(), Failure> {
        let context = &*self.context;
        let fd = self.directories.open(&entry.path).attempt("open directory")?;
        Fresh::directory(fd.as_fd()).dress(entry, &context.rules, &context.report)?;
        futimens(&fd, &times(entry.mtime)).attempt("set times")
    }

    /// Restore a further name of a file.
    fn link(&mut self, entry: &Entry) -> Result<Outcome, Failure> {
        let context = &*self.context;
        let (from, original) = split(&entry.link);
        let source = self.directories.open(from).attempt("find the file it is a name of")?;
        let (to, name) = split(&entry.path);
        let directory = self.directories.get(to).attempt("open directory")?;
        let file = statat(&source, original, AtFlags::SYMLINK_NOFOLLOW);
        let file = file.attempt("find the file it is a name of")?;
        if !is_its_file(context, entry, &file) {
            let lies = String::from_utf8_lossy(&entry.link).into_owned();
            let what = format!(
                "it is a name of {lies}, where another file lies, which it is not to get the content of"
            );
            return Err(Failure::system(what, Errno::EXIST));
        }
        let link = |new: &[u8]| linkat(&source, original, directory, new, AtFlags::empty());
        let temporary = context.names.name(&entry.path);
        match link(name) {
            Err(Errno::EXIST) => {}
            result => {
                result.attempt("link to its file")?;
                let left = directory.remove(&temporary);
                return left.attempt("remove temporary file").map(|()| Outcome::Restored);
            }
        }
        let existing = directory.look(name).attempt("look at what exists")?;
        let is_done = match &existing {
            Some(stat) if is_directory(stat) => return Err(occupied()),
            Some(stat) => (stat.st_dev, stat.st_ino) == (file.st_dev, file.st_ino),
            None => false,
        };
        let outcome = if is_done || context.overwrite == Overwrite::Never {
            Ok(Outcome::Skipped(Skip::Exists))
        } else {
            let made = directory.make(&temporary, || link(&temporary));
            made.attempt("link to its file")?;
            publish(context, directory, &temporary, name)
        };
        // Renaming a name of a file over another of the same file does nothing.
        let left = directory.remove(&temporary);
        left.attempt("remove temporary file").and(outcome)
    }
}

/// Whether what lies at the name of a hard link's file is that file: restored by this extraction, or like it in size and time.
///
/// A link has these of its own, from the walk; where the file changed until it was read, they are not those it was restored
/// with, and then it is this extraction that changed it last.
fn is_its_file(context: &Context, link: &Entry, stat: &Stat) -> bool {
    let changed = (stat.st_ctime, stat.st_ctime_nsec as i64);
    let alike = stat.st_size as u64 == link.size
        && (stat.st_mtime, stat.st_mtime_nsec as i64) == (link.mtime.seconds, link.mtime.nanos.into());
    is_regular(stat) && (alike || changed >= context.started)
}
