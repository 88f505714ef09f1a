//! A worker reads a group of small files, cuts and hashes them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use super::events::Problem;
use super::recall;
use super::sequence::{Bytes, Item, Message};
use super::shared::Shared;
use crate::entry::{Entry, FLAG_CHANGED_WHILE_READ, FLAG_SPARSE, Kind, MAX_EXTENTS, Timestamp};
use crate::walk::{Opener, WalkEntry};

/// Consecutive entries, none of them a large file.
pub(super) struct BatchJob {
    pub sequence: u64,
    pub entries: Vec<WalkEntry>,
    /// Bytes of content to expect.
    pub bytes: u64,
}

pub(super) fn read(shared: &Arc<Shared>, job: BatchJob) {
    let mut out = Message { buffer: shared.buffers.take(), last: true, ..Message::default() };
    out.items.reserve(2 * job.entries.len());
    out.buffer.reserve(job.bytes as usize + 1);
    let (mut opener, now) = (Opener::default(), SystemTime::now());
    for item in job.entries {
        out.cost += super::input::content_bytes(&item) + super::input::ENTRY_COST;
        let start = (out.buffer.len(), out.items.len());
        let path = item.entry.path.clone();
        if let Err(error) = read_entry(shared, item, (&mut opener, now), &mut out) {
            out.buffer.truncate(start.0);
            out.items.truncate(start.1);
            out.items.push(Item::Failed(problem(path, "read", &error)));
        }
    }
    shared.deliver((job.sequence, 0), out);
}

/// The problem that an I/O error on one entry becomes.
pub(super) fn problem(path: Vec<u8>, what: &str, error: &io::Error) -> Problem {
    let what = match error.raw_os_error() {
        Some(_) => what.into(),
        None => format!("{what}: {error}"),
    };
    Problem { path, what, errno: error.raw_os_error().unwrap_or(5) }
}

/// The problem that is noted for a file that changed while it was read.
pub(super) fn changed(path: &[u8]) -> Problem {
    let what = "changed while it was read, twice: its content may be of two states".into();
    Problem { path: path.to_vec(), what, errno: 0 }
}

fn read_entry(
    shared: &Shared,
    mut item: WalkEntry,
    (opener, now): (&mut Opener, SystemTime),
    out: &mut Message,
) -> io::Result<()> {
    if item.reused {
        out.items.push(Item::Complete(item.entry));
        return Ok(());
    }
    if item.entry.kind == Kind::File && item.entry.size > 0 {
        if recall::small(shared, &mut item, out)? {
            out.items.push(Item::File(item.entry));
            return Ok(());
        }
        let file = item.open(opener)?;
        return read_file(shared, item, (&file, now), out);
    }
    if item.entry.kind == Kind::Symlink {
        item.entry.link = item.read_link()?;
    }
    if item.entry.kind != Kind::Hardlink {
        item.entry.xattrs = item.xattrs(&shared.xattrs, None)?;
    }
    out.items.push(Item::Complete(item.entry));
    Ok(())
}

fn read_file(
    shared: &Shared,
    mut item: WalkEntry,
    (file, now): (&OwnedFd, SystemTime),
    out: &mut Message,
) -> io::Result<()> {
    let start = out.buffer.len();
    for attempt in 1..=2 {
        out.buffer.truncate(start);
        read_content(file, &mut item, &mut out.buffer)?;
        let now = rustix::fs::fstat(file)?;
        if same(&item.entry, &now) {
            break;
        }
        take_stat(&mut item, &now)?;
        // What grew too large for a group since the walk is kept as far as it was read.
        if attempt == 2 || item.entry.size > shared.limits.segment as u64 {
            item.entry.flags |= FLAG_CHANGED_WHILE_READ;
            shared.problem(changed(&item.entry.path));
            break;
        }
    }
    let read = out.buffer.len() - start;
    if item.entry.flags & FLAG_SPARSE == 0 {
        item.entry.size = read as u64;
    } else if item.entry.flags & FLAG_CHANGED_WHILE_READ != 0 {
        clip(&mut item.entry, read as u64);
    }
    item.entry.xattrs = item.xattrs(&shared.xattrs, Some(file.as_fd()))?;
    cut(shared, start, out);
    out.items.extend(recall::note(shared, (item.device, &item.entry), now));
    out.items.push(Item::File(item.entry));
    Ok(())
}

/// Cuts and names what was appended to the buffer from `start` on.
fn cut(shared: &Shared, start: usize, out: &mut Message) {
    let mut ends = Vec::new();
    let data = out.buffer.get(start..).unwrap_or_default();
    shared.options.cutter.cut(data, &mut ends);
    let mut from = 0;
    for end in ends {
        let fragment = data.get(from..end).unwrap_or_default();
        let id = shared.options.keys.fragment_id(fragment);
        let bytes = Bytes::Own(start + from..start + end);
        out.items.push(Item::Fragment { id, length: fragment.len() as u32, bytes });
        from = end;
    }
}

