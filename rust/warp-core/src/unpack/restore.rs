//! Restoring entries: files from the data of chunks, and everything else.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, Stat, fstat, ftruncate, futimens, mknodat, symlinkat, utimensat};
use rustix::io::Errno;

use super::Site;
use super::beneath::{Directories, Directory, split};
use super::existing::{device, judge};
use super::files::{Extents, Lost, SharedFile, describe, size};
use super::made::Identity;
use super::metadata::{Fresh, Handle, times};
use super::naming::finish;
use super::report::{Attempt, Failure, Outcome, Rest, Tally};
use super::strangers::Reason;
use super::window::{EntryRef, Need, Window};
use crate::digest;
use crate::entry::{Entry, Kind, Xattrs};

/// Mode of a device or pipe until it is complete.
const NODE_MODE: u32 = 0o600;
/// The longest name that file systems take.
const LONGEST_NAME: usize = 255;

/// One thread's hold on the target: its open directories and counters.
pub(super) struct Restorer {
    pub site: Arc<Site>,
    pub directories: Directories,
    pub tally: Tally,
}

impl Restorer {
    pub fn new(site: &Arc<Site>) -> Self {
        Self {
            site: Arc::clone(site),
            directories: Directories::new(Arc::clone(&site.target)),
            tally: Tally::default(),
        }
    }

    /// Count an entry that is dealt with.
    pub fn settle(&mut self, entry: &Entry, result: Result<Outcome, Failure>) {
        self.count((&entry.path, entry.kind), result);
    }

    pub fn count(&mut self, (path, kind): (&[u8], Kind), result: Result<Outcome, Failure>) {
        self.tally.0.entries += u64::from(!matches!(result, Ok(Outcome::Waiting)));
        match result {
            Ok(Outcome::Waiting) => {}
            Ok(Outcome::Restored) => self.tally.0.files += u64::from(kind == Kind::File),
            Ok(Outcome::Skipped(skip)) => {
                self.tally.0.skipped += 1;
                self.site.report.skip(skip);
            }
            Err(failure) => {
                self.tally.0.failed += 1;
                self.site.report.fail(path, failure);
            }
        }
    }

    /// Tell what was counted.
    pub fn tell(&mut self) {
        self.site.report.add(&mut self.tally);
    }

    /// Write one need of a file, whose data is at hand or is not.
    pub fn need(&mut self, window: &Window, need: &Need, data: Result<&[u8], &Failure>) {
        let Some(file) = window.files.get(need.file as usize) else {
            return;
        };
        let Some(shared) = &file.shared else {
            let entry = file.entry.get();
            let result = match data {
                Ok(data) => self.whole(entry, &self.site.names.name(&entry.path), data),
                Err(failure) => Err(self.give_up(entry, failure.clone())),
            };
            return self.settle(entry, result);
        };
        self.piece(shared, (need.position, need.piece.length), data);
    }

    /// Write a piece of a file, which is at hand or is not.
    pub fn piece(
        &mut self,
        shared: &Arc<SharedFile>,
        (position, length): (u64, u32),
        data: Result<&[u8], &Failure>,
    ) {
        if !shared.has_failed() {
            let result = match data {
                Ok(data) => self.part(shared, position, data),
                Err(failure) if self.site.keep_damaged.is_some() => {
                    shared.lose(position, length, failure);
                    Ok(())
                }
                Err(failure) => Err(failure.clone()),
            };
            if let Err(failure) = result
                && shared.fail()
            {
                self.site.report.fail(&shared.entry().path, failure);
            }
        }
        if shared.settle(length) {
            self.finish(shared);
        }
    }

    /// Restore a file from all of its data, by way of a temporary name.
    pub fn whole(&mut self, entry: &Entry, temporary: &[u8], data: &[u8]) -> Result<Outcome, Failure> {
        let site = &*self.site;
        let directory = self.directories.get(split(&entry.path).0);
        let directory = directory.attempt("open directory")?;
        let mode = site.rules.creation_mode(entry, directory);
        let fd = directory.create(temporary, mode).attempt("create file")?;
        let identity = Identity::of(&fstat(&fd).attempt("create file")?);
        let written = data.len() as u64;
        let filled = size(&fd, entry).and_then(|()| Extents::of(entry).write(&fd, 0, data));
        let result = filled.attempt("write file").and_then(|()| {
            complete(site, directory, &fd, &Made { written, ..Made::of(entry, temporary, mode) })
        });
        beware(site, entry, &result);
        self.tally.0.bytes_written += written;
        if !matches!(result, Ok(Outcome::Restored | Outcome::Waiting)) {
            self.tally.0.bytes_discarded += written;
            directory.discard(temporary, identity).attempt("remove temporary file")?;
        }
        result
    }

