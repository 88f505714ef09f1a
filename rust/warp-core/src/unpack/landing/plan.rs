//! Pages as they come: directories are made, and it is settled where each fragment belongs.

use std::sync::Arc;

use rustix::fs::FileType;

use super::super::Site;
use super::super::beneath::split;
use super::super::existing::judge;
use super::super::files::{Found, SharedFile};
use super::super::report::{Attempt, Failure, Outcome, Skip};
use super::super::restore::Restorer;
use super::super::tree::Tree;
use super::super::window::EntryRef;
use super::held::{Account, Held};
use super::turns::{Ends, EntryPlace};
use crate::catalogue::{Layout, Listing};
use crate::digest;
use crate::entry::{Entry, Kind};
use crate::table::{EntryTable, compare_paths};
use crate::{Error, Result};

type Attempted<T> = std::result::Result<T, Failure>;

/// A file that goes on in the next page.
#[derive(Debug)]
pub(super) struct Open {
    /// `None` if it is left as it is.
    pub file: Option<Arc<SharedFile>>,
    path: Vec<u8>,
    /// Bytes of its data so far.
    pub position: u64,
}

/// Plans pages in order.
pub(super) struct Planner {
    pub restorer: Restorer,
    tree: Tree,
    /// Number of the page that comes next.
    pub next: u32,
    /// Ordinal of its first fragment.
    pub base: u64,
    last: Option<Vec<u8>>,
    pub open: Option<Open>,
    /// Files that the sender gave up: later pages may refer to what was written of them, so it stays until the end.
    pub given_up: Vec<Arc<SharedFile>>,
    next_id: u64,
    /// How often the file that was planned last was begun before.
    begun: u32,
    /// Where the entries of the directories lie that are entered, and how long each one's path is.
    entered: Vec<(usize, EntryPlace)>,
    account: Account,
    /// Bytes of files that need not come: holes, and files that are left as they are.
    pub spared: u64,
    pub digest: digest::Hasher,
    /// Pages of an earlier try.
    pub stored: u32,
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner").field("next", &self.next).finish_non_exhaustive()
    }
}

/// A page while it is planned.
pub(super) struct Draft<'a> {
    pub table: &'a Arc<EntryTable>,
    /// Counts the table.
    pub held: &'a Arc<Held>,
    pub listing: &'a Listing,
    pub layout: &'a Layout,
    /// The file of each entry, if it is restored from fragments.
    pub files: Vec<Option<Arc<SharedFile>>>,
    pub ends: Ends,
}

impl Planner {
    pub fn new(site: &Arc<Site>, stored: u32, account: &Account) -> Self {
        Self {
            restorer: Restorer::new(site),
            tree: Tree::new(site.overwrite, site.whole),
            next: 0,
            base: 0,
            last: None,
            open: None,
            given_up: Vec::new(),
            next_id: 0,
            begun: 0,
            entered: Vec::new(),
            account: account.clone(),
            spared: 0,
            digest: digest::Hasher::default(),
            stored,
        }
    }

    /// What is left when all pages came: directories that are still open, inner ones first, and the catalogue's digest. What was
    /// written of files that were given up is removed.
    pub fn end(&mut self) -> (Vec<EntryRef>, digest::Digest) {
        let last = self.open.take().and_then(|open| open.file);
        for file in self.given_up.drain(..).chain(last) {
            self.restorer.site.files.remove(&file);
            self.restorer.discard_file(&file);
        }
        let mut closing = Vec::new();
        while let Some(left) = self.tree.leave_next() {
            closing.extend(left);
        }
        (closing, self.digest.digest())
    }

    /// Plans all entries of a page.
    pub fn entries(&mut self, draft: &mut Draft<'_>) -> Result<()> {
        let last = draft.table.entries.len().saturating_sub(1);
        for (index, entry) in draft.table.entries.iter().enumerate() {
            let goes_on = index == last && draft.listing.continues;
            let is_more = index == 0 && draft.listing.resumes;
            let file = if is_more {
                self.more(entry)?
            } else {
                self.open = None;
                let planned = self.entry(draft, index, goes_on);
                let planned = planned.unwrap_or_else(|failure| {
                    self.restorer.settle(entry, Err(failure));
                    None
                });
                self.spared += spared(entry, planned.as_deref());
                planned
            };
            self.carry_on(draft, index, (file.clone(), is_more, goes_on));
            draft.files.push(file);
        }
        self.restorer.tell();
        Ok(())
    }

    /// The file that the page before left open.
    fn more(&mut self, entry: &Entry) -> Result<Option<Arc<SharedFile>>> {
        match &self.open {
            Some(open) if open.path == entry.path && entry.kind == Kind::File => Ok(open.file.clone()),
            _ => Err(Error::format("catalogue page: it goes on with another file than the page before")),
        }
    }

