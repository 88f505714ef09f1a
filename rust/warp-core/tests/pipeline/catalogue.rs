//! Pages of a catalogue: together they hold every file, each piece once, and no more of them than the window takes.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use warp_core::entry::{Entry, Kind};
use warp_core::pack::{CataloguePipeline, Counters, Page, Problem};

use super::*;
use warp_core::recipe::Recipe;

const SOON: Duration = Duration::from_millis(50);

/// What all pages hold, in order.
#[derive(Default)]
struct Catalogue {
    entries: Vec<Entry>,
    /// The last one of the page before, if it goes on.
    open: Option<Entry>,
    fragments: Vec<Vec<u8>>,
    pages: u32,
    problems: Vec<Problem>,
    counters: Counters,
}

impl Catalogue {
    fn take(&mut self, page: Page) {
        assert_eq!((page.number, page.first), (self.pages, self.fragments.len() as u64));
        assert!(page.listing.fragments.len() <= 2048 && page.listing.table.entries.len() <= 1025);
        let data = page.data.concat();
        assert!(data.len() <= 32 << 20);
        let mut rest = data.as_slice();
        for (length, id) in &page.listing.fragments {
            let (fragment, after) = rest.split_at(*length as usize);
            assert_eq!(keys().fragment_id(fragment), *id);
            self.fragments.push(fragment.to_vec());
            rest = after;
        }
        assert!(rest.is_empty());
        let mut entries = page.listing.table.entries.clone();
        for entry in &entries {
            assert!(entry.runs.iter().all(|run| run.first + run.count <= self.fragments.len() as u64));
        }
        assert!(self.open.is_some() || !page.listing.resumes);
        if let Some(before) = self.open.take().filter(|_| page.listing.resumes) {
            assert_eq!(before.path, entries[0].path);
            let runs = before.runs.iter().chain(entries[0].runs.iter());
            let mut joined = Recipe::default();
            runs.for_each(|run| joined.push(run));
            entries[0].runs = joined;
        }
        self.open = if page.listing.continues { entries.pop() } else { None };
        self.entries.extend(entries);
        self.pages += 1;
    }

    fn content(&self, entry: &Entry) -> Vec<u8> {
        let ordinals = entry.runs.iter().flat_map(|run| run.first..run.first + run.count);
        ordinals.flat_map(|ordinal| self.fragments[ordinal as usize].clone()).collect()
    }
}

fn start(threads: usize, window: usize) -> CataloguePipeline {
    CataloguePipeline::new(options(threads), new_index(), window, None).unwrap()
}

/// Walks `root` and takes pages as they come.
fn catalogue(root: &Path, threads: usize, window: usize) -> Catalogue {
    let pipeline = start(threads, window);
    let mut walker = walker(root);
    let mut found = Catalogue::default();
    while let Some(batch) = walker.next(64).unwrap() {
        let mut accepted = pipeline.submit(batch).unwrap();
        while !accepted {
            pipeline.next_page(Duration::ZERO).unwrap().0.into_iter().for_each(|page| found.take(page));
            accepted = pipeline.submit_rest().unwrap();
        }
    }
    pipeline.finish();
    loop {
        let (page, last) = pipeline.next_page(SOON).unwrap();
        page.into_iter().for_each(|page| found.take(page));
        if last {
            break;
        }
    }
    let events = pipeline.poll(Duration::from_secs(10)).unwrap();
    assert!(events.done);
    (found.problems, found.counters) = (events.problems, events.counters);
    found
}

#[test]
fn every_file_can_be_put_together_from_the_pages() {
    let scratch = Scratch::new("catalogue");
    build_tree(&scratch.0);
    let found = catalogue(&scratch.0, 3, 64 << 20);
    assert_eq!(found.problems, []);
    let mut files = 0;
    for entry in found.entries.iter().filter(|entry| entry.kind == Kind::File && entry.extents.is_empty()) {
        let path = scratch.0.join(std::str::from_utf8(&entry.path).unwrap());
        assert!(found.content(entry) == fs::read(path).unwrap(), "{entry:?}");
        files += 1;
    }
    assert_eq!(files, 304);
    assert_eq!(found.counters.entries, found.entries.len() as u64);
    assert_eq!(found.counters.files, 305);
    assert_eq!(found.counters.fragments, found.fragments.len() as u64);
    let unique: std::collections::HashSet<_> = found.fragments.iter().collect();
    assert_eq!(unique.len(), found.fragments.len(), "each piece is sent once");
    assert!(
        found
            .entries
            .windows(2)
            .all(|pair| { warp_core::table::compare_paths(&pair[0].path, &pair[1].path).is_lt() })
    );
}

