//! What of a tree is read: everything, or a sample that is chosen from sizes and places alone, before anything is read.
//!
//! *Stretches* are neighbours in walk order, so that what is compressed together in an archive is compressed together
//! here; one in `one_in` is taken, evenly spread. *Twins* are for deduplication: a file is taken if the hash of its size is,
//! so that equal files are taken together or not at all, and of a large file windows at places that its size decides. Sizes that many bytes share are always taken.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::Census;
use crate::entry::Kind;
use crate::walk::{WalkBatch, WalkEntry};

/// Bytes of a piece of a large file, and of a stretch …
pub(super) const SAMPLED_PIECE: u64 = 2 << 20;
/// … and of a piece if everything is read: few, because files are also cut where pieces end.
pub(super) const WHOLE_PIECE: u64 = 8 << 20;
/// Least bytes of a large file that are drawn at a place: some fragments.
const LEAST_WINDOW: u64 = 256 << 10;
/// So many times as many stretches are read as twins.
const RARER: u64 = 2;
const GROUP_BYTES: u64 = 1 << 20;
const GROUP_PIECES: usize = 256;

/// Why a fragment counts for deduplication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Twin {
    /// It does not.
    No,
    /// It was drawn.
    Drawn,
    /// Its size is one that is always taken.
    Certain,
}

/// A part of a file, to be read.
pub(super) struct Piece {
    pub item: Arc<WalkEntry>,
    pub offset: u64,
    pub length: u64,
    pub kind: u32,
    pub twin: Twin,
}

/// Pieces that one worker reads into one buffer.
pub(super) struct Group {
    pub pieces: Vec<Piece>,
    pub bytes: u64,
    /// For compression: its fragments go into chunks, and its time is taken.
    pub packed: bool,
    /// Nothing that follows is compressed together with it.
    pub ends: bool,
}

/// Chooses and groups pieces.
pub(super) struct Plan {
    one_in: u64,
    certain: HashSet<u64>,
    piece: u64,
    packed: Vec<Piece>,
    twins: Vec<Piece>,
    /// Number of the present stretch, and its bytes so far.
    stretch: (u64, u64),
    pub ready: VecDeque<Group>,
}

impl Plan {
    pub fn new(one_in: u64, certain: &[u64]) -> Self {
        Self {
            one_in,
            certain: certain.iter().copied().collect(),
            piece: if one_in == 1 { WHOLE_PIECE } else { SAMPLED_PIECE },
            packed: Vec::new(),
            twins: Vec::new(),
            stretch: (0, 0),
            ready: VecDeque::new(),
        }
    }

    pub fn add(&mut self, batch: WalkBatch, census: &Census) {
        for found in batch.entries {
            if found.entry.kind == Kind::File && found.entry.size > 0 {
                let kind = census.type_of(&found);
                self.choose(&Arc::new(found), kind);
            }
        }
    }

    fn choose(&mut self, item: &Arc<WalkEntry>, kind: u32) {
        let size = item.entry.size;
        let twin = self.twin(size);
        for index in 0..size.div_ceil(self.piece) {
            let offset = index * self.piece;
            let length = self.piece.min(size - offset);
            let piece = |twin| Piece { item: Arc::clone(item), offset, length, kind, twin };
            if self.one_in == 1 {
                self.packed.push(piece(twin));
                self.group_full(true);
                continue;
            }
            if size > self.piece {
                let drawn = self.window(size, index);
                self.twins.extend(drawn.map(|(offset, length)| Piece {
                    offset,
                    length,
                    ..piece(Twin::Drawn)
                }));
                self.group_full(false);
            } else if twin != Twin::No {
                self.twins.push(piece(twin));
                self.group_full(false);
            }
            if self.in_stretch() {
                self.packed.push(piece(Twin::No));
                self.group_full(true);
            }
            self.advance(length);
        }
    }

    fn twin(&self, size: u64) -> Twin {
        if self.one_in == 1 || (size <= self.piece && mix(size).is_multiple_of(RARER * self.one_in)) {
            return if self.certain.contains(&size) { Twin::Certain } else { Twin::Drawn };
        }
        if self.certain.contains(&size) { Twin::Certain } else { Twin::No }
    }

    /// The part of a large file's piece that is drawn: of so many pieces in a row a window in one, both chosen by size and place.
    fn window(&self, size: u64, index: u64) -> Option<(u64, u64)> {
        let rate = RARER * self.one_in;
        let row = (rate * LEAST_WINDOW / self.piece).max(1);
        let chosen = mix(size ^ (index / row) << 44);
        let length = self.piece * row / rate;
        let start = (chosen >> 32) % (self.piece / length).max(1) * length;
        let offset = index * self.piece + start;
        (index % row == chosen % row && offset < size).then(|| (offset, length.min(size - offset)))
    }

    /// Of each `one_in` stretches in a row one is taken, at a place that changes from row to row.
    fn in_stretch(&self) -> bool {
        let (row, place) = (self.stretch.0 / self.one_in, self.stretch.0 % self.one_in);
        mix(row ^ 0x5EED) % self.one_in == place
    }

    fn advance(&mut self, length: u64) {
        self.stretch.1 += length;
        if self.stretch.1 >= SAMPLED_PIECE {
            if self.in_stretch() {
                self.close(true, true);
            }
            self.stretch = (self.stretch.0 + 1, 0);
        }
    }

    fn group_full(&mut self, packed: bool) {
        let pieces = if packed { &self.packed } else { &self.twins };
        let bytes: u64 = pieces.last().map_or(0, |last| last.length);
        if bytes >= GROUP_BYTES || pieces.len() >= GROUP_PIECES || total(pieces) >= GROUP_BYTES {
            self.close(packed, false);
        }
    }

    fn close(&mut self, packed: bool, ends: bool) {
        let pieces = std::mem::take(if packed { &mut self.packed } else { &mut self.twins });
        if !pieces.is_empty() || ends {
            self.ready.push_back(Group { bytes: total(&pieces), pieces, packed, ends });
        }
    }

    /// No more batches follow.
    pub fn finish(&mut self) {
        self.close(true, true);
        self.close(false, false);
    }
}

fn total(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.length).sum()
}

/// The finalizer of SplitMix64: neighbours become unrelated.
pub(super) fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
