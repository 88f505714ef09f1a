//! What exists already: kept, taken as done, or replaced; and extractions that go on after one that was killed.

use rustix::io::Errno;

use super::*;

fn make_old(path: PathBuf, content: &[u8]) {
    fs::write(&path, content).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(5, 0);
    File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
}

#[test]
fn never_keeps_what_exists() {
    let (built, file) = one_file(b"new");
    let target = Target::new();
    make_old(target.path(b"a"), b"old content");
    let extracted = target.extract(&built, &[file]).clean();
    assert_eq!(target.read(b"a"), b"old content");
    assert_eq!((extracted.skipped(Skip::Exists), extracted.totals.skipped), (1, 1));
    assert_eq!(extracted.totals.chunks, 0);
}

#[test]
fn changed_replaces_what_differs_in_size_or_time() {
    let (built, file) = one_file(b"new");
    for old in [&b"old"[..], b"longer"] {
        let target = Target::overwriting(Overwrite::Changed);
        make_old(target.path(b"a"), old);
        let extracted = target.extract(&built, std::slice::from_ref(&file)).clean();
        assert_eq!(target.read(b"a"), b"new");
        assert_eq!(extracted.skipped(Skip::Exists), 0);
    }
}

#[test]
fn changed_takes_what_is_equal_as_done_and_sets_its_mode() {
    let mut builder = builder();
    let mut entries = vec![
        directory(b"d"),
        file(&mut builder, b"d/a", &[b"x"]),
        file(&mut builder, b"d/empty", &[]),
        link(b"d/l", Kind::Symlink, b"a"),
        entry(b"d/p", Kind::Fifo),
        link(b"d/z", Kind::Hardlink, b"d/a"),
    ];
    let built = builder.build();
    let target = Target::overwriting(Overwrite::Changed);
    assert_eq!(target.extract(&built, &entries).clean().skipped(Skip::Exists), 0);
    let inode = target.stat(b"d/a").ino();
    entries[1].mode = 0o444;
    let extracted = target.extract(&built, &entries).clean();
    assert_eq!(extracted.skipped(Skip::Exists), 5);
    assert_eq!((extracted.totals.chunks, extracted.totals.entries), (0, 6));
    assert_eq!(target.stat(b"d/a").ino(), inode);
    assert_eq!(target.stat(b"d/a").mode() & 0o7777, 0o444);
    assert_eq!(target.stat(b"d").mtime(), MTIME.0);
}

#[test]
fn always_replaces_even_what_is_equal() {
    let (built, file) = one_file(b"new");
    let target = Target::overwriting(Overwrite::Always);
    target.extract(&built, std::slice::from_ref(&file)).clean();
    let inode = target.stat(b"a").ino();
    assert_eq!(target.extract(&built, &[file]).clean().totals.files, 1);
    assert_ne!(target.stat(b"a").ino(), inode);
}

#[test]
fn a_directory_in_the_place_of_a_file_is_a_problem() {
    let mut builder = builder();
    let entries = [
        file(&mut builder, b"a", &[b"x"]),
        link(b"b", Kind::Symlink, b"x"),
        link(b"c", Kind::Hardlink, b"a"),
    ];
    let built = builder.build();
    for overwrite in [Overwrite::Never, Overwrite::Changed, Overwrite::Always] {
        for entry in &entries {
            let target = Target::overwriting(overwrite);
            fs::create_dir(target.path(&entry.path)).unwrap();
            let extracted = target.extract(&built, &entries);
            let errno = rustix::io::Errno::ISDIR.raw_os_error();
            let found = extracted.problems.iter().any(|p| (&p.path, p.errno) == (&entry.path, errno));
            assert!(found, "{:?}", extracted.problems);
            assert!(target.stat(&entry.path).is_dir());
        }
    }
}