    /// Write a part of a file.
    fn part(&mut self, file: &Arc<SharedFile>, position: u64, data: &[u8]) -> Result<(), Failure> {
        let site = &*self.site;
        let fd = site.files.get(file, &mut self.directories, &site.names);
        let fd = fd.attempt("create file")?;
        let written = file.extents().write(&fd, position, data);
        written.attempt("write file")?;
        self.tally.0.bytes_written += data.len() as u64;
        file.count(data.len());
        Ok(())
    }

    /// The last part of a file is written or given up.
    pub fn finish(&mut self, file: &Arc<SharedFile>) {
        let entry = file.entry();
        if file.has_failed() {
            self.site.files.remove(file);
            self.tally.0.bytes_discarded += file.written();
            self.discard_file(file);
            self.tally.0.entries += 1;
            self.tally.0.failed += 1;
            return;
        }
        if let Some(lost) = file.take_lost() {
            return self.keep(file, lost);
        }
        let result = self.complete(file, entry, split(&entry.path).1);
        beware(&self.site, entry, &result);
        if !matches!(result, Ok(Outcome::Restored | Outcome::Waiting)) {
            self.tally.0.bytes_discarded += file.written();
            self.discard_file(file);
        }
        self.settle(entry, result);
    }

    /// Keep what is left of a file under a name of its own; it counts as failed all the same.
    fn keep(&mut self, file: &Arc<SharedFile>, lost: Lost) {
        let entry = file.entry();
        let failure = lost.failure.clone();
        let rest = if lost.bytes < file.extents().length(entry) {
            self.rest(file, lost)
        } else {
            Rest { says: "nothing of it is left".into(), lost_bytes: lost.bytes, ..Rest::default() }
        };
        if rest.kept.is_some() {
            self.tally.0.kept += 1;
        } else {
            self.tally.0.bytes_discarded += file.written();
        }
        self.site.files.remove(file);
        self.discard_file(file);
        self.tally.0.entries += 1;
        self.tally.0.failed += 1;
        self.site.report.note(&entry.path, &failure, Some(rest));
    }

    /// Give what is left of a file its name, if it may have it.
    fn rest(&mut self, file: &Arc<SharedFile>, lost: Lost) -> Rest {
        let lost_bytes = lost.bytes;
        let lost = lost.places();
        let entry = file.entry();
        let name = self.kept_name(split(&entry.path).1);
        let shown = String::from_utf8_lossy(&name);
        let places = describe(&lost, lost_bytes);
        // A program is not to be run like this, and what its ACL says of others is not known to fit.
        let entry = Entry { mode: entry.mode & 0o600, xattrs: Xattrs::default(), ..entry.clone() };
        // What is lost at the end of a dense file was never written.
        let sized = self.site.files.get(file, &mut self.directories, &self.site.names);
        let sized = sized.and_then(|fd| ftruncate(fd, entry.size)).attempt("write file");
        let outcome = sized.and_then(|()| self.complete(file, &entry, &name));
        let (says, is_kept) = match outcome {
            Ok(Outcome::Restored | Outcome::Waiting) => {
                (format!("kept as {shown}, with zeros for {places}"), true)
            }
            Ok(Outcome::Skipped(_)) => {
                let there = format!(
                    "{shown} of an earlier run is there, and stays (--overwrite changed or always makes it anew)"
                );
                (format!("{there}; lost are {places}"), false)
            }
            Err(other) => (format!("{shown}: {other}"), false),
        };
        let path = [entry.path.strip_suffix(split(&entry.path).1).unwrap_or_default(), &name].concat();
        Rest { says, kept: is_kept.then_some(path), lost, lost_bytes }
    }

    /// The name of what is kept of a file; a long one is cut, and part of its digest put there, to make room for the ending.
    fn kept_name(&self, name: &[u8]) -> Vec<u8> {
        let ending = self.site.keep_damaged.as_deref().unwrap_or_default();
        if name.len() + ending.len() <= LONGEST_NAME {
            return [name, ending].concat();
        }
        let digest: String = digest::hash(name).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let mut length = LONGEST_NAME - ending.len() - 1 - digest.len();
        // Not within a character.
        while length > 0 && name[length] & 0xc0 == 0x80 {
            length -= 1;
        }
        [&name[..length], b"~", digest.as_bytes(), ending].concat()
    }

    /// Give a file, all of whose data is written, the metadata of `entry` and `name`.
    fn complete(&mut self, file: &Arc<SharedFile>, entry: &Entry, name: &[u8]) -> Result<Outcome, Failure> {
        let site = &*self.site;
        let temporary = site.names.of(file);
        let fd = site.files.get(file, &mut self.directories, &site.names);
        let fd = fd.attempt("open file")?;
        if file.existed() {
            ftruncate(&*fd, entry.size).attempt("write file")?;
        }
        site.files.remove(file);
        let directory = self.directories.get(split(&entry.path).0);
        let directory = directory.attempt("open directory")?;
        let written = file.written();
        let made = Made { name, written, ..Made::of(entry, &temporary, file.creation_mode()) };
        complete(site, directory, &fd, &made)
    }

