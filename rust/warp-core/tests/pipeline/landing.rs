//! Trees that land from their catalogue: whole, in any order, killed and gone on with, damaged on the way.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use warp_core::Error;
use warp_core::catalogue::{Listing, Spans};
use warp_core::codec::{Codec, Encoder, PAYLOAD_HEADER_LEN};
use warp_core::pack::CataloguePipeline;
use warp_core::unpack::{self, Arrival, Landed, Landing, LandingOptions, Overwrite, Records, Span};

use super::*;

mod again;
mod hostile;
mod names;

const SESSION: [u8; 16] = [5; 16];
const LONG: Duration = Duration::from_secs(20);

/// What a source has: pages, with their bytes.
struct Sent {
    pages: Vec<(Vec<u8>, Listing, Vec<u8>)>,
    digest: [u8; 32],
}

impl Sent {
    fn of(root: &Path) -> Self {
        let pipeline = CataloguePipeline::new(options(2), new_index(), 1 << 30, None).unwrap();
        let mut walker = walker(root);
        let mut pages = Vec::new();
        let mut digest = digest::Hasher::default();
        let mut take = |page: warp_core::pack::Page| {
            let raw = page.listing.encode();
            digest.update(&digest::hash(&raw));
            pages.push((raw, page.listing.clone(), page.data.concat()));
        };
        while let Some(batch) = walker.next(64).unwrap() {
            let mut accepted = pipeline.submit(batch).unwrap();
            while !accepted {
                pipeline.next_page(Duration::ZERO).unwrap().0.into_iter().for_each(&mut take);
                accepted = pipeline.submit_rest().unwrap();
            }
        }
        pipeline.finish();
        loop {
            let (page, last) = pipeline.next_page(Duration::from_millis(50)).unwrap();
            page.into_iter().for_each(&mut take);
            if last {
                break;
            }
        }
        Self { digest: digest.digest(), pages }
    }

    /// The bytes of some of a page's fragments.
    fn bytes(&self, page: u32, (first, count): (u16, u16)) -> &[u8] {
        let (_, listing, data) = &self.pages[page as usize];
        let offset = |end: u16| -> usize {
            listing.fragments[..end.into()].iter().map(|(length, _)| *length as usize).sum()
        };
        &data[offset(first)..offset(first + count)]
    }
}

/// Path, mode, size, time, links and content.
type Found = (PathBuf, u32, u64, i64, u64, Vec<u8>);

/// Where a tree lands, with its records.
struct Place {
    scratch: Scratch,
}

impl Place {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        fs::create_dir(scratch.0.join("target")).unwrap();
        Self { scratch }
    }

    fn target(&self) -> PathBuf {
        self.scratch.0.join("target")
    }

    fn land(&self, everything: bool) -> Landing {
        self.land_over(everything, Overwrite::Never)
    }

    fn land_over(&self, everything: bool, overwrite: Overwrite) -> Landing {
        self.landing(everything, overwrite, Duration::from_millis(20))
    }

    /// With epochs of this length.
    fn land_with(&self, overwrite: Overwrite, epoch: Duration) -> Landing {
        self.landing(false, overwrite, epoch)
    }

    fn landing(&self, everything: bool, overwrite: Overwrite, epoch: Duration) -> Landing {
        let open = |name: &str| {
            let path = self.scratch.0.join(name);
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
        };
        let records = Records { pages: open("pages"), journal: open("journal"), session: SESSION };
        let restore = unpack::Options {
            overwrite,
            owners: true,
            devices: false,
            setuid: true,
            whole: true,
            keep_damaged: false,
            tag: [9; 8],
            threads: 2,
            memory: 64 << 20,
        };
        let options = LandingOptions { restore, everything, epoch_bytes: 1 << 20, epoch };
        let target = OwnedFd::from(File::open(self.target()).unwrap());
        {
            let keys = keys();
            let cutter = Cutter::new(Algorithm::Buzhash64, FRAGMENT, keys.cutter_key()).unwrap();
            Landing::new(target, records, keys, cutter, options).unwrap()
        }
    }

    /// All that is in a tree.
    fn listing(root: &Path) -> Vec<Found> {
        let mut found = Vec::new();
        let mut waiting = vec![root.to_owned()];
        while let Some(path) = waiting.pop() {
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = match stat.file_type() {
                kind if kind.is_symlink() => {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                }
                kind if kind.is_file() => fs::read(&path).unwrap(),
                _ => {
                    waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                    Vec::new()
                }
            };
            let name = path.strip_prefix(root).unwrap().to_owned();
            let links = if stat.is_dir() { 0 } else { stat.nlink() };
            let size = if stat.is_dir() { 0 } else { stat.size() };
            found.push((name, stat.mode(), size, stat.mtime_nsec(), links, content));
        }
        found.sort();
        found
    }

    fn assert_like(&self, root: &Path) {
        let (here, there) = (Self::listing(&self.target()), Self::listing(root));
        let names = |all: &[Found]| {
            all.iter().map(|one| (one.0.clone(), one.1, one.2, one.3, one.4)).collect::<Vec<_>>()
        };
        assert_eq!(names(&here), names(&there));
        assert!(here == there);
    }
}

