//! Restoring whatever a file table says, below a directory, from a small archive of our own.
//!
//! Parts: the columns of a table (`columns.rs`) │ a byte: bits 0–1 what happens to what exists, bit 2 setuid, bit 3 again
//! over what the first time left. Fragments 0 to 2 are `abc`, 4 KiB of `x`, and 64 KiB of changing bytes.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use warp_core::chunk_index::ChunkIndex;
use warp_core::digest;
use warp_core::keys::Suite;
use warp_core::table::EntryTable;
use warp_core::unpack::{Archive, Options, Overwrite, UnpackPipeline};

use crate::columns::{self, COLUMNS};
use crate::payload::framed;
use crate::{index, seal, sections};

const OUTSIDE: &[u8] = b"what lies outside stays as it is";

pub fn run(data: &[u8]) {
    let parts = sections::split_into::<{ COLUMNS + 1 }>(data);
    let Some((choice, columns)) = parts.split_last() else {
        return;
    };
    let columns: &[&[u8]; COLUMNS] = columns.try_into().expect("one less");
    let Some(table) = columns::table(columns).map(Arc::new) else {
        return;
    };
    let place = Place::new();
    let choice = sections::byte(choice, 0);
    for _ in 0..=(choice >> 3 & 1) {
        restore(&table, &place.target(), choice);
        place.check();
    }
}

fn restore(table: &Arc<EntryTable>, target: &Path, choice: u8) {
    let overwrite = [Overwrite::Never, Overwrite::Changed, Overwrite::Always][usize::from(choice & 3) % 3];
    let options = Options {
        overwrite,
        owners: false,
        devices: false,
        setuid: choice & 4 != 0,
        whole: choice & 16 != 0,
        keep_damaged: choice & 8 != 0,
        tag: *b"fuzzfuzz",
        threads: 1,
        memory: 1 << 20,
    };
    let fd = OwnedFd::from(File::open(target).expect("our own directory"));
    let mut pipeline = UnpackPipeline::new(SOURCE.archive(), fd, &options).expect("a whole index");
    while !pipeline.submit(Arc::clone(table), None).expect("before the end") {}
    pipeline.finish();
    // An error that ends an extraction (no room, say) is an answer too.
    while let Ok((_, false)) = pipeline.poll(Duration::from_secs(1)) {}
    for problem in pipeline.problems() {
        assert!(table.find(&problem.path).is_some(), "a problem with what is not in the table");
    }
}

/// The archive that all tables are restored from.
struct Source {
    bytes: Vec<u8>,
    index: Arc<ChunkIndex>,
}

static SOURCE: LazyLock<Source> = LazyLock::new(Source::new);

impl Source {
    fn new() -> Self {
        let fragments =
            [b"abc".to_vec(), vec![b'x'; 4096], (0..65_536_u32).map(|at| (at >> 3) as u8).collect()];
        let stored = fragments.each_ref().map(|raw| framed(0, raw.len() as u32, raw));
        let mut bytes = vec![0; 256];
        let mut columns: [Vec<u8>; 5] = Default::default();
        for (raw, stored) in fragments.iter().zip(&stored) {
            columns[0].extend((bytes.len() as u64).to_le_bytes());
            columns[1].extend((stored.len() as u32).to_le_bytes());
            columns[2].extend(digest::hash(stored));
            columns[3].extend((raw.len() as u32).to_le_bytes());
            columns[4].extend(1_u32.to_le_bytes());
            bytes.extend(stored);
        }
        let [offsets, lengths, cids, raw, counts] = &columns;
        let mut index = ChunkIndex::new(false, 1 << 20).expect("an allowed size");
        index.add_locators(&index::page(0, 3, &[offsets, lengths, cids])).expect("three chunks");
        index.add_chunks(&index::page(0, 3, &[raw, counts, &[0; 3]])).expect("three chunks");
        index.add_fragments(&index::page(0, 3, &[raw, &[0; 72]]), false).expect("three fragments");
        index.finish(bytes.len() as u64).expect("all fits");
        Self { bytes, index: Arc::new(index) }
    }

    fn archive(&self) -> Archive {
        let mut file = File::from(memfd_create("archive", MemfdFlags::CLOEXEC).expect("a file in memory"));
        file.write_all(&self.bytes).expect("room in memory");
        let keys = Arc::new(seal::keys(Suite::Plain));
        Archive { fd: file.into(), index: Arc::clone(&self.index), keys }
    }
}

/// A directory to restore below, beside what must not be touched.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let place = Self(std::env::temp_dir().join(format!("warp-fuzz-{}", std::process::id())));
        // What an earlier process of this number left.
        let _ = fs::remove_dir_all(&place.0);
        fs::create_dir_all(place.target()).expect("a place for a directory");
        fs::write(place.outside(), OUTSIDE).expect("a place for a file");
        fs::set_permissions(place.outside(), fs::Permissions::from_mode(0o640)).expect("our own file");
        place
    }

    fn target(&self) -> PathBuf {
        self.0.join("target")
    }

    fn outside(&self) -> PathBuf {
        self.0.join("outside")
    }

    fn check(&self) {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .expect("our own")
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .collect();
        names.sort();
        assert_eq!(names, ["outside", "target"], "something was made outside");
        assert_eq!(fs::read(self.outside()).ok().as_deref(), Some(OUTSIDE), "a file outside was changed");
        let metadata = fs::symlink_metadata(self.outside()).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640, "the mode of a file outside was changed");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