    /// An entry fails before anything was made of it.
    fn give_up(&mut self, entry: &Entry, failure: Failure) -> Failure {
        self.discard(entry);
        failure
    }

    /// Remove a file's temporary one, be it of this try or of one before; that it cannot be removed is no news.
    pub fn discard_file(&mut self, file: &SharedFile) {
        if let Ok(directory) = self.directories.get(split(&file.entry().path).0) {
            let name = self.site.names.of(file);
            let _ = match file.made() {
                Some(made) => directory.discard(&name, made),
                None => directory.remove(&name),
            };
        }
    }

    /// Remove an entry's temporary file of a try before; that it cannot be removed is no news.
    fn discard(&mut self, entry: &Entry) {
        if let Ok(directory) = self.directories.get(split(&entry.path).0) {
            let _ = directory.remove(&self.site.names.name(&entry.path));
        }
    }

    /// Restore an entry that has no data.
    pub fn plain(&mut self, entry: &EntryRef) {
        let entry = entry.get();
        let result = match entry.kind {
            Kind::File => self.whole(entry, &self.site.names.name(&entry.path), &[]),
            _ => self.node(entry),
        };
        self.settle(entry, result);
    }

    /// Restore a symbolic link, pipe or device.
    fn node(&mut self, entry: &Entry) -> Result<Outcome, Failure> {
        let site = &*self.site;
        let (parent, name) = split(&entry.path);
        let directory = self.directories.get(parent).attempt("open directory")?;
        if let Some(outcome) = judge(site, directory, entry)? {
            return Ok(outcome);
        }
        let temporary = site.names.name(&entry.path);
        let made = directory.make(&temporary, || make_node(directory, &temporary, entry));
        made.attempt("create")?;
        let result = dress_node(site, directory, &temporary, entry).and_then(|stat| {
            finish(site, directory, &stat, &Made { name, ..Made::of(entry, &temporary, 0) })
        });
        if !matches!(result, Ok(Outcome::Restored | Outcome::Waiting)) {
            directory.remove(&temporary).attempt("remove temporary file")?;
        }
        result
    }
}

/// Another file came to a file's name while it was restored: no link is to be made to that.
fn beware(site: &Site, entry: &Entry, result: &Result<Outcome, Failure>) {
    if matches!(result, Ok(Outcome::Skipped(_))) {
        site.report.strangers.add(&entry.path, Reason::Other);
    }
}

/// A file whose data is written.
pub(super) struct Made<'a> {
    pub entry: &'a Entry,
    pub temporary: &'a [u8],
    /// The mode it was created with.
    mode: u32,
    pub name: &'a [u8],
    /// Bytes of it.
    pub written: u64,
}

impl<'a> Made<'a> {
    fn of(entry: &'a Entry, temporary: &'a [u8], mode: u32) -> Self {
        Self { entry, temporary, mode, name: split(&entry.path).1, written: 0 }
    }
}

/// Give a file whose data is written its metadata and name.
fn complete(site: &Site, directory: &Directory, fd: &OwnedFd, made: &Made<'_>) -> Result<Outcome, Failure> {
    let &Made { entry, mode, .. } = made;
    Fresh::made(Handle::Open(fd.as_fd()), directory, mode).dress(entry, &site.rules, &site.report)?;
    futimens(fd, &times(entry.mtime)).attempt("set times")?;
    finish(site, directory, &fstat(fd).attempt("look at the file")?, made)
}

fn file_type(entry: &Entry) -> FileType {
    match entry.kind {
        Kind::Symlink => FileType::Symlink,
        Kind::CharDevice => FileType::CharacterDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        _ => FileType::Fifo,
    }
}

fn make_node(directory: &Directory, temporary: &[u8], entry: &Entry) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(NODE_MODE);
    match file_type(entry) {
        FileType::Symlink => symlinkat(entry.link.as_slice(), directory, temporary),
        FileType::Fifo => mknodat(directory, temporary, FileType::Fifo, mode, 0),
        kind => mknodat(directory, temporary, kind, mode, device(entry)),
    }
}

fn dress_node(site: &Site, directory: &Directory, temporary: &[u8], entry: &Entry) -> Result<Stat, Failure> {
    let node = directory.node(temporary).attempt("open")?;
    let stat = fstat(&node).attempt("open")?;
    // A name of another file, put there by whoever may write to the directory, is not to get our owner and mode.
    if stat.st_nlink != 1 || FileType::from_raw_mode(stat.st_mode) != file_type(entry) {
        return Err(Failure::system("create", Errno::STALE));
    }
    let fresh = Fresh::made(Handle::node(&node), directory, NODE_MODE);
    fresh.dress(entry, &site.rules, &site.report)?;
    let times = times(entry.mtime);
    utimensat(directory, temporary, &times, AtFlags::SYMLINK_NOFOLLOW).attempt("set times")?;
    fstat(&node).attempt("open")
}
