//! Sealed objects (docs/format.md §5). Parts: suite, object kind, `u16` place and mask of a change │ payload │ stored bytes.

use warp_core::Error;
use warp_core::digest::Digest;
use warp_core::keys::{ObjectKind, ScopeKeys, Suite};
use warp_core::seal::{open_in_place, prefix_len, seal_in_place};

use crate::sections;

pub fn run(data: &[u8]) {
    let [choice, payload, stored] = sections::split_into::<3>(data);
    let suite = Suite::try_from(sections::byte(choice, 0) % 3).expect("there are three");
    let kind = ObjectKind::try_from(1 + sections::byte(choice, 1) % 3).expect("there are three");
    let keys = keys(suite);
    check_foreign(&keys, kind, &sections::exactly(payload), stored);
    check_own(&keys, kind, payload, &choice[2.min(choice.len())..]);
}

/// Keys of a fixed scope.
pub fn keys(suite: Suite) -> ScopeKeys {
    let key = (suite != Suite::Plain).then_some(&[7; 32]);
    ScopeKeys::new(key, suite).expect("key and suite go together")
}

/// Bytes that we did not seal do not open; a plain scope passes them on.
fn check_foreign(keys: &ScopeKeys, kind: ObjectKind, dp: &Digest, stored: &[u8]) {
    let mut buffer = stored.to_vec();
    match open_in_place(keys, kind, dp, &mut buffer) {
        Ok(opened) => assert!(keys.suite() == Suite::Plain && opened == stored),
        Err(Error::Format(_) | Error::Integrity(_)) => assert!(keys.suite() != Suite::Plain),
        Err(other) => panic!("neither malformed nor damaged: {other}"),
    }
}

/// What we sealed opens, and not if a byte of it is changed.
fn check_own(keys: &ScopeKeys, kind: ObjectKind, payload: &[u8], change: &[u8]) {
    let mut sealed = [&vec![0; prefix_len(keys.suite())][..], payload].concat();
    let dp = seal_in_place(keys, kind, &mut sealed).expect("there is room for the prefix");
    let opened = open_in_place(keys, kind, &dp, &mut sealed.clone()).map(<[u8]>::to_vec);
    assert_eq!(opened.ok().as_deref(), Some(payload));
    let (place, mask) = (sections::number(change) as u16, sections::byte(change, 2));
    if keys.suite() != Suite::Plain && mask != 0 {
        let place = usize::from(place) % sealed.len();
        sealed[place] ^= mask;
        assert!(matches!(open_in_place(keys, kind, &dp, &mut sealed), Err(Error::Integrity(_))));
    }
}
