//! Patterns, as they stand in arguments, settings and tables of contents. Parts: patterns a line each │ a path.

use warp_core::Error;
use warp_core::entry::{Entry, Kind, Timestamp, Xattrs};
use warp_core::matcher::Matcher;
use warp_core::paths::is_stored_path;
use warp_core::table::EntryTable;

use crate::sections;

pub fn run(data: &[u8]) {
    let [patterns, path] = sections::split_into::<2>(data);
    let Ok(patterns) = std::str::from_utf8(patterns) else {
        return;
    };
    let patterns: Vec<String> = patterns.split('\n').map(str::to_owned).collect();
    let matcher = match Matcher::new(&patterns) {
        Ok(matcher) => matcher,
        Err(Error::Parameter(_)) => return,
        Err(other) => panic!("not called a parameter: {other}"),
    };
    if !is_stored_path(path) {
        return;
    }
    let table = EntryTable { entries: upwards(path) };
    let matching = table.matching(&matcher);
    for (index, entry) in table.entries.iter().enumerate() {
        let directory = entry.kind == Kind::Directory;
        assert_eq!(matcher.matches(&entry.path, directory), matching.contains(&index), "{:?}", entry.path);
    }
}

/// The path, and before it every directory above.
fn upwards(path: &[u8]) -> Vec<Entry> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let directories = slashes.map(|end| entry(&path[..end], Kind::Directory));
    directories.chain([entry(path, Kind::File)]).collect()
}

fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: Timestamp::default(),
        ctime: Timestamp::default(),
        inode: 0,
        link: Vec::new(),
        rdev: 0,
        flags: 0,
        xattrs: Xattrs::default(),
        extents: Vec::new(),
        runs: warp_core::recipe::Recipe::default(),
    }
}
