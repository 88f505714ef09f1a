//! Which fragments were durable when a side was killed: records of an append-only file, each with a check.
//!
//! Header, 32 bytes: `"warpjrnl"`, u32 version (1), u32 zero, session (16). Record: u32 length of the body, u32 kind, u64 epoch, body, the
//! first 8 bytes of BLAKE3 of all before. Body of kind 0: for each page u32 number, u32 spans, and for each span u16 first, u16 count. A page
//! without spans: what was said of it and of all behind it is forgotten, for they are other pages now. Kind 1: files that were restored, two
//! u64 each.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Noted;
use crate::digest;
use crate::{Error, Result};

/// Spans of a page's fragments: first and count, ascending, none empty.
pub type Spans = Vec<(u16, u16)>;

/// A file that was restored: a digest of its path, and one of what it was.
pub type Restored = (u64, u64);

const MAGIC: &[u8; 8] = b"warpjrnl";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
const RECORD_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;
const FRAGMENTS: u32 = 0;
const RESTORED: u32 = 1;
const RESTORED_BYTES: usize = 16;
/// A record has one page at least and is written each few seconds.
const MOST_BODY: usize = 64 << 20;

/// The journal of one session.
#[derive(Debug)]
pub struct Journal {
    file: File,
    end: u64,
    epoch: u64,
}

impl Journal {
    /// Opens the journal of `session`, and gives what it holds: a file without a whole header, or with one of zeros, as a power cut may
    /// leave it, becomes a new journal, and its header is durable then; a torn end is cut off.
    ///
    /// # Errors
    /// [`Error::Integrity`] if it is the journal of something else, [`Error::Io`].
    pub fn open(file: File, session: &[u8; 16]) -> Result<(Self, Noted)> {
        let length = file.metadata().map_err(|error| Error::io("read the journal", error))?.len();
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[16..].copy_from_slice(session);
        let mut journal = Self { file, end: HEADER_BYTES as u64, epoch: 0 };
        let mut kept = Noted::default();
        let mut found = [0; HEADER_BYTES];
        if length >= HEADER_BYTES as u64 {
            journal.read(&mut found, 0)?;
        }
        if found == [0; HEADER_BYTES] {
            journal.write(&header, 0)?;
            journal.file.set_len(journal.end).map_err(|error| Error::io("cut the journal", error))?;
            journal.sync()?;
        } else if found != header {
            return Err(Error::integrity("journal: it is not that of this session"));
        } else {
            while let Some((kind, body)) = journal.record(length)? {
                match kind {
                    FRAGMENTS => add(&body, &mut kept)?,
                    RESTORED => add_restored(&body, &mut kept)?,
                    _ => return Err(Error::integrity("journal: a record of a later version")),
                }
            }
        }
        kept.settle();
        let end = journal.end;
        journal.file.set_len(end).map_err(|error| Error::io("cut the journal", error))?;
        Ok((journal, kept))
    }

    /// The last epoch; 0 if there is none.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Notes that these fragments are durable, and makes the note durable; the number of the epoch.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, pages: &BTreeMap<u32, Spans>) -> Result<u64> {
        self.append_with(pages, &[])
    }

    /// As [`Journal::append`], and that these files are restored.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append_with(&mut self, pages: &BTreeMap<u32, Spans>, restored: &[Restored]) -> Result<u64> {
        let epoch = self.epoch + 1;
        let mut records = Vec::new();
        if !pages.is_empty() {
            records = record(FRAGMENTS, epoch, &pages_body(pages));
        }
        for part in restored.chunks(MOST_BODY / RESTORED_BYTES) {
            let body: Vec<u8> = part
                .iter()
                .flat_map(|(path, state)| [path.to_le_bytes(), state.to_le_bytes()])
                .flatten()
                .collect();
            records.append(&mut record(RESTORED, epoch, &body));
        }
        self.put(&records, epoch)?;
        self.sync()?;
        Ok(epoch)
    }

    /// Notes that these fragments are written, durable or not: whoever goes on reads what is noted before it counts. So a kill costs
    /// less than a power cut.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append_early(&mut self, pages: &BTreeMap<u32, Spans>) -> Result<()> {
        let epoch = self.epoch + 1;
        self.put(&record(FRAGMENTS, epoch, &pages_body(pages)), epoch)
    }

    fn put(&mut self, records: &[u8], epoch: u64) -> Result<()> {
        self.write(records, self.end)?;
        self.end += records.len() as u64;
        self.epoch = epoch;
        Ok(())
    }

    /// Notes that this page and all behind it are others now; the number of the epoch.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget(&mut self, page: u32) -> Result<u64> {
        self.append(&BTreeMap::from([(page, Spans::new())]))
    }

    /// Kind and body of the next record; `None` at the end of what is whole.
    fn record(&mut self, length: u64) -> Result<Option<(u32, Vec<u8>)>> {
        let mut head = [0; RECORD_BYTES];
        let left = length - self.end;
        if left < (RECORD_BYTES + CHECK_BYTES) as u64 {
            return Ok(None);
        }
        self.read(&mut head, self.end)?;
        let [b0, b1, b2, b3, k0, k1, k2, k3, epoch @ ..] = head;
        let body = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
        let whole = RECORD_BYTES + body + CHECK_BYTES;
        if body > MOST_BODY || whole as u64 > left {
            return Ok(None);
        }
        let mut record = vec![0; whole];
        self.read(&mut record, self.end)?;
        let (bytes, found) = record.split_at(whole - CHECK_BYTES);
        if check(bytes) != found {
            return Ok(None);
        }
        self.epoch = u64::from_le_bytes(epoch);
        self.end += whole as u64;
        record.truncate(whole - CHECK_BYTES);
        Ok(Some((u32::from_le_bytes([k0, k1, k2, k3]), record.split_off(RECORD_BYTES))))
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| Error::io("read the journal", error))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("sync the journal", error))
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|error| Error::io("write the journal", error))
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = digest::hash(bytes);
    std::array::from_fn(|at| digest[at])
}

