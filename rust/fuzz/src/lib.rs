//! Fuzz targets: every parser of the core that takes bytes from outside, with what must hold of its answers.
//!
//! A target is a function of bytes that panics when something is wrong. libFuzzer calls it (`src/main.rs`), and so do the
//! tests with the inputs that are kept (`tests/replay.rs`). Besides "no panic" the targets check that what is accepted
//! gives the same bytes when it is written again, that lengths are those that were claimed, and that paths are safe.

mod baseline;
mod chunk;
mod columns;
mod cuts;
mod cutter;
mod index;
mod matcher;
pub mod memory;
mod merkle;
mod paths;
mod payload;
mod records;
mod seal;
pub mod sections;
mod unpack;

/// One parser with its check.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called on the command line; its corpus has this name too.
    pub name: &'static str,
    /// Panics if the parser does something wrong with these bytes.
    pub run: fn(&[u8]),
    /// Whether its input is a list of parts (see [`sections`]), so that they can be changed one by one.
    pub in_sections: bool,
}

const fn plain(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, in_sections: false }
}

const fn parts(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, in_sections: true }
}

/// All targets.
pub const TARGETS: [Target; 21] = [
    parts("rust-baseline", baseline::run),
    parts("rust-chunk", chunk::run),
    parts("rust-columns", columns::run),
    parts("rust-cutter", cutter::run),
    parts("rust-cuts", cuts::run),
    plain("rust-frame", records::run_frame),
    parts("rust-index", index::run),
    parts("rust-index-missing", index::run_missing),
    parts("rust-index-pages", index::run_pages),
    parts("rust-journal", records::run_journal),
    plain("rust-listing", records::run_listing),
    plain("rust-lz4", payload::run_lz4),
    plain("rust-lz4-blocks", payload::run_lz4_blocks),
    parts("rust-matcher", matcher::run),
    plain("rust-merkle", merkle::run),
    parts("rust-paths", paths::run),
    plain("rust-payload", payload::run),
    parts("rust-seal", seal::run),
    parts("rust-stored-pages", records::run_stored),
    parts("rust-unpack", unpack::run),
    plain("rust-zstd", payload::run_zstd),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
