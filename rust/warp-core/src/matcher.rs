//! gitignore-style patterns over raw-byte paths.
//!
//! As in git, the last matching pattern wins, `!` negates, a pattern with a `/` other than at its end is anchored, and
//! a directory that matches covers all below it: nothing in it can be negated again.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::paths::parent;
use crate::{Error, Result};

/// Compiled patterns; paths are relative to where the patterns are anchored.
#[derive(Clone, Debug)]
pub struct Matcher {
    patterns: Gitignore,
}

impl Default for Matcher {
    fn default() -> Self {
        Self { patterns: Gitignore::empty() }
    }
}

impl Matcher {
    /// Compile patterns, one line of a `.gitignore` each; [`Error::Parameter`] names the first that is no pattern.
    pub fn new(patterns: &[String]) -> Result<Self> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            let refuse = |why: ignore::Error| Error::Parameter(format!("pattern `{pattern}`: {why}"));
            builder.add_line(None, pattern).map_err(refuse)?;
        }
        let patterns = builder.build().map_err(|why| Error::Parameter(format!("patterns: {why}")))?;
        Ok(Self { patterns })
    }

    /// Whether there is no pattern, so that nothing matches.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether `path`, or a directory above it, matches.
    pub fn matches(&self, path: &[u8], is_directory: bool) -> bool {
        !self.is_empty() && (self.covers(parent(path)) || self.matches_itself(path, is_directory))
    }

    /// Whether `path` matches, when no directory above it does.
    pub(crate) fn matches_itself(&self, path: &[u8], is_directory: bool) -> bool {
        self.deciding(path, is_directory).is_some()
    }

    /// The pattern by which `path` matches, when no directory above it does: the last that does.
    pub(crate) fn deciding(&self, path: &[u8], is_directory: bool) -> Option<&str> {
        if path.is_empty() {
            return None;
        }
        match self.patterns.matched(Path::new(OsStr::from_bytes(path)), is_directory) {
            Match::Ignore(glob) => Some(glob.original()),
            _ => None,
        }
    }

    /// Whether the directory or one above it matches.
    fn covers(&self, directory: Option<&[u8]>) -> bool {
        let Some(directory) = directory else {
            return false;
        };
        let ends = directory.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.chain([directory.len()])
            .any(|end| self.matches_itself(directory.get(..end).unwrap_or_default(), true))
    }
}

/// Matches paths that come in archive order: directories are looked at once, not again for each entry in them.
#[derive(Debug)]
pub(crate) struct SortedMatches<'a> {
    matcher: &'a Matcher,
    directory: Option<Vec<u8>>,
    covered: bool,
}

impl<'a> SortedMatches<'a> {
    pub(crate) fn new(matcher: &'a Matcher) -> Self {
        Self { matcher, directory: None, covered: false }
    }

    pub(crate) fn matches(&mut self, path: &[u8], is_directory: bool) -> bool {
        let directory = parent(path);
        if self.directory.as_deref() != directory {
            self.covered = self.matcher.covers(directory);
            self.directory = directory.map(<[u8]>::to_vec);
        }
        self.covered || self.matcher.matches_itself(path, is_directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(patterns: &[&str]) -> Matcher {
        Matcher::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn an_anchored_pattern_matches_at_the_top_only() {
        let anchored = matcher(&["/target"]);
        assert!(anchored.matches(b"target", true) && !anchored.matches(b"a/target", true));
        let free = matcher(&["target"]);
        assert!(free.matches(b"target", false) && free.matches(b"a/target", true));
    }

    #[test]
    fn a_directory_match_covers_all_below_it() {
        let matcher = matcher(&["build/", "!build/keep"]);
        assert!(matcher.matches(b"build", true) && matcher.matches(b"a/build/x/y", false));
        assert!(!matcher.matches(b"build", false));
        assert!(matcher.matches(b"build/keep", false), "what lies in a matching directory is not negated");
    }

    #[test]
    fn the_last_matching_pattern_wins() {
        let matcher = matcher(&["*.o", "!main.o", "docs/*", "!docs/open"]);
        assert!(matcher.matches(b"x/a.o", false) && !matcher.matches(b"x/main.o", false));
        assert!(matcher.matches(b"docs/secret/a", false) && !matcher.matches(b"docs/open/a", false));
    }

    #[test]
    fn names_of_any_bytes_match() {
        let matcher = matcher(&["*.tmp", "x\ny"]);
        assert!(matcher.matches(b"\xff\xfe/\x80.tmp", false) && matcher.matches(b"a/x\ny", false));
        assert!(!matcher.matches(b"\xff", false));
    }

    #[test]
    fn no_pattern_matches_nothing_and_a_bad_one_is_refused() {
        assert!(Matcher::default().is_empty() && !Matcher::default().matches(b"a", false));
        assert!(matcher(&["", "# comment"]).is_empty());
        assert!(matches!(Matcher::new(&["a{b".into()]), Err(Error::Parameter(why)) if why.contains("a{b")));
    }

    #[test]
    fn the_root_itself_never_matches() {
        assert!(!matcher(&["*"]).matches(b"", true) && matcher(&["*"]).matches(b"a", true));
    }

    #[test]
    fn in_order_the_answers_are_the_same() {
        let matcher = matcher(&["b*/", "!bb", "*.c", "/a/d"]);
        let paths: [&[u8]; 9] =
            [b"", b"a", b"a/b1", b"a/b1/c", b"a/b1/c/d", b"a/bb", b"a/bb/x.c", b"a/d", b"a/d/e"];
        let mut sorted = SortedMatches::new(&matcher);
        for path in paths {
            assert_eq!(sorted.matches(path, true), matcher.matches(path, true), "{path:?}");
        }
    }
}
