//! One worker: reads a group, cuts and names it as the create pipeline does, and probes some of its fragments.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use super::plan::{Group, Piece, Twin};
use super::strata::Encoding;
use super::{SurveyOptions, TypeProbe};
use crate::attributes::XattrSupport;
use crate::entropy::Probe;
use crate::pack::batch;
use crate::pack::segment::Content;
use crate::walk::{Opener, Problem};

/// A fragment of a group.
pub(super) struct Fragment {
    pub id: [u8; 24],
    pub range: Range<usize>,
    pub twin: Twin,
}

/// A group that was read.
#[derive(Default)]
pub(super) struct Named {
    /// Used again for another group, so that pages are touched and cleared once; the first `used` bytes are this group's.
    pub buffer: Vec<u8>,
    pub used: usize,
    pub fragments: Vec<Fragment>,
    /// Shortened id and length of the fragments of the other cutter.
    pub finer: Vec<(u64, u32)>,
    pub packed: bool,
    pub ends: bool,
    pub planned: u64,
    pub problems: Vec<Problem>,
    /// CPU nanoseconds to read, and to cut and name.
    pub read_ns: u64,
    pub name_ns: u64,
    /// Nanoseconds that cutting and naming took by the clock on the wall.
    pub name_wall_ns: u64,
    /// Nanoseconds in which reading waited for something else than the CPU.
    pub wait_ns: u64,
}

/// A thread's tools, kept from wave to wave.
pub(super) struct Worker {
    probe: Probe,
    pub encoding: Encoding,
    pub types: Vec<TypeProbe>,
}

impl Worker {
    pub fn new(types: usize) -> Self {
        Self { probe: Probe::new(), encoding: Encoding::new(), types: vec![TypeProbe::default(); types] }
    }

    pub fn look(
        &mut self,
        options: &SurveyOptions,
        rates: &[u64],
        xattrs: &XattrSupport,
        (group, buffer): (&Group, Vec<u8>),
    ) -> Named {
        let mut named = Named {
            buffer,
            packed: group.packed,
            ends: group.ends,
            planned: group.bytes,
            ..Named::default()
        };
        if named.buffer.len() < group.bytes as usize {
            named.buffer.resize(group.bytes as usize, 0);
        }
        let (cpu, wall) = (cpu_ns(), Instant::now());
        let mut opener = Opener::default();
        let mut places = Vec::with_capacity(group.pieces.len());
        for piece in &group.pieces {
            let start = named.used;
            let room = named.buffer.get_mut(start..).unwrap_or_default();
            match read(piece, &mut opener, xattrs, room) {
                Ok(read) => named.used += read,
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(5);
                    let path = piece.item.entry.path.clone();
                    named.problems.push(Problem { path, what: "read".into(), errno });
                }
            }
            places.push(start..named.used);
        }
        named.read_ns = cpu_ns() - cpu;
        named.wait_ns = (wall.elapsed().as_nanos() as u64).saturating_sub(named.read_ns);
        self.name(options, group, &places, &mut named);
        self.compare(options, group, &places, &mut named);
        self.probe_types(rates, group, &places, &named);
        named
    }

    fn name(&self, options: &SurveyOptions, group: &Group, places: &[Range<usize>], named: &mut Named) {
        let (cpu, wall) = (cpu_ns(), Instant::now());
        let mut ends = Vec::new();
        for (piece, place) in group.pieces.iter().zip(places) {
            let data = named.buffer.get(place.clone()).unwrap_or_default();
            ends.clear();
            options.cutter.cut(data, &mut ends);
            let mut from = 0;
            for &end in &ends {
                let id = options.keys.fragment_id(data.get(from..end).unwrap_or_default());
                let range = place.start + from..place.start + end;
                named.fragments.push(Fragment { id, range, twin: piece.twin });
                from = end;
            }
        }
        named.name_ns = cpu_ns() - cpu;
        named.name_wall_ns = wall.elapsed().as_nanos() as u64;
    }

    /// Cuts and names once more with the other cutter.
    fn compare(&self, options: &SurveyOptions, group: &Group, places: &[Range<usize>], named: &mut Named) {
        let Some(finer) = &options.finer else { return };
        let mut ends = Vec::new();
        for (_, place) in group.pieces.iter().zip(places).filter(|(piece, _)| piece.twin != Twin::No) {
            let data = named.buffer.get(place.clone()).unwrap_or_default();
            ends.clear();
            finer.cut(data, &mut ends);
            let mut from = 0;
            for &end in &ends {
                let id = options.keys.fragment_id(data.get(from..end).unwrap_or_default());
                named.finer.push((short(&id), (end - from) as u32));
                from = end;
            }
        }
    }

    /// Looks at one fragment in so many of each type, chosen by its id and so by its content.
    fn probe_types(&mut self, rates: &[u64], group: &Group, places: &[Range<usize>], named: &Named) {
        let mut kinds = group.pieces.iter().zip(places);
        let mut present = kinds.next();
        for fragment in &named.fragments {
            while present.is_some_and(|(_, place)| place.end < fragment.range.end) {
                present = kinds.next();
            }
            let Some((piece, _)) = present else { return };
            let rate = rates.get(piece.kind as usize).copied().unwrap_or(1);
            if !short(&fragment.id).is_multiple_of(rate) {
                continue;
            }
            let data = named.buffer.get(fragment.range.clone()).unwrap_or_default();
            let (entropy, bits) = self.probe.entropy_and_bits(data);
            if let Some(kind) = self.types.get_mut(piece.kind as usize) {
                kind.bytes += data.len() as u64;
                kind.entropy += entropy * data.len() as f64;
                kind.dense += if bits >= super::DENSE_BITS { data.len() as u64 } else { 0 };
            }
        }
    }
}

/// Reads a piece's data to the start of `room`, with the calls that packing its file makes; the bytes read, fewer where the
/// data ends before the piece does.
fn read(piece: &Piece, opener: &mut Opener, xattrs: &XattrSupport, room: &mut [u8]) -> io::Result<usize> {
    let file = Arc::new(piece.item.open(opener)?);
    let stat = rustix::fs::fstat(&*file)?;
    let mut item = (*piece.item).clone();
    batch::take_stat(&mut item, &stat)?;
    let sparse = batch::find_extents(&file, &mut item)?;
    let length = match sparse {
        true => item.entry.extents.iter().map(|(_, length)| length).sum(),
        false => item.entry.size,
    };
    let wanted = piece.length.min(length.saturating_sub(piece.offset)) as usize;
    let content = Content { file: Arc::clone(&file), extents: item.entry.extents.clone().into(), length };
    let read = content.read(piece.offset, room.get_mut(..wanted).unwrap_or_default())?;
    if piece.offset == 0 {
        item.xattrs(xattrs, Some(file.as_fd()))?;
    }
    Ok(read)
}

/// Enough of an id to tell fragments apart in an estimate.
pub(super) fn short(id: &[u8; 24]) -> u64 {
    id.last_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// CPU time of this thread.
pub(super) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
