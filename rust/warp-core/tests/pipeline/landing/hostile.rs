//! What a hostile sender may not do to a landing.

use super::*;

/// A page of one file whose fragments are nowhere: each of 64 KiB.
fn promise(number: u64, fragments: u64) -> Listing {
    let size = fragments * u64::from(FRAGMENT.max);
    let entry = warp_core::entry::Entry {
        path: format!("file-{number:03}").into_bytes(),
        kind: warp_core::entry::Kind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        mtime: warp_core::entry::Timestamp::default(),
        ctime: warp_core::entry::Timestamp::default(),
        inode: 1,
        link: Vec::new(),
        rdev: 0,
        flags: 0,
        xattrs: Vec::new().into(),
        extents: Vec::new(),
        runs: vec![warp_core::entry::Run { first: number * fragments, count: fragments }].into(),
    };
    let id = |index: u64| {
        let digest = digest::hash(&(number << 32 | index).to_le_bytes());
        std::array::from_fn(|at| digest[at])
    };
    let fragments = (0..fragments).map(|index| (FRAGMENT.max, id(index))).collect();
    let table = warp_core::table::EntryTable { entries: vec![entry] };
    Listing { table, fragments, ..Listing::default() }
}

#[test]
fn a_sender_of_pages_alone_is_stopped() {
    let place = Place::new("landing-flood");
    let landing = place.land(false);
    let mut encoder = Encoder::new();
    let sent = (0..100).find_map(|number| {
        let mut page = promise(number, 1);
        page.table.entries[0].xattrs = vec![(b"user.large".to_vec(), vec![number as u8; 4 << 20])].into();
        let raw = page.encode();
        let mut stored = Vec::new();
        encoder.encode_as(&raw, Codec::Zstd, 1, &mut stored).unwrap();
        let stored = stored.split_off(PAYLOAD_HEADER_LEN);
        landing.page(number as u32, Codec::Zstd, &stored, &raw).err().map(|error| (number, error))
    });
    assert!(matches!(sent, Some((32.., Error::Format(_)))), "{sent:?}");
}

#[test]
fn pages_are_answered_whatever_their_fragments_come_to() {
    let place = Place::new("landing-many");
    let landing = place.land(false);
    // Of 56 GiB together.
    for number in 0..900 {
        let raw = promise(number, 1024).encode();
        assert!(landing.page(number as u32, Codec::Store, &raw, &raw).unwrap());
    }
    let mut wanted = Vec::new();
    while wanted.len() < 900 {
        wanted.extend(landing.news(LONG).unwrap().wants);
    }
    assert!(wanted.iter().enumerate().all(|(at, want)| *want == (at as u32, vec![(0, 1024)])));
}

#[test]
fn recipes_without_end_are_refused() {
    let place = Place::new("landing-recipe");
    let landing = place.land(false);
    let first = promise(0, 16);
    let raw = first.encode();
    assert!(landing.page(0, Codec::Store, &raw, &raw).unwrap());
    let mut second = promise(1, 1);
    let entry = &mut second.table.entries[0];
    let runs = 5 << 20;
    entry.size = u64::from(FRAGMENT.max) * (runs + 1);
    let again = (0..runs).map(|at| warp_core::entry::Run { first: at % 2, count: 1 });
    entry.runs = again.chain([warp_core::entry::Run { first: 16, count: 1 }]).collect();
    let raw = second.encode();
    match landing.page(1, Codec::Store, &raw, &raw) {
        Err(Error::Format(why)) => assert!(why.contains("page"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn links_behind_a_file_that_does_not_come_take_no_room_without_end() {
    let place = Place::new("landing-links");
    let landing = place.land(false);
    let first = promise(0, 1);
    let raw = first.encode();
    assert!(landing.page(0, Codec::Store, &raw, &raw).unwrap());
    // More than all pages may take, if each stayed as it is.
    let link = first.table.entries[0].path.clone();
    for number in 1..=100 {
        let entries = (0..1000).map(|each| {
            let mut entry = first.table.entries[0].clone();
            entry.path = [format!("link-{number:03}-{each:04}-").as_bytes(), &[b'a'; 4000]].concat();
            entry.kind = warp_core::entry::Kind::Hardlink;
            entry.link.clone_from(&link);
            entry.runs = Vec::new().into();
            entry
        });
        let table = warp_core::table::EntryTable { entries: entries.collect() };
        let raw = Listing { table, ..Listing::default() }.encode();
        assert!(landing.page(number, Codec::Store, &raw, &raw).unwrap(), "page {number}");
    }
}

#[test]
fn files_that_are_given_up_are_counted() {
    let place = Place::new("landing-given-up");
    let landing = place.land(false);
    let sent = (0..100).find_map(|number| {
        let mut page = promise(number, 0);
        page.table.entries[0].size = 5;
        page.table.entries[0].runs = Vec::new().into();
        page.table.entries[0].xattrs = vec![(b"user.large".to_vec(), vec![number as u8; 4 << 20])].into();
        page.continues = true;
        let raw = page.encode();
        landing.page(number as u32, Codec::Store, &raw, &raw).err().map(|error| (number, error))
    });
    assert!(matches!(sent, Some((32.., Error::Format(_)))), "{sent:?}");
}

#[test]
fn losses_are_kept_until_their_page_comes_and_no_longer_than_that() {
    let place = Place::new("landing-early");
    let landing = place.land(true);
    let mut arrival = landing.arrival();
    landing.lost(&mut arrival, 0, &vec![(0, 16)]).unwrap();
    let raw = promise(0, 16).encode();
    assert!(landing.page(0, Codec::Store, &raw, &raw).unwrap());
    assert_eq!(landing.totals().0.failed, 1);
    assert!(matches!(landing.lost(&mut arrival, 0, &vec![(0, 1)]), Err(Error::Format(_))));
    let spans = (0..1024).map(|at| (at * 2, 1)).collect();
    let flood = (1..1000).find_map(|number| landing.lost(&mut arrival, number, &spans).err());
    assert!(matches!(flood, Some(Error::Format(_))), "{flood:?}");
}
