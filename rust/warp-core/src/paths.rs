//! Stored paths: `/`-separated raw bytes, relative, ordered component by component.

use std::cmp::Ordering;

/// Longest stored path in bytes (docs/format.md §10).
pub const MAX_PATH: usize = 65_535;

/// Order of the archive: bytewise per component, so a directory before what is in it.
///
/// Equal to comparing the lists of components; `/` sorts below every other byte, which no NUL can contradict.
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    let at = common_prefix(a, b);
    rank(a.get(at)).cmp(&rank(b.get(at)))
}

/// Where a byte of a path, or its end, sorts among those that may follow the same bytes.
pub(crate) fn rank(byte: Option<&u8>) -> u16 {
    match byte {
        None => 0,
        Some(b'/') => 1,
        Some(byte) => u16::from(*byte) + 2,
    }
}

/// How many leading bytes two paths share.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut at = 0;
    for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return at + (difference.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let (a, b) = (a.get(at..).unwrap_or_default(), b.get(at..).unwrap_or_default());
    at + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Whether the format allows this path: relative, of components that are not empty, `.` or `..` and hold no NUL;
/// the empty path is the tree's root.
pub fn is_stored_path(path: &[u8]) -> bool {
    path.is_empty() || path.len() <= MAX_PATH && has_valid_components(path)
}

/// Whether every component is a name that a directory can hold.
pub(crate) fn has_valid_components(path: &[u8]) -> bool {
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
}

/// Whether `path` lies below `directory` (and is not it); everything else lies below the empty path.
pub(crate) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    match path.strip_prefix(directory) {
        Some(rest) if directory.is_empty() => !rest.is_empty(),
        Some(rest) => rest.first() == Some(&b'/'),
        None => false,
    }
}

/// The path of the directory that holds this one; `None` for the root.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_components(a: &[u8], b: &[u8]) -> Ordering {
        let components = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
        };
        components(a).cmp(&components(b))
    }

    #[test]
    fn a_directory_comes_before_its_content_and_that_before_its_siblings() {
        let sorted: [&[u8]; 7] = [b"", b"a", b"a/b", b"a/b/c", b"a/b.c", b"a.b", b"ab"];
        for (i, x) in sorted.iter().enumerate() {
            for (j, y) in sorted.iter().enumerate() {
                assert_eq!(compare_paths(x, y), i.cmp(&j), "{x:?} {y:?}");
            }
        }
    }

    #[test]
    fn paths_that_could_leave_the_tree_are_refused() {
        for bad in [&b"/"[..], b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"./a", b"a/.", b"a\0b"] {
            assert!(!is_stored_path(bad), "{bad:?}");
        }
        for good in [&b""[..], b"a", b"...", b"a/.b/c..", b"\xff\n/ "] {
            assert!(is_stored_path(good), "{good:?}");
        }
        assert!(!is_stored_path(&vec![b'a'; MAX_PATH + 1]));
    }

    #[test]
    fn parents_and_descendants_are_told_by_components() {
        assert!(is_below(b"a/b", b"a") && is_below(b"a", b"") && !is_below(b"ab", b"a"));
        assert!(!is_below(b"a", b"a") && !is_below(b"", b""));
        assert_eq!(parent(b"a/b/c"), Some(&b"a/b"[..]));
        assert_eq!((parent(b"a"), parent(b"")), (Some(&b""[..]), None));
    }

    proptest! {
        #[test]
        fn order_equals_that_of_the_component_lists(a in "([a-c.!~]{1,3}(/[a-c.!~]{1,9}){0,4})?", b in "([a-c.!~]{1,3}(/[a-c.!~]{1,9}){0,4})?") {
            prop_assert_eq!(compare_paths(a.as_bytes(), b.as_bytes()), by_components(a.as_bytes(), b.as_bytes()));
        }

        #[test]
        fn the_common_prefix_is_maximal(a in prop::collection::vec(0..2u8, 0..40), b in prop::collection::vec(0..2u8, 0..40)) {
            let at = common_prefix(&a, &b);
            prop_assert_eq!(&a[..at], &b[..at]);
            prop_assert!(a.get(at).is_none() || b.get(at).is_none() || a[at] != b[at]);
        }
    }
}
