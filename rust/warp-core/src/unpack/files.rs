//! Files that several chunks make up: written by any worker at any offset, finished by the one that writes the last byte.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{fstat, ftruncate};
use rustix::io::{Errno, Result, pwrite};

use super::beneath::{CREATION_MODE, Directories, TemporaryNames, split};
use super::landing::base::Base;
use super::lock;
use super::made::Identity;
use super::report::Failure;
use super::window::EntryRef;
use crate::entry::{Entry, FLAG_SPARSE};

/// Files that are kept open between their pieces; others are opened again by their temporary name.
const OPEN_FILES: usize = 256;
/// Damaged places of a file that are kept: an entry of some megabytes can have a million.
const MOST_PLACES: usize = 4096;
/// Damaged places of a file that a message names.
const SHOWN_PLACES: usize = 16;

/// What there is already of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Its temporary file, of a try before.
    pub left: Option<Identity>,
    /// Another file has its name.
    pub replaces: bool,
    /// How often it was begun before, and given up.
    pub begun: u32,
}

/// A file that needs several pieces.
#[derive(Debug)]
pub(super) struct SharedFile {
    first: EntryRef,
    /// What is known of it at its end, if that came later.
    last: OnceLock<EntryRef>,
    /// Unique within the extraction.
    id: u64,
    /// Bytes not written yet, or given up.
    remaining: AtomicU64,
    failed: AtomicBool,
    written: AtomicU64,
    lost: Mutex<Option<Lost>>,
    extents: Extents,
    /// A try before may have written more than there is now.
    existed: bool,
    replaces: bool,
    /// What the file that has its name has, once that was looked through.
    base: Mutex<Option<Option<Arc<Base>>>>,
    /// How often a file at its path was begun and given up before.
    begun: u32,
    /// Its temporary file, once that was made; locked while it is.
    created: Mutex<Option<Identity>>,
}

impl SharedFile {
    /// A file of `length` bytes of data.
    pub fn new(entry: EntryRef, id: u64, length: u64, found: Found) -> Self {
        let extents = Extents::of(entry.get());
        Self {
            first: entry,
            last: OnceLock::new(),
            id,
            remaining: AtomicU64::new(length),
            failed: AtomicBool::new(false),
            written: AtomicU64::new(0),
            lost: Mutex::new(None),
            extents,
            existed: found.left.is_some(),
            replaces: found.replaces,
            base: Mutex::new(None),
            begun: found.begun,
            created: Mutex::new(found.left),
        }
    }

    /// What the file is.
    pub fn entry(&self) -> &Entry {
        self.last.get().unwrap_or(&self.first).get()
    }

    /// So many bytes more are to come.
    pub fn expect(&self, length: u64) {
        self.remaining.fetch_add(length, Ordering::AcqRel);
    }

    /// No more are to come than were said, and this is what the file is; false if its data lies elsewhere in it by now.
    pub fn conclude(&self, entry: EntryRef) -> bool {
        let first = self.first.get();
        let is_alike = (&first.extents, first.flags & FLAG_SPARSE)
            == (&entry.get().extents, entry.get().flags & FLAG_SPARSE);
        let _ = self.last.set(entry);
        is_alike
    }

    /// The mode its temporary file was created with.
    pub fn creation_mode(&self) -> u32 {
        CREATION_MODE
    }

    /// How often a file at its path was begun and given up before.
    pub fn begun(&self) -> u32 {
        self.begun
    }

    /// Its temporary file, if that was made.
    pub fn made(&self) -> Option<Identity> {
        *lock(&self.created)
    }

    /// Whether its temporary file is of a try before.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Whether another file has its name.
    pub fn replaces(&self) -> bool {
        self.replaces
    }

    /// Where what the file that has its name has is kept.
    pub fn base(&self) -> &Mutex<Option<Option<Arc<Base>>>> {
        &self.base
    }

    /// Where its data lies.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }

