//! Index pages (docs/format.md §6), raw and as columns.
//!
//! `rust-index-pages`: parts are pages, each behind a byte that says of which kind. `rust-index`: parts are encrypted, keep
//! ids, log2 of the largest chunk, `u64` end of the data │ the nine columns; the heads are made to fit. `rust-index-missing`:
//! the same, and a byte for each page of each kind: odd ones are missing, of so many records (less one) as half of it more
//! than there were │ how many fragments more than there are each missing chunk page claims.

use warp_core::chunk_index::ChunkIndex;
use warp_core::{Error, Result};

use crate::sections;

const PAGE_RECORDS: usize = 4096;
/// Bytes a record of the columns of locator, chunk and fragment pages.
const WIDTHS: [&[usize]; 3] = [&[8, 4, 32], &[4, 4, 1, 32], &[4, 24]];

/// A raw page of columns.
pub fn page(first: u64, count: usize, columns: &[&[u8]]) -> Vec<u8> {
    [&first.to_le_bytes(), &(count as u64).to_le_bytes(), &columns.concat()[..]].concat()
}

pub fn run_pages(data: &[u8]) {
    let parts = sections::split(data);
    let choice = parts.first().copied().unwrap_or_default();
    let mut pages = [vec![], vec![], vec![]];
    for part in parts.get(1..).unwrap_or_default() {
        if let Some((kind, page)) = part.split_first() {
            pages[usize::from(kind % 3)].push(page.to_vec());
        }
    }
    check(choice, &pages);
}

pub fn run(data: &[u8]) {
    let [choice, columns @ ..] = sections::split_into::<10>(data);
    check(choice, &pages(choice, columns));
}

pub fn run_missing(data: &[u8]) {
    let [choice, a, b, c, d, e, f, g, h, i, missing, more] = sections::split_into::<12>(data);
    let pages = pages(choice, [a, b, c, d, e, f, g, h, i]);
    match fill_around(choice, &pages, missing, sections::number(more)) {
        Ok(index) => check_around(&index),
        Err(Error::Format(_)) => {}
        Err(other) => panic!("not a format error: {other}"),
    }
}

/// An index without some of its pages, and with what may be lies about them.
fn fill_around(choice: &[u8], pages: &[Vec<Vec<u8>>; 3], missing: &[u8], more: u64) -> Result<ChunkIndex> {
    let keep_ids = sections::byte(choice, 1) & 1 == 1;
    let mut index =
        ChunkIndex::new(sections::byte(choice, 0) & 1 == 1, 1 << (sections::byte(choice, 2) % 27))?;
    let mut marks = missing.iter().copied().chain(std::iter::repeat(0));
    for (kind, page) in
        pages.iter().enumerate().flat_map(|(kind, of_kind)| of_kind.iter().map(move |p| (kind, p)))
    {
        let mark = marks.next().unwrap_or_default();
        let count = sections::number(page.get(8..).unwrap_or_default()) as usize + usize::from(mark >> 1);
        match (kind, mark & 1) {
            (0, 0) => index.add_locators(page)?,
            (0, _) => index.add_missing_locators(count)?,
            (1, 0) => index.add_chunks(page)?,
            (1, _) => index.add_missing_chunks(count, (count as u64).saturating_add(more))?,
            (_, 0) => index.add_fragments(page, keep_ids)?,
            _ => index.add_missing_fragments(count, keep_ids)?,
        }
    }
    index.finish(sections::number(choice.get(3..).unwrap_or_default()))?;
    Ok(index)
}

/// Each fragment is lost, or lies where its chunk has room for it.
fn check_around(index: &ChunkIndex) {
    for chunk in 0..if index.is_complete() { index.chunks() } else { 0 } {
        let (first, end) = index.chunk_fragments(chunk).expect("there is this chunk");
        let raw = index.record(chunk).expect("there is this chunk").raw;
        let mut offset = 0;
        for fragment in first..end {
            match index.locate(fragment, 1) {
                Ok(pieces) => {
                    assert!(
                        pieces.len() == 1 && pieces[0].chunk as usize == chunk && pieces[0].offset == offset
                    );
                    offset += pieces[0].length;
                }
                Err(Error::Integrity(_)) => {}
                Err(other) => panic!("a fragment that there is: {other}"),
            }
        }
        assert!(offset == raw || index.locate(first, end - first).is_err());
    }
}

fn pages(choice: &[u8], columns: [&[u8]; 9]) -> [Vec<Vec<u8>>; 3] {
    let encrypted = sections::byte(choice, 0) & 1 == 1;
    let mut columns = columns.into_iter();
    WIDTHS.map(|widths| {
        let mut of_kind: Vec<&[u8]> = columns.by_ref().take(widths.len()).collect();
        if widths.len() == 4 && !encrypted {
            of_kind.pop();
        }
        pages_of(&of_kind, widths)
    })
}

/// Pages as long as the first column says; the others are cut or filled up with zeros.
fn pages_of(columns: &[&[u8]], widths: &[usize]) -> Vec<Vec<u8>> {
    let records = columns[0].len() / widths[0];
    let filled = |(column, width): (&&[u8], &usize)| {
        let mut column = column.to_vec();
        column.resize(records * width, 0);
        column
    };
    let columns: Vec<Vec<u8>> = columns.iter().zip(widths).map(filled).collect();
    let one = |first: usize| {
        let count = PAGE_RECORDS.min(records - first);
        let parts = columns.iter().zip(widths);
        let parts: Vec<&[u8]> = parts.map(|(c, w)| &c[first * w..(first + count) * w]).collect();
        page(first as u64, count, &parts)
    };
    (0..records).step_by(PAGE_RECORDS).map(one).collect()
}

