//! Trees that are hostile, unreadable or change while they are walked.

use super::*;

#[test]
fn opening_does_not_block_on_what_replaced_a_file() {
    let tree = Scratch::new("replaced").with(&[b"f", b"d/g"]);
    let found = walk_all(options("", tree.path()));
    fs::remove_file(tree.path().join("f")).unwrap();
    mknodat(CWD, tree.path().join("f"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::rename(tree.path().join("d"), tree.path().join("e")).unwrap();
    symlink("e", tree.path().join("d")).unwrap();
    assert!(found[3].open(&mut Opener::default()).is_ok());
    assert!(
        found[2].open(&mut Opener::default()).is_err(),
        "a directory became a link: nothing is read through it"
    );
}

#[test]
fn other_file_systems_are_left_out_but_for_their_mount_points() {
    let found = |one_file_system| {
        let mut walker =
            Walker::new(WalkOptions { one_file_system, ..options("", Path::new("/dev")) }).unwrap();
        let found = walker.next(100_000).unwrap().unwrap().entries;
        found.into_iter().map(|found| (found.entry.path, found.device)).collect::<Vec<_>>()
    };
    let (inside, all) = (found(true), found(false));
    let device = inside[0].1;
    if all.iter().all(|(_, other)| *other == device) {
        return eprintln!("skipped: nothing is mounted below /dev");
    }
    for (path, _) in inside.iter().filter(|(_, other)| *other != device) {
        assert!(!inside.iter().any(|(other, _)| crate::paths::is_below(other, path)));
    }
}

#[test]
fn what_cannot_be_read_is_a_problem_and_the_walk_goes_on() {
    if rustix::process::geteuid().is_root() {
        return eprintln!("skipped: root may read everything");
    }
    let tree = Scratch::new("unreadable").with(&[b"a/hidden", b"b"]);
    fs::set_permissions(tree.path().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    let (found, problems) = walk(options("", tree.path()), 10);
    fs::set_permissions(tree.path().join("a"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(paths(&found), ["", "a", "b"]);
    let path = tree.path().join("a").as_os_str().as_bytes().to_vec();
    assert_eq!(problems, [Problem { path, what: "open directory".into(), errno: 13 }]);
}

#[test]
fn what_vanishes_during_the_walk_is_a_problem_and_the_walk_goes_on() {
    let tree = Scratch::new("vanish").with(&[b"a/x", b"b", b"c/y"]);
    let mut walker = Walker::new(options("", tree.path())).unwrap();
    walker.next(1).unwrap();
    fs::remove_dir_all(tree.path().join("a")).unwrap();
    fs::remove_file(tree.path().join("b")).unwrap();
    let rest = walker.next(10).unwrap().unwrap().entries;
    assert_eq!(paths(&rest), ["c", "c/y"]);
    let problems = walker.problems();
    assert_eq!(
        problems.iter().map(|problem| (problem.what.as_str(), problem.errno)).collect::<Vec<_>>(),
        [("stat", 2); 2]
    );
    assert!(problems[0].path.ends_with(b"/a") && walker.problems().is_empty());
}

/// Nested directories, `name` and a file `z` in each, made step by step: the paths get too long for the kernel.
fn nest(tree: &Path, name: &str, levels: usize) {
    let mut directory = openat(CWD, tree, OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&directory, name, Mode::RWXU).unwrap();
        directory = openat(&directory, name, OFlags::PATH, Mode::empty()).unwrap();
        let file = openat(&directory, "z", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        rustix::io::write(&file, b"deep").unwrap();
    }
}

#[test]
fn a_tree_of_a_thousand_levels_is_walked_and_read_with_few_descriptors() {
    let tree = Scratch::new("deep");
    nest(tree.path(), "a-directory-name", 1_000);
    // Of this tree only, for tests beside this one open others; the kernel tells where the upper 240 levels lie.
    let is_ours =
        |link: std::io::Result<std::path::PathBuf>| link.is_ok_and(|path| path.starts_with(tree.path()));
    let open = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        descriptors.filter(|found| is_ours(fs::read_link(found.as_ref().unwrap().path()))).count()
    };
    let mut walker = Walker::new(options("", tree.path())).unwrap();
    let (mut found, mut most) = (Vec::new(), 0);
    while let Some(batch) = walker.next(100).unwrap() {
        found.extend(batch.entries);
        most = most.max(open());
    }
    assert!((1..40).contains(&most), "{most} descriptors");
    assert_eq!((found.len(), walker.problems()), (2_001, vec![]));
    assert!(found.is_sorted_by(|a, b| compare_paths(&a.entry.path, &b.entry.path).is_lt()));
    let deepest = found.iter().max_by_key(|found| found.entry.path.len()).unwrap();
    assert!(deepest.entry.path.len() > 4 * 4_096);
    assert_eq!(content(deepest), b"deep");
}

#[test]
fn a_directory_that_is_moved_during_the_walk_does_not_lead_it_elsewhere() {
    // Of 41 levels the innermost 32 are open; those above are opened again on the way back.
    for (moves, lost) in [(&[5][..], 0), (&[5, 4], 1)] {
        let (tree, elsewhere) = (Scratch::new("moved").with(&[b"z"]), Scratch::new("elsewhere"));
        nest(tree.path(), "d", 40);
        let mut walker = Walker::new(options("", tree.path())).unwrap();
        walker.next(41).unwrap();
        for level in moves {
            let to = elsewhere.path().join(level.to_string());
            fs::rename(tree.path().join("d/".repeat(*level)), to).unwrap();
        }
        // Level 4 is found by its path if not by `..`, and given up if by neither; the others' files follow.
        let found = walker.next(100).unwrap().unwrap().entries;
        let files = found.iter().filter(|found| found.entry.path.ends_with(b"z")).count();
        assert_eq!((files, walker.problems().len()), (41 - lost, lost));
        assert_eq!(found.last().map(|found| found.entry.path.as_slice()), Some(&b"z"[..]));
    }
}
