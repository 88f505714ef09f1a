//! Frames of docs/transfer-protocol.md §2: 24 bytes of header, an extension, a payload.

use bytes::Bytes;

use crate::{Error, Result};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 24;
const MIB: usize = 1 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One CBOR map.
    Message = 1,
    /// A page of a catalogue or of an archive.
    Page = 2,
    /// A chunk as it is stored.
    Chunk = 3,
    /// Fragments of a live tree.
    Fragments = 4,
    /// Bytes of an archive that are no chunk.
    Bytes = 5,
}

/// What may follow a header of one kind.
struct Bounds {
    flags: u8,
    extension: usize,
    payload: usize,
}

/// Size of one run in the extension of [`Kind::Fragments`]: page u32, first u16, count u16.
pub const RUN_BYTES: usize = 8;
/// Runs in one extension.
pub const RUNS_MAX: usize = 2048;
/// A chunk has at most 8 MiB; what is stored of it can be a little more.
const CHUNK_MAX: usize = 9 * MIB;

impl Kind {
    fn of(byte: u8) -> Result<Self> {
        Ok(match byte {
            1 => Self::Message,
            2 => Self::Page,
            3 => Self::Chunk,
            4 => Self::Fragments,
            5 => Self::Bytes,
            other => return Err(Error::protocol(format!("a frame of type {other}"))),
        })
    }

    fn bounds(self) -> Bounds {
        // Flags are codecs, of which 2 is the last.
        let (flags, extension, payload) = match self {
            Self::Message => (0, 0, MIB),
            Self::Page => (2, 0, 4 * MIB),
            Self::Chunk => (0, 0, CHUNK_MAX),
            Self::Fragments => (2, RUNS_MAX * RUN_BYTES, CHUNK_MAX),
            Self::Bytes => (0, 0, 4 * MIB),
        };
        Bounds { flags, extension, payload }
    }
}

/// The first 24 bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// By the kind: a codec.
    pub flags: u8,
    /// Bytes of the extension.
    pub extension: u16,
    /// Bytes of the payload.
    pub payload: u32,
    /// By the kind: which one it is.
    pub number: u64,
    /// By the kind: raw length, or request.
    pub auxiliary: u64,
}

impl Header {
    /// Reads a header and checks what it announces, so that memory may be taken for it.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let [kind, flags, e0, e1, p0, p1, p2, p3, rest @ ..] = *bytes;
        let (number, auxiliary) = rest.split_at(8);
        let header = Self {
            kind: Kind::of(kind)?,
            flags,
            extension: u16::from_le_bytes([e0, e1]),
            payload: u32::from_le_bytes([p0, p1, p2, p3]),
            number: u64::from_le_bytes(number.try_into().unwrap_or_default()),
            auxiliary: u64::from_le_bytes(auxiliary.try_into().unwrap_or_default()),
        };
        header.check()?;
        Ok(header)
    }

    /// The bytes of the header.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.kind as u8;
        bytes[1] = self.flags;
        bytes[2..4].copy_from_slice(&self.extension.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.payload.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..].copy_from_slice(&self.auxiliary.to_le_bytes());
        bytes
    }

    fn check(&self) -> Result<()> {
        let bounds = self.kind.bounds();
        let sound = self.flags <= bounds.flags
            && usize::from(self.extension) <= bounds.extension
            && usize::from(self.extension) % RUN_BYTES == 0
            && self.payload as usize <= bounds.payload
            && (self.kind != Kind::Message || self.auxiliary == 0);
        if sound { Ok(()) } else { Err(Error::protocol(format!("a frame that is out of bounds: {self:?}"))) }
    }
}

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header; the lengths in it are those of the parts.
    pub header: Header,
    /// Runs of fragments.
    pub extension: Bytes,
    /// By the kind.
    pub payload: Bytes,
}

impl Frame {
    /// A frame of these parts, if it keeps within its bounds.
    pub fn new(kind: Kind, flags: u8, ids: (u64, u64), extension: Bytes, payload: Bytes) -> Result<Self> {
        let too_long =
            |what: &str, length: usize| Error::Parameter(format!("{what} of a frame: {length} bytes"));
        let header = Header {
            kind,
            flags,
            extension: extension.len().try_into().map_err(|_| too_long("extension", extension.len()))?,
            payload: payload.len().try_into().map_err(|_| too_long("payload", payload.len()))?,
            number: ids.0,
            auxiliary: ids.1,
        };
        header.check().map_err(|error| Error::Parameter(error.to_string()))?;
        Ok(Self { header, extension, payload })
    }

    /// A message: `payload` is its CBOR.
    pub fn message(number: u64, payload: Bytes) -> Result<Self> {
        Self::new(Kind::Message, 0, (number, 0), Bytes::new(), payload)
    }

    /// Bytes that it takes on the way, without those of the carrier.
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.extension.len() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![Kind::Message, Kind::Page, Kind::Chunk, Kind::Fragments, Kind::Bytes])
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(kind in kinds(), flags in 0u8..4, runs in 0u16..3000, payload: u32, number: u64, auxiliary: u64) {
            let extension = runs.wrapping_mul(8);
            let header = Header { kind, flags, extension, payload, number, auxiliary };
            match header.check() {
                Ok(()) => prop_assert_eq!(Header::parse(&header.to_bytes()).unwrap(), header),
                Err(_) => prop_assert!(Header::parse(&header.to_bytes()).is_err()),
            }
        }

        #[test]
        fn any_header_is_read_or_refused(bytes: [u8; HEADER_BYTES]) {
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(header.to_bytes(), bytes);
                prop_assert!(header.payload as usize <= CHUNK_MAX);
            }
        }
    }

    #[test]
    fn a_frame_out_of_bounds_is_not_made() {
        let long = Bytes::from(vec![0; MIB + 1]);
        assert!(Frame::message(0, long.slice(1..)).is_ok());
        assert!(Frame::message(0, long).is_err());
        assert!(Frame::new(Kind::Page, 0, (0, 0), Bytes::from_static(&[0; 8]), Bytes::new()).is_err());
    }
}