fn give(landing: &Landing, arrival: &mut Arrival, sent: &Sent, page: u32, spans: &Spans) {
    for (first, count) in spans {
        // Frames are small here, so that files come in parts.
        for at in (*first..first + count).step_by(7) {
            let count = 7.min(first + count - at);
            let spans = [Span { page, first: at, count }];
            assert!(landing.fragments(arrival, &spans, sent.bytes(page, (at, count))).unwrap());
        }
    }
}

/// Answers all that is wanted until it landed; what was asked for.
fn serve(landing: &Landing, sent: &Sent, until: impl Fn(u64) -> bool) -> (Option<Landed>, u64) {
    let mut arrival = landing.arrival();
    let mut asked = 0;
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        let news = landing.news(Duration::from_millis(200)).unwrap();
        if news.landed.is_some() {
            return (news.landed, asked);
        }
        for (page, spans) in news.wants {
            asked += spans.iter().map(|span| u64::from(span.1)).sum::<u64>();
            give(landing, &mut arrival, sent, page, &spans);
            if until(asked) {
                return (None, asked);
            }
        }
    }
    panic!("it never landed: {:?}", landing.problems());
}

/// Waits until at least so many fragments are durable; how many.
fn await_kept(landing: &Landing, least: u64) -> u64 {
    let mut kept = 0;
    while kept < least {
        let news = landing.news(LONG).unwrap();
        let spans = news.kept.iter().flat_map(|(_, pages)| pages.values().flatten());
        kept += spans.map(|span| u64::from(span.1)).sum::<u64>();
    }
    kept
}

fn pages(landing: &Landing, sent: &Sent) {
    for (number, (raw, ..)) in sent.pages.iter().enumerate() {
        assert!(landing.page(number as u32, Codec::Store, raw, raw).unwrap());
    }
}

fn total(sent: &Sent) -> u64 {
    sent.pages.iter().map(|(_, listing, _)| listing.fragments.len() as u64).sum()
}

#[test]
fn a_tree_lands_as_it_was() {
    let scratch = Scratch::new("landing-source");
    build_tree(&scratch.0);
    let sent = Sent::of(&scratch.0);
    let place = Place::new("landing");
    let landing = place.land(false);
    pages(&landing, &sent);
    landing.finish(sent.pages.len() as u32).unwrap();
    let (landed, asked) = serve(&landing, &sent, |_| false);
    assert_eq!(landing.problems(), []);
    assert_eq!(landed.unwrap().digest, sent.digest);
    assert_eq!(asked, total(&sent));
    place.assert_like(&scratch.0);
}

#[test]
fn all_of_it_comes_unasked_and_backwards() {
    let scratch = Scratch::new("landing-push-source");
    build_tree(&scratch.0);
    let sent = Sent::of(&scratch.0);
    let place = Place::new("landing-push");
    let landing = place.land(true);
    let mut arrival = landing.arrival();
    let first = Span { page: 0, first: 0, count: 1 };
    assert!(!landing.fragments(&mut arrival, &[first], sent.bytes(0, (0, 1))).unwrap(), "too early");
    pages(&landing, &sent);
    landing.finish(sent.pages.len() as u32).unwrap();
    for (number, (_, listing, _)) in sent.pages.iter().enumerate().rev() {
        for at in (0..listing.fragments.len() as u16).rev() {
            let span = Span { page: number as u32, first: at, count: 1 };
            let data = sent.bytes(number as u32, (at, 1));
            assert!(landing.fragments(&mut arrival, &[span], data).unwrap());
        }
    }
    let (landed, asked) = serve(&landing, &sent, |_| false);
    assert_eq!((landed.unwrap().digest, asked), (sent.digest, 0));
    place.assert_like(&scratch.0);
}

