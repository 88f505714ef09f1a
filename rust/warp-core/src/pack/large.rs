//! A large file is read in segments by all workers.
//!
//! Cut candidates do not depend on what came before (stage 1), so segments are read and scanned in any order.
//! As soon as the next segment in order is there, the resolver decides the cuts (stage 2) and the fragments
//! that ended go to be hashed, again by any worker; the sequencer gets them in order.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use super::batch;
use super::events::Problem;
use super::lock;
use super::queues::Job;
use super::recall;
use super::segment::{Content, HashJob, Segment};
use super::sequence::{Item, Message, Pieces};
use super::shared::Shared;
use crate::catalogue::{CutFile, CutPart};
use crate::cutter::Resolver;
use crate::entry::{Entry, FLAG_CHANGED_WHILE_READ, FLAG_SPARSE};
use crate::walk::{Opener, WalkEntry};

/// Bytes before a segment that the rolling hash looks back on.
pub(super) const CONTEXT: usize = 47;

/// A file that is being read in segments, or a stream.
pub(super) struct LargeFile {
    sequence: u64,
    cost: u64,
    progress: Mutex<Progress>,
}

struct Progress {
    source: Source,
    attempt: u8,
    /// Bytes of data to read, by the extents or the size; unknown for a stream.
    data: u64,
    /// What the file is, if how it is cut is to be noted.
    file: Option<CutFile>,
    /// Parts that an earlier try has cut, which are not queued yet, each with its number.
    recalled: VecDeque<(u64, Vec<CutPart>)>,
    /// Bytes of data in all of those: segments begin behind them.
    start: u64,
    /// Where segments stand among the jobs of the file: behind those parts.
    first_segment: u64,
    next_read: u64,
    arrived: BTreeMap<u64, Segment>,
    next_resolve: u64,
    resolver: Resolver,
    /// Pieces of the fragment that has not ended yet, and where it began.
    open: Pieces,
    open_at: u64,
    next_part: u64,
    /// Parts queued and not yet sequenced.
    in_flight: usize,
    finished: bool,
}

enum Source {
    File { item: Box<WalkEntry>, descriptor: Option<Arc<OwnedFd>> },
    Stream(Box<Entry>),
}

impl LargeFile {
    pub fn new(sequence: u64, item: WalkEntry, shared: &Shared) -> Self {
        Self::from_source(sequence, Source::File { item: Box::new(item), descriptor: None }, shared)
    }

    pub fn from_stream(sequence: u64, entry: Entry, shared: &Shared) -> Self {
        Self::from_source(sequence, Source::Stream(Box::new(entry)), shared)
    }

    fn from_source(sequence: u64, source: Source, shared: &Shared) -> Self {
        let progress = Progress {
            source,
            attempt: 0,
            data: 0,
            file: None,
            recalled: VecDeque::new(),
            start: 0,
            first_segment: 0,
            next_read: 0,
            arrived: BTreeMap::new(),
            next_resolve: 0,
            resolver: shared.options.cutter.resolver(),
            open: Vec::new(),
            open_at: 0,
            next_part: 0,
            in_flight: 0,
            finished: false,
        };
        let cost = (shared.limits.segments * shared.limits.segment) as u64;
        Self { sequence, cost, progress: Mutex::new(progress) }
    }

    /// What the parts of the file have in common: its place in walk order, and what it takes of the window.
    pub fn place(&self) -> (u64, u64) {
        (self.sequence, self.cost)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }

    /// Segments of a stream that may be fed now.
    pub fn has_room(&self, shared: &Shared) -> bool {
        let progress = self.progress();
        progress.in_flight + progress.arrived.len() < shared.limits.segments
    }

    /// What is known of the file so far.
    pub fn entry(&self) -> Entry {
        self.progress().entry()
    }

    /// A part was sequenced: the next segment may be read.
    pub fn read_on(self: &Arc<Self>, shared: &Shared) {
        let mut progress = self.progress();
        progress.in_flight = progress.in_flight.saturating_sub(1);
        self.queue_segments(&mut progress, shared);
    }

