//! Reading chunks: their stored bytes are compared with their cid before anything else looks at them.

use std::os::fd::BorrowedFd;

use rustix::io::{Errno, pread};

use crate::chunk_index::{ChunkIndex, ChunkRecord};
use crate::codec::Decoder;
use crate::digest;
use crate::keys::{ObjectKind, ScopeKeys};
use crate::seal::open_in_place;
use crate::{Error, Result};

/// Reads chunks; keeps its buffers for the next. One a thread.
#[derive(Default)]
pub struct ChunkReader {
    stored: Vec<u8>,
    raw: Vec<u8>,
    decoder: Decoder,
}

impl ChunkReader {
    /// A reader without buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Read a chunk's stored bytes and compare them with its cid; their number.
    ///
    /// # Errors
    /// [`Error::Integrity`] naming the chunk if they differ or are not there, [`Error::Io`] if they cannot be read.
    pub fn check(&mut self, fd: BorrowedFd<'_>, index: &ChunkIndex, chunk: usize) -> Result<u64> {
        let record = index.record(chunk)?;
        self.load(fd, chunk, &record)?;
        Ok(u64::from(record.stored))
    }

    /// Read, verify, open and decode a chunk.
    ///
    /// # Errors
    /// [`Error::Integrity`] naming the chunk if it is damaged or not as the index says, [`Error::Io`] if it cannot be
    /// read, [`Error::Parameter`] if the index knows nothing but where chunks lie.
    pub fn read(
        &mut self,
        fd: BorrowedFd<'_>,
        index: &ChunkIndex,
        keys: &ScopeKeys,
        chunk: usize,
    ) -> Result<&[u8]> {
        if !index.is_complete() {
            return Err(Error::Parameter("index: knows only where chunks lie".into()));
        }
        let record = index.record(chunk)?;
        self.load(fd, chunk, &record)?;
        self.decode(keys, &record).map_err(|error| damaged(chunk, error))?;
        Ok(&self.raw)
    }

    /// The chunk read last, without the other buffers.
    pub fn into_raw(self) -> Vec<u8> {
        self.raw
    }

    fn load(&mut self, fd: BorrowedFd<'_>, chunk: usize, record: &ChunkRecord<'_>) -> Result<()> {
        // Grows or shrinks: only bytes that were not there yet are zeroed.
        self.stored.resize(record.stored as usize, 0);
        read_exact(fd, &mut self.stored, record.offset, chunk)?;
        if digest::hash(&self.stored) == *record.cid {
            Ok(())
        } else {
            Err(damaged(chunk, "its bytes are not those of its digest"))
        }
    }

    fn decode(&mut self, keys: &ScopeKeys, record: &ChunkRecord<'_>) -> Result<()> {
        let payload = open_in_place(keys, ObjectKind::Chunk, &record.dp, &mut self.stored)?;
        let codec = self.decoder.decode(payload, record.raw as usize, &mut self.raw)?;
        if codec as u8 == record.codec && self.raw.len() == record.raw as usize {
            Ok(())
        } else {
            Err(Error::format("payload: not as the index says"))
        }
    }
}

fn damaged(chunk: usize, what: impl std::fmt::Display) -> Error {
    Error::integrity(format!("chunk {chunk}: {what}"))
}

fn read_exact(fd: BorrowedFd<'_>, mut buffer: &mut [u8], mut offset: u64, chunk: usize) -> Result<()> {
    while !buffer.is_empty() {
        match pread(fd, &mut *buffer, offset) {
            Ok(0) => return Err(damaged(chunk, "the archive ends inside it")),
            Ok(length) => {
                buffer = buffer.get_mut(length..).unwrap_or_default();
                offset += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::io(format!("read chunk {chunk}"), errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