/// Reads the file's data: all of it, or its extents if it has holes.
fn read_content(file: &OwnedFd, item: &mut WalkEntry, buffer: &mut Vec<u8>) -> io::Result<()> {
    let size = item.entry.size;
    if !find_extents(file, item)? {
        return read_whole(file, size, buffer);
    }
    for &(offset, length) in &item.entry.extents {
        read_range(file, offset, length, buffer)?;
    }
    Ok(())
}

/// Appends the first `size` bytes, without clearing the room for them first.
fn read_whole(file: &OwnedFd, size: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    let start = buffer.len();
    let end = start + size as usize;
    buffer.reserve(size as usize);
    while buffer.len() < end {
        let at = (buffer.len() - start) as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(buffer), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // Room to spare may have let in more of a file that grew: `fstat` tells, and it is read again.
    buffer.truncate(end);
    Ok(())
}

/// Whether a file has fewer blocks than its size needs. Below a page there is no hole to find, and tiny files may live in their inode,
/// with no blocks at all.
pub(super) fn may_have_holes(item: &WalkEntry) -> bool {
    item.entry.size >= 4096 && item.blocks.saturating_mul(512) < item.entry.size
}

/// Notes the data extents of a file with holes; false if it has none.
pub(crate) fn find_extents(file: &OwnedFd, item: &mut WalkEntry) -> io::Result<bool> {
    item.entry.flags &= !FLAG_SPARSE;
    item.entry.extents.clear();
    if !may_have_holes(item) {
        return Ok(false);
    }
    let mut extents = Vec::new();
    let mut at = 0;
    while at < item.entry.size {
        let data = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data.min(item.entry.size),
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        let hole = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(data))?.min(item.entry.size);
        if extents.len() == MAX_EXTENTS - 1 {
            // No more are kept apart: the rest is data, its holes zeros.
            extents.push((data, item.entry.size - data));
            break;
        }
        if hole > data {
            extents.push((data, hole - data));
        }
        at = hole.max(data + 1);
    }
    if extents == [(0, item.entry.size)] {
        return Ok(false);
    }
    item.entry.flags |= FLAG_SPARSE;
    item.entry.extents = extents;
    Ok(true)
}

/// Appends up to `length` bytes from `offset`; fewer if the file ends before.
fn read_range(file: &OwnedFd, offset: u64, length: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    let start = buffer.len();
    buffer.resize(start + length as usize, 0);
    let read = read_at(file, offset, buffer.get_mut(start..).unwrap_or_default())?;
    buffer.truncate(start + read);
    Ok(())
}

/// Fills `room` from `offset` on; the bytes read, fewer only if the file ends before.
pub(super) fn read_at(file: &OwnedFd, offset: u64, room: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < room.len() {
        match rustix::io::pread(file, room.get_mut(done..).unwrap_or_default(), offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(done)
}

/// Whether the file still is what the entry says.
pub(super) fn same(entry: &Entry, stat: &rustix::fs::Stat) -> bool {
    entry.size == stat.st_size as u64 && entry.mtime == modified(stat) && entry.ctime == status_changed(stat)
}

/// Takes what may have changed since the walk. Something else in the file's place is an error.
pub(crate) fn take_stat(item: &mut WalkEntry, stat: &rustix::fs::Stat) -> io::Result<()> {
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::other("it is no regular file any more"));
    }
    let entry = &mut item.entry;
    entry.size = stat.st_size as u64;
    entry.mode = stat.st_mode & 0o7777;
    (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
    entry.mtime = modified(stat);
    entry.ctime = status_changed(stat);
    item.blocks = stat.st_blocks as u64;
    Ok(())
}

fn modified(stat: &rustix::fs::Stat) -> Timestamp {
    Timestamp { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 }
}

fn status_changed(stat: &rustix::fs::Stat) -> Timestamp {
    Timestamp { seconds: stat.st_ctime, nanos: stat.st_ctime_nsec as u32 }
}

/// Makes the extents of a file that shrank agree with the `read` bytes that were there.
pub(super) fn clip(entry: &mut Entry, read: u64) {
    let mut left = read;
    entry.extents.retain_mut(|(_, length)| {
        *length = (*length).min(left);
        left -= *length;
        *length > 0
    });
    if left == 0
        && let Some((offset, length)) = entry.extents.last()
    {
        entry.size = entry.size.max(offset + length);
    }
}
