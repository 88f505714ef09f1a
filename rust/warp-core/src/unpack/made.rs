//! Files that this run restored, or found to be what their entries say: hard links are made to these alone.

use std::collections::HashMap;
use std::sync::Mutex;

use rustix::fs::Stat;

use super::lock;

/// Inodes that are remembered together: a file system gives out most numbers in order.
const BLOCK: u64 = 512;

/// Which file it is, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl Identity {
    pub fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// The files, some bits each.
#[derive(Debug, Default)]
pub(super) struct Made {
    blocks: Mutex<HashMap<(u64, u64), [u64; BLOCK as usize / 64]>>,
}

impl Made {
    pub fn add(&self, file: Identity) {
        let mut blocks = lock(&self.blocks);
        let block = blocks.entry((file.device, file.inode / BLOCK)).or_default();
        let at = file.inode % BLOCK;
        if let Some(word) = block.get_mut(at as usize / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub fn has(&self, file: Identity) -> bool {
        let blocks = lock(&self.blocks);
        let at = file.inode % BLOCK;
        let word =
            blocks.get(&(file.device, file.inode / BLOCK)).and_then(|block| block.get(at as usize / 64));
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_was_added_and_nothing_beside_it() {
        let made = Made::default();
        let file = |device, inode| Identity { device, inode };
        let added = [(1, 0), (1, 63), (1, 64), (1, 511), (1, 512), (2, 7), (2, u64::MAX)];
        for (device, inode) in added {
            made.add(file(device, inode));
        }
        for device in 0..4 {
            for inode in (0..1200).chain(u64::MAX - 600..=u64::MAX) {
                assert_eq!(made.has(file(device, inode)), added.contains(&(device, inode)));
            }
        }
    }
}
