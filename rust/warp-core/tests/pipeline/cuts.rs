//! What was cut before is not read again, and the pages are those of a source that reads everything.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use warp_core::catalogue::Cuts;
use warp_core::pack::{CataloguePipeline, Counters};

use super::*;

const SOON: Duration = Duration::from_millis(50);

/// What a run gives.
#[derive(Default)]
struct Run {
    /// The bytes of each page.
    pages: Vec<Vec<u8>>,
    counters: Counters,
    /// Fragments that were not read.
    unread: usize,
}

fn open_cuts(scratch: &Scratch) -> File {
    let path = scratch.0.join("cuts");
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

/// Pages of the tree, of which no more than so many are taken; with what was noted before, and is noted now, or without.
fn run(scratch: &Scratch, is_noting: bool, most: usize) -> Run {
    let options = options(2);
    let cuts =
        is_noting.then(|| Arc::new(Cuts::open(open_cuts(scratch), &options.keys, &options.cutter).unwrap()));
    let pipeline = CataloguePipeline::new(options, new_index(), 64 << 20, cuts).unwrap();
    let mut walker = walker(&scratch.0.join("tree"));
    let mut run = Run::default();
    let mut is_last = false;
    let mut take = |pipeline: &CataloguePipeline, timeout| {
        let (page, last) = pipeline.next_page(timeout).unwrap();
        if let Some(page) = page {
            let bytes: u64 = page.listing.fragments.iter().map(|(length, _)| u64::from(*length)).sum();
            let unread = page.at_hand.iter().filter(|length| **length == 0).count();
            assert_eq!(page.at_hand.len(), page.listing.fragments.len());
            assert!(bytes >= page.data.concat().len() as u64);
            run.unread += unread;
            for (index, (_, id)) in page.listing.fragments.iter().enumerate() {
                let data = page.bytes(&vec![(index as u16, 1)]);
                assert!(data.is_empty() == (page.at_hand[index] == 0));
                assert!(data.is_empty() || keys().fragment_id(&data) == *id);
            }
            run.pages.push(page.listing.encode());
        }
        last || run.pages.len() >= most
    };
    while let Some(batch) = walker.next(64).unwrap() {
        let mut accepted = pipeline.submit(batch).unwrap();
        while !accepted && !is_last {
            is_last = take(&pipeline, Duration::ZERO);
            accepted = pipeline.submit_rest().unwrap();
        }
        if is_last {
            return run;
        }
    }
    pipeline.finish();
    while !is_last {
        is_last = take(&pipeline, SOON);
    }
    let events = pipeline.poll(Duration::ZERO).unwrap();
    assert!(events.problems.is_empty());
    run.counters = events.counters;
    run
}

/// Waits until the times of all files are so old that a change would show.
fn settle(root: &Path) {
    let mut newest = Duration::ZERO;
    for entry in fs::read_dir(root).unwrap() {
        let (path, stat) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        if stat.is_dir() {
            settle(&path);
        }
        newest = newest.max(Duration::new(stat.ctime() as u64, stat.ctime_nsec() as u32));
    }
    while SystemTime::now() <= UNIX_EPOCH + newest + Duration::from_millis(110) {
        std::thread::yield_now();
    }
}

#[test]
fn an_unchanged_tree_gives_the_same_pages_unread() {
    let scratch = Scratch::new("cuts");
    build_tree(&scratch.0.join("tree"));
    settle(&scratch.0.join("tree"));
    let first = run(&scratch, true, usize::MAX);
    assert!(first.unread == 0 && first.counters.bytes_reused == 0);
    let again = run(&scratch, true, usize::MAX);
    assert!(again.pages == first.pages && again.pages.len() > 1);
    assert_eq!(again.counters.bytes_read, 0);
    assert_eq!(again.counters.bytes_reused, first.counters.bytes_read);
    assert_eq!(again.unread as u64, first.counters.fragments);
    assert_eq!(again.counters.bytes_duplicate, first.counters.bytes_duplicate);
    let length = fs::metadata(scratch.0.join("cuts")).unwrap().len();
    run(&scratch, true, usize::MAX);
    assert_eq!(fs::metadata(scratch.0.join("cuts")).unwrap().len(), length, "nothing is noted twice");
}

#[test]
fn a_large_file_goes_on_where_its_cutting_ended() {
    let scratch = Scratch::new("cuts-large");
    let tree = scratch.0.join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("large"), pseudo_random(5, 90 << 20)).unwrap();
    settle(&tree);
    let whole = run(&scratch, false, usize::MAX);
    run(&scratch, true, 1);
    let rest = run(&scratch, true, usize::MAX);
    assert!(rest.pages == whole.pages);
    assert!(rest.counters.bytes_reused >= 16 << 20 && rest.counters.bytes_read > 0, "{:?}", rest.counters);
    assert_eq!(rest.counters.bytes_reused + rest.counters.bytes_read, 90 << 20);
    let again = run(&scratch, true, usize::MAX);
    assert!(again.pages == whole.pages && again.counters.bytes_read == 0);
}

#[test]
fn what_was_written_just_now_is_read_again() {
    let scratch = Scratch::new("cuts-racy");
    let tree = scratch.0.join("tree");
    fs::create_dir(&tree).unwrap();
    for round in 0..20_u8 {
        // Changed within a tick of the clock, some of them with the same times to the nanosecond.
        fs::write(tree.join("racy"), vec![round; 50_000]).unwrap();
        run(&scratch, true, usize::MAX);
        fs::write(tree.join("racy"), vec![!round; 50_000]).unwrap();
        assert!(run(&scratch, true, usize::MAX).pages == run(&scratch, false, usize::MAX).pages);
    }
}