#[test]
fn a_file_in_the_place_of_a_directory_is_replaced_only_always() {
    let mut builder = builder();
    let entries = [directory(b"d"), file(&mut builder, b"d/f", &[b"x"])];
    let built = builder.build();
    for overwrite in [Overwrite::Never, Overwrite::Changed, Overwrite::Always] {
        let target = Target::overwriting(overwrite);
        fs::write(target.path(b"d"), b"in the way").unwrap();
        let extracted = target.extract(&built, &entries);
        if overwrite == Overwrite::Always {
            assert_eq!(extracted.problems, []);
            assert_eq!(target.read(b"d/f"), b"x");
        } else {
            assert_eq!(extracted.problems.len(), 2);
            assert_eq!(target.read(b"d"), b"in the way");
        }
    }
}

#[test]
fn existing_directories_keep_what_is_in_them() {
    let mut builder = builder();
    let entries = [directory(b"d"), file(&mut builder, b"d/f", &[b"x"])];
    let target = Target::new();
    fs::create_dir(target.path(b"d")).unwrap();
    fs::write(target.path(b"d/other"), b"stays").unwrap();
    fs::set_permissions(target.path(b"d"), fs::Permissions::from_mode(0o500)).unwrap();
    target.extract(&builder.build(), &entries).clean();
    assert_eq!((target.read(b"d/f"), target.read(b"d/other")), (b"x".to_vec(), b"stays".to_vec()));
    assert_eq!(target.stat(b"d").mode() & 0o7777, 0o750);
}

#[test]
fn an_extraction_goes_on_where_a_killed_one_stopped() {
    let mut builder = builder();
    let entries = [
        directory(b"d"),
        file(&mut builder, b"d/done", &[b"done"]),
        file(&mut builder, b"d/large", &[&[1; 60000], &[2; 60000]]),
        file(&mut builder, b"d/small", &[b"small"]),
        link(b"d/l", Kind::Symlink, b"x"),
        link(b"d/m", Kind::Hardlink, b"d/done"),
        link(b"d/n", Kind::Hardlink, b"d/done"),
    ];
    let built = builder.build();
    let target = Target::overwriting(Overwrite::Changed);
    target.extract(&built, &entries[..2]).clean();
    // What kill -9 can leave: files half written, and links made that have no name of their own yet, or have one too.
    for path in [&b"d/large"[..], b"d/small", b"d/l"] {
        fs::write(temporary_name(&target, path), b"half").unwrap();
    }
    fs::hard_link(target.path(b"d/done"), target.path(b"d/m")).unwrap();
    for path in [&b"d/m"[..], b"d/n", b"d/done"] {
        fs::hard_link(target.path(b"d/done"), temporary_name(&target, path)).unwrap();
    }
    let extracted = target.extract(&built, &entries).clean();
    assert_eq!(target.read(b"d/large").len(), 120_000);
    assert_eq!(target.read(b"d/small"), b"small");
    assert_eq!(target.stat(b"d/done").nlink(), 4 - 1);
    assert_eq!(extracted.skipped(Skip::Exists), 2);
}

/// A hard link to a file, as the walk notes it.
fn name_of(file: &Entry, path: &[u8]) -> Entry {
    Entry { size: file.size, ..link(path, Kind::Hardlink, &file.path) }
}

#[test]
fn a_hard_link_is_never_made_to_another_file_than_its_own() {
    let mut builder = builder();
    let a = file(&mut builder, b"a", &[b"new"]);
    let entries = [a.clone(), name_of(&a, b"b"), name_of(&a, b"c")];
    let built = builder.build();
    let target = Target::new();
    fs::write(target.path(b"a"), b"old").unwrap();
    fs::write(target.path(b"b"), b"mine").unwrap();
    let extracted = target.extract(&built, &entries);
    assert_eq!(extracted.problem(), (&b"c"[..], Errno::EXIST.raw_os_error()));
    assert_eq!(extracted.skipped(Skip::Exists), 2);
    assert_eq!((target.read(b"a"), target.read(b"b")), (b"old".to_vec(), b"mine".to_vec()));
    assert!(!target.path(b"c").exists());
}

