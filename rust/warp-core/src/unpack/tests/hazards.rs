//! Directories prepared against us, paths that are hard to reach, and ends before the end.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::*;

/// A target with a symbolic link `d` out of it, and where that leads.
fn trapped(overwrite: Overwrite) -> (Target, Scratch) {
    let (target, outside) = (Target::overwriting(overwrite), Scratch::new("outside"));
    symlink(outside.path(), target.path(b"d")).unwrap();
    (target, outside)
}

fn is_empty(directory: &Scratch) -> bool {
    fs::read_dir(directory.path()).unwrap().next().is_none()
}

#[test]
fn a_link_in_the_place_of_a_directory_is_never_followed() {
    let mut builder = builder();
    let entries = [
        directory(b"d"),
        file(&mut builder, b"d/f", &[b"x"]),
        file(&mut builder, b"d/deep/g", &[b"x"]),
        link(b"d/l", Kind::Symlink, b"x"),
        link(b"d/m", Kind::Hardlink, b"a"),
        file(&mut builder, b"other", &[b"fine"]),
    ];
    let built = builder.build();
    for overwrite in [Overwrite::Never, Overwrite::Changed] {
        let (target, outside) = trapped(overwrite);
        let extracted = target.extract(&built, &entries);
        assert_eq!(extracted.problems.len(), 5, "{:?}", extracted.problems);
        assert!(is_empty(&outside));
        assert_eq!(target.read(b"other"), b"fine");
    }
    let (target, outside) = trapped(Overwrite::Always);
    let extracted = target.extract(&built, &entries);
    assert_eq!(extracted.problem(), (&b"d/m"[..], Errno::NOENT.raw_os_error()));
    assert!(is_empty(&outside) && target.stat(b"d").is_dir());
}

#[test]
fn a_link_above_a_selected_file_is_never_followed() {
    let mut builder = builder();
    let entries =
        [file(&mut builder, b"d/f", &[b"x"]), file(&mut builder, b"d/large", &[&[1; 60000], &[2; 60000]])];
    let built = builder.build();
    for overwrite in [Overwrite::Never, Overwrite::Changed, Overwrite::Always] {
        let (target, outside) = trapped(overwrite);
        let extracted = target.extract(&built, &entries);
        assert_eq!(extracted.problems.len(), 2);
        assert!(is_empty(&outside) && target.stat(b"d").is_symlink());
    }
}

#[test]
fn a_hard_link_is_not_made_through_a_link() {
    let (target, outside) = trapped(Overwrite::Always);
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    let extracted = target.extract(&builder().build(), &[link(b"z", Kind::Hardlink, b"d/secret")]);
    assert_eq!(extracted.problem().0, b"z");
    assert!(!target.path(b"z").exists());
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_written_through() {
    let (built, file) = one_file(b"new");
    for overwrite in [Overwrite::Never, Overwrite::Changed, Overwrite::Always] {
        let (target, outside) = (Target::overwriting(overwrite), Scratch::new("outside"));
        let victim = outside.path().join("victim");
        fs::write(&victim, b"untouched").unwrap();
        symlink(&victim, target.path(b"a")).unwrap();
        target.extract(&built, std::slice::from_ref(&file)).clean();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(target.stat(b"a").is_symlink(), overwrite == Overwrite::Never);
    }
}

#[test]
fn a_link_in_the_place_of_a_temporary_file_is_removed() {
    let mut builder = builder();
    let entries =
        [file(&mut builder, b"a", &[b"new"]), file(&mut builder, b"b", &[&[1; 60000], &[2; 60000]])];
    let (target, outside) = (Target::new(), Scratch::new("outside"));
    let victim = outside.path().join("victim");
    fs::write(&victim, b"untouched").unwrap();
    for path in [b"a", b"b"] {
        symlink(&victim, temporary_name(&target, path)).unwrap();
    }
    target.extract(&builder.build(), &entries).clean();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(target.read(b"a"), b"new");
}

#[test]
fn a_directory_at_a_temporary_name_fails_that_entry() {
    let (built, file) = one_file(b"new");
    let target = Target::new();
    fs::create_dir(temporary_name(&target, b"a")).unwrap();
    assert_eq!(target.extract(&built, &[file]).problem(), (&b"a"[..], Errno::ISDIR.raw_os_error()));
}

#[test]
fn a_hard_link_without_its_file_is_a_problem() {
    let target = Target::new();
    let extracted = target.extract(&builder().build(), &[link(b"z", Kind::Hardlink, b"a/b")]);
    assert_eq!(extracted.problem(), (&b"z"[..], Errno::NOENT.raw_os_error()));
}

#[test]
fn a_file_that_is_a_directory_too_is_a_problem() {
    let mut builder = builder();
    let entries = [file(&mut builder, b"a", &[b"x"]), file(&mut builder, b"a/b", &[b"y"])];
    let extracted = Target::new().extract(&builder.build(), &entries);
    assert_eq!(extracted.problems.len(), 1);
}

#[test]
fn paths_longer_than_the_system_takes_at_once_are_restored() {
    let mut builder = builder();
    let mut path = b"directory/".repeat(600);
    path.extend(b"file");
    let entry = file(&mut builder, &path, &[&[1; 60000], &[2; 60000]]);
    let (target, built) = (Target::new(), builder.build());
    let mut pipeline = target.start(&built);
    let [table] = &*tables(std::slice::from_ref(&entry)) else { panic!() };
    pipeline.submit(Arc::clone(table), None).unwrap();
    pipeline.finish();
    pipeline.poll(PATIENCE).unwrap();
    assert_eq!(pipeline.problems(), []);
    let root = File::open(target.scratch.path()).unwrap();
    let parent = beneath::open_directory(root.as_fd(), beneath::split(&path).0).unwrap();
    let stat = rustix::fs::statat(&parent, "file", rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!(stat.st_size as u64, entry.size);
}

#[test]
fn an_aborted_extraction_leaves_nothing_temporary() {
    let mut builder = builder();
    let mut big = entry(b"big", Kind::File);
    for _ in 0..100 {
        let first = builder.fragment(&[1; 60000]);
        big.runs.push(Run { first, count: 1 });
        big.size += 60000;
    }
    let (target, built) = (Target::new(), builder.build());
    for pause in 0..20 {
        let mut pipeline = target.start(&built);
        pipeline.submit(tables(&[big.clone()])[0].clone(), None).unwrap();
        pipeline.finish();
        let _ = pipeline.poll(Duration::from_micros(200 * pause));
        pipeline.abort();
        pipeline.abort();
        assert!(matches!(pipeline.poll(PATIENCE), Err(Error::Cancelled) | Ok((_, true))));
        assert_eq!(target.left_over(), Vec::<PathBuf>::new());
        let _ = fs::remove_file(target.path(b"big"));
    }
}

#[test]
fn an_index_without_chunks_cannot_be_extracted_from() {
    let mut builder = builder();
    builder.fragment(b"x");
    builder.close(Codec::Store);
    let mut pages = builder.pages();
    pages.chunks.clear();
    pages.fragments.clear();
    let mut index = pages.index(true, false).unwrap();
    index.finish(u64::MAX).unwrap();
    let mut built = builder.build();
    built.index = Arc::new(index);
    let target = Target::new();
    let root = File::open(target.scratch.path()).unwrap();
    let archive = Archive { fd: built.fd(), index: built.index, keys: built.keys };
    assert!(UnpackPipeline::new(archive, root.into(), &target.options).is_err());
}