    /// Whether a piece of it failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// A piece failed; true for the first one.
    pub fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    /// So many bytes of it were written.
    pub fn count(&self, length: usize) {
        self.written.fetch_add(length as u64, Ordering::Relaxed);
    }

    /// Bytes of it that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// `length` bytes at `position` of its data are damaged, and the rest of it is wanted all the same.
    pub fn lose(&self, position: u64, length: u32, failure: &Failure) {
        let mut lost = lock(&self.lost);
        let lost =
            lost.get_or_insert_with(|| Lost { failure: failure.clone(), bytes: 0, places: Vec::new() });
        lost.bytes += u64::from(length);
        for (offset, length) in self.extents.places(position, length.into()) {
            lost.add(offset, offset + length);
        }
    }

    /// What of it is lost, asked once all of it is settled.
    pub fn take_lost(&self) -> Option<Lost> {
        lock(&self.lost).take()
    }

    /// `length` more bytes are written or given up; true if they were the last.
    pub fn settle(&self, length: u32) -> bool {
        let length = u64::from(length);
        self.remaining.fetch_sub(length, Ordering::AcqRel) == length
    }
}

/// Data of a file that is damaged.
#[derive(Debug)]
pub(super) struct Lost {
    /// What was found first.
    pub failure: Failure,
    pub bytes: u64,
    /// Start and end in the file of each place, in the order they were found.
    places: Vec<(u64, u64)>,
}

impl Lost {
    fn add(&mut self, start: u64, end: u64) {
        if let Some((_, last)) = self.places.last_mut()
            && *last == start
        {
            *last = end;
        } else if self.places.len() < MOST_PLACES {
            self.places.push((start, end));
        }
    }

    /// The places, sorted, those that adjoin as one.
    pub fn places(mut self) -> Vec<(u64, u64)> {
        self.places.sort_unstable();
        self.places.dedup_by(|next, last| {
            let adjoin = next.0 <= last.1;
            if adjoin {
                last.1 = last.1.max(next.1);
            }
            adjoin
        });
        self.places
    }
}

