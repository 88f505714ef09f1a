//! What is left of damaged files, where it is wanted.

use super::*;

/// Bytes of a fragment that fills a chunk more than half, so that each is a chunk of its own.
const PART: usize = 40_000;

/// A file of so many parts, each a chunk of its own and of its own byte.
fn parts(builder: &mut Builder, path: &[u8], count: u8) -> Entry {
    let parts: Vec<_> = (1..=count).map(|byte| vec![byte; PART]).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    let file = file(builder, path, &parts);
    builder.close(Codec::Store);
    file
}

/// Change a byte of these chunks.
fn damage(built: &mut Built, chunks: &[usize]) {
    for chunk in chunks {
        let offset = built.index.record(*chunk).unwrap().offset as usize;
        built.bytes[offset] ^= 1;
    }
}

fn keeping() -> Target {
    let mut target = Target::new();
    target.options.keep_damaged = true;
    target
}

/// What the one problem says.
fn said(extracted: &Extracted) -> String {
    let [problem] = &*extracted.problems else {
        panic!("{:?}", extracted.problems);
    };
    assert_eq!(problem.errno, 0);
    format!("{}; {}", problem.what, problem.rest.as_ref().unwrap().says)
}

/// What is left of the one file that is damaged.
fn rest(extracted: &Extracted) -> &Rest {
    extracted.problems[0].rest.as_ref().unwrap()
}

#[test]
fn what_is_whole_is_kept_under_another_name_with_zeros_for_the_rest() {
    let mut builder = builder();
    let mut entry = parts(&mut builder, b"disk.img", 5);
    entry.mode = 0o6755;
    let mut built = builder.build();
    damage(&mut built, &[1, 2, 4]);
    let mut target = keeping();
    target.options.setuid = true;
    let extracted = target.extract(&built, &[entry]);
    let said = said(&extracted);
    assert!(said.starts_with("damaged data: damaged chunk "), "{said}");
    assert!(
        said.ends_with(
            "; kept as disk.img.damaged-00017461, with zeros for bytes 40000 to 120000, 160000 to 200000"
        ),
        "{said}"
    );
    let expected = [vec![1; PART], vec![0; 2 * PART], vec![4; PART], vec![0; PART]].concat();
    assert!(target.read(b"disk.img.damaged-00017461") == expected);
    assert!(!target.path(b"disk.img").exists());
    let stat = target.stat(b"disk.img.damaged-00017461");
    assert_eq!((stat.mtime(), stat.mtime_nsec()), MTIME);
    assert_eq!(stat.permissions().mode() & 0o7777, 0o600, "not for others, and not to be run");
    let totals = extracted.totals;
    assert_eq!((totals.entries, totals.files, totals.kept, totals.bytes_discarded), (1, 0, 1, 0));
    let lost = vec![(40_000, 120_000), (160_000, 200_000)];
    assert_eq!(
        (rest(&extracted).kept.as_deref(), &rest(&extracted).lost),
        (Some(&b"disk.img.damaged-00017461"[..]), &lost)
    );
}

#[test]
fn the_places_of_a_sparse_file_are_told_as_they_lie_in_it() {
    let mut builder = builder();
    let mut entry = parts(&mut builder, b"sparse", 2);
    (entry.size, entry.flags) = (1 << 20, FLAG_SPARSE);
    entry.extents = vec![(4096, 60_000), (500_000, 20_000)];
    let mut built = builder.build();
    damage(&mut built, &[1]);
    let target = keeping();
    let extracted = target.extract(&built, &[entry]);
    let said = said(&extracted);
    assert!(said.ends_with("with zeros for bytes 44096 to 64096, 500000 to 520000"), "{said}");
    let content = target.read(b"sparse.damaged-00017461");
    assert_eq!(content.len(), 1 << 20);
    assert!(content[4096..44096] == vec![1; PART]);
    assert!(content.iter().filter(|byte| **byte != 0).count() == PART);
}

