//! What a file that is to be replaced has already: its fragments by id, cut as the sender cuts.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, Result, pread};

use super::held::{Account, Held};
use crate::cutter::Cutter;
use crate::digest::FragmentId;
use crate::keys::ScopeKeys;

/// Bytes read at once.
const SEGMENT: usize = 4 << 20;
const LEAST: usize = 4 << 10;
/// What all indices together may take; a file whose own would take more, by the sizes of the sender's cutter, is sent whole. With those of
/// ours one of 256 GiB still fits.
const MOST_HELD: u64 = 512 << 20;
/// What a fragment takes in an index, roughly.
const PLACE_BYTES: u64 = 64;
/// There may be so many times the fragments that there are in the mean, and some more.
const TIMES: u64 = 2;
const MORE: u64 = 256;

/// The fragments of a file of before.
#[derive(Debug)]
pub(crate) struct Base {
    file: OwnedFd,
    places: HashMap<FragmentId, (u64, u32)>,
    _held: Held,
}

impl Base {
    /// Reads, cuts and names all of a file, which has `size` bytes most likely; `None` if that would take too much memory.
    pub fn of(
        file: OwnedFd,
        size: u64,
        (cutter, keys): (&Cutter, &ScopeKeys),
        account: &Account,
    ) -> Result<Option<Self>> {
        let most = size / u64::from(cutter.sizes().mean) * TIMES + MORE;
        let held = account.hold(most.saturating_mul(PLACE_BYTES).min(MOST_HELD + 1) as usize);
        if account.bytes() > MOST_HELD {
            return Ok(None);
        }
        let mut base = Self { file, places: HashMap::new(), _held: held };
        let mut resolver = cutter.resolver();
        let (mut candidates, mut ends) = (Vec::new(), Vec::new());
        // Bytes from `start` on, which no fragment has taken yet, behind a few that have been.
        let (mut held, mut start, mut read) = (Vec::new(), 0_u64, 0_u64);
        loop {
            let before = held.len();
            // Not more than there is: the memory is zeroed first, and most files are small.
            let segment =
                usize::try_from(size.saturating_sub(read)).map_or(SEGMENT, |left| left.clamp(LEAST, SEGMENT));
            let more = read_segment(&base.file, read, segment, &mut held)?;
            candidates.clear();
            ends.clear();
            let (context, new) = held.split_at(before);
            cutter.candidates(context, new, read, &mut candidates);
            read += more as u64;
            resolver.push(&candidates, read, &mut ends);
            if more == 0 {
                resolver.finish(read, &mut ends);
            }
            let origin = read - held.len() as u64;
            for end in &ends {
                let range = (start - origin) as usize..(*end - origin) as usize;
                let fragment = held.get(range).unwrap_or_default();
                base.places.insert(keys.fragment_id(fragment), (start, fragment.len() as u32));
                start = *end;
            }
            if base.places.len() as u64 > most {
                return Ok(None);
            }
            if more == 0 {
                return Ok(Some(base));
            }
            // The cutter looks at the 47 bytes before a segment.
            let spare = ((start - origin) as usize).saturating_sub(64);
            held.drain(..spare);
        }
    }

    /// Reads a fragment of this id; false if the file has none, or has changed since.
    pub fn read(&self, id: &FragmentId, keys: &ScopeKeys, data: &mut Vec<u8>) -> bool {
        let Some((offset, length)) = self.places.get(id) else { return false };
        data.clear();
        data.resize(*length as usize, 0);
        let mut at = 0;
        while at < data.len() {
            match pread(&self.file, data.get_mut(at..).unwrap_or_default(), offset + at as u64) {
                Ok(0) => return false,
                Ok(read) => at += read,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        keys.fragment_id(data) == *id
    }
}

/// Appends the next bytes of a file; how many.
fn read_segment(file: &OwnedFd, offset: u64, segment: usize, held: &mut Vec<u8>) -> Result<usize> {
    let start = held.len();
    held.resize(start + segment, 0);
    let mut filled = 0;
    while filled < segment {
        match pread(file, held.get_mut(start + filled..).unwrap_or_default(), offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    held.truncate(start + filled);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::cutter::{Algorithm, Sizes};
    use crate::digest;
    use crate::keys::Suite;
    use crate::walk::tests::Scratch;

    #[test]
    fn it_has_the_very_fragments_that_cutting_in_one_piece_gives() {
        let scratch = Scratch::new("base");
        let path = scratch.path().join("file");
        let keys = ScopeKeys::new(Some(&[7; 32]), Suite::ChaCha20Poly1305).unwrap();
        let sizes = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };
        let cutter = Cutter::new(Algorithm::Buzhash64, sizes, keys.cutter_key()).unwrap();
        for length in [0, 1, 5_000, 16 << 10, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 12_345] {
            let mut data = vec![0; length];
            digest::keyed_xof(&[3; 32], &[&(length as u64).to_le_bytes()], &mut data);
            std::fs::write(&path, &data).unwrap();
            let size = length as u64 / 2;
            let file = File::open(&path).unwrap().into();
            let base = Base::of(file, size, (&cutter, &keys), &Account::default()).unwrap().unwrap();
            let mut ends = Vec::new();
            cutter.cut(&data, &mut ends);
            let mut start = 0;
            let mut found = Vec::new();
            for end in &ends {
                let fragment = &data[start..*end];
                assert!(base.read(&keys.fragment_id(fragment), &keys, &mut found) && found == fragment);
                start = *end;
            }
            assert_eq!(base.places.len(), ends.len(), "{length}");
        }
    }

    #[test]
    fn what_changed_since_is_not_taken() {
        let scratch = Scratch::new("base-changed");
        let path = scratch.path().join("file");
        let keys = ScopeKeys::new(Some(&[7; 32]), Suite::ChaCha20Poly1305).unwrap();
        let sizes = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };
        let cutter = Cutter::new(Algorithm::Buzhash64, sizes, keys.cutter_key()).unwrap();
        std::fs::write(&path, "what it was").unwrap();
        let file = File::open(&path).unwrap().into();
        let base = Base::of(file, 11, (&cutter, &keys), &Account::default()).unwrap().unwrap();
        std::fs::write(&path, "what it is!").unwrap();
        assert!(!base.read(&keys.fragment_id(b"what it was"), &keys, &mut Vec::new()));
    }

    #[test]
    fn what_an_index_may_take_is_counted_in_fragments() {
        let keys = ScopeKeys::new(Some(&[7; 32]), Suite::ChaCha20Poly1305).unwrap();
        let scratch = Scratch::new("base-counted");
        let path = scratch.path().join("file");
        std::fs::write(&path, "small").unwrap();
        let large = 200 << 30;
        for (mean, fits) in [(64 << 10, true), (4 << 10, false)] {
            let sizes = Sizes { min: mean / 4, mean, max: mean * 4 };
            let cutter = Cutter::new(Algorithm::Buzhash64, sizes, keys.cutter_key()).unwrap();
            let account = Account::default();
            let base =
                Base::of(File::open(&path).unwrap().into(), large, (&cutter, &keys), &account).unwrap();
            assert_eq!(base.is_some(), fits);
            let another = Base::of(File::open(&path).unwrap().into(), large, (&cutter, &keys), &account);
            assert!(another.unwrap().is_none(), "two of them are more than one");
            drop(base);
            assert_eq!(account.bytes(), 0);
        }
    }
}