/// A record as it is written.
fn record(kind: u32, epoch: u64, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_BYTES + body.len() + CHECK_BYTES);
    record.extend_from_slice(&(body.len() as u32).to_le_bytes());
    record.extend_from_slice(&kind.to_le_bytes());
    record.extend_from_slice(&epoch.to_le_bytes());
    record.extend_from_slice(body);
    let check = check(&record);
    record.extend_from_slice(&check);
    record
}

fn pages_body(pages: &BTreeMap<u32, Spans>) -> Vec<u8> {
    let mut body = Vec::new();
    for (page, spans) in pages {
        body.extend_from_slice(&page.to_le_bytes());
        body.extend_from_slice(&(spans.len() as u32).to_le_bytes());
        for (first, count) in spans {
            body.extend_from_slice(&first.to_le_bytes());
            body.extend_from_slice(&count.to_le_bytes());
        }
    }
    body
}

fn add_restored(body: &[u8], kept: &mut Noted) -> Result<()> {
    let (files, rest) = body.as_chunks::<RESTORED_BYTES>();
    if !rest.is_empty() {
        return Err(Error::integrity("journal: a record that makes no sense"));
    }
    for [path @ .., s0, s1, s2, s3, s4, s5, s6, s7] in files {
        kept.add_restored((
            u64::from_le_bytes(*path),
            u64::from_le_bytes([*s0, *s1, *s2, *s3, *s4, *s5, *s6, *s7]),
        ));
    }
    Ok(())
}