/// Bytes of all files, each once.
fn size_of(root: &Path) -> u64 {
    let names = Place::listing(root).into_iter().map(|found| root.join(found.0));
    let stats = names.map(|path| fs::symlink_metadata(path).unwrap()).filter(|stat| stat.is_file());
    stats.map(|stat| (stat.ino(), stat.size())).collect::<BTreeMap<_, _>>().values().sum()
}

#[test]
fn nothing_is_written_that_is_not_what_it_is_said_to_be() {
    let scratch = Scratch::new("landing-lies-source");
    fs::write(scratch.0.join("large"), pseudo_random(1, 1 << 20)).unwrap();
    let sent = Sent::of(&scratch.0);
    let place = Place::new("landing-lies");
    let landing = place.land(false);
    pages(&landing, &sent);
    let mut arrival = landing.arrival();
    let span = Span { page: 0, first: 1, count: 1 };
    let mut lie = sent.bytes(0, (1, 1)).to_vec();
    lie[5] ^= 1;
    assert!(landing.fragments(&mut arrival, &[span], &lie).unwrap());
    let mut wants = Vec::new();
    while wants.len() < 2 {
        wants.extend(landing.news(LONG).unwrap().wants);
    }
    assert_eq!(wants[1], (0, vec![(1, 1)]));
    let short = sent.bytes(0, (1, 1));
    let refused = landing.fragments(&mut arrival, &[span], &short[1..]);
    assert!(matches!(refused, Err(Error::Format(_))));
    let beyond = Span { page: 0, first: 60_000, count: 1 };
    assert!(matches!(landing.fragments(&mut arrival, &[beyond], short), Err(Error::Format(_))));
    assert!(matches!(landing.fragments(&mut arrival, &[span], &lie), Err(Error::Integrity(_))));
    let again = Span { page: 0, first: 2, count: 1 };
    assert!(landing.fragments(&mut arrival, &[again], sent.bytes(0, (2, 1))).unwrap());
    let twice = landing.fragments(&mut arrival, &[again], sent.bytes(0, (2, 1)));
    assert!(matches!(twice, Err(Error::Format(_))));
    assert_eq!(fs::read_dir(place.target()).unwrap().count(), 1, "only the temporary file is there");
    let (raw, ..) = &sent.pages[0];
    assert!(matches!(landing.page(0, Codec::Store, raw, raw), Err(Error::Format(_))));
    assert!(landing.finish(0).is_err());
}

#[test]
fn a_fragment_is_read_again_from_the_source_if_its_file_was_changed_here() {
    let scratch = Scratch::new("landing-recall-source");
    fs::write(scratch.0.join("a"), pseudo_random(1, 50_000)).unwrap();
    fs::write(scratch.0.join("b"), pseudo_random(2, 50_000)).unwrap();
    let first = Sent::of(&scratch.0);
    fs::copy(scratch.0.join("a"), scratch.0.join("c")).unwrap();
    // The copy is in a page of its own, which comes when the first file has its name already.
    let sent = split(Sent::of(&scratch.0), first.pages[0].1.table.entries.len());
    let place = Place::new("landing-recall");
    let landing = place.land(false);
    let mut arrival = landing.arrival();
    assert!(landing.page(0, Codec::Store, &sent.pages[0].0, &sent.pages[0].0).unwrap());
    let wants = landing.news(LONG).unwrap().wants;
    wants.iter().for_each(|(page, spans)| give(&landing, &mut arrival, &sent, *page, spans));
    let deadline = Instant::now() + LONG;
    while landing.totals().0.files < 2 && Instant::now() < deadline {
        landing.news(Duration::from_millis(10)).unwrap();
    }
    fs::write(place.target().join("a"), "changed here").unwrap();
    assert!(landing.page(1, Codec::Store, &sent.pages[1].0, &sent.pages[1].0).unwrap());
    landing.finish(2).unwrap();
    let (landed, asked) = serve(&landing, &sent, |_| false);
    assert_eq!(landed.unwrap().totals.files, 3);
    assert!(asked > 0);
    assert_eq!(fs::read(place.target().join("a")).unwrap(), b"changed here");
    assert_eq!(fs::read(place.target().join("c")).unwrap(), pseudo_random(1, 50_000));
}

/// A page made two: the second begins with entry `at` and has no new fragments.
fn split(mut sent: Sent, at: usize) -> Sent {
    let (_, mut listing, data) = sent.pages.remove(0);
    let rest = listing.table.entries.split_off(at);
    let second = Listing { table: warp_core::table::EntryTable { entries: rest }, ..Listing::default() };
    let pages = vec![(listing.encode(), listing, data), (second.encode(), second, Vec::new())];
    Sent { pages, ..sent }
}