#[test]
fn pages_do_not_depend_on_threads_or_window() {
    let scratch = Scratch::new("catalogue-threads");
    build_tree(&scratch.0);
    let one = catalogue(&scratch.0, 1, 64 << 20);
    let many = catalogue(&scratch.0, 4, 1 << 20);
    assert_eq!(one.entries, many.entries);
    assert!(one.fragments == many.fragments);
    assert_eq!(one.pages, many.pages);
}

#[test]
fn no_more_pages_are_made_than_the_window_holds() {
    let scratch = Scratch::new("catalogue-window");
    fs::write(scratch.0.join("large"), pseudo_random(1, 200 << 20)).unwrap();
    let pipeline = start(2, 40 << 20);
    let batch = walker(&scratch.0).next(64).unwrap().unwrap();
    assert!(pipeline.submit(batch).unwrap());
    pipeline.finish();
    let mut held = Vec::new();
    let mut bytes = 0;
    // A page has 16 MiB, and a little more: two of them fit.
    while bytes < 20 << 20 {
        let page = pipeline.next_page(Duration::from_secs(60)).unwrap().0.unwrap();
        bytes += page.data.concat().len();
        held.push(page);
    }
    assert!(bytes <= 40 << 20, "{bytes}");
    assert!(pipeline.next_page(Duration::from_millis(200)).unwrap().0.is_none());
    held.clear();
    let mut left = 200 << 20;
    left -= bytes;
    loop {
        let (page, last) = pipeline.next_page(SOON).unwrap();
        left -= page.map_or(0, |page| page.data.concat().len());
        if last {
            break;
        }
    }
    assert_eq!(left, 0);
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_with_its_links() {
    let scratch = Scratch::new("catalogue-missing");
    fs::write(scratch.0.join("a"), "gone").unwrap();
    fs::hard_link(scratch.0.join("a"), scratch.0.join("b")).unwrap();
    fs::write(scratch.0.join("c"), "stays").unwrap();
    let pipeline = start(2, 1 << 20);
    let batch = walker(&scratch.0).next(64).unwrap().unwrap();
    fs::remove_file(scratch.0.join("a")).unwrap();
    assert!(pipeline.submit(batch).unwrap());
    pipeline.finish();
    let mut found = Catalogue::default();
    loop {
        let (page, last) = pipeline.next_page(SOON).unwrap();
        page.into_iter().for_each(|page| found.take(page));
        if last {
            break;
        }
    }
    let paths: Vec<_> = found.entries.iter().map(|entry| entry.path.clone()).collect();
    assert_eq!(paths, [b"".to_vec(), b"c".to_vec()]);
    let problems: HashMap<_, _> =
        pipeline.poll(Duration::ZERO).unwrap().problems.into_iter().map(|p| (p.path, p.errno)).collect();
    assert_eq!(problems, HashMap::from([(b"a".to_vec(), 2), (b"b".to_vec(), 2)]));
}

#[test]
fn an_aborted_pipeline_ends_though_nobody_takes_pages() {
    let scratch = Scratch::new("catalogue-abort");
    fs::write(scratch.0.join("large"), pseudo_random(2, 64 << 20)).unwrap();
    let pipeline = start(2, 1);
    pipeline.submit(walker(&scratch.0).next(64).unwrap().unwrap()).unwrap();
    pipeline.finish();
    let first = pipeline.next_page(Duration::from_secs(10)).unwrap().0.unwrap();
    assert_eq!(first.number, 0);
    pipeline.abort();
    assert!(pipeline.next_page(SOON).is_err());
}
