//! Payloads: round trips of all codecs, the choice of a codec, and a decoder that is total.

use proptest::prelude::*;
use warp_core::codec::{Codec, Decoder, Encoder, PAYLOAD_HEADER_LEN, Policy, PolicyRow};
use warp_core::entropy::{Probe, order0_entropy};
use warp_core::{Error, digest};

const CODECS: [Codec; 4] = [Codec::Store, Codec::Zstd, Codec::Lz4, Codec::Lz4Blocks];

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    digest::keyed_xof(&[9; 32], &[b"random"], &mut bytes);
    bytes
}

fn text(length: usize) -> Vec<u8> {
    (0..).flat_map(|i: u32| format!("line {i} of a compressible text\n").into_bytes()).take(length).collect()
}

fn encoded(raw: &[u8], codec: Codec, level: i32) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new().encode_as(raw, codec, level, &mut out).unwrap();
    out
}

fn decoded(payload: &[u8], max_raw: usize) -> Result<Vec<u8>, Error> {
    let mut out = vec![7; 3];
    Decoder::new().decode(payload, max_raw, &mut out).map(|_| out)
}

/// A payload with an arbitrary header.
fn payload(codec: u8, raw: u64, stored: &[u8]) -> Vec<u8> {
    let mut bytes = vec![codec, 0, 0, 0];
    bytes.extend(raw.to_le_bytes());
    bytes.extend((stored.len() as u64).to_le_bytes());
    bytes.extend(stored);
    bytes
}

fn arbitrary_raw() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3000),
        prop::collection::vec(0..4u8, 0..3000),
        (any::<u8>(), 0..400_000usize).prop_map(|(byte, length)| vec![byte; length]),
        (0..300_000usize).prop_map(text),
        (0..300_000usize).prop_map(random),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_codecs_round_trip(raw in arbitrary_raw(), prefix in prop::collection::vec(any::<u8>(), 0..50), level in -3..10i32) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let mut back = Vec::new();
        for codec in CODECS {
            let mut out = prefix.clone();
            let used = encoder.encode_as(&raw, codec, level, &mut out).unwrap();
            prop_assert_eq!(&out[..prefix.len()], &prefix[..]);
            let payload = &out[prefix.len()..];
            prop_assert!(used == codec || used == Codec::Store);
            prop_assert!(payload.len() <= PAYLOAD_HEADER_LEN + raw.len());
            prop_assert_eq!(decoder.decode(payload, raw.len(), &mut back).unwrap(), used);
            prop_assert_eq!(&back, &raw);
        }
    }

    #[test]
    fn decoding_is_total_on_random_bytes(codec in 0..5u8, raw in 0..200_000u64, stored in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(back) = decoded(&payload(codec, raw, &stored), 200_000) {
            prop_assert_eq!(back.len() as u64, raw);
        }
        let _ = decoded(&stored, 200_000);
    }

    #[test]
    fn decoding_is_total_on_damaged_payloads(codec in 1..4usize, at in any::<prop::sample::Index>(), flip in 1..=255u8, cut in any::<prop::sample::Index>()) {
        let raw = text(150_000);
        let mut payload = encoded(&raw, CODECS[codec], 1);
        let at = at.index(payload.len());
        payload[at] ^= flip;
        if let Ok(back) = decoded(&payload, raw.len()) {
            prop_assert_eq!(back.len(), raw.len());
        }
        payload[at] ^= flip;
        payload.truncate(cut.index(payload.len()));
        prop_assert!(matches!(decoded(&payload, raw.len()), Err(Error::Format(_))));
    }
}

#[test]
fn encoding_is_the_same_in_a_used_encoder() {
    let mut encoder = Encoder::new();
    for raw in [text(200_000), random(70_000), text(3)] {
        for codec in CODECS {
            for level in [1, 3, 1] {
                let mut out = Vec::new();
                encoder.encode_as(&raw, codec, level, &mut out).unwrap();
                assert_eq!(out, encoded(&raw, codec, level));
            }
        }
    }
}

#[test]
fn the_header_is_that_of_the_format() {
    assert_eq!(encoded(b"abc", Codec::Store, 0), payload(0, 3, b"abc"));
    let compressed = encoded(&[0; 1000], Codec::Zstd, 2);
    assert_eq!(compressed, payload(1, 1000, &compressed[PAYLOAD_HEADER_LEN..]));
    assert_eq!(compressed[PAYLOAD_HEADER_LEN..][..4], 0xFD2F_B528u32.to_le_bytes());
}

#[test]
fn data_that_does_not_shrink_is_stored() {
    for codec in CODECS {
        let raw = random(100_000);
        assert_eq!(encoded(&raw, codec, 1), payload(0, 100_000, &raw));
    }
}

#[test]
fn levels_out_of_range_are_refused_and_leave_the_output_alone() {
    for (codec, level) in [(Codec::Zstd, 23), (Codec::Zstd, -101), (Codec::Lz4, 13), (Codec::Lz4Blocks, -101)]
    {
        let mut out = vec![1, 2];
        assert!(matches!(
            Encoder::new().encode_as(&text(100), codec, level, &mut out),
            Err(Error::Parameter(_))
        ));
        assert_eq!(out, [1, 2]);
    }
}