#[test]
fn what_the_source_has_lost_fails_and_the_rest_lands() {
    let scratch = Scratch::new("landing-lost-source");
    fs::write(scratch.0.join("a"), pseudo_random(1, 300_000)).unwrap();
    fs::write(scratch.0.join("b"), pseudo_random(2, 300_000)).unwrap();
    let sent = Sent::of(&scratch.0);
    let place = Place::new("landing-lost");
    let landing = place.land(false);
    pages(&landing, &sent);
    landing.finish(1).unwrap();
    let mut arrival = landing.arrival();
    let wants = landing.news(LONG).unwrap().wants;
    let (first, count) = wants[0].1[0];
    landing.lost(&mut arrival, 0, &vec![(0, 1)]).unwrap();
    assert!(landing.lost(&mut arrival, 0, &vec![(0, 1)]).is_err());
    give(&landing, &mut arrival, &sent, 0, &vec![(first + 1, count - 1)]);
    let (landed, _) = serve(&landing, &sent, |_| false);
    assert_eq!(landed.unwrap().totals.files, 1);
    let problems = landing.problems();
    assert_eq!((problems.len(), problems[0].path.as_slice()), (1, b"a".as_slice()));
    let names: Vec<_> = fs::read_dir(place.target()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn a_file_that_is_given_up_serves_those_that_refer_to_it_and_leaves_nothing() {
    let scratch = Scratch::new("landing-restart-source");
    fs::write(scratch.0.join("large"), pseudo_random(1, 20 << 20)).unwrap();
    fs::write(scratch.0.join("other"), "small").unwrap();
    let mut sent = Sent::of(&scratch.0);
    let (_, first, data) = sent.pages.remove(0);
    let (_, second, _) = sent.pages.remove(0);
    assert!(first.continues && second.resumes);
    // The first page stays as it is; then the file turns out to be gone, and another one has its first pieces.
    let head: u64 = first.fragments.iter().take(3).map(|(length, _)| u64::from(*length)).sum();
    let mut copy = second.table.entries[1].clone();
    copy.path = b"copy".to_vec();
    copy.size = head;
    copy.runs = vec![warp_core::entry::Run { first: 0, count: 3 }].into();
    let mut first = first;
    first.table.entries[1].path = b"b-gone".to_vec();
    let table = warp_core::table::EntryTable { entries: vec![copy] };
    let second = Listing { table, ..Listing::default() };
    let both = vec![(first.encode(), first, data), (second.encode(), second, Vec::new())];
    let sent = Sent { pages: both, digest: sent.digest };
    let place = Place::new("landing-restart");
    let landing = place.land(false);
    pages(&landing, &sent);
    landing.finish(2).unwrap();
    let (landed, _) = serve(&landing, &sent, |_| false);
    assert_eq!(landed.unwrap().totals.files, 1);
    let names: Vec<_> = fs::read_dir(place.target()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["copy"]);
    assert!(fs::read(place.target().join("copy")).unwrap() == pseudo_random(1, 20 << 20)[..head as usize]);
}

#[test]
fn only_what_changed_is_wanted_over_an_older_tree() {
    let scratch = Scratch::new("landing-delta-source");
    build_tree(&scratch.0);
    let place = Place::new("landing-delta");
    let status =
        std::process::Command::new("cp").arg("-a").arg(scratch.0.join(".")).arg(place.target()).status();
    assert!(status.unwrap().success());
    let mut large = fs::read(scratch.0.join("c-large")).unwrap();
    large.splice(3_000_000..3_000_010, *b"something else");
    fs::write(scratch.0.join("c-large"), &large).unwrap();
    fs::write(scratch.0.join("a/small-299"), "other").unwrap();
    fs::write(scratch.0.join("a/new"), pseudo_random(77, 20_000)).unwrap();
    let sent = Sent::of(&scratch.0);
    let landing = place.land_over(false, Overwrite::Changed);
    pages(&landing, &sent);
    landing.finish(sent.pages.len() as u32).unwrap();
    let (landed, asked) = serve(&landing, &sent, |_| false);
    assert_eq!(landed.unwrap().digest, sent.digest);
    assert_eq!(landing.problems(), []);
    place.assert_like(&scratch.0);
    assert!((3..12).contains(&asked), "{asked} of {}", total(&sent));
}
