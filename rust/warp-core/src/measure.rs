//! Throughput of one primitive on this machine: what the limits of the pipelines are computed from.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{
    AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};

use crate::codec::{Codec, Decoder, Encoder};
use crate::cutter::{Algorithm as CutAlgorithm, Candidate, Cutter, Sizes};
use crate::{Error, Result, digest};

/// Bytes handed to a primitive at once unless said otherwise: the mean size of a chunk.
const PIECE: usize = 1 << 20;
const MAX_SECONDS: f64 = 3600.0;
const SIZES: Sizes = Sizes { min: 16 << 10, mean: 64 << 10, max: 256 << 10 };

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum Primitive {
    Copy,
    Cut,
    Blake3,
    Aead(&'static Algorithm),
    Encode(Codec, i32),
    Decode(Codec, i32),
    RoundTrip(Codec, i32),
}

impl Primitive {
    fn parse(name: &str) -> Result<Self> {
        let unknown = || Error::Parameter(format!("primitive {name:?}"));
        let level = |digits: &str| digits.parse().map_err(|_| unknown());
        Ok(match name.split(':').collect::<Vec<_>>()[..] {
            ["copy"] => Self::Copy,
            ["cut"] => Self::Cut,
            ["blake3"] => Self::Blake3,
            ["chacha20-poly1305"] => Self::Aead(&CHACHA20_POLY1305),
            ["aes-256-gcm"] => Self::Aead(&AES_256_GCM),
            ["lz4"] => Self::Encode(Codec::Lz4, 0),
            ["zstd", digits] => Self::Encode(Codec::Zstd, level(digits)?),
            ["unlz4"] => Self::Decode(Codec::Lz4, 0),
            ["unzstd", digits] => Self::Decode(Codec::Zstd, level(digits)?),
            ["roundtrip", "lz4"] => Self::RoundTrip(Codec::Lz4, 0),
            ["roundtrip", "zstd", digits] => Self::RoundTrip(Codec::Zstd, level(digits)?),
            _ => return Err(unknown()),
        })
    }
}

/// Runs `primitive` over `data` on `threads` threads, each over all of `data` again and again, until `seconds` are over
/// (each finishes its piece, and does all of `data` once at least). Pieces have the given `lengths`, then 1 MiB each.
///
/// Primitives: `copy`, `cut`, `blake3`, `chacha20-poly1305`, `aes-256-gcm`, `lz4`, `zstd:N`, `unlz4`, `unzstd:N`,
/// `roundtrip:lz4`, `roundtrip:zstd:N` (encode, decode and compare). Returns the raw bytes processed by all threads
/// and the seconds of the slowest.
///
/// # Errors
/// [`Error::Parameter`] for an unknown primitive, no data, no threads or a duration that is not in 0..=3600 s.
pub fn measure(
    primitive: &str,
    data: &[u8],
    threads: usize,
    seconds: f64,
    lengths: &[usize],
) -> Result<(u64, f64)> {
    let primitive = Primitive::parse(primitive)?;
    if data.is_empty() || threads == 0 || !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err(Error::Parameter("measurement: no data, no threads or no sensible duration".into()));
    }
    let pieces = split(data, lengths);
    let limit = Duration::from_secs_f64(seconds);
    let barrier = Barrier::new(threads);
    let results: Result<Vec<(u64, f64)>> = std::thread::scope(|scope| {
        let spawn = |_| scope.spawn(|| run(primitive, &pieces, limit, &barrier));
        let running: Vec<_> = (0..threads).map(spawn).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::Cancelled))).collect()
    });
    let results = results?;
    let bytes = results.iter().map(|(bytes, _)| bytes).sum();
    Ok((bytes, results.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max)))
}

fn split<'a>(data: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = data;
    for length in lengths.iter().filter(|length| **length > 0) {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        if !piece.is_empty() {
            pieces.push(piece);
        }
        rest = after;
    }
    pieces.extend(rest.chunks(PIECE));
    pieces
}