/// Something that happens to a tree between two tries, or to the notes.
#[derive(Clone, Debug)]
enum Event {
    Append(usize, Vec<u8>),
    Truncate(usize),
    Touch(usize),
    /// Another content of the same size, in place or in another file of this name; the time of modification is set back.
    Replace(usize, bool),
    Remove(usize),
    Add(u8),
    Attribute(usize, u8),
    Hole(usize),
    /// The notes end here, in thousandths.
    Tear(u64),
    /// A byte of them is another.
    Flip(u64, u8),
    /// A try ended after so many pages.
    Killed(usize),
    Settle,
}

fn event() -> impl Strategy<Value = Event> {
    let file = 0..7_usize;
    prop_oneof![
        (file.clone(), proptest::collection::vec(any::<u8>(), 1..2000))
            .prop_map(|(f, b)| Event::Append(f, b)),
        file.clone().prop_map(Event::Truncate),
        file.clone().prop_map(Event::Touch),
        (file.clone(), any::<bool>()).prop_map(|(f, b)| Event::Replace(f, b)),
        file.clone().prop_map(Event::Remove),
        any::<u8>().prop_map(Event::Add),
        (file.clone(), any::<u8>()).prop_map(|(f, b)| Event::Attribute(f, b)),
        file.prop_map(Event::Hole),
        (0..1000_u64).prop_map(Event::Tear),
        (0..1000_u64, 1..=255_u8).prop_map(|(at, bits)| Event::Flip(at, bits)),
        (0..3_usize).prop_map(Event::Killed),
        Just(Event::Settle),
        Just(Event::Settle),
    ]
}

fn happen(scratch: &Scratch, event: &Event) -> std::io::Result<()> {
    let tree = scratch.0.join("tree");
    let name = |file: usize| tree.join(if file == 0 { "large".into() } else { format!("d/small-{file}") });
    let random = |length: u64| {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        pseudo_random(nanos, length as usize)
    };
    match event {
        Event::Append(file, bytes) => OpenOptions::new().append(true).open(name(*file))?.write_all(bytes),
        Event::Truncate(file) => {
            let file = OpenOptions::new().write(true).open(name(*file))?;
            file.set_len(file.metadata()?.len() * 3 / 4)
        }
        Event::Touch(file) => {
            OpenOptions::new().write(true).open(name(*file))?.set_modified(SystemTime::now())
        }
        Event::Replace(file, is_in_place) => {
            let stat = fs::metadata(name(*file))?;
            let written = if *is_in_place { name(*file) } else { tree.join("new") };
            fs::write(&written, random(stat.len()))?;
            OpenOptions::new().write(true).open(&written)?.set_modified(stat.modified()?)?;
            fs::rename(written, name(*file))
        }
        Event::Remove(file) => fs::remove_file(name(*file)),
        Event::Add(seed) => fs::write(tree.join(format!("d/added-{seed}")), random(u64::from(*seed) * 500)),
        Event::Attribute(file, value) => {
            let flags = rustix::fs::XattrFlags::empty();
            Ok(rustix::fs::setxattr(name(*file), "user.x", &[*value], flags)?)
        }
        Event::Hole(file) => OpenOptions::new()
            .write(true)
            .open(name(*file))?
            .write_all_at(b"behind a hole", fs::metadata(name(*file))?.len() + (1 << 20)),
        Event::Tear(at) => {
            let notes = open_cuts(scratch);
            notes.set_len(notes.metadata()?.len() * at / 1000)
        }
        Event::Flip(at, bits) => {
            let notes = open_cuts(scratch);
            let (mut byte, at) = ([0], notes.metadata()?.len() * at / 1000);
            notes.read_exact_at(&mut byte, at)?;
            notes.write_all_at(&[byte[0] ^ bits], at)
        }
        Event::Killed(pages) => {
            run(scratch, true, *pages);
            Ok(())
        }
        Event::Settle => {
            settle(&tree);
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_between_two_tries_the_pages_are_those_of_the_tree(
        events in proptest::collection::vec((event(), any::<bool>()), 1..8),
        seed: u64,
    ) {
        let scratch = Scratch::new(&format!("cuts-{seed}"));
        fs::create_dir_all(scratch.0.join("tree/d")).unwrap();
        fs::write(scratch.0.join("tree/large"), pseudo_random(seed, 21 << 20)).unwrap();
        for number in 1..7_u64 {
            let bytes = pseudo_random(seed ^ number, number as usize * 20_000);
            fs::write(scratch.0.join(format!("tree/d/small-{number}")), bytes).unwrap();
        }
        settle(&scratch.0.join("tree"));
        run(&scratch, true, usize::MAX);
        for (event, is_tried) in &events {
            if let Err(error) = happen(&scratch, event) {
                // An earlier event took it away, or nothing is noted; and not all file systems have attributes.
                let kinds = [ErrorKind::NotFound, ErrorKind::UnexpectedEof, ErrorKind::Unsupported];
                prop_assert!(kinds.contains(&error.kind()), "{}", error);
            }
            if *is_tried {
                prop_assert!(run(&scratch, true, usize::MAX).pages == run(&scratch, false, usize::MAX).pages);
            }
        }
        let (noted, read) = (run(&scratch, true, usize::MAX), run(&scratch, false, usize::MAX));
        prop_assert!(noted.pages == read.pages);
    }
}
