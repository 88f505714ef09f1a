//! What a transfer keeps of its session, and what of it travels (docs/transfer-protocol.md §2, §6): frames' headers, pages of a
//! catalogue, stored pages, and journals.

use std::fs::File;
use std::io::Write;

use rustix::fs::{MemfdFlags, memfd_create};
use warp_core::catalogue::{Journal, Layout, Listing, PageStore};
use warp_core::digest;
use warp_net::frame::{HEADER_BYTES, Header};

use crate::sections;

/// Bytes of the longest fragment.
const MOST: u32 = 64 << 10;
const SESSION: [u8; 16] = [7; 16];
const STORED_HEADER: usize = 80;
const DIGEST_AT: usize = 40;
const PLACES_AT: usize = 36;
const PLACE_BYTES: usize = 20;
const CHECK: usize = 8;

/// The header of a frame.
pub fn run_frame(data: &[u8]) {
    let bytes = sections::exactly::<HEADER_BYTES>(data);
    if let Ok(header) = Header::parse(&bytes) {
        assert_eq!(header.to_bytes(), bytes, "written again");
    }
}

/// A page of a catalogue, and where its fragments lie in their files.
pub fn run_listing(data: &[u8]) {
    let Ok(listing) = Listing::decode(data, MOST) else { return };
    assert_eq!(listing.encode(), data, "written again");
    assert!(listing.fragments.iter().all(|(length, _)| (1..=MOST).contains(length)), "lengths");
    let mut nothing = |_, _| Err(warp_core::Error::integrity("there is no page before"));
    if let Ok(layout) = Layout::new(&listing, 0, 0, &mut nothing) {
        assert!(layout.places.len() <= listing.fragments.len(), "more places than fragments");
    }
}

/// Stored pages. Parts: headers with what follows them, whose checks are made to fit; and how many pages are forgotten at the end.
pub fn run_stored(data: &[u8]) {
    let parts = sections::split(data);
    let Some((last, records)) = parts.split_last() else { return };
    let content: Vec<u8> = records.iter().flat_map(|record| stored(record)).collect();
    let Ok(store) = PageStore::open(file(&content), MOST) else { return };
    for number in 0..store.len() {
        let _ = (store.digest(number), store.payload(number), store.page_of(u64::from(number)));
        if let Ok(page) = store.get(number) {
            let _ = page.locate(sections::byte(last, 1).into());
        }
    }
    let count = u32::from(sections::byte(last, 0)).min(store.len());
    store.truncate(count).expect("a file in memory");
    assert_eq!(store.len(), count, "what is left");
}

/// A stored page whose digest and check fit, if it is whole.
fn stored(record: &[u8]) -> Vec<u8> {
    let mut record = record.to_vec();
    if record.len() >= STORED_HEADER {
        let length = sections::number(&record[..4]) as usize;
        let raw = record[STORED_HEADER..].get(..length).map(digest::hash);
        if let Some(found) = raw.filter(|_| record[8] == 0) {
            record[DIGEST_AT..DIGEST_AT + found.len()].copy_from_slice(&found);
        }
        let places = sections::number(&record[32..36]) as usize * PLACE_BYTES;
        if let Some(found) =
            record[STORED_HEADER..].get(length..).and_then(|rest| rest.get(..places)).map(digest::hash)
        {
            record[PLACES_AT..DIGEST_AT].copy_from_slice(&found[..DIGEST_AT - PLACES_AT]);
        }
        let check = digest::hash(&record[..STORED_HEADER - CHECK]);
        record[STORED_HEADER - CHECK..STORED_HEADER].copy_from_slice(&check[..CHECK]);
    }
    record
}

/// A journal. Parts: what stands behind the last record; records without their checks, which are made to fit.
pub fn run_journal(data: &[u8]) {
    let parts = sections::split(data);
    let Some((tail, records)) = parts.split_first() else { return };
    let mut content = [&b"warpjrnl\x01\0\0\0\0\0\0\0"[..], &SESSION].concat();
    for record in records {
        content.extend_from_slice(record);
        content.extend_from_slice(&digest::hash(record)[..CHECK]);
    }
    content.extend_from_slice(tail);
    let file = file(&content);
    let again = file.try_clone().expect("a descriptor");
    let Ok((journal, noted)) = Journal::open(file, &SESSION) else { return };
    let (reopened, same) = Journal::open(again, &SESSION).expect("what was read once");
    assert_eq!((reopened.epoch(), same.by_page()), (journal.epoch(), noted.by_page()), "the second time");
    for spans in noted.by_page().values() {
        let ends = spans.iter().map(|(first, count)| u32::from(*first) + u32::from(*count));
        assert!(ends.clone().is_sorted() && ends.max() <= Some(1 << 16), "spans out of order");
    }
}

fn file(content: &[u8]) -> File {
    let mut file = File::from(memfd_create("warp-fuzz", MemfdFlags::CLOEXEC).expect("memory"));
    file.write_all(content).expect("memory");
    file
}