fn run(primitive: Primitive, pieces: &[&[u8]], limit: Duration, barrier: &Barrier) -> Result<(u64, f64)> {
    let bench = Bench::new(primitive, pieces);
    // All threads arrive here, even with an error, or the others would wait for ever.
    barrier.wait();
    let mut bench = bench?;
    let start = Instant::now();
    let mut bytes = 0;
    for (step, (index, piece)) in pieces.iter().enumerate().cycle().enumerate() {
        if step >= pieces.len() && start.elapsed() >= limit {
            break;
        }
        bench.step(index, piece)?;
        bytes += piece.len() as u64;
    }
    Ok((bytes, start.elapsed().as_secs_f64()))
}

/// One thread's state.
struct Bench {
    primitive: Primitive,
    cutter: Cutter,
    candidates: Vec<Candidate>,
    key: Option<LessSafeKey>,
    encoder: Encoder,
    decoder: Decoder,
    /// Payloads of the pieces, to be decoded.
    payloads: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    second: Vec<u8>,
}

impl Bench {
    fn new(primitive: Primitive, pieces: &[&[u8]]) -> Result<Self> {
        let mut bench = Self {
            primitive,
            cutter: Cutter::new(CutAlgorithm::Buzhash64, SIZES, &[0; 32])?,
            candidates: Vec::new(),
            key: None,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            payloads: Vec::new(),
            buffer: vec![0; pieces.iter().map(|piece| piece.len()).max().unwrap_or_default()],
            second: Vec::new(),
        };
        match primitive {
            Primitive::Aead(algorithm) => bench.key = Some(key(algorithm)?),
            Primitive::Decode(codec, level) => bench.encode_all(pieces, codec, level)?,
            _ => {}
        }
        Ok(bench)
    }

    fn encode_all(&mut self, pieces: &[&[u8]], codec: Codec, level: i32) -> Result<()> {
        for piece in pieces {
            let mut payload = Vec::new();
            self.encoder.encode_as(piece, codec, level, &mut payload)?;
            self.payloads.push(payload);
        }
        Ok(())
    }

    fn step(&mut self, index: usize, piece: &[u8]) -> Result<()> {
        match self.primitive {
            Primitive::Copy => self.buffer[..piece.len()].copy_from_slice(piece),
            Primitive::Cut => {
                self.candidates.clear();
                self.cutter.candidates(&[], piece, 0, &mut self.candidates);
            }
            Primitive::Blake3 => drop(std::hint::black_box(digest::hash(piece))),
            Primitive::Aead(_) => self.seal(piece.len())?,
            Primitive::Encode(codec, level) => self.encode(piece, codec, level)?,
            Primitive::Decode(..) => {
                self.decoder.decode(&self.payloads[index], piece.len(), &mut self.second)?;
            }
            Primitive::RoundTrip(codec, level) => self.round_trip(piece, codec, level)?,
        }
        std::hint::black_box(&mut self.buffer);
        Ok(())
    }

    /// Seals the buffer's own bytes again and again: its speed does not depend on what they are.
    fn seal(&mut self, length: usize) -> Result<()> {
        let Some(key) = &self.key else { return Ok(()) };
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut self.buffer[..length])
            .map(drop)
            .map_err(|_| Error::Parameter("measurement: encryption failed".into()))
    }

    fn encode(&mut self, piece: &[u8], codec: Codec, level: i32) -> Result<()> {
        self.buffer.clear();
        self.encoder.encode_as(piece, codec, level, &mut self.buffer).map(drop)
    }

    fn round_trip(&mut self, piece: &[u8], codec: Codec, level: i32) -> Result<()> {
        self.encode(piece, codec, level)?;
        self.decoder.decode(&self.buffer, piece.len(), &mut self.second)?;
        if self.second == piece {
            return Ok(());
        }
        Err(Error::integrity("round trip: decoded bytes differ"))
    }
}

fn key(algorithm: &'static Algorithm) -> Result<LessSafeKey> {
    UnboundKey::new(algorithm, &[0; 32])
        .map(LessSafeKey::new)
        .map_err(|_| Error::Parameter("measurement: key".into()))
}

