//! Which files a landing writes to, links to, and takes for its own.

use warp_core::entry::{Entry, Kind, Run, Timestamp};

use super::*;

/// The temporary name of a path, as the tag of [`Place`] gives it.
fn temporary(path: &[u8]) -> Vec<u8> {
    let digest = digest::hash(path);
    let hash = u64::from_be_bytes(std::array::from_fn(|at| digest[at]));
    format!(".warp-{:016x}-{hash:016x}.part", u64::from_be_bytes([9; 8])).into_bytes()
}

fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: 0o644,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        size: 0,
        mtime: Timestamp { seconds: 1000, nanos: 5 },
        ctime: Timestamp::default(),
        inode: 1,
        link: Vec::new(),
        rdev: 0,
        flags: 0,
        xattrs: Vec::new().into(),
        extents: Vec::new(),
        runs: Vec::new().into(),
    }
}

fn link(path: &[u8], to: &[u8]) -> Entry {
    Entry { link: to.to_vec(), ..entry(path, Kind::Hardlink) }
}

/// A file of these fragments of the session.
fn file(path: &[u8], size: u64, first: u64, count: u64) -> Entry {
    Entry { size, runs: vec![Run { first, count }].into(), ..entry(path, Kind::File) }
}

/// A page of these entries and new fragments.
fn page(entries: Vec<Entry>, fragments: &[&[u8]]) -> (Vec<u8>, Listing, Vec<u8>) {
    let keys = keys();
    let fragments_of = fragments.iter().map(|data| (data.len() as u32, keys.fragment_id(data))).collect();
    let table = warp_core::table::EntryTable { entries };
    let listing = Listing { table, fragments: fragments_of, ..Listing::default() };
    (listing.encode(), listing, fragments.concat())
}

fn sent(pages: Vec<(Vec<u8>, Listing, Vec<u8>)>) -> Sent {
    Sent { pages, digest: [0; 32] }
}

fn land(place: &Place, sent: &Sent) -> (unpack::Totals, Vec<(String, i32)>) {
    let landing = place.land(false);
    pages(&landing, sent);
    landing.finish(sent.pages.len() as u32).unwrap();
    let (landed, _) = serve(&landing, sent, |_| false);
    let told = |problem: unpack::Problem| (String::from_utf8(problem.path).unwrap(), problem.errno);
    (landed.unwrap().totals, landing.problems().into_iter().map(told).collect())
}

const EXIST: i32 = 17;
const INVAL: i32 = 22;

#[test]
fn a_hard_link_is_made_to_nothing_but_what_was_restored() {
    let place = Place::new("names-link");
    fs::write(place.target().join("known"), "mine").unwrap();
    fs::write(place.target().join("unknown"), "mine").unwrap();
    let names = [b"known".as_slice(), b"unknown"];
    let mut entries = vec![file(b"known", 4, 0, 1), file(b"new", 4, 0, 1)];
    entries.extend([link(b"y-known", names[0]), link(b"y-new", b"new"), link(b"y-unknown", names[1])]);
    let (totals, problems) = land(&place, &sent(vec![page(entries, &[b"sent"])]));
    assert_eq!((totals.files, totals.failed), (1, 2));
    assert_eq!(problems, [("y-known".into(), EXIST), ("y-unknown".into(), EXIST)]);
    let links = |name: &str| fs::metadata(place.target().join(name)).unwrap().nlink();
    assert_eq!((links("known"), links("unknown"), links("new")), (1, 1, 2));
}

#[test]
fn an_entry_does_not_come_to_the_name_of_a_temporary_file() {
    let place = Place::new("names-refused");
    fs::write(place.target().join("victim"), "mine").unwrap();
    let others = b"zz/.warp-0123456789abcdef-0123456789abcdef.part".to_vec();
    let ours = [b"zz/".as_slice(), &temporary(b"zz/x")].concat();
    let entries = vec![file(&others, 4, 0, 1), link(&ours, b"victim"), file(b"zz/x", 4, 0, 1)];
    let (totals, mut problems) = land(&place, &sent(vec![page(entries, &[b"sent"])]));
    problems.sort();
    let mut refused = [others, ours].map(|name| (String::from_utf8(name).unwrap(), INVAL));
    refused.sort();
    assert_eq!((totals.files, problems), (1, refused.to_vec()));
    assert_eq!(fs::read(place.target().join("victim")).unwrap(), b"mine");
    assert_eq!(fs::read(place.target().join("zz/x")).unwrap(), b"sent");
}

