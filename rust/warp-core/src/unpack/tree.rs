//! The directories above the entry that is being planned: made when first seen, closed when the entries leave them.

use rustix::fs::{Mode, fstat, mkdirat};
use rustix::io::Errno;

use super::Overwrite;
use super::beneath::{Directories, Directory, split};
use super::existing::is_directory;
use super::metadata::Handle;
use super::report::{Attempt, Failure};
use super::window::EntryRef;
use crate::attributes::MAX_XATTRS;
use crate::entry::{Entry, xattrs_weight};
use crate::paths::is_below;

/// Until a directory gets its own mode.
const UNFINISHED_MODE: u32 = 0o700;
/// For directories that were not asked for, but are needed to hold what was.
const DEFAULT_MODE: u32 = 0o755;
/// For those whose entry is lost.
const PRIVATE_MODE: u32 = 0o700;

/// Extended attributes of directories are set when these are left: as many as one entry may have, and as much again.
const MAX_HELD_ATTRIBUTES: usize = 2 * MAX_XATTRS;

struct Level {
    /// Length of its path.
    end: usize,
    /// Made by us: nothing is in it that we did not put there.
    fresh: bool,
    /// Without its path, which is a part of the innermost directory's.
    entry: Option<Entry>,
}

/// A path of directories from the target down.
pub(super) struct Tree {
    root: Level,
    below: Vec<Level>,
    /// Of the innermost directory: one for all, as a deep tree's paths one by one would take a gigabyte.
    path: Vec<u8>,
    /// Bytes of extended attributes that wait for their directories to be left.
    attributes: usize,
    overwrite: Overwrite,
    /// Mode of directories without an entry.
    implied_mode: u32,
}

impl Tree {
    /// `whole`: all directories have an entry, unless it is lost.
    pub fn new(overwrite: Overwrite, whole: bool) -> Self {
        let implied_mode = if whole { PRIVATE_MODE } else { DEFAULT_MODE };
        let root = Level { end: 0, fresh: false, entry: None };
        Self { root, below: Vec::new(), path: Vec::new(), attributes: 0, overwrite, implied_mode }
    }

    fn top(&self) -> &Level {
        self.below.last().unwrap_or(&self.root)
    }

    /// Leave the innermost directory unless it is above `path`: `None`, or its entry if it has one.
    pub fn leave(&mut self, path: &[u8]) -> Option<Option<EntryRef>> {
        if is_below(path, &self.path) {
            return None;
        }
        self.leave_next()
    }

    /// Leave the innermost directory, the target at last: `None` once it was left, else its entry if it has one.
    pub fn leave_next(&mut self) -> Option<Option<EntryRef>> {
        let Some(level) = self.below.pop() else {
            return self.root.entry.take().map(|entry| Some(EntryRef::alone(entry)));
        };
        let path = self.path.clone();
        self.path.truncate(self.top().end);
        Some(level.entry.map(|entry| {
            self.attributes -= xattrs_weight(&entry.xattrs);
            EntryRef::alone(Entry { path, ..entry })
        }))
    }

    /// Make sure of the directory `path`, which lies at or below the innermost one; whether it is fresh.
    pub fn reach(&mut self, path: &[u8], directories: &mut Directories) -> Result<bool, Failure> {
        while self.top().end < path.len() {
            let above = self.top().end;
            let start = if above == 0 { 0 } else { above + 1 };
            let rest = path.get(start..).unwrap_or_default();
            let length = rest.iter().position(|byte| *byte == b'/');
            let end = start + length.unwrap_or(rest.len());
            let next = path.get(..end).unwrap_or_default();
            let directory = directories.get(split(next).0).attempt("open directory")?;
            let fresh = self.make(directory, split(next).1, None)?;
            self.push(next, fresh, None);
        }
        Ok(self.top().fresh)
    }

    /// Make the directory of an entry in the innermost one; whether it is fresh.
    pub fn enter(&mut self, entry: &EntryRef, directories: &mut Directories) -> Result<bool, Failure> {
        let path = &entry.get().path;
        if path.is_empty() {
            self.root.entry = Some(entry.get().clone());
            return Ok(false);
        }
        let attributes = self.attributes + xattrs_weight(&entry.get().xattrs);
        if attributes > MAX_HELD_ATTRIBUTES {
            return Err(Failure::damage("more extended attributes than nested directories can have"));
        }
        let (parent, name) = split(path);
        let directory = directories.get(parent).attempt("open directory")?;
        let fresh = self.make(directory, name, Some(entry))?;
        self.attributes = attributes;
        let mut nameless = entry.get().clone();
        nameless.path = Vec::new();
        self.push(path, fresh, Some(nameless));
        Ok(fresh)
    }

    fn push(&mut self, path: &[u8], fresh: bool, entry: Option<Entry>) {
        self.path.clear();
        self.path.extend_from_slice(path);
        self.below.push(Level { end: path.len(), fresh, entry });
    }

    /// Make a directory, or take the one that exists; whether it is fresh.
    fn make(&self, directory: &Directory, name: &[u8], entry: Option<&EntryRef>) -> Result<bool, Failure> {
        let mode = if entry.is_some() { UNFINISHED_MODE } else { self.implied_mode };
        let make = || mkdirat(directory, name, Mode::from_raw_mode(mode));
        match make() {
            Err(Errno::EXIST) => {}
            made => {
                made.attempt("create directory")?;
                return disinherit(directory, name, entry).map(|()| true);
            }
        }
        let existing = directory.look(name).attempt("look at what exists")?;
        if existing.as_ref().is_some_and(is_directory) {
            if entry.is_some() {
                open_up(directory, name);
            }
            return Ok(false);
        }
        if entry.is_none() || self.overwrite != Overwrite::Always {
            let what = match entry {
                Some(_) => "no directory lies at its name or above it: --overwrite always puts one there",
                None => "no directory lies above it: move away what does",
            };
            return Err(Failure::system(what, Errno::NOTDIR));
        }
        directory.remove(name).attempt("replace by a directory")?;
        make().attempt("create directory")?;
        disinherit(directory, name, entry).map(|()| true)
    }
}

/// A directory that was packed knows its ACLs: it needs none from the one it is made in.
fn disinherit(directory: &Directory, name: &[u8], entry: Option<&EntryRef>) -> Result<(), Failure> {
    if entry.is_none() || !directory.gives_acl {
        return Ok(());
    }
    let node = directory.node(name).attempt("open directory")?;
    Handle::node(&node).disinherit(true)
}

/// Let us write to an existing directory until it gets its mode; if that may not be, its entries will tell.
fn open_up(directory: &Directory, name: &[u8]) {
    let Ok(node) = directory.node(name) else {
        return;
    };
    if let Ok(stat) = fstat(&node)
        && is_directory(&stat)
        && stat.st_mode & UNFINISHED_MODE != UNFINISHED_MODE
    {
        let mode = stat.st_mode & 0o7777 | UNFINISHED_MODE;
        let _ = Handle::node(&node).chmod(mode);
    }
}
