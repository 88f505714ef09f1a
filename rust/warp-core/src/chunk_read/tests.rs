//! Damage of every byte of a chunk is found, wherever it is.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::*;
use crate::codec::Codec;
use crate::keys::Suite;
use crate::unpack::fixture::{Builder, Built};

const SUITES: [Suite; 3] = [Suite::Plain, Suite::ChaCha20Poly1305, Suite::Aes256Gcm];

fn built(suite: Suite) -> Built {
    let mut builder = Builder::new(suite);
    builder.fragment(&[b'a'; 500]);
    builder.close(Codec::Zstd);
    builder.fragment(b"some bytes");
    builder.fragment(b"and more");
    builder.close(Codec::Store);
    builder.build()
}

fn read(built: &Built, chunk: usize) -> Result<Vec<u8>> {
    let (fd, mut reader) = (built.fd(), ChunkReader::new());
    let raw = reader.read(fd.as_fd(), &built.index, &built.keys, chunk)?;
    Ok(raw.to_vec())
}

#[test]
fn chunks_are_read_as_they_were_sealed() {
    for suite in SUITES {
        let built = built(suite);
        assert_eq!(read(&built, 0).unwrap(), [b'a'; 500]);
        assert_eq!(read(&built, 1).unwrap(), b"some bytesand more");
        assert!(matches!(read(&built, 2), Err(Error::Parameter(_))));
    }
}

#[test]
fn a_flipped_bit_in_any_byte_is_found_and_its_chunk_named() {
    for suite in SUITES {
        let mut built = built(suite);
        for chunk in 0..2 {
            let record = built.index.record(chunk).unwrap();
            let range = record.offset as usize..record.offset as usize + record.stored as usize;
            for at in range {
                built.bytes[at] ^= 0x10;
                let error = read(&built, chunk).unwrap_err();
                assert!(matches!(error, Error::Integrity(_)), "{error}");
                assert!(error.to_string().contains(&format!("chunk {chunk}")));
                built.bytes[at] ^= 0x10;
            }
        }
    }
}

#[test]
fn an_archive_that_ends_early_is_damaged() {
    let mut built = built(Suite::ChaCha20Poly1305);
    built.bytes.pop();
    assert!(matches!(read(&built, 1), Err(Error::Integrity(_))));
    assert!(read(&built, 0).is_ok());
}

#[test]
fn the_keys_of_another_archive_open_nothing() {
    let mut built = built(Suite::ChaCha20Poly1305);
    built.keys = Arc::new(ScopeKeys::new(Some(&[8; 32]), Suite::ChaCha20Poly1305).unwrap());
    assert!(matches!(read(&built, 0), Err(Error::Integrity(_))));
}

#[test]
fn a_payload_that_is_not_as_indexed_is_refused() {
    let lies: [fn(&mut Builder); 2] = [
        |builder| builder.chunks[0].2 = 2,
        |builder| (builder.chunks[0].0, builder.fragments[0].0) = (501, 501),
    ];
    for lie in lies {
        let mut builder = Builder::new(Suite::Plain);
        builder.fragment(&[b'a'; 500]);
        builder.close(Codec::Zstd);
        lie(&mut builder);
        assert!(matches!(read(&builder.build(), 0), Err(Error::Integrity(_))));
    }
}
