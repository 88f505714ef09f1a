//! Planning: which pieces of which chunks an entry needs, window by window.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::beneath::split;
use super::existing::judge;
use super::files::{Extents, Found, SharedFile};
use super::report::{Attempt, Failure, Outcome, Skip};
use super::restore::Restorer;
use super::tree::Tree;
use super::window::{EntryRef, Limits, WindowPlan};
use super::{Batch, Context};
use crate::chunk_index::Cursor;
use crate::entry::{Entry, Kind};
use crate::table::compare_paths;

/// Plans entries in archive order, and makes directories on the way.
pub(super) struct Planner {
    context: Arc<Context>,
    restorer: Restorer,
    tree: Tree,
    plan: WindowPlan,
    cursor: Cursor,
    /// Path of the entry before.
    last: Option<Vec<u8>>,
    next_id: u64,
}

impl Planner {
    pub fn new(context: &Arc<Context>, memory: usize) -> Self {
        Self {
            context: Arc::clone(context),
            restorer: Restorer::new(&context.site),
            tree: Tree::new(context.site.overwrite, context.site.whole),
            plan: WindowPlan::new(Limits::new(memory)),
            cursor: Cursor::default(),
            last: None,
            next_id: 0,
        }
    }

    /// Plan all batches until there are no more.
    pub fn run(mut self, batches: &Receiver<Batch>) {
        for Batch { table, indices } in batches {
            let all = 0..table.entries.len();
            let entry = |index| EntryRef::new(&table, index);
            match indices {
                Some(indices) => self.entries(indices.into_iter().filter_map(entry)),
                None => self.entries(all.filter_map(entry)),
            }
            if self.restorer.site.report.stopped() {
                return;
            }
            // A large table is not to wait in memory for the next.
            if self.plan.is_full() {
                self.dispatch();
            }
        }
        while let Some(left) = self.tree.leave_next() {
            self.close(left);
        }
        self.dispatch();
    }

    /// Close a directory that was left, if it has an entry.
    fn close(&mut self, directory: Option<EntryRef>) {
        if self.plan.is_full() {
            self.dispatch();
        }
        directory.into_iter().for_each(|directory| self.plan.close(directory));
    }

    fn entries(&mut self, entries: impl Iterator<Item = EntryRef>) {
        for entry in entries {
            if self.restorer.site.report.stopped() {
                break;
            }
            if self.plan.is_full() {
                self.dispatch();
            }
            if let Err(failure) = self.entry(&entry) {
                self.restorer.settle(entry.get(), Err(failure));
            }
        }
        self.restorer.tell();
    }

    /// Hand the window to the workers and begin the next.
    fn dispatch(&mut self) {
        let window = self.plan.finish();
        let context = Arc::clone(&self.context);
        let window = context.queue.push(window, &context.site.report);
        context.queue.settle(&window, |window| self.restorer.close(window));
    }

    fn entry(&mut self, entry: &EntryRef) -> Result<(), Failure> {
        let path = &entry.get().path;
        if !self.last.as_ref().is_none_or(|last| compare_paths(last, path).is_lt()) {
            return Err(Failure::damage("an entry out of order"));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(path);
        while let Some(left) = self.tree.leave(path) {
            self.close(left);
        }
        self.restorer.site.check_name(path)?;
        if let Some(skip) = self.left_out(entry.get().kind) {
            self.restorer.settle(entry.get(), Ok(Outcome::Skipped(skip)));
            return Ok(());
        }
        let directories = &mut self.restorer.directories;
        let fresh = self.tree.reach(split(path).0, directories)?;
        match entry.get().kind {
            Kind::Directory => drop(self.tree.enter(entry, directories)?),
            Kind::File => self.file(entry, fresh)?,
            Kind::Hardlink => self.plan.add_link(entry.clone()),
            _ => self.plan.add_plain(entry.clone()),
        }
        Ok(())
    }

    fn left_out(&self, kind: Kind) -> Option<Skip> {
        match kind {
            Kind::Socket => Some(Skip::Socket),
            Kind::CharDevice | Kind::BlockDevice if !self.restorer.site.devices => Some(Skip::Device),
            _ => None,
        }
    }

    /// Plan a file; `fresh`: its directory was empty when the extraction began.
    fn file(&mut self, entry: &EntryRef, fresh: bool) -> Result<(), Failure> {
        let length = self.recipe(entry.get())?;
        if !fresh {
            let directories = &mut self.restorer.directories;
            let directory = directories.get(split(&entry.get().path).0);
            let directory = directory.attempt("open directory")?;
            if let Some(outcome) = judge(&self.restorer.site, directory, entry.get())? {
                self.restorer.settle(entry.get(), Ok(outcome));
                return Ok(());
            }
        }
        if length == 0 {
            self.plan.add_plain(entry.clone());
        } else {
            self.needs(entry, length);
        }
        Ok(())
    }

    /// Length of a file's data, which its recipe gives.
    fn recipe(&mut self, entry: &Entry) -> Result<u64, Failure> {
        let index = &self.context.index;
        let length = Extents::of(entry).length(entry);
        let mut sum = 0_u64;
        for run in &entry.runs {
            let span = index.span(run.first, run.count, &mut self.cursor);
            let (start, end) = span.map_err(Failure::damage)?;
            sum = sum.saturating_add(end - start);
        }
        if sum == length {
            return Ok(length);
        }
        Err(Failure::damage(format!("its recipe gives {sum} bytes instead of {length}")))
    }

    fn needs(&mut self, entry: &EntryRef, length: u64) {
        let index = Arc::clone(&self.context.index);
        let mut cursor = Cursor::default();
        let runs = &entry.get().runs;
        // All of it was found before, and is not kept: there may be millions.
        let spans = runs.iter().filter_map(|run| index.span(run.first, run.count, &mut cursor).ok());
        let mut pieces = spans.flat_map(|span| index.pieces(span)).peekable();
        let is_whole = pieces.peek().is_some_and(|piece| u64::from(piece.length) == length);
        let shared = (!is_whole).then(|| {
            self.next_id += 1;
            Arc::new(SharedFile::new(entry.clone(), self.next_id, length, Found::default()))
        });
        self.plan.add_file(entry.clone(), shared.clone());
        let mut position = 0;
        for piece in pieces {
            if self.plan.is_full_of_needs() {
                self.dispatch();
                self.plan.add_file(entry.clone(), shared.clone());
            }
            self.plan.add_need(piece, position);
            position += u64::from(piece.length);
        }
    }
}
