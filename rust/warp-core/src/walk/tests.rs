//! Walks of real trees in temporary directories.

mod hazards;
mod selection;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};

use super::*;
use crate::Error;
use crate::table::compare_paths;

/// A temporary directory, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("warp-core-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Create files, of their names as content, and directories (names that end in `/`).
    pub fn with(self, names: &[&[u8]]) -> Self {
        for name in names {
            let path = self.0.join(OsStr::from_bytes(name));
            if name.ends_with(b"/") {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, name).unwrap();
            }
        }
        self
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(stored: &str, path: &Path) -> WalkOptions {
    let root = Root { stored: stored.into(), path: path.into() };
    WalkOptions { roots: vec![root], ..WalkOptions::default() }
}

fn walk(options: WalkOptions, batch: usize) -> (Vec<WalkEntry>, Vec<Problem>) {
    let mut walker = Walker::new(options).unwrap();
    let mut found = Vec::new();
    while let Some(batch_found) = walker.next(batch).unwrap() {
        assert!((1..=batch).contains(&batch_found.entries.len()));
        found.extend(batch_found.entries);
    }
    (found, walker.problems())
}

fn walk_all(options: WalkOptions) -> Vec<WalkEntry> {
    let (found, problems) = walk(options, 4_096);
    assert_eq!(problems, []);
    found
}

fn paths(found: &[WalkEntry]) -> Vec<String> {
    found.iter().map(|found| found.entry.path.escape_ascii().to_string()).collect()
}

fn content(found: &WalkEntry) -> Vec<u8> {
    let mut content = Vec::new();
    File::from(found.open(&mut Opener::default()).unwrap()).read_to_end(&mut content).unwrap();
    content
}

#[test]
fn entries_come_sorted_by_component_in_batches_of_any_size() {
    let tree = Scratch::new("order").with(&[
        b"a.b",
        b"a/z",
        b"a/b/c",
        b"a-",
        b"ab",
        b"longer-than-8",
        b"longer-than-7/x",
    ]);
    let expected = [
        "",
        "a",
        "a/b",
        "a/b/c",
        "a/z",
        "a-",
        "a.b",
        "ab",
        "longer-than-7",
        "longer-than-7/x",
        "longer-than-8",
    ];
    for batch in [1, 3, 4_096] {
        let (found, problems) = walk(options("", tree.path()), batch);
        assert_eq!((paths(&found), problems), (expected.map(String::from).to_vec(), vec![]));
        assert!(found.is_sorted_by(|a, b| compare_paths(&a.entry.path, &b.entry.path).is_lt()));
    }
}

#[test]
fn names_of_any_bytes_are_walked_and_read() {
    let names: [&[u8]; 5] = [b"\n", b" ", b"\xc3\x28\xff", b"*?[", "ü".as_bytes()];
    let tree = Scratch::new("names").with(&names);
    let found = walk_all(options("x/y", tree.path()));
    assert_eq!(found.len(), 1 + names.len());
    for found in &found[1..] {
        assert_eq!(content(found), found.entry.path["x/y/".len()..]);
    }
}

#[test]
fn an_entry_tells_what_stat_tells() {
    let tree = Scratch::new("stat").with(&[b"d/f"]);
    let path = tree.path().join("d/f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let stat = fs::metadata(&path).unwrap();
    let found = &walk_all(options("", tree.path()))[2];
    let entry = &found.entry;
    assert_eq!((entry.kind, entry.mode, entry.size), (Kind::File, 0o4751, 3));
    assert_eq!((entry.uid, entry.gid, entry.inode), (stat.uid(), stat.gid(), stat.ino()));
    assert_eq!((entry.mtime.seconds, i64::from(entry.mtime.nanos)), (stat.mtime(), stat.mtime_nsec()));
    assert_eq!((entry.ctime.seconds, i64::from(entry.ctime.nanos)), (stat.ctime(), stat.ctime_nsec()));
    assert_eq!((found.device, found.blocks, found.reused), (stat.dev(), stat.blocks(), false));
}

#[test]
fn the_first_name_of_a_file_in_order_holds_its_content() {
    let tree = Scratch::new("links").with(&[b"b/first", b"x"]);
    for name in ["a-not-packed", "c", "b/second"] {
        fs::hard_link(tree.path().join("b/first"), tree.path().join(name)).unwrap();
    }
    let excludes = Matcher::new(&["a-*".into()]).unwrap();
    let found = walk_all(WalkOptions { excludes, ..options("t", tree.path()) });
    let summary: Vec<_> = found
        .iter()
        .map(|found| (found.entry.path.as_slice(), found.entry.kind, found.entry.link.as_slice()))
        .collect();
    let expected: [(&[u8], Kind, &[u8]); 6] = [
        (b"t", Kind::Directory, b""),
        (b"t/b", Kind::Directory, b""),
        (b"t/b/first", Kind::File, b""),
        (b"t/b/second", Kind::Hardlink, b"t/b/first"),
        (b"t/c", Kind::Hardlink, b"t/b/first"),
        (b"t/x", Kind::File, b""),
    ];
    assert_eq!(summary, expected);
    assert_eq!(found[4].entry.size, 7);
    fs::remove_file(tree.path().join("b/first")).unwrap();
    assert_eq!(content(&found[4]), b"b/first", "a further name can be read in its file's place");
    assert_eq!(WalkBatch { entries: found }.size(), 8);
}

#[test]
fn links_pipes_and_sockets_are_recorded_and_not_followed() {
    let tree = Scratch::new("special").with(&[b"d/f"]);
    symlink("d", tree.path().join("link")).unwrap();
    symlink(OsStr::from_bytes(b"/no\xff/where"), tree.path().join("broken")).unwrap();
    mknodat(CWD, tree.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("socket")).unwrap();
    let found = walk_all(options("", tree.path()));
    assert_eq!(paths(&found), ["", "broken", "d", "d/f", "link", "pipe", "socket"]);
    let kinds: Vec<_> = found.iter().map(|found| found.entry.kind).collect();
    let expected = [
        Kind::Directory,
        Kind::Symlink,
        Kind::Directory,
        Kind::File,
        Kind::Symlink,
        Kind::Fifo,
        Kind::Socket,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(found[1].read_link().unwrap(), b"/no\xff/where");
    assert_eq!(found[4].read_link().unwrap(), b"d");
    let support = XattrSupport::new();
    for found in &found {
        found.xattrs(&support, None).unwrap();
    }
}

#[test]
fn a_device_keeps_its_number() {
    let found = walk_all(options("null", Path::new("/dev/null")));
    assert_eq!((found[0].entry.kind, found[0].entry.rdev), (Kind::CharDevice, 1 << 32 | 3));
}

#[test]
fn attributes_are_read_by_descriptor_or_by_place() {
    let tree = Scratch::new("attributes").with(&[b"f"]);
    for path in [tree.path().to_owned(), tree.path().join("f")] {
        let set = rustix::fs::setxattr(&path, "user.note", b"kept", rustix::fs::XattrFlags::empty());
        if set == Err(rustix::io::Errno::OPNOTSUPP) {
            return eprintln!("skipped: no user attributes on this file system");
        }
        set.unwrap();
    }
    let support = XattrSupport::new();
    for found in walk_all(options("", tree.path())) {
        let expected = [(b"user.note".to_vec(), b"kept".to_vec())];
        assert_eq!(*found.xattrs(&support, None).unwrap(), expected);
        if found.entry.kind == Kind::File {
            let file = found.open(&mut Opener::default()).unwrap();
            assert_eq!(*found.xattrs(&support, Some(file.as_fd())).unwrap(), expected);
        }
    }
}
