//! Damage is found with and without keys, and all of it.

use super::*;
use crate::codec::Codec;
use crate::keys::Suite;
use crate::unpack::fixture::{Builder, Built};

const PATIENCE: Duration = Duration::from_secs(60);

fn builder() -> Builder {
    let mut builder = Builder::new(Suite::ChaCha20Poly1305);
    for chunk in 0..20_u8 {
        builder.fragment(&[chunk; 100]);
        builder.fragment(&[chunk; 50]);
        builder.close(Codec::Zstd);
    }
    builder
}

/// The damaged chunks and how many were checked.
fn verify(built: &Built, deep: bool) -> (Vec<u32>, u64) {
    let keys = deep.then(|| Arc::clone(&built.keys));
    let index = Arc::clone(&built.index);
    let verifier = ChunkVerifier::new(built.fd(), index, keys, 3).unwrap();
    let progress = verifier.poll(PATIENCE).unwrap();
    assert!(progress.done);
    let mut damaged: Vec<u32> = verifier.damaged().iter().map(|(chunk, _)| *chunk).collect();
    damaged.sort_unstable();
    assert!(verifier.damaged().is_empty(), "told once");
    (damaged, progress.chunks)
}

#[test]
fn an_intact_archive_has_no_damaged_chunks() {
    let built = builder().build();
    assert_eq!(verify(&built, false), (vec![], 20));
    assert_eq!(verify(&built, true), (vec![], 20));
}

#[test]
fn all_damaged_chunks_are_found() {
    let mut built = builder().build();
    for chunk in [0, 7, 19] {
        let at = built.index.record(chunk).unwrap().offset as usize;
        built.bytes[at + 60] ^= 1;
    }
    assert_eq!(verify(&built, false), (vec![0, 7, 19], 20));
    assert_eq!(verify(&built, true), (vec![0, 7, 19], 20));
}

#[test]
fn a_fragment_of_another_id_is_found_with_keys() {
    let mut builder = builder();
    builder.fragments[9].1[0] ^= 1;
    let built = builder.build();
    assert_eq!(verify(&built, false).0, []);
    assert_eq!(verify(&built, true).0, [4]);
}

#[test]
fn a_deep_check_needs_ids() {
    let builder = builder();
    let mut index = builder.pages().index(true, false).unwrap();
    index.finish(builder.bytes.len() as u64).unwrap();
    let built = builder.build();
    let keys = Some(Arc::clone(&built.keys));
    assert!(ChunkVerifier::new(built.fd(), Arc::new(index), keys, 1).is_err());
}

#[test]
fn locators_alone_serve_a_check_without_keys() {
    let builder = builder();
    let mut pages = builder.pages();
    pages.chunks.clear();
    pages.fragments.clear();
    let mut index = pages.index(true, false).unwrap();
    index.finish(builder.bytes.len() as u64).unwrap();
    let fd = builder.build().fd();
    let verifier = ChunkVerifier::new(fd, Arc::new(index), None, 2).unwrap();
    assert_eq!(verifier.poll(PATIENCE).unwrap().chunks, 20);
    assert!(verifier.damaged().is_empty());
}

#[test]
fn an_aborted_check_says_so() {
    let built = builder().build();
    let index = Arc::clone(&built.index);
    let mut verifier = ChunkVerifier::new(built.fd(), index, None, 2).unwrap();
    verifier.abort();
    verifier.abort();
    assert!(matches!(verifier.poll(PATIENCE), Err(Error::Cancelled)));
}
