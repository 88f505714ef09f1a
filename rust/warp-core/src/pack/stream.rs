//! A thread that reads a pipe to its end and feeds it as the segments of one large file.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::PollFlags;

use super::large::{self, CONTEXT, LargeFile};
use super::output::wait_for;
use super::segment::Segment;
use super::shared::Shared;
use crate::{Error, Result};

pub(super) fn run(shared: &Arc<Shared>, file: &Arc<LargeFile>, input: &OwnedFd) -> Result<()> {
    let size = shared.limits.segment;
    let mut context: Vec<u8> = Vec::new();
    let (mut index, mut base) = (0, 0);
    loop {
        shared.wait_until(|| file.has_room(shared))?;
        let before = context.len();
        let mut buffer = shared.segments.lend(before + size);
        let (start, room) = buffer.bytes.split_at_mut(before);
        start.copy_from_slice(&context);
        let read = read_full(input, room)?;
        buffer.bytes.truncate(before + read);
        context = buffer.get(buffer.len().saturating_sub(CONTEXT)..).unwrap_or_default().to_vec();
        let segment = Segment {
            attempt: 0,
            index,
            buffer: Arc::new(buffer),
            context: before,
            base,
            candidates: Vec::new(),
            last: read < size,
            short: false,
        };
        large::feed(shared, file, segment);
        if read < size {
            return Ok(());
        }
        index += 1;
        base += read as u64;
    }
}

/// Fills `room`; the bytes read, fewer only at the end of the stream.
fn read_full(input: &OwnedFd, room: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < room.len() {
        match rustix::io::read(input, room.get_mut(done..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => wait_for(input, PollFlags::IN)?,
            Err(errno) => return Err(Error::io("read input stream", errno)),
        }
    }
    Ok(done)
}
