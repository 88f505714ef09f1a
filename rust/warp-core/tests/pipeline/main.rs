//! The pipelines that read a tree, end to end.

mod catalogue;
mod cuts;
mod landing;
mod pack;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use warp_core::codec::{Codec, Policy, PolicyRow};
use warp_core::cutter::{Algorithm, Cutter, Sizes};
use warp_core::dedup::FragmentIndex;
use warp_core::digest;
use warp_core::keys::{ScopeKeys, Suite};
use warp_core::matcher::Matcher;
use warp_core::pack::PackOptions;
use warp_core::walk::{Root, WalkOptions, Walker};

const FRAGMENT: Sizes = Sizes { min: 4 << 10, mean: 16 << 10, max: 64 << 10 };
const CHUNK: Sizes = Sizes { min: 64 << 10, mean: 128 << 10, max: 256 << 10 };
const KEY: [u8; 32] = [7; 32];

/// A directory that is removed at the end of a test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("warp-pack-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pseudo_random(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    digest::keyed_xof(&[3; 32], &[&seed.to_le_bytes()], &mut out);
    out
}

fn build_tree(root: &Path) {
    fs::create_dir_all(root.join("a/empty")).unwrap();
    for number in 0..300_u64 {
        let length = (number * number * 7) as usize % 40_000;
        fs::write(root.join(format!("a/small-{number}")), pseudo_random(number % 250, length)).unwrap();
    }
    fs::write(root.join("b-medium"), pseudo_random(1000, 900_000)).unwrap();
    let mut large = pseudo_random(2000, 13 << 20);
    fs::write(root.join("c-large"), &large).unwrap();
    large.splice(5_000_000..5_000_003, *b"changed content");
    fs::write(root.join("d-large-edited"), &large).unwrap();
    fs::write(root.join("e-text"), "the same line again\n".repeat(90_000)).unwrap();
    let sparse = File::create(root.join("f-sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(&pseudo_random(3000, 300_000), 9 << 20).unwrap();
    sparse.write_all_at(b"end", (40 << 20) - 3).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("g-link")).unwrap();
    fs::hard_link(root.join("b-medium"), root.join("h-hard")).unwrap();
}

fn keys() -> Arc<ScopeKeys> {
    Arc::new(ScopeKeys::new(Some(&KEY), Suite::ChaCha20Poly1305).unwrap())
}

fn options(threads: usize) -> PackOptions {
    let keys = keys();
    let cutter = Cutter::new(Algorithm::Buzhash64, FRAGMENT, keys.cutter_key()).unwrap();
    let policy = Policy { rows: vec![PolicyRow { entropy_below: 7.9, codec: Codec::Zstd, level: 1 }] };
    PackOptions { keys, cutter, chunk: CHUNK, policy, threads, memory: 64 << 20, verify: true }
}

fn new_index() -> Arc<Mutex<FragmentIndex>> {
    Arc::new(Mutex::new(FragmentIndex::new(1 << 20, std::env::temp_dir())))
}

fn walker(root: &Path) -> Walker {
    let roots = vec![Root { stored: Vec::new(), path: root.to_owned() }];
    let excludes = Matcher::new(&[]).unwrap();
    let options =
        WalkOptions { roots, excludes, exclude_caches: false, one_file_system: false, skip: Vec::new() };
    Walker::new(options).unwrap()
}