/// Opens, stats, reads and closes each of `paths` once, on one thread: the seconds it took. At most `most` bytes of each
/// are read, from the page cache into one buffer.
///
/// # Errors
/// [`Error::Io`] for the first file that can't be read.
pub fn read_files(paths: &[std::path::PathBuf], most: usize) -> Result<f64> {
    use rustix::fs::{Mode, OFlags};
    let mut buffer = vec![0; PIECE];
    let start = Instant::now();
    for path in paths {
        let named = |errno: rustix::io::Errno| Error::io(format!("read {}", path.display()), errno);
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(named)?;
        let size = rustix::fs::fstat(&file).map_err(named)?.st_size as usize;
        let mut left = size.min(most);
        while left > 0 {
            let room = left.min(PIECE);
            match rustix::io::read(&file, buffer.get_mut(..room).unwrap_or_default()).map_err(named)? {
                0 => break,
                read => left -= read,
            }
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Makes a file of each of `sizes` in `directory` under a temporary name, writes it, sets its times and gives it its own
/// name, on one thread: the seconds it took.
///
/// # Errors
/// [`Error::Io`] for the first that fails.
pub fn create_files(directory: &std::path::Path, sizes: &[usize]) -> Result<f64> {
    use rustix::fs::{Mode, OFlags, Timespec, Timestamps};
    let named = |errno: rustix::io::Errno| Error::io(format!("write in {}", directory.display()), errno);
    let content = vec![7; sizes.iter().copied().max().unwrap_or_default()];
    let moment = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: moment, last_modification: moment };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let directory =
        rustix::fs::open(directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(named)?;
    let start = Instant::now();
    for (number, size) in sizes.iter().enumerate() {
        let (name, temporary) = (number.to_string(), format!(".{number}"));
        let file =
            rustix::fs::openat(&directory, &temporary, flags, Mode::from_raw_mode(0o600)).map_err(named)?;
        let mut left = content.get(..*size).unwrap_or_default();
        while !left.is_empty() {
            let written = rustix::io::write(&file, left).map_err(named)?;
            left = left.get(written..).unwrap_or_default();
        }
        rustix::fs::futimens(&file, &times).map_err(named)?;
        rustix::fs::renameat(&directory, &temporary, &directory, &name).map_err(named)?;
    }
    Ok(start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_primitive_counts_whole_passes_of_all_threads() {
        let data = vec![1; 1_000_010];
        let names = "copy cut blake3 chacha20-poly1305 aes-256-gcm lz4 zstd:1 unlz4 unzstd:3 roundtrip:zstd:2 roundtrip:lz4";
        for name in names.split(' ') {
            let (bytes, seconds) = measure(name, &data, 2, 0.0, &[1_000_000]).unwrap();
            assert_eq!(bytes, 2_000_020, "{name}");
            assert!(seconds > 0.0);
        }
    }

    #[test]
    fn data_is_split_by_the_lengths_and_the_rest_evenly() {
        let data = vec![0; 2 * PIECE];
        let lengths =
            |wanted: &[usize]| split(&data, wanted).iter().map(|piece| piece.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&[]), [PIECE, PIECE]);
        assert_eq!(lengths(&[5, 0, PIECE]), [5, PIECE, PIECE - 5]);
        assert_eq!(lengths(&[3 * PIECE, 1]), [2 * PIECE]);
    }

    #[test]
    fn senseless_measurements_are_refused() {
        for name in ["", "zstd", "zstd:", "zstd:x", "roundtrip", "md5"] {
            assert!(measure(name, &[1], 1, 0.0, &[]).is_err(), "{name}");
        }
        assert!(measure("copy", &[], 1, 0.0, &[]).is_err());
        assert!(measure("copy", &[1], 0, 0.0, &[]).is_err());
        assert!(measure("copy", &[1], 1, f64::NAN, &[]).is_err());
        assert!(measure("zstd:99", &[1], 2, 0.0, &[]).is_err());
    }

    #[test]
    fn files_are_created_with_their_sizes_and_read() {
        let scratch = crate::walk::tests::Scratch::new("measure");
        assert!(create_files(scratch.path(), &[0, 3, 70_000]).unwrap() > 0.0);
        assert_eq!(std::fs::metadata(scratch.path().join("2")).unwrap().len(), 70_000);
        assert!(read_files(&[scratch.path().join("2")], usize::MAX).unwrap() > 0.0);
        assert!(read_files(&[scratch.path().join("none")], 1).is_err());
        assert!(create_files(&scratch.path().join("none"), &[1]).is_err());
    }
}
