//! Counts what a walk finds, before anything is read: files and bytes by type, and how many files share a size.

use std::collections::HashMap;

use crate::entry::Kind;
use crate::walk::{WalkBatch, WalkEntry};

/// Longer endings of names are no extensions.
const LONGEST_EXTENSION: usize = 12;
/// Extensions that are told apart; those found later count as files without one.
const MOST_TYPES: usize = 4096;
/// Bytes of a type that are probed, about: enough for its mean entropy.
const PROBED_BYTES: u64 = 1 << 20;
/// Sizes that are told apart; files of those found later never count as copies of each other.
const MOST_SIZES: usize = 1 << 20;

/// Files from this size on are large: pieces of a few megabytes are small beside them.
const LARGE_FILE: u64 = 64 << 20;

/// Files of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeCount {
    /// The extension, in lower case; empty for none.
    pub name: Vec<u8>,
    /// Regular files.
    pub files: u64,
    /// Their logical bytes.
    pub bytes: u64,
}

/// What a walk found.
#[derive(Default)]
pub struct Census {
    /// All entries.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// Their logical bytes.
    pub bytes: u64,
    /// Bytes of the files of 64 MiB and more.
    pub large_bytes: u64,
    /// Types in order of first appearance.
    pub types: Vec<TypeCount>,
    numbers: HashMap<Vec<u8>, u32>,
    sizes: HashMap<u64, u64>,
}

impl Census {
    /// Counts a batch.
    pub fn add(&mut self, batch: &WalkBatch) {
        self.entries += batch.entries.len() as u64;
        for found in batch.entries.iter().filter(|found| found.entry.kind == Kind::File) {
            let size = found.entry.size;
            self.files += 1;
            self.bytes = self.bytes.saturating_add(size);
            if size >= LARGE_FILE {
                self.large_bytes = self.large_bytes.saturating_add(size);
            }
            let number = self.number(found) as usize;
            if let Some(count) = self.types.get_mut(number) {
                count.files += 1;
                count.bytes = count.bytes.saturating_add(size);
            }
            if size > 0 && (self.sizes.len() < MOST_SIZES || self.sizes.contains_key(&size)) {
                *self.sizes.entry(size).or_default() += 1;
            }
        }
    }

    fn number(&mut self, found: &WalkEntry) -> u32 {
        let mut name = [0; LONGEST_EXTENSION];
        let name = extension(&found.entry.path, &mut name);
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.types.len() >= MOST_TYPES {
            return self.numbers.get([].as_slice()).copied().unwrap_or(0);
        }
        let number = self.types.len() as u32;
        self.types.push(TypeCount { name: name.to_vec(), ..TypeCount::default() });
        self.numbers.insert(name.to_vec(), number);
        number
    }

    /// The type of a file that was counted.
    pub(super) fn type_of(&self, found: &WalkEntry) -> u32 {
        let mut name = [0; LONGEST_EXTENSION];
        let name = extension(&found.entry.path, &mut name);
        self.numbers.get(name).or_else(|| self.numbers.get([].as_slice())).copied().unwrap_or(0)
    }

    /// Of each type, one in how many fragments is probed.
    pub(super) fn probe_rates(&self) -> Vec<u64> {
        self.types.iter().map(|count| (count.bytes / PROBED_BYTES).max(1)).collect()
    }

    /// Sizes that several files have, not above `largest`, of at least `bytes` in all: (size, files).
    pub fn shared_sizes(&self, largest: u64, bytes: u64) -> Vec<(u64, u64)> {
        let shared = |(size, files): &(&u64, &u64)| {
            **files > 1 && **size <= largest && size.saturating_mul(**files) >= bytes
        };
        let mut found: Vec<_> =
            self.sizes.iter().filter(shared).map(|(size, files)| (*size, *files)).collect();
        found.sort_unstable();
        found
    }
}

/// The extension of the last component, in lower case, without its dot; a name that starts with its only dot has none.
fn extension<'a>(path: &[u8], room: &'a mut [u8; LONGEST_EXTENSION]) -> &'a [u8] {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else {
        return &[];
    };
    let ending = name.get(dot + 1..).unwrap_or_default();
    let usable =
        (1..=LONGEST_EXTENSION).contains(&ending.len()) && ending.iter().all(u8::is_ascii_alphanumeric);
    if !usable {
        return &[];
    }
    for (to, from) in room.iter_mut().zip(ending) {
        *to = from.to_ascii_lowercase();
    }
    room.get(..ending.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_short_plain_and_lower_case() {
        let of = |path: &[u8]| extension(path, &mut [0; LONGEST_EXTENSION]).to_vec();
        assert_eq!(of(b"a/b.TXT"), b"txt");
        assert_eq!(of(b"a.tar.gz"), b"gz");
        for none in
            [&b"a.b/c"[..], b".profile", b"a.", b"name", b"a.with space", b"a.averylongending", b"a.\xff"]
        {
            assert_eq!(of(none), b"", "{}", none.escape_ascii());
        }
    }
}
