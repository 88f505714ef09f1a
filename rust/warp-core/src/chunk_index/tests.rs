//! Look-ups against a plain list of fragments, and pages that lie.

mod missing;

use proptest::prelude::*;

use super::*;
use crate::keys::Suite;
use crate::unpack::fixture::{Builder, CHUNK_MAX, Pages};

/// Fragments of the lengths given, each inner list a chunk.
fn builder(suite: Suite, chunks: &[Vec<usize>]) -> Builder {
    let mut builder = Builder::new(suite);
    for lengths in chunks {
        for length in lengths {
            builder.fragment(&vec![1; *length]);
        }
        builder.close(Codec::Store);
    }
    builder
}

fn small() -> Builder {
    builder(Suite::ChaCha20Poly1305, &[vec![3, 5], vec![7], vec![1, 1, 9]])
}

/// Whether an index of these pages can be finished.
fn accepts(pages: &Pages, end: u64) -> bool {
    let index = pages.index(true, false);
    index.and_then(|mut index| index.finish(end)).is_ok()
}

/// (chunk, offset, length) of each fragment.
fn oracle(chunks: &[Vec<usize>]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (chunk, lengths) in chunks.iter().enumerate() {
        let mut offset = 0;
        for length in lengths {
            let (chunk, length) = (chunk as u32, *length as u32);
            pieces.push(Piece { chunk, offset, length });
            offset += length;
        }
    }
    pieces
}

fn merged(fragments: &[Piece]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for fragment in fragments {
        match pieces.last_mut() {
            Some(last) if last.chunk == fragment.chunk => last.length += fragment.length,
            _ => pieces.push(*fragment),
        }
    }
    pieces
}

proptest! {
    #[test]
    fn runs_are_found_as_in_a_list_of_fragments(
        chunks in prop::collection::vec(prop::collection::vec(1..50usize, 1..20), 1..20),
        runs in prop::collection::vec((0..1000usize, 0..1000usize), 1..20),
    ) {
        let built = builder(Suite::Plain, &chunks).build();
        let fragments = oracle(&chunks);
        let mut cursor = Cursor::default();
        for (first, count) in runs {
            let first = first % fragments.len();
            let count = count % (fragments.len() - first + 1);
            let expected = merged(&fragments[first..first + count]);
            prop_assert_eq!(&built.index.locate(first as u64, count as u64).unwrap(), &expected);
            // The cursor of earlier look-ups changes nothing.
            let span = built.index.span(first as u64, count as u64, &mut cursor).unwrap();
            prop_assert_eq!(built.index.pieces(span).collect::<Vec<_>>(), expected);
        }
        prop_assert!(built.index.locate(fragments.len() as u64, 1).is_err());
        prop_assert!(built.index.locate(u64::MAX, 2).is_err());
    }

    #[test]
    fn arbitrary_pages_are_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0..5u8) {
        let mut page = vec![0; 16];
        page[8] = count;
        page.extend(&bytes);
        let mut index = ChunkIndex::new(true, CHUNK_MAX).unwrap();
        let _ = (index.add_locators(&page), index.add_chunks(&page), index.add_fragments(&page, true));
        let _ = index.finish(u64::MAX);
        let _ = (index.locate(0, 1), index.leaves(), index.chunk_fragments(0));
    }

    #[test]
    fn a_flipped_bit_is_refused_or_stays_within_the_archive(at in 0..1000usize, bit in 0..8u8, kind in 0..3u8) {
        let builder = small();
        let mut pages = builder.pages();
        let page = match kind {
            0 => &mut pages.locators[0],
            1 => &mut pages.chunks[0],
            _ => &mut pages.fragments[0],
        };
        let at = at % page.len();
        page[at] ^= 1 << bit;
        let end = builder.bytes.len() as u64;
        if let Ok(mut index) = pages.index(true, true) && index.finish(end).is_ok() {
            for chunk in 0..index.chunks() {
                let record = index.record(chunk).unwrap();
                prop_assert!(record.offset >= 256 && record.offset + u64::from(record.stored) <= end);
                prop_assert!(record.raw <= CHUNK_MAX);
            }
        }
    }
}

#[test]
fn what_it_counts_is_what_was_added() {
    let built = small().build();
    let index = &built.index;
    assert_eq!((index.chunks(), index.fragments(), index.raw_total()), (3, 6, 26));
    assert_eq!(index.chunk_fragments(2), Some((3, 6)));
    assert_eq!(index.chunk_fragments(3), None);
    let lengths: Vec<u32> = index.fragments_of(2).map(|(length, _)| length).collect();
    assert_eq!(lengths, [1, 1, 9]);
    let leaf = leaf_hash(index.record(1).unwrap().cid, index.record(1).unwrap().stored);
    assert_eq!(index.leaves()[1], leaf);
}