    fn queue_segments(self: &Arc<Self>, progress: &mut Progress, shared: &Shared) {
        let segment = shared.limits.segment as u64;
        let Source::File { descriptor: Some(_), .. } = &progress.source else {
            return;
        };
        while progress.in_flight < shared.limits.segments {
            let file = Arc::clone(self);
            let (position, job) = if let Some((part, cut)) = progress.recalled.pop_front() {
                (part, Job::Recall { file, part, cut })
            } else if !progress.finished && progress.start + progress.next_read * segment < progress.data {
                let index = progress.next_read;
                progress.next_read += 1;
                (progress.first_segment + index, Job::Segment { file, attempt: progress.attempt, index })
            } else {
                return;
            };
            progress.in_flight += 1;
            shared.queue_read((self.sequence, position), job);
        }
    }

    /// What there is to read, and where its first segment begins; None if that attempt is over.
    pub fn content(&self, attempt: u8) -> Option<(Content, u64)> {
        let progress = self.progress();
        let Source::File { item, descriptor: Some(descriptor) } = &progress.source else {
            return None;
        };
        let current = !progress.finished && progress.attempt == attempt;
        let content = || Content {
            file: Arc::clone(descriptor),
            extents: item.entry.extents.as_slice().into(),
            length: progress.data,
        };
        current.then(|| (content(), progress.start))
    }

    /// The file can't be read: it is left out.
    pub fn give_up(&self, shared: &Shared, what: &str, error: &io::Error) {
        let mut progress = self.progress();
        if !progress.finished {
            let path = progress.path();
            self.fail(shared, &mut progress, batch::problem(path, what, error));
        }
    }

    fn fail(&self, shared: &Shared, progress: &mut Progress, problem: Problem) {
        progress.finished = true;
        progress.open.clear();
        let items = vec![Item::Failed(problem)];
        let message = Message { items, last: true, cost: self.cost, ..Message::default() };
        shared.deliver((self.sequence, progress.next_part), message);
    }
}

/// Opens the file, looks at what it is now, and queues its first segments.
pub(super) fn open(shared: &Shared, file: &Arc<LargeFile>) {
    let mut progress = file.progress();
    if let Err(error) = start(shared, &mut progress) {
        let path = progress.path();
        return file.fail(shared, &mut progress, batch::problem(path, "open", &error));
    }
    file.queue_segments(&mut progress, shared);
    if progress.start == progress.data {
        // It became empty, is one hole, or an earlier try has read it: there is no segment to wait for.
        finish_unread(shared, file, &mut progress);
    }
}

fn start(shared: &Shared, progress: &mut Progress) -> io::Result<()> {
    let now = SystemTime::now();
    let Source::File { item, descriptor } = &mut progress.source else {
        return Ok(());
    };
    let opened = match descriptor {
        Some(opened) => Arc::clone(opened),
        None => Arc::new(item.open(&mut Opener::default())?),
    };
    let stat = rustix::fs::fstat(&*opened)?;
    batch::take_stat(item, &stat)?;
    let sparse = batch::find_extents(&opened, item)?;
    item.entry.xattrs = item.xattrs(&shared.xattrs, Some(opened.as_fd()))?;
    progress.data = match sparse {
        true => item.entry.extents.iter().map(|(_, length)| length).sum(),
        false => item.entry.size,
    };
    let cut = recall::large(shared, item, progress.data, now);
    *descriptor = Some(opened);
    progress.attempt += 1;
    progress.next_read = 0;
    progress.next_resolve = 0;
    progress.arrived.clear();
    progress.open.clear();
    progress.take_recalled(cut);
    progress.resolver = shared.options.cutter.resolver_from(progress.start);
    Ok(())
}

fn finish_unread(shared: &Shared, file: &LargeFile, progress: &mut Progress) {
    progress.finished = true;
    let items = vec![Item::File(progress.entry())];
    let message = Message { items, last: true, cost: file.cost, ..Message::default() };
    shared.deliver((file.sequence, progress.next_part), message);
}

