//! What is here already: read from where it lies, checked by its id, and written where it belongs as well.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, pread};

use super::super::beneath::split;
use super::super::files::{Extents, SharedFile};
use super::super::made::Identity;
use super::super::restore::Restorer;
use super::base::Base;
use super::page::{ActivePage, Late, Need};
use super::{Core, lock};
use crate::catalogue::StoredPage;
use crate::entry::Entry;

/// Fragments that are read together, in bytes.
const JOINED: u64 = 1 << 20;

/// A piece of work.
pub(super) enum LocalJob {
    /// Fragments that were met before belong into one file more.
    Copy {
        /// Page that they are of.
        number: u32,
        first: u32,
        count: u32,
        position: u64,
        file: Arc<SharedFile>,
        /// The page of that file.
        owner: Arc<ActivePage>,
    },
    /// What the file of before has of these needs, all of one file.
    Look { page: Arc<ActivePage>, needs: Range<usize> },
    /// The journal has these fragments of an earlier try: whether they are what they were.
    Check { page: Arc<ActivePage>, need: usize, first: u32, count: u32 },
}

/// Works until there are no more jobs.
pub(super) fn run(core: &Core) {
    let mut worker = Worker { core, restorer: Restorer::new(&core.site), source: None, data: Vec::new() };
    while let Some(job) = core.local.next() {
        if !core.running() {
            continue;
        }
        core.hold_back();
        let page = match job {
            LocalJob::Copy { number, first, count, position, file, owner } => {
                worker.copy((number, first, count), (position, &file), &owner);
                owner
            }
            LocalJob::Check { page, need, first, count } => {
                worker.check(&page, need, first, count);
                core.local.checked();
                page
            }
            LocalJob::Look { page, needs } => {
                worker.look(&page, page.needs.get(needs).unwrap_or_default());
                page.looked();
                core.answer();
                page
            }
        };
        core.release(&page);
        worker.restorer.tell();
        if core.jobs.fetch_sub(1, Ordering::AcqRel) == 1 {
            core.changed.notify_all();
        }
    }
}

/// Which of a file's two names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Temporary,
    Own,
}

struct Worker<'a> {
    core: &'a Core,
    restorer: Restorer,
    /// The file that was read last.
    source: Option<(Vec<u8>, Name, OwnedFd)>,
    data: Vec<u8>,
}

