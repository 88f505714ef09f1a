//! Payloads (docs/format.md §5): `u8 codec │ u8 zero │ u16 zero │ u64 raw length │ u64 stored length │ stored bytes`.
//!
//! The targets of single codecs take `u32 raw length │ stored bytes` and write the header, so that changes reach the codec.

use warp_core::Error;
use warp_core::codec::{Codec, Decoder, Encoder};

/// Most raw bytes that are asked for.
const MAX_RAW: usize = 1 << 20;

pub fn run(data: &[u8]) {
    let mut decoder = Decoder::new();
    let mut raw = Vec::new();
    let codec = match decoder.decode(data, MAX_RAW, &mut raw) {
        Ok(codec) => codec,
        Err(Error::Format(_)) => return assert!(raw.is_empty()),
        Err(other) => panic!("not a format error: {other}"),
    };
    assert_eq!((codec as u8, raw.len() as u64), (data[0], claimed(data)));
    assert!(raw.len() <= MAX_RAW && raw.capacity() <= MAX_RAW);
    check_again(&mut decoder, data, &raw);
    check_written(&mut decoder, codec, data, &raw);
}

fn claimed(payload: &[u8]) -> u64 {
    payload[4..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// With a used decoder and a buffer that holds other bytes the answer is the same; one byte less room, and there is none.
fn check_again(decoder: &mut Decoder, payload: &[u8], raw: &[u8]) {
    let mut again = vec![0xa5; raw.len() + 9];
    assert!(decoder.decode(payload, raw.len(), &mut again).is_ok());
    assert_eq!(again, raw);
    if !raw.is_empty() {
        assert!(decoder.decode(payload, raw.len() - 1, &mut again).is_err() && again.is_empty());
    }
}

/// Written by us it decodes to the same; as `store` there is only one way to write it.
fn check_written(decoder: &mut Decoder, codec: Codec, payload: &[u8], raw: &[u8]) {
    let (mut written, mut again) = (Vec::new(), Vec::new());
    let used = Encoder::new().encode_as(raw, codec, 1, &mut written).expect("a level that there is");
    assert!(used == codec || used == Codec::Store);
    assert_eq!(decoder.decode(&written, raw.len(), &mut again).ok(), Some(used));
    assert_eq!(again, raw);
    assert!(codec != Codec::Store || written == payload);
}

/// A payload whose header fits its stored bytes.
pub fn framed(codec: u8, raw: u32, stored: &[u8]) -> Vec<u8> {
    let lengths = [u64::from(raw), stored.len() as u64].map(u64::to_le_bytes).concat();
    [&[codec, 0, 0, 0], &lengths[..], stored].concat()
}

fn run_as(codec: Codec, data: &[u8]) {
    if let Some((raw, stored)) = data.split_first_chunk::<4>() {
        run(&framed(codec as u8, u32::from_le_bytes(*raw), stored));
    }
}

pub fn run_zstd(data: &[u8]) {
    run_as(Codec::Zstd, data);
}

pub fn run_lz4(data: &[u8]) {
    run_as(Codec::Lz4, data);
}

pub fn run_lz4_blocks(data: &[u8]) {
    run_as(Codec::Lz4Blocks, data);
}