#[test]
fn pages_of_a_full_kind_follow_each_other() {
    let chunks = vec![vec![1]; 5000];
    let pages = builder(Suite::ChaCha20Poly1305, &chunks).pages();
    assert_eq!(pages.locators.len(), 2);
    assert!(accepts(&pages, u64::MAX));
    let mut index = ChunkIndex::new(true, CHUNK_MAX).unwrap();
    assert!(index.add_locators(&pages.locators[1]).is_err(), "the second page first");
    index.add_locators(&pages.locators[0]).unwrap();
    assert!(index.add_locators(&pages.locators[0]).is_err(), "the first page twice");
    index.add_locators(&pages.locators[1]).unwrap();
    let mut third = pages.locators[1].clone();
    third[..8].copy_from_slice(&5000_u64.to_le_bytes());
    assert!(index.add_locators(&third).is_err(), "a page after a partial one");
}

#[test]
fn a_page_of_another_length_than_its_records_need_is_refused() {
    let pages = small().pages();
    for change in [-1_isize, 1] {
        let mut pages = Pages {
            locators: pages.locators.clone(),
            chunks: pages.chunks.clone(),
            fragments: pages.fragments.clone(),
        };
        let length = pages.chunks[0].len().saturating_add_signed(change);
        pages.chunks[0].resize(length, 0);
        assert!(!accepts(&pages, u64::MAX));
    }
}

#[test]
fn columns_that_contradict_each_other_are_refused() {
    type Lie = (&'static str, fn(&mut Builder));
    let lies: [Lie; 12] = [
        ("overlap", |b| b.locators[1].0 -= 1),
        ("before the header's end", |b| b.locators[0].0 = 255),
        ("endless", |b| b.locators[2].0 = u64::MAX - 3),
        ("too short for a chunk", |b| b.locators[2].1 = 72),
        ("longer than its raw bytes allow", |b| b.locators[2].1 += 1),
        ("longer than any chunk", |b| b.locators[2].1 = CHUNK_MAX + 73),
        ("raw length", |b| b.chunks[1].0 += 1),
        ("no fragment", |b| b.chunks[1].1 = 0),
        ("number of fragments", |b| b.chunks[1].1 += 1),
        ("codec", |b| b.chunks[1].2 = 4),
        ("fragment length", |b| b.fragments[5].0 -= 1),
        ("empty fragment", |b| b.fragments[5].0 = 0),
    ];
    let honest = small();
    let end = honest.bytes.len() as u64;
    assert!(accepts(&honest.pages(), end));
    assert!(!accepts(&honest.pages(), end - 1), "beyond the data's end");
    for (what, lie) in lies {
        let mut builder = small();
        lie(&mut builder);
        assert!(!accepts(&builder.pages(), end + 10), "{what}");
    }
}

#[test]
fn a_missing_page_is_noticed() {
    let end = small().bytes.len() as u64;
    let pages = |locators: bool, chunks: bool, fragments: bool| {
        let mut pages = small().pages();
        pages.locators.retain(|_| locators);
        pages.chunks.retain(|_| chunks);
        pages.fragments.retain(|_| fragments);
        accepts(&pages, end)
    };
    assert!(!pages(false, true, true) && !pages(true, false, true) && !pages(true, true, false));
    assert!(pages(true, false, false), "locators alone serve checks without keys");
}

#[test]
fn an_index_of_locators_alone_knows_where_chunks_lie_and_no_more() {
    let mut pages = small().pages();
    pages.chunks.clear();
    pages.fragments.clear();
    let mut index = pages.index(true, false).unwrap();
    index.finish(u64::MAX).unwrap();
    assert!(!index.is_complete());
    assert_eq!((index.chunks(), index.leaves().len()), (3, 3));
    assert!(index.locate(0, 1).is_err());
}

#[test]
fn ids_are_kept_for_all_fragments_or_none() {
    let pages = builder(Suite::ChaCha20Poly1305, &vec![vec![1]; 5000]).pages();
    let mut index = pages.index(true, false).unwrap();
    assert!(!index.has_ids() && index.fragments_of(0).next().is_none());
    index = ChunkIndex::new(true, CHUNK_MAX).unwrap();
    index.add_fragments(&pages.fragments[0], true).unwrap();
    assert!(index.add_fragments(&pages.fragments[1], false).is_err());
}
