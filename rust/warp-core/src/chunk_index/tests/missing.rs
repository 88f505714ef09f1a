//! Indexes without some of their pages.

use std::sync::LazyLock;

use super::*;
use crate::Error;

const PAGE: usize = 4096;
/// Chunks of one to three fragments of one to five bytes.
static CHUNKS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let lengths = |chunk: usize| (0..1 + chunk * 7 % 3).map(|i| 1 + (chunk * 5 + i * 3) % 5).collect();
    (0..9_000).map(lengths).collect()
});
static PAGES: LazyLock<Pages> = LazyLock::new(|| builder(Suite::ChaCha20Poly1305, &CHUNKS).pages());

/// An index without the pages of these numbers: of locators, chunks and fragments.
fn without(missing: &[Vec<usize>; 3]) -> Result<ChunkIndex> {
    let mut index = ChunkIndex::new(true, CHUNK_MAX)?;
    let count = |page: &[u8]| u64::from_le_bytes(page[8..16].try_into().unwrap()) as usize;
    for (number, page) in PAGES.locators.iter().enumerate() {
        match missing[0].contains(&number) {
            true => index.add_missing_locators(count(page))?,
            false => index.add_locators(page)?,
        }
    }
    for (number, page) in PAGES.chunks.iter().enumerate() {
        let fragments: usize = CHUNKS.chunks(PAGE).nth(number).unwrap().iter().map(Vec::len).sum();
        match missing[1].contains(&number) {
            true => index.add_missing_chunks(count(page), fragments as u64)?,
            false => index.add_chunks(page)?,
        }
    }
    for (number, page) in PAGES.fragments.iter().enumerate() {
        match missing[2].contains(&number) {
            true => index.add_missing_fragments(count(page), false)?,
            false => index.add_fragments(page, false)?,
        }
    }
    index.finish(u64::MAX)?;
    Ok(index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn fragments_of_chunks_that_no_missing_page_tells_of_are_found(
        locators in prop::collection::vec(0..3usize, 0..2),
        chunks in prop::collection::vec(0..3usize, 0..2),
        fragments in prop::collection::vec(0..5usize, 0..3),
    ) {
        let missing = [locators, chunks, fragments];
        let index = without(&missing).unwrap();
        prop_assert!(index.is_complete());
        let mut ordinal = 0;
        for (chunk, lengths) in CHUNKS.iter().enumerate() {
            let pages = ordinal / PAGE..=(ordinal + lengths.len() - 1) / PAGE;
            let lost = missing[0].contains(&(chunk / PAGE))
                || missing[1].contains(&(chunk / PAGE))
                || missing[2].iter().any(|page| pages.contains(page));
            let mut offset = 0;
            for length in lengths {
                let found = index.locate(ordinal as u64, 1);
                if lost {
                    prop_assert!(matches!(found, Err(Error::Integrity(_))), "{chunk}: {found:?}");
                } else {
                    let piece = Piece { chunk: chunk as u32, offset, length: *length as u32 };
                    prop_assert_eq!(found.unwrap(), [piece]);
                }
                offset += *length as u32;
                ordinal += 1;
            }
        }
    }
}

#[test]
fn a_run_over_something_lost_is_not_found() {
    let index = without(&[vec![], vec![], vec![1]]).unwrap();
    assert!(index.locate(0, PAGE as u64 - 2).is_ok());
    assert!(matches!(index.locate(0, PAGE as u64 + 1), Err(Error::Integrity(_))));
    assert!(matches!(index.locate(0, index.fragments()), Err(Error::Integrity(_))));
}

#[test]
fn what_can_be_no_page_is_not_missing_either() {
    let mut index = ChunkIndex::new(true, CHUNK_MAX).unwrap();
    assert!(index.add_missing_locators(0).is_err());
    assert!(index.add_missing_locators(PAGE + 1).is_err());
    assert!(index.add_missing_chunks(10, 9).is_err());
    assert!(index.add_missing_chunks(0, 0).is_err());
    assert!(index.add_missing_chunks(1, u64::MAX).is_err());
    index.add_missing_fragments(10, false).unwrap();
    assert!(index.add_missing_fragments(10, false).is_err());
    // More fragments than the chunks have.
    index.add_missing_locators(2).unwrap();
    index.add_missing_chunks(2, 9).unwrap();
    assert!(index.finish(u64::MAX).is_err());
}