#[test]
fn nothing_is_kept_of_a_file_of_which_nothing_is_left() {
    let mut builder = builder();
    let (all, small) = (parts(&mut builder, b"all", 2), file(&mut builder, b"small", &[b"one chunk"]));
    let mut built = builder.build();
    damage(&mut built, &[0, 1, 2]);
    let target = keeping();
    let extracted = target.extract(&built, &[all, small]);
    assert_eq!(extracted.problems.len(), 2);
    assert!(extracted.problems.iter().all(|p| p.rest.as_ref().is_none_or(|rest| rest.kept.is_none())));
    assert!(
        !target.path(b"all.damaged-00017461").exists()
            && !target.path(b"small.damaged-00017461-00017461").exists()
    );
}

#[test]
fn a_file_that_is_there_is_overwritten_only_if_the_rule_says_so() {
    let mut builder = builder();
    let entry = parts(&mut builder, b"a", 2);
    let mut built = builder.build();
    damage(&mut built, &[1]);
    let mut target = keeping();
    fs::write(target.path(b"a.damaged-00017461"), "mine").unwrap();
    let extracted = target.extract(&built, std::slice::from_ref(&entry));
    let said = said(&extracted);
    assert!(said.contains("; a.damaged-00017461 of an earlier run is there, and stays"), "{said}");
    assert!(said.ends_with("; lost are bytes 40000 to 80000"), "{said}");
    assert_eq!((&rest(&extracted).kept, extracted.totals.bytes_discarded), (&None, PART as u64));
    assert_eq!(target.read(b"a.damaged-00017461"), b"mine");
    target.options.overwrite = Overwrite::Always;
    target.extract(&built, &[entry]);
    assert_eq!(target.read(b"a.damaged-00017461").len(), 2 * PART);
}

#[test]
fn a_packed_file_that_is_called_damaged_is_another() {
    let mut builder = builder();
    let entries = [parts(&mut builder, b"a", 2), file(&mut builder, b"a.damaged", &[b"packed"])];
    let mut built = builder.build();
    damage(&mut built, &[1]);
    let target = keeping();
    assert_eq!(target.extract(&built, &entries).totals.files, 1);
    assert_eq!(target.read(b"a.damaged"), b"packed");
    assert_eq!(target.read(b"a.damaged-00017461").len(), 2 * PART);
}

#[test]
fn a_name_too_long_for_the_ending_is_cut_between_two_characters() {
    let mut builder = builder();
    let names = ["1", "2"].map(|end| "ä".repeat(126) + end);
    let entries = names.each_ref().map(|name| parts(&mut builder, name.as_bytes(), 2));
    let mut built = builder.build();
    damage(&mut built, &[1, 3]);
    let target = keeping();
    let extracted = target.extract(&built, &entries);
    let kept = extracted.problems.iter().map(|problem| problem.rest.as_ref().unwrap().kept.clone().unwrap());
    let kept: std::collections::BTreeSet<_> = kept.collect();
    assert_eq!(kept.len(), 2);
    for name in kept {
        assert!(name.starts_with(&"ä".repeat(114).into_bytes()) && name.ends_with(b".damaged-00017461"));
        assert!(std::str::from_utf8(&name).is_ok() && name.len() <= 255);
        assert_eq!(target.read(&name).len(), 2 * PART);
    }
}

#[test]
fn what_cannot_have_its_name_is_told() {
    let mut builder = builder();
    let entry = parts(&mut builder, b"a", 2);
    let mut built = builder.build();
    damage(&mut built, &[1]);
    let target = keeping();
    fs::create_dir(target.path(b"a.damaged-00017461")).unwrap();
    let extracted = target.extract(&built, &[entry]);
    let said = said(&extracted);
    assert!(said.ends_with("and is not removed: move it away: Is a directory"), "{said}");
}

#[test]
fn of_many_places_the_first_are_named() {
    let mut builder = builder();
    let entry = parts(&mut builder, b"many", 200);
    let mut built = builder.build();
    damage(&mut built, &(0..200).step_by(2).collect::<Vec<_>>());
    let mut target = keeping();
    target.options.threads = 1;
    let extracted = target.extract(&built, &[entry]);
    assert!(said(&extracted).contains("zeros for bytes 0 to 40000, 80000 to 120000, "));
    let end = "1200000 to 1240000 and further places, 4000000 bytes in all (--json names them)";
    assert!(said(&extracted).ends_with(end), "{}", said(&extracted));
    let all: Vec<_> = (0..100).map(|number| (number * 80_000, number * 80_000 + 40_000)).collect();
    assert_eq!(rest(&extracted).lost, all);
}