    /// Keeps the books of a file that lies in several pages.
    fn carry_on(
        &mut self,
        draft: &Draft<'_>,
        index: usize,
        (file, is_more, goes_on): (Option<Arc<SharedFile>>, bool, bool),
    ) {
        let length = draft.layout.lengths.get(index).copied().unwrap_or_default();
        if let Some(file) = file.as_ref().filter(|_| is_more) {
            file.expect(length);
        }
        if goes_on {
            let before = self.open.take().filter(|_| is_more).map_or(0, |open| open.position);
            let path = draft.table.entries.get(index).map(|entry| entry.path.clone()).unwrap_or_default();
            self.open = Some(Open { file, path, position: before + length });
        } else if is_more {
            self.open = None;
        }
    }

    fn entry(
        &mut self,
        draft: &mut Draft<'_>,
        index: usize,
        goes_on: bool,
    ) -> Attempted<Option<Arc<SharedFile>>> {
        let Some(entry) = EntryRef::counted(draft.table, index, draft.held) else { return Ok(None) };
        let path = &entry.get().path;
        let order = self.last.as_ref().map(|last| compare_paths(last, path));
        // A file that changed while it was read begins anew, under the same path.
        let is_again = order.is_some_and(|order| order.is_eq()) && entry.get().kind == Kind::File;
        if !is_again && order.is_some_and(|order| !order.is_lt()) {
            return Err(Failure::damage("an entry out of order"));
        }
        self.last.get_or_insert_default().clone_from(path);
        while let Some(left) = self.tree.leave(path) {
            draft.ends.closing.extend(left.map(|left| self.left(&left)));
        }
        self.restorer.site.check_name(path)?;
        if let Some(skip) = self.left_out(entry.get().kind) {
            self.restorer.settle(entry.get(), Ok(Outcome::Skipped(skip)));
            return Ok(None);
        }
        let directories = &mut self.restorer.directories;
        let fresh = self.tree.reach(split(path).0, directories)?;
        match entry.get().kind {
            Kind::Directory => {
                if self.tree.enter(&entry, directories)? {
                    self.restorer.own(entry.get())?;
                }
                self.entered.push((path.len(), (self.next, index as u32)));
            }
            Kind::File => {
                let length = draft.layout.lengths.get(index).copied().unwrap_or_default();
                return self.file(&entry, (fresh, is_again), length, goes_on);
            }
            Kind::Hardlink => draft.ends.links.push((entry, (self.next, index as u32))),
            _ => self.restorer.plain(&entry),
        }
        Ok(None)
    }

    /// A directory that gets no more entries, and where its entry lies: paths of those above it are shorter.
    fn left(&mut self, entry: &EntryRef) -> (EntryRef, EntryPlace) {
        let length = entry.get().path.len();
        let mut place = EntryPlace::default();
        while let Some((_, found)) = self.entered.pop_if(|(entered, _)| *entered >= length) {
            place = found;
        }
        (EntryRef::apart(entry.get(), &self.account), place)
    }

    fn left_out(&self, kind: Kind) -> Option<Skip> {
        match kind {
            Kind::Socket => Some(Skip::Socket),
            Kind::CharDevice | Kind::BlockDevice if !self.restorer.site.devices => Some(Skip::Device),
            _ => None,
        }
    }

    /// Plans a file; `fresh`: its directory was empty when the landing began.
    fn file(
        &mut self,
        entry: &EntryRef,
        (fresh, is_again): (bool, bool),
        length: u64,
        goes_on: bool,
    ) -> Attempted<Option<Arc<SharedFile>>> {
        let path = &entry.get().path;
        self.begun = if is_again { self.begun + 1 } else { 0 };
        let mut found = Found { begun: self.begun, ..Found::default() };
        if !fresh || is_again {
            let directory = self.restorer.directories.get(split(path).0).attempt("open directory")?;
            if let Some(outcome) = judge(&self.restorer.site, directory, entry.get())? {
                self.restorer.settle(entry.get(), Ok(outcome));
                return Ok(None);
            }
            // Of one that begins anew what exists was looked through already.
            found.replaces =
                !is_again && is_file(directory.look(split(path).1).attempt("look at what exists")?);
        }
        if length == 0 && !goes_on {
            self.restorer.plain(entry);
            return Ok(None);
        }
        self.next_id += 1;
        // What is open waits for one byte that never comes, until it ends.
        let length = length + u64::from(goes_on);
        let site = Arc::clone(&self.restorer.site);
        if !fresh {
            let directory = self.restorer.directories.get(split(path).0).attempt("open directory")?;
            let owner = site.rules.owners.then_some(entry.get().uid);
            let temporary = site.names.name_of(path, found.begun);
            found.left = directory.left(&temporary, owner).attempt("look for what an earlier try left")?;
        }
        let entry = if goes_on { EntryRef::apart(entry.get(), &self.account) } else { entry.clone() };
        Ok(Some(Arc::new(SharedFile::new(entry, self.next_id, length, found))))
    }
}

/// Bytes of an entry that are no fragments' that come.
fn spared(entry: &Entry, file: Option<&SharedFile>) -> u64 {
    match file {
        Some(file) => entry.size.saturating_sub(file.extents().length(entry)),
        None if entry.kind == Kind::File => entry.size,
        None => 0,
    }
}

fn is_file(stat: Option<rustix::fs::Stat>) -> bool {
    stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}
