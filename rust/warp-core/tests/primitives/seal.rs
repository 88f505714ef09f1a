//! Sealing: round trips, determinism, and that nothing altered opens.

use proptest::prelude::*;
use warp_core::keys::{ObjectKind, ScopeKeys, Suite};
use warp_core::seal::{open_in_place, prefix_len, seal_in_place};
use warp_core::{Error, digest};

const KEY: [u8; 32] = [42; 32];
const SUITES: [Suite; 2] = [Suite::ChaCha20Poly1305, Suite::Aes256Gcm];
const KINDS: [ObjectKind; 3] = [ObjectKind::Chunk, ObjectKind::Page, ObjectKind::Toc];

fn scope(suite: Suite) -> ScopeKeys {
    ScopeKeys::new((suite != Suite::Plain).then_some(&KEY), suite).unwrap()
}

fn sealed(keys: &ScopeKeys, kind: ObjectKind, payload: &[u8]) -> (Vec<u8>, [u8; 32]) {
    let mut buffer = vec![0; prefix_len(keys.suite())];
    buffer.extend_from_slice(payload);
    let dp = seal_in_place(keys, kind, &mut buffer).unwrap();
    (buffer, dp)
}

fn opens(keys: &ScopeKeys, kind: ObjectKind, dp: &[u8; 32], stored: &[u8]) -> Result<Vec<u8>, Error> {
    open_in_place(keys, kind, dp, &mut stored.to_vec()).map(<[u8]>::to_vec)
}

proptest! {
    #[test]
    fn what_was_sealed_opens(payload in prop::collection::vec(any::<u8>(), 0..5000), suite in 0..3u8, kind in 0..3usize) {
        let keys = scope(Suite::try_from(suite).unwrap());
        let (stored, dp) = sealed(&keys, KINDS[kind], &payload);
        let overhead = if suite == 0 { 0 } else { 52 };
        prop_assert_eq!(stored.len(), payload.len() + overhead);
        prop_assert_eq!(opens(&keys, KINDS[kind], &dp, &stored).unwrap(), payload);
    }

    #[test]
    fn equal_payloads_seal_alike_and_others_do_not(payload in prop::collection::vec(any::<u8>(), 1..200), bit in any::<prop::sample::Index>()) {
        let keys = scope(Suite::ChaCha20Poly1305);
        let first = sealed(&keys, ObjectKind::Chunk, &payload);
        prop_assert_eq!(&sealed(&keys, ObjectKind::Chunk, &payload), &first);
        let mut other = payload.clone();
        let bit = bit.index(8 * other.len());
        other[bit / 8] ^= 1 << (bit % 8);
        let second = sealed(&keys, ObjectKind::Chunk, &other);
        prop_assert_ne!(first.1, second.1);
        prop_assert_ne!(&first.0[4..36], &second.0[4..36]);
    }

    #[test]
    fn decryption_is_total(stored in prop::collection::vec(any::<u8>(), 0..200)) {
        for suite in SUITES {
            prop_assert!(opens(&scope(suite), ObjectKind::Chunk, &[0; 32], &stored).is_err());
        }
    }
}

#[test]
fn any_flipped_bit_is_detected() {
    for suite in SUITES {
        let keys = scope(suite);
        let (stored, dp) = sealed(&keys, ObjectKind::Page, b"a payload of some bytes");
        for bit in 0..8 * stored.len() {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(opens(&keys, ObjectKind::Page, &dp, &damaged), Err(Error::Integrity(_))),
                "bit {bit}"
            );
        }
        for length in 0..stored.len() {
            assert!(opens(&keys, ObjectKind::Page, &dp, &stored[..length]).is_err(), "length {length}");
        }
    }
}

#[test]
fn another_kind_scope_suite_or_digest_does_not_open() {
    let keys = scope(Suite::Aes256Gcm);
    let (stored, dp) = sealed(&keys, ObjectKind::Chunk, b"payload");
    let other = ScopeKeys::new(Some(&[43; 32]), Suite::Aes256Gcm).unwrap();
    assert!(opens(&keys, ObjectKind::Page, &dp, &stored).is_err());
    assert!(opens(&other, ObjectKind::Chunk, &dp, &stored).is_err());
    assert!(opens(&scope(Suite::ChaCha20Poly1305), ObjectKind::Chunk, &dp, &stored).is_err());
    assert!(opens(&keys, ObjectKind::Chunk, &[0; 32], &stored).is_err());
    assert!(opens(&keys, ObjectKind::Chunk, &dp, &stored).is_ok());
}

#[test]
fn a_seal_follows_the_format() {
    let payload = b"the payload";
    let secret = digest::derive("archive scope", &KEY);
    let dp = digest::keyed(&digest::derive("chunk payload digest", &secret), payload);
    let mut okm = [0; 76];
    digest::keyed_xof(&digest::derive("chunk key", &secret), &[&[1, 0, 0, 0], &dp], &mut okm);
    let (stored, found) = sealed(&scope(Suite::ChaCha20Poly1305), ObjectKind::Chunk, payload);
    assert_eq!(found, dp);
    assert_eq!(stored[..4], [1, 0, 0, 0]);
    assert_eq!(stored[4..36], okm[44..]);
    // Found by a second implementation in Python: pins the ciphertext, and with it the whole derivation.
    let hex: String = digest::hash(&stored)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "edf01bcac8b6ae69");
}

#[test]
fn a_plain_scope_only_digests() {
    let (stored, dp) = sealed(&scope(Suite::Plain), ObjectKind::Page, b"payload");
    assert_eq!(stored, b"payload");
    assert_eq!(dp, digest::keyed(&digest::derive("page payload digest", &[0; 32]), b"payload"));
}

#[test]
fn a_buffer_without_room_for_the_prefix_is_refused() {
    assert!(seal_in_place(&scope(Suite::Aes256Gcm), ObjectKind::Toc, &mut vec![0; 35]).is_err());
}