impl Worker<'_> {
    /// Fragments of page `number` belong at `position` of `file` too.
    fn copy(
        &mut self,
        (number, first, count): (u32, u32, u32),
        (position, file): (u64, &Arc<SharedFile>),
        owner: &Arc<ActivePage>,
    ) {
        let page = match self.core.store.get(number) {
            Ok(page) => page,
            Err(error) => return self.core.stop(Some(error)),
        };
        let offset = |index: u32| page.offsets.get(index as usize).copied().unwrap_or_default();
        let mut at = first;
        while at < first + count {
            let together = self.together(&page, at, first + count);
            let start = position + offset(at) - offset(first);
            let length = offset(at + together) - offset(at);
            if self.find(&page, at, together).is_some() {
                let data = std::mem::take(&mut self.data);
                self.restorer.piece(file, (start, length as u32), Ok(&data));
                self.data = data;
                self.core.settle(owner, length);
            } else {
                for index in at..at + together {
                    let position = position + offset(index) - offset(first);
                    let (file, owner) = (Arc::clone(file), Arc::clone(owner));
                    self.recall(&page, Late { fragment: index, position, file, owner });
                }
            }
            at += together;
        }
    }

    /// How many fragments from `first` on lie beside each other and are read in one go.
    fn together(&self, page: &StoredPage, first: u32, end: u32) -> u32 {
        let Some((place, _)) = page.locate(first) else { return 1 };
        let offset = |index: u32| page.offsets.get(index as usize).copied().unwrap_or_default();
        let last = end.min(place.first + place.count);
        let fits = |index: &u32| offset(*index + 1) - offset(first) <= JOINED;
        1 + (first + 1..last).take_while(fits).count() as u32
    }

    /// Reads fragments into `data` from one of the names of the file where they belong first, and checks them.
    fn find(&mut self, page: &StoredPage, first: u32, count: u32) -> Option<Name> {
        let (place, position) = page.locate(first)?;
        let entry = page.listing.table.entries.get(place.entry as usize)?;
        let names = match &self.source {
            Some((path, Name::Temporary, _)) if *path == entry.path => [Name::Temporary, Name::Own],
            _ => [Name::Own, Name::Temporary],
        };
        // It may get its name between the two.
        names
            .into_iter()
            .chain([Name::Own])
            .find(|name| self.read(page, (first, count), (entry, position), *name))
    }

    /// Reads fragments, and whether they are what they should be.
    fn read(
        &mut self,
        page: &StoredPage,
        (first, count): (u32, u32),
        (entry, position): (&Entry, u64),
        name: Name,
    ) -> bool {
        let offset = |index: u32| page.offsets.get(index as usize).copied().unwrap_or_default();
        let length = offset(first + count) - offset(first);
        self.data.clear();
        if self.open(entry, name).is_err() {
            return false;
        }
        let Some((.., fd)) = &self.source else { return false };
        for (offset, length) in Extents::of(entry).places(position, length) {
            if read_exact(fd, offset, length as usize, &mut self.data).is_err() {
                return false;
            }
        }
        let mut rest = self.data.as_slice();
        (first..first + count).all(|index| {
            let Some((length, id)) = page.listing.fragments.get(index as usize) else { return false };
            let Some((fragment, behind)) = rest.split_at_checked(*length as usize) else { return false };
            rest = behind;
            self.core.keys.fragment_id(fragment) == *id
        })
    }

    fn open(&mut self, entry: &Entry, name: Name) -> rustix::io::Result<()> {
        if self.source.as_ref().is_some_and(|(path, at, _)| (path, *at) == (&entry.path, name)) {
            return Ok(());
        }
        self.source = None;
        let (parent, own) = split(&entry.path);
        let directory = self.restorer.directories.get(parent)?;
        let temporary = self.core.site.names.name(&entry.path);
        let file = if name == Name::Own { own } else { &temporary };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(directory, file, flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        self.source = Some((entry.path.clone(), name, fd));
        Ok(())
    }

    /// Takes from the file of before what it has of these needs.
    fn look(&mut self, page: &Arc<ActivePage>, needs: &[Need]) {
        let Some(first) = needs.first() else { return };
        let Some(base) = self.base(&first.file, first.whole.is_some()) else { return };
        let size = first.file.entry().size;
        for need in needs {
            for index in need.first..need.first + need.count {
                if need.position + page.bytes(need.first, index - need.first) >= size {
                    return;
                }
                let Some((length, id)) = page.stored.listing.fragments.get(index as usize) else { return };
                let is_wanted = page.state().expected.has(index);
                if !is_wanted || !base.read(id, &self.core.keys, &mut self.data) {
                    continue;
                }
                let mut state = page.state();
                state.expected.take(index);
                state.local.set(index);
                let late = state.take_late(index, 1);
                self.core.late.fetch_sub(late.len() as u64, Ordering::Relaxed);
                drop(state);
                let position = need.position + page.bytes(need.first, index - need.first);
                let data = std::mem::take(&mut self.data);
                self.restorer.piece(&need.file, (position, *length), Ok(&data));
                self.core.settle(page, u64::from(*length));
                for Late { position, file, owner, .. } in late {
                    self.restorer.piece(&file, (position, *length), Ok(&data));
                    self.core.settle(&owner, u64::from(*length));
                }
                self.data = data;
            }
        }
    }

    /// What the file of before has. One that is needed for several pages is looked through once; one for a single page is not kept open.
    fn base(&mut self, file: &Arc<SharedFile>, is_whole: bool) -> Option<Arc<Base>> {
        if is_whole {
            return self.read_base(file);
        }
        let mut slot = lock(file.base());
        slot.get_or_insert_with(|| self.read_base(file)).clone()
    }

    fn read_base(&mut self, file: &Arc<SharedFile>) -> Option<Arc<Base>> {
        self.open(file.entry(), Name::Own).ok()?;
        let (.., fd) = self.source.take()?;
        let size = fstat(&fd).ok()?.st_size as u64;
        if !is_near(size, file.entry().size) {
            return None;
        }
        let how = (&self.core.cutter, &*self.core.keys);
        Base::of(fd, size, how, &self.core.bases).ok().flatten().map(Arc::new)
    }

    /// What an earlier try wrote of a file: if it is sound it counts, else it is asked for again.
    fn check(&mut self, page: &Arc<ActivePage>, need: usize, first: u32, count: u32) {
        let Some(need) = page.needs.get(need) else { return };
        let mut at = first;
        while at < first + count && self.core.running() {
            let together = self.together(&page.stored, at, first + count);
            self.check_run(page, need, at, together);
            at += together;
        }
    }

    fn check_run(&mut self, page: &Arc<ActivePage>, need: &Need, first: u32, count: u32) {
        let length = page.bytes(first, count);
        let position = need.position + page.bytes(need.first, first - need.first);
        let found = self.find_for(page, need, (first, count), position);
        if found.is_none() && count > 1 {
            // The damage is in some of them: those beside it are still good.
            return (first..first + count).for_each(|index| self.check_run(page, need, index, 1));
        }
        let mut state = page.state();
        if found.is_none() {
            (first..first + count).for_each(|index| {
                state.noted.take(index);
                state.expected.set(index);
            });
            drop(state);
            let number = page.stored.number;
            return self.core.tell(|news| news.wants.push((number, vec![(first as u16, count as u16)])));
        }
        (first..first + count).for_each(|index| state.written.set(index));
        drop(state);
        if found == Some(Name::Temporary) {
            if need.file.settle(length as u32) {
                self.restorer.finish(&need.file);
            }
        } else {
            let data = std::mem::take(&mut self.data);
            self.restorer.piece(&need.file, (position, length as u32), Ok(&data));
            self.data = data;
        }
        self.core.settle(page, length);
    }

    /// As [`Worker::find`], but the temporary file first: what is there is where it belongs.
    fn find_for(&mut self, page: &ActivePage, need: &Need, run: (u32, u32), position: u64) -> Option<Name> {
        let entry = need.file.entry();
        if self.read(&page.stored, run, (entry, position), Name::Temporary) && self.is_source(&need.file) {
            return Some(Name::Temporary);
        }
        self.read(&page.stored, run, (entry, position), Name::Own).then_some(Name::Own)
    }

    /// Whether what was read last is the very file that is written to.
    fn is_source(&self, file: &SharedFile) -> bool {
        let read = self.source.as_ref().and_then(|(.., fd)| fstat(fd).ok());
        file.made().is_some() && file.made() == read.map(|stat| Identity::of(&stat))
    }

    /// A fragment is not where it was: the other side is asked for it once more.
    fn recall(&self, stored: &Arc<StoredPage>, late: Late) {
        let (number, fragment) = (stored.number, late.fragment);
        let mut active = lock(&self.core.active);
        let page = active.get(number).unwrap_or_else(|| {
            let page = ActivePage::new(Arc::clone(stored), Vec::new(), 0, &self.core.account);
            page.settle(1);
            active.insert(Arc::clone(&page));
            page
        });
        // It is let go of while nothing is awaited.
        let mut state = page.state();
        state.late.push(late);
        self.core.late.fetch_add(1, Ordering::Relaxed);
        let is_coming = state.expected.has(fragment) || state.arriving.has(fragment);
        state.expected.set(fragment);
        drop(state);
        drop(active);
        if !is_coming {
            self.core.tell(|news| news.wants.push((number, vec![(fragment as u16, 1)])));
        }
    }
}

/// Whether a file of this size is likely another state of one of that size. What is asked for tells the other side what the old file
/// has: the nearer their sizes, the more of it must be known to learn the rest.
fn is_near(size: u64, other: u64) -> bool {
    size / 2 <= other && other / 2 <= size
}

/// Appends exactly `length` bytes at `offset`.
fn read_exact(fd: &OwnedFd, offset: u64, length: usize, out: &mut Vec<u8>) -> rustix::io::Result<()> {
    let start = out.len();
    out.resize(start + length, 0);
    let mut at = start;
    while at < out.len() {
        let place = offset + (at - start) as u64;
        match pread(fd, out.get_mut(at..).unwrap_or_default(), place) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => at += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