#[test]
fn what_has_further_names_is_not_written_to_on_the_way_back() {
    let place = Place::new("names-reopen");
    let victim = place.target().join("victim");
    fs::write(&victim, "mine").unwrap();
    let entries = vec![file(b"large", 8, 0, 2)];
    let sent = sent(vec![page(entries, &[b"sent", b"more"])]);
    let mut landing = place.land(false);
    pages(&landing, &sent);
    landing.stop();
    fs::hard_link(&victim, place.target().join(std::str::from_utf8(&temporary(b"large")).unwrap())).unwrap();
    let (totals, problems) = land(&place, &sent);
    assert_eq!((totals.files, problems), (1, Vec::new()));
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(fs::read(place.target().join("large")).unwrap(), b"sentmore");
}

#[test]
fn a_temporary_file_that_another_took_away_gets_no_name() {
    let place = Place::new("names-taken");
    let sent = sent(vec![page(vec![file(b"large", 8, 0, 2)], &[b"sent", b"more"])]);
    let landing = place.land(false);
    pages(&landing, &sent);
    let mut arrival = landing.arrival();
    assert_eq!(landing.news(LONG).unwrap().wants, [(0, vec![(0, 2)])]);
    give(&landing, &mut arrival, &sent, 0, &vec![(0, 1)]);
    let part = place.target().join(std::str::from_utf8(&temporary(b"large")).unwrap());
    fs::remove_file(&part).unwrap();
    fs::write(&part, "another's").unwrap();
    give(&landing, &mut arrival, &sent, 0, &vec![(1, 1)]);
    landing.finish(1).unwrap();
    let (landed, _) = serve(&landing, &sent, |_| false);
    assert_eq!((landed.unwrap().totals.failed, landing.problems().len()), (1, 1));
    assert!(!place.target().join("large").exists());
    assert_eq!(fs::read(&part).unwrap(), b"another's");
}

#[test]
fn names_are_given_when_what_has_them_is_durable() {
    let place = Place::new("names-durable");
    let sent = sent(vec![page(vec![file(b"a", 4, 0, 1), link(b"b", b"a")], &[b"sent"])]);
    let landing = place.land_with(Overwrite::Never, Duration::from_secs(3600));
    pages(&landing, &sent);
    assert_eq!(landing.news(LONG).unwrap().wants, [(0, vec![(0, 1)])]);
    give(&landing, &mut landing.arrival(), &sent, 0, &vec![(0, 1)]);
    let names =
        || fs::read_dir(place.target()).unwrap().map(|each| each.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(), [std::str::from_utf8(&temporary(b"a")).unwrap()]);
    landing.finish(1).unwrap();
    serve(&landing, &sent, |_| false);
    assert_eq!(fs::metadata(place.target().join("a")).unwrap().nlink(), 2);
}

#[test]
fn what_waits_for_names_is_bounded() {
    let place = Place::new("names-bounded");
    let landing = place.land_with(Overwrite::Never, Duration::from_secs(3600));
    let mut taken = 0;
    while landing.totals().0.entries == 0 && taken < 200 {
        let name = |at: u32| Entry {
            link: b"x".to_vec(),
            ..entry(format!("l-{taken:03}-{at:04}").as_bytes(), Kind::Symlink)
        };
        let (raw, ..) = page((0..1024).map(name).collect(), &[]);
        assert!(landing.page(taken, Codec::Store, &raw, &raw).unwrap());
        taken += 1;
    }
    assert!(taken < 200, "nothing got its name");
}

