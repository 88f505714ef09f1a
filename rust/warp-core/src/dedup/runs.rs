//! Sorted runs of slots on disk, merged four at a time, behind one filter (docs/decisions/0008).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::ORDINAL_BITS;
use super::file::unlinked_file;
use super::filter::Filter;
use crate::{Error, Result};

/// Home and slot of a fragment: runs are sorted by home, tag and ordinal.
pub(super) type Record = [u64; 2];

const RECORD_LEN: usize = size_of::<Record>();
/// So many runs of a level become one of the next.
const FAN_IN: usize = 4;
/// Records of a block, the unit of reading: 4 KiB, unless the fences would take more than is allowed.
const LEAST_BLOCK: u64 = 256;
/// Bytes read or written at once in a merge.
const BUFFER_LEN: usize = 256 << 10;

pub(super) struct Runs {
    filter: Filter,
    fence_memory: u64,
    /// Records of a full table.
    table: u64,
    directory: PathBuf,
    /// The oldest first; no level is above the one before.
    runs: Vec<Run>,
    records: u64,
    block: Vec<u8>,
}

impl Runs {
    /// No runs yet. Those to come hold up to `table` records each, but for the first, which may hold more.
    pub fn new(filter_memory: usize, fence_memory: usize, table: u64, directory: PathBuf) -> Self {
        Self {
            filter: Filter::new(filter_memory),
            fence_memory: fence_memory as u64,
            table,
            directory,
            runs: Vec::new(),
            records: 0,
            block: Vec::new(),
        }
    }

    /// Adds sorted records that are younger than all before.
    pub fn push(&mut self, records: &[Record]) -> Result<()> {
        self.records += records.len() as u64;
        let mut run = self.writer()?;
        for record in records {
            self.filter.add(record[0], record[1] >> ORDINAL_BITS);
            run.push(*record)?;
        }
        let mut level = 0;
        while self.table.saturating_mul((FAN_IN as u64).pow(level)) < records.len() as u64 {
            level += 1;
        }
        self.runs.push(run.finish(level)?);
        self.merge_full_levels()
    }

    fn merge_full_levels(&mut self) -> Result<()> {
        while let Some(first) = self.runs.len().checked_sub(FAN_IN)
            && self.runs[first].level == self.runs[first + FAN_IN - 1].level
        {
            let level = self.runs[first].level + 1;
            let mut merged = self.writer()?;
            let mut readers: Vec<_> = self.runs[first..].iter().map(Reader::new).collect();
            readers.iter_mut().try_for_each(Reader::advance)?;
            while let Some(reader) = readers.iter_mut().filter(|r| r.head.is_some()).min_by_key(|r| r.head) {
                if let Some(record) = reader.head {
                    merged.push(record)?;
                }
                reader.advance()?;
            }
            self.runs.truncate(first);
            self.runs.push(merged.finish(level)?);
        }
        Ok(())
    }

    fn writer(&self) -> Result<Writer> {
        let fences = (self.fence_memory / size_of::<u64>() as u64).max(1);
        Ok(Writer {
            file: unlinked_file(&self.directory)?,
            buffer: Vec::with_capacity(BUFFER_LEN),
            written: 0,
            records: 0,
            fences: Vec::new(),
            block: LEAST_BLOCK.max(self.records.div_ceil(fences)),
        })
    }

    /// The first slot in the order of insertion with this home and tag that `is_it` takes.
    pub fn find(
        &mut self,
        home: u64,
        tag: u64,
        mut is_it: impl FnMut(u64) -> Result<bool>,
    ) -> Result<Option<u64>> {
        if self.filter.holds(home, tag) {
            for run in &self.runs {
                if let Some(slot) = run.find(home, tag, &mut self.block, &mut is_it)? {
                    return Ok(Some(slot));
                }
            }
        }
        Ok(None)
    }
}

struct Run {
    file: File,
    level: u32,
    records: u64,
    /// Records of a block but the last.
    block: u64,
    /// The home of each block's first record.
    fences: Vec<u64>,
}

impl Run {
    fn find(
        &self,
        home: u64,
        tag: u64,
        buffer: &mut Vec<u8>,
        is_it: &mut impl FnMut(u64) -> Result<bool>,
    ) -> Result<Option<u64>> {
        let wanted = [home, tag << ORDINAL_BITS];
        let mut block = self.fences.partition_point(|fence| *fence < home).saturating_sub(1);
        loop {
            let first = block as u64 * self.block;
            let records = self.read(first, self.block, buffer)?;
            let start = records.partition_point(|bytes| record(bytes) < wanted);
            for [found, slot] in records[start..].iter().map(record) {
                if (found, slot >> ORDINAL_BITS) != (home, tag) {
                    return Ok(None);
                }
                if is_it(slot)? {
                    return Ok(Some(slot));
                }
            }
            block += 1;
            if self.fences.get(block) != Some(&home) {
                return Ok(None);
            }
        }
    }

    /// Up to `count` records from `first` on.
    fn read<'a>(&self, first: u64, count: u64, buffer: &'a mut Vec<u8>) -> Result<&'a [[u8; RECORD_LEN]]> {
        let count = count.min(self.records - first);
        buffer.resize(count as usize * RECORD_LEN, 0);
        let read = self.file.read_exact_at(buffer, first * RECORD_LEN as u64);
        read.map_err(|e| Error::io("read a spilled part of the fragment index", e))?;
        Ok(buffer.as_chunks().0)
    }
}

fn record(bytes: &[u8; RECORD_LEN]) -> Record {
    let (words, _) = bytes.as_chunks();
    [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
}

/// A run that is being written.
struct Writer {
    file: File,
    buffer: Vec<u8>,
    written: u64,
    records: u64,
    fences: Vec<u64>,
    block: u64,
}

impl Writer {
    fn push(&mut self, record: Record) -> Result<()> {
        if self.records.is_multiple_of(self.block) {
            self.fences.push(record[0]);
        }
        self.records += 1;
        record.iter().for_each(|word| self.buffer.extend_from_slice(&word.to_le_bytes()));
        if self.buffer.len() >= BUFFER_LEN { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let written = self.file.write_all_at(&self.buffer, self.written);
        written.map_err(|e| Error::io("write a spilled part of the fragment index", e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, level: u32) -> Result<Run> {
        self.write()?;
        self.fences.shrink_to_fit();
        let Self { file, records, fences, block, .. } = self;
        Ok(Run { file, level, records, block, fences })
    }
}

/// A run that is being merged.
struct Reader<'a> {
    run: &'a Run,
    buffer: Vec<u8>,
    /// Records read into the buffer so far, and where the next one lies in it.
    read: u64,
    at: usize,
    head: Option<Record>,
}

impl<'a> Reader<'a> {
    fn new(run: &'a Run) -> Self {
        Self { run, buffer: Vec::new(), read: 0, at: 0, head: None }
    }

    /// Makes the next record the head; there is none at the end.
    fn advance(&mut self) -> Result<()> {
        if self.at == self.buffer.len() && self.read < self.run.records {
            let count = (BUFFER_LEN / RECORD_LEN) as u64;
            self.read += self.run.read(self.read, count, &mut self.buffer)?.len() as u64;
            self.at = 0;
        }
        self.head = self.buffer[self.at..].first_chunk().map(record);
        self.at += if self.head.is_some() { RECORD_LEN } else { 0 };
        Ok(())
    }
}