fn check(choice: &[u8], pages: &[Vec<Vec<u8>>; 3]) {
    let encrypted = sections::byte(choice, 0) & 1 == 1;
    let keep_ids = sections::byte(choice, 1) & 1 == 1;
    let chunk_max = 1 << (sections::byte(choice, 2) % 27);
    let data_end = sections::number(choice.get(3..).unwrap_or_default());
    match fill(encrypted, keep_ids, chunk_max, data_end, pages) {
        Ok(index) => check_index(&index, keep_ids, data_end, pages),
        Err(Error::Format(_)) => {}
        Err(other) => panic!("not a format error: {other}"),
    }
}

fn fill(
    encrypted: bool,
    keep_ids: bool,
    chunk_max: u32,
    data_end: u64,
    [locators, chunks, fragments]: &[Vec<Vec<u8>>; 3],
) -> Result<ChunkIndex> {
    let mut index = ChunkIndex::new(encrypted, chunk_max)?;
    locators.iter().try_for_each(|page| index.add_locators(page))?;
    chunks.iter().try_for_each(|page| index.add_chunks(page))?;
    fragments.iter().try_for_each(|page| index.add_fragments(page, keep_ids))?;
    index.finish(data_end)?;
    Ok(index)
}

fn check_index(index: &ChunkIndex, keep_ids: bool, data_end: u64, pages: &[Vec<Vec<u8>>; 3]) {
    let (mut end, mut ordinal, mut raw_total) = (256, 0, 0);
    for chunk in 0..index.chunks() {
        let record = index.record(chunk).expect("there is this chunk");
        assert!(record.offset >= end && record.raw <= index.chunk_max());
        end = record.offset + u64::from(record.stored);
        if index.is_complete() {
            assert_eq!(index.chunk_fragments(chunk).map(|range| range.0), Some(ordinal));
            ordinal = check_fragments(index, chunk, record.raw);
            raw_total += u64::from(record.raw);
        }
    }
    assert!(end <= data_end.max(256) && index.record(index.chunks()).is_err());
    assert_eq!((ordinal, raw_total), (index.fragments(), index.raw_total()));
    let pieces = index.locate(0, index.fragments()).expect("all fragments");
    assert_eq!(pieces.iter().map(|piece| u64::from(piece.length)).sum::<u64>(), raw_total);
    assert!(index.locate(0, index.fragments() + 1).is_err() && index.locate(u64::MAX, 2).is_err());
    assert_eq!(index.leaves().len(), index.chunks());
    check_written(index, keep_ids, pages);
}

/// The fragments lie in the chunk back to back and fill it; the ordinal behind the last.
fn check_fragments(index: &ChunkIndex, chunk: usize, raw: u32) -> u64 {
    let (first, end) = index.chunk_fragments(chunk).expect("there is this chunk");
    let mut offset = 0;
    for fragment in first..end {
        let pieces = index.locate(fragment, 1).expect("there is this fragment");
        assert!(pieces.len() == 1 && pieces[0].chunk as usize == chunk && pieces[0].offset == offset);
        offset += pieces[0].length;
    }
    assert_eq!(offset, raw);
    end
}

/// Written from what the index says, the pages are those that were read.
fn check_written(index: &ChunkIndex, keep_ids: bool, [locators, chunks, fragments]: &[Vec<Vec<u8>>; 3]) {
    let records: Vec<_> = (0..index.chunks()).filter_map(|chunk| index.record(chunk).ok()).collect();
    let counts = |chunk| index.chunk_fragments(chunk).map_or(0, |(first, end)| (end - first) as u32);
    let offsets: Vec<u8> = records.iter().flat_map(|record| record.offset.to_le_bytes()).collect();
    let stored: Vec<u8> = records.iter().flat_map(|record| record.stored.to_le_bytes()).collect();
    let cids: Vec<u8> = records.iter().flat_map(|record| *record.cid).collect();
    assert_eq!(&pages_of(&[&offsets, &stored, &cids], WIDTHS[0]), locators);
    if !index.is_complete() {
        return;
    }
    let raw: Vec<u8> = records.iter().flat_map(|record| record.raw.to_le_bytes()).collect();
    let numbers: Vec<u8> = (0..index.chunks()).flat_map(|chunk| counts(chunk).to_le_bytes()).collect();
    let codecs: Vec<u8> = records.iter().map(|record| record.codec).collect();
    let dps: Vec<u8> = records.iter().flat_map(|record| record.dp).collect();
    let columns: [&[u8]; 4] = [&raw, &numbers, &codecs, &dps];
    assert_eq!(&pages_of(&columns[..if index.encrypted() { 4 } else { 3 }], WIDTHS[1]), chunks);
    if keep_ids {
        let of_all = || (0..index.chunks()).flat_map(|chunk| index.fragments_of(chunk));
        let lengths: Vec<u8> = of_all().flat_map(|(length, _)| length.to_le_bytes()).collect();
        let ids: Vec<u8> = of_all().flat_map(|(_, id)| *id).collect();
        assert_eq!(&pages_of(&[&lengths, &ids], WIDTHS[2]), fragments);
    }
}