#[test]
fn what_this_session_restored_follows_the_source_and_what_was_there_stays() {
    let place = Place::new("names-ours");
    fs::write(place.target().join("b-mine"), "mine").unwrap();
    let entries = |a: &[u8], seconds| {
        let mut entries =
            vec![file(b"a", 4, 0, 1), file(b"b-mine", 4, 0, 1), file(b"c", 4, 1, 1), link(b"d", b"c")];
        entries[0].mtime.seconds = seconds;
        sent(vec![page(entries, &[a, b"same"])])
    };
    let first = entries(b"sent", 1000);
    let mut landing = place.land(false);
    pages(&landing, &first);
    give(&landing, &mut landing.arrival(), &first, 0, &vec![(0, 2)]);
    let deadline = Instant::now() + LONG;
    while landing.totals().0.entries < 4 && Instant::now() < deadline {
        landing.news(Duration::from_millis(10)).unwrap();
    }
    landing.stop();
    let second = entries(b"anew", 2000);
    let landing = place.land(false);
    pages(&landing, &second);
    landing.finish(1).unwrap();
    let (landed, asked) = serve(&landing, &second, |_| false);
    assert_eq!((landing.problems(), asked), (Vec::new(), 1));
    let read = |name: &str| fs::read(place.target().join(name)).unwrap();
    assert_eq!([read("a"), read("b-mine"), read("c"), read("d")].concat(), b"anewminesamesame");
    let kept = landing.skips().into_iter().find(|(skip, _)| *skip == unpack::Skip::Exists).unwrap().1;
    assert_eq!((landed.unwrap().totals.files, kept), (2, 1));
}

#[test]
fn what_was_changed_here_since_it_was_restored_stays() {
    let place = Place::new("names-edited");
    let of = |data: &[u8], seconds| {
        let mut entries = vec![file(b"a", 4, 0, 1)];
        entries[0].mtime.seconds = seconds;
        sent(vec![page(entries, &[data])])
    };
    land(&place, &of(b"sent", 1000));
    fs::write(place.target().join("a"), "here").unwrap();
    assert_eq!(land(&place, &of(b"anew", 2000)).1, []);
    assert_eq!(fs::read(place.target().join("a")).unwrap(), b"here");
}

#[test]
fn a_file_of_another_size_is_not_looked_through() {
    for (fragments, asked) in
        [(vec![b"sent".as_slice(), b"more"], 1), (vec![b"sent".as_slice(), b"more", b"else"], 3)]
    {
        let place = Place::new(&format!("names-near-{asked}"));
        fs::write(place.target().join("a"), "sent").unwrap();
        let count = fragments.len() as u64;
        let sent = sent(vec![page(vec![file(b"a", 4 * count, 0, count)], &fragments)]);
        let landing = place.land_over(false, Overwrite::Changed);
        pages(&landing, &sent);
        landing.finish(1).unwrap();
        assert_eq!(serve(&landing, &sent, |_| false).1, asked);
        assert_eq!(fs::read(place.target().join("a")).unwrap(), fragments.concat());
    }
}

#[test]
fn a_directory_that_was_there_keeps_its_attributes() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};

    let place = Place::new("names-directories");
    let there = |name: &str| place.target().join(name);
    fs::create_dir(there("mine")).unwrap();
    setxattr(there("mine"), "user.mine", b"1", XattrFlags::empty()).unwrap();
    let directory = |path: &[u8]| Entry {
        mode: 0o750,
        xattrs: vec![(b"user.sent".to_vec(), b"2".to_vec())].into(),
        ..entry(path, Kind::Directory)
    };
    let sent = sent(vec![page(vec![directory(b"mine"), directory(b"new")], &[])]);
    let mut landing = place.land_with(Overwrite::Never, Duration::from_secs(3600));
    pages(&landing, &sent);
    landing.stop();
    // The directory that the first try made is there for the second.
    assert_eq!(land(&place, &sent).1, []);
    let has = |name: &str, attribute: &str| getxattr(there(name), attribute, &mut [0; 8][..]).is_ok();
    assert_eq!([has("mine", "user.mine"), has("mine", "user.sent")], [true, false]);
    assert!(has("new", "user.sent"));
    let mode = |name: &str| fs::metadata(there(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("mine"), mode("new")), (0o750, 0o750));
}