#[test]
fn lz4_blocks_written_by_others_decode() {
    let raw = [text(65_536), random(65_536), text(100)].concat();
    let blocks: Vec<Vec<u8>> =
        raw.chunks(65_536).map(|block| lz4::block::compress(block, None, false).unwrap()).collect();
    let mut stored = 3u32.to_le_bytes().to_vec();
    for length in [blocks[0].len() as u32, 65_536 | 1 << 31, blocks[2].len() as u32] {
        stored.extend(length.to_le_bytes());
    }
    stored.extend(&blocks[0]);
    stored.extend(random(65_536));
    stored.extend(&blocks[2]);
    assert_eq!(decoded(&payload(3, raw.len() as u64, &stored), raw.len()).unwrap(), raw);
    stored.push(0);
    assert!(decoded(&payload(3, raw.len() as u64, &stored), raw.len()).is_err());
}

#[test]
fn malformed_payloads_are_refused() {
    let raw = text(1000);
    let zstd = encoded(&raw, Codec::Zstd, 1);
    let frame = &zstd[PAYLOAD_HEADER_LEN..];
    let skippable = [&0x184D_2A50u32.to_le_bytes()[..], &[0; 4]].concat();
    let streamed = zstd::stream::encode_all(&raw[..], 1).unwrap();
    let mut reserved = zstd.clone();
    reserved[1] = 1;
    let cases: [(&str, Vec<u8>); 13] = [
        ("nothing", vec![]),
        ("a short header", vec![0; 19]),
        ("an unknown codec", payload(4, 3, b"abc")),
        ("reserved bytes", reserved),
        ("trailing bytes", [&zstd[..], &[0]].concat()),
        ("another raw length", payload(1, 999, frame)),
        ("too many raw bytes", payload(1, 1001, frame)),
        ("two frames", payload(1, 1000, &[frame, frame].concat())),
        ("a skippable frame", payload(1, 0, &skippable)),
        ("a frame without content size", payload(1, 1000, &streamed)),
        ("lz4 that promises too much", payload(2, 1000, &[0; 3])),
        ("lz4-blocks without blocks", payload(3, 1000, &0u32.to_le_bytes())),
        ("stored bytes of another length", payload(0, 2, b"abc")),
    ];
    for (what, bytes) in cases {
        assert!(matches!(decoded(&bytes, 1000), Err(Error::Format(_))), "{what}");
    }
    assert!(decoded(&zstd, 999).is_err());
    assert_eq!(decoded(&zstd, 1000).unwrap(), raw);
}

#[test]
fn a_failed_decode_leaves_nothing_behind() {
    let mut out = vec![1; 10];
    assert!(Decoder::new().decode(&payload(2, 100, &[0; 50]), 1000, &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn the_policy_picks_the_first_row_that_applies() {
    let row = |entropy_below, codec| PolicyRow { entropy_below, codec, level: 1 };
    let policy = Policy { rows: vec![row(6.0, Codec::Zstd), row(7.9, Codec::Lz4)] };
    let mut encoder = Encoder::new();
    let mut choose = |raw: &[u8]| encoder.encode(raw, &policy, &mut Vec::new()).unwrap();
    assert_eq!(choose(&text(100_000)), Codec::Zstd);
    let nearly_random: Vec<u8> = random(100_000).iter().map(|byte| byte & 0x7F).collect();
    assert_eq!(Probe::new().bits_per_byte(&nearly_random).floor(), 6.0);
    assert_eq!(choose(&random(100_000)), Codec::Store);
    assert_eq!(choose(&[]), Codec::Store);
    // Two copies of a random block: 8 bits a byte in order 0, but LZ4 finds the repeat.
    let repeated = random(4096).repeat(30);
    assert!(order0_entropy(&repeated) > 7.9);
    assert_eq!(choose(&repeated), Codec::Zstd);
    // 6 to 7 bits a byte, and a repeat: what is compressed anyway is judged by its bytes alone.
    let alphabet: Vec<u8> = random(4096).iter().map(|byte| byte % 100).collect();
    assert_eq!(choose(&alphabet.repeat(30)), Codec::Lz4);
    assert_eq!(
        Encoder::new().encode(&text(1000), &Policy { rows: vec![] }, &mut Vec::new()).unwrap(),
        Codec::Store
    );
}

#[test]
fn the_estimate_is_the_smaller_of_entropy_and_lz4() {
    let mut probe = Probe::new();
    assert_eq!(probe.bits_per_byte(&[]), 0.0);
    assert_eq!(probe.bits_per_byte(&[5; 10]), 0.0);
    assert!((order0_entropy(&(0..=255).collect::<Vec<u8>>()) - 8.0).abs() < 1e-12);
    assert!(probe.bits_per_byte(&random(1 << 20)) > 7.98);
    assert!(probe.bits_per_byte(&random(4096).repeat(4)) < 3.0);
    let text = text(1 << 20);
    assert_eq!(probe.bits_per_byte(&text), Probe::new().bits_per_byte(&text));
    assert!(probe.bits_per_byte(&text) < 3.0);
}
