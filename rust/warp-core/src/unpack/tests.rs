//! Extractions of small archives into real directories.

mod content;
mod damaged;
mod hazards;
mod metadata;
mod replacing;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::SystemTime;

use super::fixture::{Builder, Built, entry, file};
use super::*;
use crate::codec::Codec;
use crate::entry::{Entry, FLAG_SPARSE, Kind, Run};
use crate::keys::Suite;
use crate::table::compare_paths;
use crate::walk::tests::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);
/// The time of `fixture::entry`.
const MTIME: (i64, i64) = (1_000_000_000, 123_456_789);

/// A directory to extract into.
struct Target {
    scratch: Scratch,
    options: Options,
}

/// What an extraction reported.
#[derive(Debug)]
struct Extracted {
    totals: Totals,
    problems: Vec<Problem>,
    skips: Vec<(Skip, u64)>,
}

impl Target {
    fn new() -> Self {
        let options = Options {
            overwrite: Overwrite::Never,
            owners: false,
            devices: false,
            setuid: false,
            whole: false,
            keep_damaged: false,
            tag: *b"\x00\x01tagged",
            threads: 3,
            memory: 0,
        };
        Self { scratch: Scratch::new("unpack"), options }
    }

    fn overwriting(overwrite: Overwrite) -> Self {
        let mut target = Self::new();
        target.options.overwrite = overwrite;
        target
    }

    fn path(&self, path: &[u8]) -> PathBuf {
        self.scratch.path().join(OsStr::from_bytes(path))
    }

    fn start(&self, built: &Built) -> UnpackPipeline {
        let archive =
            Archive { fd: built.fd(), index: Arc::clone(&built.index), keys: Arc::clone(&built.keys) };
        let target = File::open(self.scratch.path()).unwrap();
        UnpackPipeline::new(archive, target.into(), &self.options).unwrap()
    }

    fn extract(&self, built: &Built, entries: &[Entry]) -> Extracted {
        self.try_extract(built, entries).unwrap()
    }

    fn try_extract(&self, built: &Built, entries: &[Entry]) -> Result<Extracted> {
        let mut pipeline = self.start(built);
        for table in tables(entries) {
            while !pipeline.submit(Arc::clone(&table), None).unwrap() {}
        }
        pipeline.finish();
        let (totals, done) = pipeline.poll(PATIENCE)?;
        assert!(done);
        assert_eq!(self.left_over(), Vec::<PathBuf>::new());
        Ok(Extracted { totals, problems: pipeline.problems(), skips: pipeline.skips() })
    }

    fn read(&self, path: &[u8]) -> Vec<u8> {
        fs::read(self.path(path)).unwrap()
    }

    fn stat(&self, path: &[u8]) -> fs::Metadata {
        fs::symlink_metadata(self.path(path)).unwrap()
    }

    /// Temporary files anywhere below.
    fn left_over(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut directories = vec![self.scratch.path().to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                } else if entry.file_name().as_bytes().ends_with(b".part") {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

impl Extracted {
    fn skipped(&self, skip: Skip) -> u64 {
        let counts = self.skips.iter().find(|(which, _)| *which == skip);
        counts.map_or(0, |(_, count)| *count)
    }

    /// The one problem there is: path, errno.
    fn problem(&self) -> (&[u8], i32) {
        let [problem] = &*self.problems else {
            panic!("{:?}", self.problems);
        };
        (&problem.path, problem.errno)
    }

    fn clean(self) -> Self {
        assert_eq!(self.problems, []);
        self
    }
}

/// Tables of a few entries each, in archive order.
fn tables(entries: &[Entry]) -> Vec<Arc<EntryTable>> {
    let mut entries = entries.to_vec();
    entries.sort_by(|a, b| compare_paths(&a.path, &b.path));
    let table = |entries: &[Entry]| Arc::new(EntryTable { entries: entries.to_vec() });
    entries.chunks(7).map(table).collect()
}

fn builder() -> Builder {
    Builder::new(Suite::ChaCha20Poly1305)
}

fn directory(path: &[u8]) -> Entry {
    entry(path, Kind::Directory)
}

fn link(path: &[u8], kind: Kind, target: &[u8]) -> Entry {
    Entry { link: target.to_vec(), ..entry(path, kind) }
}

/// An archive of one file `a` with this content.
fn one_file(content: &[u8]) -> (Built, Entry) {
    let mut builder = builder();
    let file = file(&mut builder, b"a", &[content]);
    (builder.build(), file)
}

fn temporary_name(target: &Target, path: &[u8]) -> PathBuf {
    let names = TemporaryNames::new(&target.options.tag, false);
    let (parent, _) = beneath::split(path);
    let parent = target.path(parent);
    parent.join(OsStr::from_bytes(&names.name(path)))
}