/// Finds the candidates of a segment and hands on every fragment that is decided by now.
pub(super) fn scan(shared: &Shared, file: &Arc<LargeFile>, mut segment: Segment) {
    let (context, own) = segment.buffer.split_at(segment.context);
    shared.options.cutter.candidates(context, own, segment.base, &mut segment.candidates);
    let mut progress = file.progress();
    if progress.finished || progress.attempt != segment.attempt {
        return;
    }
    progress.arrived.insert(segment.index, segment);
    loop {
        let next = progress.next_resolve;
        let Some(segment) = progress.arrived.remove(&next) else {
            return;
        };
        progress.next_resolve += 1;
        let last = segment.last;
        let short = segment.short;
        // Of this attempt: another one may begin below.
        let (cut, part) = (progress.file, progress.next_part);
        progress.next_part += 1;
        let fragments = progress.resolve(segment);
        let again = if last { conclude(shared, &mut progress, short) } else { None };
        // The last part of a file that changed may be cut otherwise if it is read alone.
        let is_sound =
            matches!(&again, Some(Item::File(entry)) if entry.flags & FLAG_CHANGED_WHILE_READ == 0);
        let job = HashJob {
            position: (file.sequence, part),
            fragments,
            last: progress.finished,
            cost: file.cost,
            source: Arc::clone(file),
            file: cut.filter(|_| !last || is_sound),
            end: again,
        };
        shared.queue_hash(job);
        if last && !progress.finished {
            progress.in_flight = 0;
            file.queue_segments(&mut progress, shared);
            if progress.start == progress.data {
                finish_unread(shared, file, &mut progress);
            }
            return;
        }
    }
}

/// The last segment is resolved: the entry, or a restart if the file changed for the first time.
fn conclude(shared: &Shared, progress: &mut Progress, short: bool) -> Option<Item> {
    let read = progress.open_at;
    if let Source::File { item, descriptor: Some(descriptor) } = &mut progress.source {
        let now = rustix::fs::fstat(&**descriptor);
        let unchanged = !short && now.is_ok_and(|now| batch::same(&item.entry, &now));
        if !unchanged && progress.attempt == 1 && start(shared, progress).is_ok() {
            return Some(Item::Restart);
        }
        if !unchanged && let Source::File { item, .. } = &mut progress.source {
            item.entry.flags |= FLAG_CHANGED_WHILE_READ;
            shared.problem(batch::changed(&item.entry.path));
            if item.entry.flags & FLAG_SPARSE != 0 {
                batch::clip(&mut item.entry, read);
            } else {
                item.entry.size = read;
            }
        }
    }
    if let Source::Stream(entry) = &mut progress.source {
        entry.size = read;
    }
    progress.finished = true;
    Some(Item::File(progress.entry()))
}

impl Progress {
    /// Parts that need not be read come first.
    fn take_recalled(&mut self, cut: recall::Cut) {
        self.file = cut.file;
        self.start = cut.length;
        self.open_at = cut.length;
        self.recalled =
            cut.parts.into_iter().zip(self.next_part..).map(|(part, number)| (number, part)).collect();
        self.next_part += self.recalled.len() as u64;
        self.first_segment = self.next_part;
    }

    fn path(&self) -> Vec<u8> {
        match &self.source {
            Source::File { item, .. } => item.entry.path.clone(),
            Source::Stream(entry) => entry.path.clone(),
        }
    }

    fn entry(&self) -> Entry {
        match &self.source {
            Source::File { item, .. } => item.entry.clone(),
            Source::Stream(entry) => (**entry).clone(),
        }
    }

    /// Fragments that end in `segment`, the next in order.
    fn resolve(&mut self, segment: Segment) -> Vec<Pieces> {
        let length = (segment.buffer.len() - segment.context) as u64;
        let known = segment.base + length;
        let mut ends = Vec::new();
        self.resolver.push(&segment.candidates, known, &mut ends);
        if segment.last {
            self.resolver.finish(known, &mut ends);
        }
        self.open.push((Arc::clone(&segment.buffer), segment.context..segment.buffer.len()));
        ends.iter().map(|&end| self.take_open(end)).collect()
    }

    /// Splits the bytes up to `end` (an offset in the data) off the open pieces.
    fn take_open(&mut self, end: u64) -> Pieces {
        let mut left = (end - self.open_at) as usize;
        self.open_at = end;
        let mut pieces = Vec::with_capacity(2);
        let mut used = 0;
        for (buffer, range) in &mut self.open {
            if left == 0 {
                break;
            }
            let part = left.min(range.len());
            pieces.push((Arc::clone(buffer), range.start..range.start + part));
            range.start += part;
            left -= part;
            used += usize::from(range.start == range.end);
        }
        self.open.drain(..used);
        pieces
    }
}

/// Hands in the next segment of a stream.
pub(super) fn feed(shared: &Shared, file: &Arc<LargeFile>, segment: Segment) {
    file.progress().in_flight += 1;
    let position = (file.sequence, segment.index);
    shared.queue_read(position, Job::Scan { file: Arc::clone(file), segment });
}
