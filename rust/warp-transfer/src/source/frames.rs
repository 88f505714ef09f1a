//! Frames of pages and fragments.

use std::sync::Arc;

use bytes::Bytes;
use warp_core::catalogue::{Listing, Spans};
use warp_core::codec::{Codec, Encoder, PAYLOAD_HEADER_LEN, Policy, PolicyRow};
use warp_core::pack::Page;
use warp_net::frame::{Frame, Kind, RUNS_MAX};

use super::Compression;
use super::core::Core;
use crate::Result;

/// Raw bytes of a frame, unless one fragment is larger.
const FRAME_BYTES: usize = 1 << 20;
/// Pages are text-like columns and random ids: what has less entropy is compressed fast.
const PAGE_ENTROPY: f64 = 7.5;

/// What makes a frame.
pub(super) enum FrameJob {
    /// Fragments of a page that is held, which were read with it.
    Page { page: Arc<Page>, runs: Spans },
    /// Fragments of a page that is held, which were not.
    Unread { page: Arc<Page>, runs: Spans },
    /// Fragments of a page that is gone.
    Again { number: u32, spans: Spans },
}

/// A page's bytes, which keep its place in the window until they have gone.
struct Owner {
    bytes: Bytes,
    _page: Arc<Page>,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Encodes frames, one a thread.
pub(super) struct Packer {
    encoder: Encoder,
    pages: Policy,
}

impl Packer {
    pub fn new() -> Self {
        let rows = vec![PolicyRow { entropy_below: PAGE_ENTROPY, codec: Codec::Zstd, level: 1 }];
        Self { encoder: Encoder::new(), pages: Policy { rows } }
    }

    /// A page's frame, and its codec.
    pub fn page(&mut self, number: u32, raw: &[u8]) -> Result<(Codec, Frame)> {
        let mut out = Vec::new();
        let codec = self.encoder.encode(raw, &self.pages, &mut out)?;
        let payload = Bytes::from(out).slice(PAYLOAD_HEADER_LEN..);
        let ids = (number.into(), raw.len() as u64);
        Ok((codec, Frame::new(Kind::Page, codec as u8, ids, Bytes::new(), payload)?))
    }

    /// A frame of fragments of a page that is held, which were read with it.
    pub fn fragments(&mut self, core: &Core, page: &Arc<Page>, runs: &Spans) -> Result<Frame> {
        let owner = Owner { bytes: page.bytes(runs), _page: Arc::clone(page) };
        self.frame(core, page.number, runs, Bytes::from_owner(owner))
    }

    /// A frame of these fragments, whose bytes are at hand.
    pub fn frame(&mut self, core: &Core, number: u32, runs: &Spans, raw: Bytes) -> Result<Frame> {
        let mut extension = Vec::with_capacity(runs.len() * 8);
        for (first, count) in runs {
            extension.extend_from_slice(&number.to_le_bytes());
            extension.extend_from_slice(&first.to_le_bytes());
            extension.extend_from_slice(&count.to_le_bytes());
        }
        let length = raw.len() as u64;
        let (codec, payload) = self.encode(core, raw)?;
        Ok(Frame::new(Kind::Fragments, codec as u8, (0, length), extension.into(), payload)?)
    }

    fn encode(&mut self, core: &Core, raw: Bytes) -> Result<(Codec, Bytes)> {
        let policy = match &core.options.compression {
            Compression::None => None,
            Compression::Always(policy) => Some(policy),
            Compression::Adaptive(policy, _) => core.is_slow().then_some(policy),
        };
        let Some(policy) = policy else { return Ok((Codec::Store, raw)) };
        let mut out = Vec::new();
        let codec = self.encoder.encode(&raw, policy, &mut out)?;
        if codec == Codec::Store || !is_sent(codec) {
            return Ok((Codec::Store, raw));
        }
        Ok((codec, Bytes::from(out).slice(PAYLOAD_HEADER_LEN..)))
    }
}

/// Cuts what is wanted of a page where frames end.
pub(super) fn cut(listing: &Listing, spans: &Spans) -> Vec<Spans> {
    let mut frames = Vec::new();
    let mut runs = Spans::new();
    let mut bytes = 0;
    for (first, count) in spans {
        let mut start = *first;
        for index in *first..first + count {
            let length = listing.fragments.get(usize::from(index)).map_or(0, |(length, _)| *length as usize);
            if bytes > 0 && (bytes + length > FRAME_BYTES || runs.len() + 1 >= RUNS_MAX) {
                if index > start {
                    runs.push((start, index - start));
                }
                frames.push(std::mem::take(&mut runs));
                (start, bytes) = (index, 0);
            }
            bytes += length;
        }
        if first + count > start {
            runs.push((start, first + count - start));
        }
    }
    if !runs.is_empty() {
        frames.push(runs);
    }
    frames
}

/// The codecs that frames may have.
fn is_sent(codec: Codec) -> bool {
    matches!(codec, Codec::Store | Codec::Zstd | Codec::Lz4)
}
