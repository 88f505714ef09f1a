//! What the records of a transfer cost: `cargo bench -p warp-core --bench records -- [PAGES [DIRECTORY]]`.
//!
//! A session of 100 TB has six million pages of 16 MiB, each of 256 fragments; an epoch ends after 256 MiB. Pages are stored, and
//! what is durable is noted, as a sink does; then both files are opened again, as by a sink that goes on. Payloads are left out: the
//! headers and the places are what counts. Prints time a page, and the resident size.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use warp_core::Result;
use warp_core::catalogue::{Journal, Listing, PageStore, Place, StoredPage};
use warp_core::codec::Codec;
use warp_core::table::EntryTable;

const SESSION: [u8; 16] = [7; 16];
const FRAGMENTS: u16 = 256;
const PAGES_AN_EPOCH: u32 = 16;
const MOST: u32 = 1 << 20;

fn timed<T>(name: &str, pages: u32, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = resident();
    let start = Instant::now();
    let made = work()?;
    let seconds = start.elapsed().as_secs_f64();
    let each = seconds / f64::from(pages) * 1e9;
    println!("{name:<28}{seconds:>8.2} s{each:>10.0} ns/page{:>8} MiB", (resident() - before) >> 20);
    Ok(made)
}

/// Bytes of this process in memory.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok()).unwrap_or_default() * 4096
}

fn open(path: &Path) -> Result<File> {
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(|error| warp_core::Error::io("open", error))
}

/// A page that has nothing but new fragments of one file.
fn page() -> StoredPage {
    let fragments = vec![(1 << 16, [7; 24]); usize::from(FRAGMENTS)];
    let table = EntryTable { entries: Vec::new() };
    let listing = Listing { table, resumes: false, continues: true, fragments };
    let places = vec![Place { first: 0, count: FRAGMENTS.into(), entry: 0, position: 0 }];
    StoredPage { number: 0, base: 0, position: 0, listing, places, offsets: Vec::new() }
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let pages = words.next().and_then(|word| word.parse().ok()).unwrap_or(100_000_u32);
    let directory = words.next().map_or_else(std::env::temp_dir, Into::into);
    let (stored, noted) = (directory.join("records.pages"), directory.join("records.journal"));
    println!("{pages} pages");
    let store = PageStore::open(open(&stored)?, MOST)?;
    timed("store", pages, || {
        let page = page();
        (0..pages).try_for_each(|_| store.record(&page, Codec::Store, &[], &[]))
    })?;
    drop(store);
    let (mut journal, _) = Journal::open(open(&noted)?, &SESSION)?;
    timed("note", pages, || {
        for first in (0..pages).step_by(PAGES_AN_EPOCH as usize) {
            let kept: BTreeMap<_, _> =
                (first..first + PAGES_AN_EPOCH).map(|page| (page, vec![(0, FRAGMENTS)])).collect();
            journal.append(&kept)?;
        }
        Ok(())
    })?;
    let store = timed("open the pages", pages, || PageStore::open(open(&stored)?, MOST))?;
    let (_, kept) = timed("open the journal", pages, || Journal::open(open(&noted)?, &SESSION))?;
    let found = timed("look at each", pages, || {
        let mut found = 0_u64;
        for page in 0..pages {
            assert!(store.page_of(u64::from(page) * u64::from(FRAGMENTS)) == Some(page), "another page");
            store.digest(page)?;
            found += kept.of(page).iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
        }
        Ok(found)
    })?;
    println!("{found} fragments; pages {} MiB, journal {} MiB", size(&stored), size(&noted));
    [stored, noted]
        .iter()
        .try_for_each(std::fs::remove_file)
        .map_err(|error| warp_core::Error::io("remove", error))
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.len()) >> 20
}
