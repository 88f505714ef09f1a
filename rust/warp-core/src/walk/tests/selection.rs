//! What is walked: roots, excludes, caches, skipped objects.

use super::*;

#[test]
fn excludes_are_anchored_at_each_root() {
    let names: [&[u8]; 5] =
        [b"one/target/x", b"one/sub/target/x", b"one/f.o", b"two/target/x", b"two/keep.o"];
    let tree = Scratch::new("excludes").with(&names);
    let root = |name: &str| Root { stored: name.into(), path: tree.path().join(name) };
    let excludes = Matcher::new(&["/target".into(), "*.o".into(), "!keep.o".into()]).unwrap();
    let found =
        walk_all(WalkOptions { roots: vec![root("one"), root("two")], excludes, ..WalkOptions::default() });
    assert_eq!(paths(&found), ["one", "one/sub", "one/sub/target", "one/sub/target/x", "two", "two/keep.o"]);
}

#[test]
fn of_a_cache_only_the_tag_is_walked() {
    let names: [&[u8]; 4] = [b"cache/data", b"cache/deep/er", b"fake/CACHEDIR.TAG", b"fake/data"];
    let tree = Scratch::new("caches").with(&names);
    fs::write(tree.path().join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# more")
        .unwrap();
    let found = walk_all(WalkOptions { exclude_caches: true, ..options("", tree.path()) });
    assert_eq!(paths(&found), ["", "cache", "cache/CACHEDIR.TAG", "fake", "fake/CACHEDIR.TAG", "fake/data"]);
    assert_eq!(walk_all(options("", tree.path())).len(), 9);
}

#[test]
fn the_archive_itself_is_skipped() {
    let tree = Scratch::new("skip").with(&[b"a", b"out.warp"]);
    let archive = fs::metadata(tree.path().join("out.warp")).unwrap();
    let found =
        walk_all(WalkOptions { skip: vec![(archive.dev(), archive.ino())], ..options("", tree.path()) });
    assert_eq!(paths(&found), ["", "a"]);
}

#[test]
fn roots_may_be_files_links_and_stored_elsewhere() {
    let tree = Scratch::new("roots").with(&[b"d/f", b"file"]);
    symlink("d", tree.path().join("link")).unwrap();
    let root = |stored: &str, path: &str| Root { stored: stored.into(), path: tree.path().join(path) };
    let roots = vec![root("a/other", "d"), root("b", "file"), root("c", "link"), root("e", "link/")];
    let found = walk_all(WalkOptions { roots, ..WalkOptions::default() });
    assert_eq!(paths(&found), ["a/other", "a/other/f", "b", "c", "e", "e/f"]);
    assert_eq!(
        [&found[1], &found[2], &found[5]].map(content),
        [b"d/f".to_vec(), b"file".to_vec(), b"d/f".to_vec()]
    );
    assert_eq!((found[3].entry.kind, found[3].read_link().unwrap()), (Kind::Symlink, b"d".to_vec()));
    assert_eq!(paths(&walk_all(options("", &tree.path().join("link")))), ["", "f"]);
}

#[test]
fn roots_that_overlap_or_do_not_exist_are_refused() {
    let tree = Scratch::new("refused").with(&[b"a/b"]);
    let refused = |stored: &[&str]| {
        let root = |stored: &&str| Root { stored: stored.as_bytes().to_vec(), path: tree.path().into() };
        let roots = stored.iter().map(root).collect();
        Walker::new(WalkOptions { roots, ..WalkOptions::default() })
            .is_err_and(|e| matches!(e, Error::Parameter(_)))
    };
    for stored in [&["b", "a"][..], &["a", "a"], &["a", "a/b"], &["", "a"], &["/a"], &["a/../b"], &["a/"]] {
        assert!(refused(stored), "{stored:?}");
    }
    assert!(!refused(&["a", "a.b", "ab/c"]));
    let missing = Walker::new(options("x", &tree.path().join("missing"))).unwrap_err();
    assert!(matches!(missing, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound));
}