/// The first of these places, for people: `bytes 0 to 4096, 8192 to 9000`, ends excluded; `bytes` are lost in all.
pub(super) fn describe(places: &[(u64, u64)], bytes: u64) -> String {
    let shown = places.iter().take(SHOWN_PLACES).map(|(start, end)| format!("{start} to {end}"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    if places.len() <= SHOWN_PLACES {
        return format!("bytes {shown}");
    }
    format!("bytes {shown} and further places, {bytes} bytes in all (--json names them)")
}

/// The files that are being written.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Arc<OwnedFd>>,
    /// In the order of opening; some may be closed.
    order: VecDeque<u64>,
    /// Those with a temporary file.
    created: HashMap<u64, Arc<SharedFile>>,
}

impl OpenFiles {
    /// The open temporary file of `file`, created or opened again if need be.
    pub fn get(
        &self,
        file: &Arc<SharedFile>,
        directories: &mut Directories,
        names: &TemporaryNames,
    ) -> Result<Arc<OwnedFd>> {
        let mut created = lock(&file.created);
        if let Some(fd) = lock(&self.state).open.get(&file.id) {
            return Ok(Arc::clone(fd));
        }
        let entry = file.entry();
        let directory = directories.get(split(&entry.path).0)?;
        let name = names.of(file);
        let fd = if let Some(made) = *created {
            directory.reopen(&name, made)?
        } else {
            let fd = directory.create(&name, CREATION_MODE)?;
            *created = Some(Identity::of(&fstat(&fd)?));
            lock(&self.state).created.insert(file.id, Arc::clone(file));
            size(&fd, entry)?;
            fd
        };
        drop(created);
        Ok(self.keep(file.id, fd))
    }

    fn keep(&self, id: u64, fd: OwnedFd) -> Arc<OwnedFd> {
        let fd = Arc::new(fd);
        let mut closed = None;
        let mut state = lock(&self.state);
        state.open.insert(id, Arc::clone(&fd));
        state.order.push_back(id);
        while state.order.len() > OPEN_FILES {
            if let Some(oldest) = state.order.pop_front() {
                closed = state.open.remove(&oldest);
            }
        }
        drop(state);
        // Closing may take the system a while: not under the lock.
        drop(closed);
        fd
    }

    /// Take a file out when it is complete or given up; whether it has a temporary file.
    pub fn remove(&self, file: &SharedFile) -> bool {
        let mut state = lock(&self.state);
        let open = state.open.remove(&file.id);
        let created = state.created.remove(&file.id).is_some();
        drop(state);
        drop(open);
        created
    }

    /// All files that have a temporary one, at the end of an extraction that did not finish.
    pub fn drain(&self) -> Vec<Arc<SharedFile>> {
        let mut state = lock(&self.state);
        state.open.clear();
        state.created.drain().map(|(_, file)| file).collect()
    }
}

/// Give a sparse file its size before its data.
pub(super) fn size(fd: &OwnedFd, entry: &Entry) -> Result<()> {
    match entry.flags & FLAG_SPARSE {
        0 => Ok(()),
        _ => ftruncate(fd, entry.size),
    }
}

/// Where a file's data lies in it.
#[derive(Debug)]
pub(super) enum Extents {
    /// All of it, without a hole.
    Dense,
    /// For each extent its position in the data, offset in the file and length.
    Sparse(Vec<(u64, u64, u64)>),
}

impl Extents {
    pub fn of(entry: &Entry) -> Self {
        if entry.flags & FLAG_SPARSE == 0 {
            return Self::Dense;
        }
        let mut position = 0_u64;
        let extents = entry.extents.iter().map(|(offset, length)| {
            let start = position;
            position = position.saturating_add(*length);
            (start, *offset, *length)
        });
        Self::Sparse(extents.collect())
    }

    /// Bytes of data.
    pub fn length(&self, entry: &Entry) -> u64 {
        match self {
            Self::Dense => entry.size,
            Self::Sparse(extents) => {
                extents.last().map_or(0, |(position, _, length)| position.saturating_add(*length))
            }
        }
    }

    /// Write `data`, which lies at `position` of the file's data, where it belongs in the file.
    pub fn write(&self, fd: &OwnedFd, position: u64, data: &[u8]) -> Result<()> {
        let mut rest = data;
        for (offset, length) in self.places(position, data.len() as u64) {
            let (now, later) =
                rest.split_at(usize::try_from(length).map_or(rest.len(), |n| n.min(rest.len())));
            write_all(fd, now, offset)?;
            rest = later;
        }
        Ok(())
    }

    /// Where `length` bytes at `position` of the file's data lie in the file: offsets and lengths.
    pub fn places(&self, position: u64, length: u64) -> impl Iterator<Item = (u64, u64)> {
        let (dense, touched) = match self {
            Self::Dense => (Some((position, length)), [].as_slice()),
            Self::Sparse(extents) => {
                let behind = extents.partition_point(|(start, ..)| *start <= position);
                (None, extents.get(behind.saturating_sub(1)..).unwrap_or_default())
            }
        };
        let (mut position, mut left) = (position, length);
        let sparse = touched.iter().map_while(move |(start, offset, length)| {
            let within = position.saturating_sub(*start);
            let now = length.saturating_sub(within).min(left);
            position = position.saturating_add(now);
            left -= now;
            (now > 0).then(|| (offset.saturating_add(within), now))
        });
        dense.into_iter().chain(sparse)
    }
}

fn write_all(fd: &OwnedFd, mut data: &[u8], mut offset: u64) -> Result<()> {
    while !data.is_empty() {
        match pwrite(fd, data, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(length) => {
                data = data.get(length..).unwrap_or_default();
                offset += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