fn add(mut body: &[u8], kept: &mut Noted) -> Result<()> {
    let damaged = || Error::integrity("journal: a record that makes no sense");
    while let Some(([p0, p1, p2, p3, s0, s1, s2, s3], rest)) = body.split_first_chunk::<8>() {
        let page = u32::from_le_bytes([*p0, *p1, *p2, *p3]);
        let spans = u32::from_le_bytes([*s0, *s1, *s2, *s3]) as usize;
        let bytes = spans.checked_mul(4).ok_or_else(damaged)?;
        let (now, later) = rest.split_at_checked(bytes).ok_or_else(damaged)?;
        let (pairs, _) = now.as_chunks::<4>();
        if pairs.is_empty() {
            kept.forget(page);
        }
        for [f0, f1, c0, c1] in pairs {
            let (first, count) = (u16::from_le_bytes([*f0, *f1]), u16::from_le_bytes([*c0, *c1]));
            if count == 0 || first.checked_add(count).is_none() {
                return Err(damaged());
            }
            kept.add(page, first, count);
        }
        body = later;
    }
    if body.is_empty() { Ok(()) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::tests::Scratch;

    const SESSION: [u8; 16] = [7; 16];

    fn file(scratch: &Scratch) -> File {
        let path = scratch.path().join("journal");
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn what_was_noted_is_there_again_and_a_torn_end_is_not() {
        let scratch = Scratch::new("journal");
        let (mut journal, kept) = Journal::open(file(&scratch), &SESSION).unwrap();
        assert!(kept.is_empty());
        let first = BTreeMap::from([(3, vec![(0, 7)]), (4, vec![(1, 1), (9, 1000)])]);
        assert_eq!(journal.append(&first).unwrap(), 1);
        let whole = file(&scratch).metadata().unwrap().len();
        assert_eq!(journal.append(&BTreeMap::from([(3, vec![(8, 1)])])).unwrap(), 2);
        let length = file(&scratch).metadata().unwrap().len();
        for cut in whole..length {
            file(&scratch).set_len(cut).unwrap();
            let (journal, kept) = Journal::open(file(&scratch), &SESSION).unwrap();
            assert_eq!((journal.epoch(), kept.of(3), kept.of(4)), (1, first[&3].clone(), first[&4].clone()));
        }
        let (mut journal, _) = Journal::open(file(&scratch), &SESSION).unwrap();
        assert_eq!(journal.append(&BTreeMap::from([(3, vec![(8, 1)])])).unwrap(), 2);
        let (_, kept) = Journal::open(file(&scratch), &SESSION).unwrap();
        assert_eq!(kept.of(3), [(0, 7), (8, 1)]);
    }

    #[test]
    fn a_journal_whose_header_a_power_cut_took_is_a_new_one() {
        let scratch = Scratch::new("journal-zeros");
        for left in [
            vec![],
            b"warpjr".to_vec(),
            vec![0; HEADER_BYTES],
            vec![0; 4096],
            [vec![0; 32], vec![9; 40]].concat(),
        ] {
            std::fs::write(scratch.path().join("journal"), &left).unwrap();
            let (mut journal, kept) = Journal::open(file(&scratch), &SESSION).unwrap();
            assert!(kept.is_empty() && journal.epoch() == 0, "{left:?}");
            journal.append(&BTreeMap::from([(3, vec![(0, 7)])])).unwrap();
            let (journal, kept) = Journal::open(file(&scratch), &SESSION).unwrap();
            assert_eq!((journal.epoch(), kept.of(3)), (1, vec![(0, 7)]));
        }
    }

    #[test]
    fn what_is_noted_early_is_there_and_may_be_noted_again() {
        let scratch = Scratch::new("journal-early");
        let (mut journal, _) = Journal::open(file(&scratch), &SESSION).unwrap();
        journal.append_early(&BTreeMap::from([(3, vec![(0, 7)])])).unwrap();
        journal.append(&BTreeMap::from([(3, vec![(0, 9)])])).unwrap();
        let (journal, kept) = Journal::open(file(&scratch), &SESSION).unwrap();
        assert_eq!((journal.epoch(), kept.of(3)), (2, vec![(0, 9)]));
    }

    #[test]
    fn what_was_said_before_of_pages_that_are_others_now_does_not_count() {
        let scratch = Scratch::new("journal-forget");
        let (mut journal, _) = Journal::open(file(&scratch), &SESSION).unwrap();
        journal.append(&BTreeMap::from([(3, vec![(0, 7)]), (4, vec![(1, 1)]), (9, vec![(0, 2)])])).unwrap();
        assert_eq!(journal.forget(4).unwrap(), 2);
        journal.append(&BTreeMap::from([(9, vec![(5, 1)])])).unwrap();
        let (_, kept) = Journal::open(file(&scratch), &SESSION).unwrap();
        assert_eq!([kept.of(3), kept.of(4), kept.of(9)], [vec![(0, 7)], vec![], vec![(5, 1)]]);
    }

    #[test]
    fn files_that_were_restored_are_known_though_pages_are_forgotten() {
        let scratch = Scratch::new("journal-restored");
        let (mut journal, _) = Journal::open(file(&scratch), &SESSION).unwrap();
        journal.append_with(&BTreeMap::from([(3, vec![(0, 7)])]), &[(9, 1), (2, u64::MAX)]).unwrap();
        journal.append_with(&BTreeMap::new(), &[(9, 2), (9, 1)]).unwrap();
        assert_eq!(journal.forget(0).unwrap(), 3);
        let (journal, mut kept) = Journal::open(file(&scratch), &SESSION).unwrap();
        assert_eq!((journal.epoch(), kept.is_empty()), (3, true));
        assert_eq!(kept.take_restored(), [(2, u64::MAX), (9, 1), (9, 2)]);
    }

    #[test]
    fn every_flipped_byte_ends_what_is_believed() {
        let scratch = Scratch::new("journal-flip");
        let (mut journal, _) = Journal::open(file(&scratch), &SESSION).unwrap();
        journal.append(&BTreeMap::from([(1, vec![(0, 1)])])).unwrap();
        let bytes = std::fs::read(scratch.path().join("journal")).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(scratch.path().join("journal"), flipped).unwrap();
            match Journal::open(file(&scratch), &SESSION) {
                Ok((journal, kept)) => assert!(kept.is_empty() && journal.epoch() == 0, "{at}"),
                Err(error) => assert!(at < HEADER_BYTES && matches!(error, Error::Integrity(_))),
            }
        }
    }

    #[test]
    fn spans_that_no_page_has_are_refused() {
        for (name, span) in [("none", (3, 0)), ("beyond", (u16::MAX, 1))] {
            let scratch = Scratch::new(&format!("journal-{name}"));
            let (mut journal, _) = Journal::open(file(&scratch), &SESSION).unwrap();
            journal.append(&BTreeMap::from([(1, vec![span])])).unwrap();
            assert!(matches!(Journal::open(file(&scratch), &SESSION), Err(Error::Integrity(_))));
        }
    }

    #[test]
    fn the_journal_of_another_session_is_refused() {
        let scratch = Scratch::new("journal-other");
        drop(Journal::open(file(&scratch), &SESSION).unwrap());
        assert!(matches!(Journal::open(file(&scratch), &[8; 16]), Err(Error::Integrity(_))));
    }
}
