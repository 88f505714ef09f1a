//! Stored paths. Parts: two paths.

use std::path::{Component, Path};

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use warp_core::paths::{MAX_PATH, compare_paths, is_stored_path};

use crate::sections;

pub fn run(data: &[u8]) {
    let [a, b] = sections::split_into::<2>(data);
    for path in [a, b] {
        assert_eq!(is_stored_path(path), is_safe(path), "{path:?}");
    }
    if is_stored_path(a) && is_stored_path(b) {
        assert_eq!(compare_paths(a, b), components(a).cmp(&components(b)));
        assert_eq!(compare_paths(b, a), compare_paths(a, b).reverse());
    }
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    if path.is_empty() { Vec::new() } else { path.split(|byte| *byte == b'/').collect() }
}

/// By the standard library's idea of a path: only normal components, and written in the one way without surplus slashes.
fn is_safe(path: &[u8]) -> bool {
    let as_path = Path::new(OsStr::from_bytes(path));
    let normal = as_path.components().all(|component| matches!(component, Component::Normal(_)));
    let joined: Vec<&[u8]> = as_path.components().map(|part| part.as_os_str().as_bytes()).collect();
    normal && joined.join(&b'/') == path && !path.contains(&0) && path.len() <= MAX_PATH
}