#[test]
fn a_hard_link_to_a_damaged_file_replaces_nothing() {
    let mut builder = builder();
    let a = file(&mut builder, b"a", &[b"new"]);
    let entries = [a.clone(), name_of(&a, b"b"), name_of(&a, b"c")];
    let mut built = builder.build();
    built.bytes[300] ^= 1;
    for overwrite in [Overwrite::Never, Overwrite::Changed, Overwrite::Always] {
        let target = Target::overwriting(overwrite);
        fs::write(target.path(b"a"), b"old").unwrap();
        fs::write(target.path(b"b"), b"mine").unwrap();
        let extracted = target.extract(&built, &entries);
        let damaged = if overwrite == Overwrite::Never { 0 } else { 3 };
        assert_eq!(extracted.problems.iter().filter(|problem| problem.errno == 0).count(), damaged);
        assert_eq!((target.read(b"a"), target.read(b"b")), (b"old".to_vec(), b"mine".to_vec()));
        assert!(!target.path(b"c").exists());
    }
}

#[test]
fn hard_links_are_made_to_a_file_that_an_earlier_run_restored() {
    let mut builder = builder();
    let a = file(&mut builder, b"a", &[b"new"]);
    let entries = [a.clone(), name_of(&a, b"b")];
    let built = builder.build();
    let target = Target::new();
    target.extract(&built, &entries[..1]).clean();
    target.extract(&built, &entries).clean();
    assert_eq!(target.stat(b"a").ino(), target.stat(b"b").ino());
}

#[test]
fn hard_links_are_made_to_a_file_that_changed_between_the_walk_and_its_reading() {
    let mut builder = builder();
    let a = file(&mut builder, b"a", &[b"new"]);
    let mut other = name_of(&a, b"b");
    (other.size, other.mtime.seconds) = (7, 12);
    let target = Target::new();
    target.extract(&builder.build(), &[a, other]).clean();
    assert_eq!(target.stat(b"a").ino(), target.stat(b"b").ino());
}

#[test]
fn hard_links_are_made_to_a_file_that_another_link_was_taken_from() {
    let mut builder = builder();
    let a = file(&mut builder, b"a", &[b"new"]);
    let c = file(&mut builder, b"c", &[b"own"]);
    let mut built = builder.build();
    let target = Target::overwriting(Overwrite::Changed);
    fs::write(target.path(b"a"), b"old").unwrap();
    fs::hard_link(target.path(b"a"), target.path(b"c")).unwrap();
    target.extract(&built, &[c, a.clone(), name_of(&a, b"b")]).clean();
    assert_eq!(target.read(b"b"), b"new");
    built.bytes[300] ^= 1;
    fs::write(target.path(b"a"), b"other").unwrap();
    let extracted = target.extract(&built, &[a.clone(), name_of(&a, b"d")]);
    assert_eq!(extracted.problems.len(), 2, "{:?}", extracted.problems);
    assert!(!target.path(b"d").exists());
}

#[test]
fn whole_seconds_of_a_file_system_are_the_times_of_a_file() {
    let mut builder = builder();
    let a = file(&mut builder, b"a", &[b"new"]);
    let entries = [a.clone(), name_of(&a, b"b")];
    let built = builder.build();
    let target = Target::new();
    fs::write(target.path(b"a"), b"new").unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(MTIME.0 as u64);
    File::options().write(true).open(target.path(b"a")).unwrap().set_modified(time).unwrap();
    target.extract(&built, &entries).clean();
    assert_eq!(target.stat(b"a").ino(), target.stat(b"b").ino());
}

#[test]
fn hard_links_replace_by_the_rules() {
    let mut builder = builder();
    let entries = [file(&mut builder, b"a", &[b"new"]), link(b"b", Kind::Hardlink, b"a")];
    let built = builder.build();
    for (overwrite, linked) in
        [(Overwrite::Never, false), (Overwrite::Changed, true), (Overwrite::Always, true)]
    {
        let target = Target::overwriting(overwrite);
        make_old(target.path(b"b"), b"old");
        target.extract(&built, &entries).clean();
        assert_eq!(target.stat(b"a").ino() == target.stat(b"b").ino(), linked);
        assert_eq!(target.read(b"b"), if linked { b"new" } else { b"old" });
    }
}
