//! What is in files: it is what was packed, or the file is not there.

use proptest::prelude::*;

use super::*;

#[test]
fn a_small_tree_is_restored() {
    let mut builder = builder();
    let entries = [
        directory(b""),
        directory(b"d"),
        file(&mut builder, b"d/one", &[b"first"]),
        file(&mut builder, b"d/two", &[b"second ", b"and more"]),
        file(&mut builder, b"empty", &[]),
        link(b"link", Kind::Symlink, b"d/one"),
    ];
    let target = Target::new();
    let extracted = target.extract(&builder.build(), &entries).clean();
    assert_eq!(target.read(b"d/one"), b"first");
    assert_eq!(target.read(b"d/two"), b"second and more");
    assert_eq!(target.read(b"empty"), b"");
    assert_eq!(fs::read_link(target.path(b"link")).unwrap(), PathBuf::from("d/one"));
    let totals = extracted.totals;
    assert_eq!((totals.entries, totals.files, totals.skipped), (6, 3, 0));
    assert_eq!((totals.bytes_written, totals.chunks), (20, 1));
}

#[test]
fn a_selection_brings_its_directories_along() {
    let mut builder = builder();
    let entries = [
        directory(b"d"),
        file(&mut builder, b"d/e/one", &[b"first"]),
        file(&mut builder, b"d/two", &[b"second"]),
    ];
    let (target, built) = (Target::new(), builder.build());
    let mut pipeline = target.start(&built);
    let [table] = &*tables(&entries) else { panic!() };
    assert!(pipeline.submit(Arc::clone(table), Some(vec![1])).unwrap());
    assert!(pipeline.submit(Arc::clone(table), Some(vec![3])).is_err());
    pipeline.finish();
    assert!(pipeline.poll(PATIENCE).unwrap().1);
    assert_eq!(target.read(b"d/e/one"), b"first");
    assert!(!target.path(b"d/two").exists());
    assert_eq!(target.stat(b"d").mode() & 0o700, 0o700);
    assert!(pipeline.submit(Arc::clone(table), None).is_err(), "after the end");
}

#[test]
fn a_file_of_many_windows_is_whole() {
    let mut builder = builder();
    let mut big = entry(b"big", Kind::File);
    let mut content = Vec::new();
    for i in 0..3000_u32 {
        let fragment = i.to_le_bytes().repeat(10);
        let first = builder.fragment(&fragment);
        // No two in one chunk, so that each is a need.
        builder.close(Codec::Store);
        big.runs.push(Run { first, count: 1 });
        content.extend(fragment);
    }
    big.size = content.len() as u64;
    let entries = [big, link(b"name", Kind::Hardlink, b"big"), entry(b"z", Kind::File)];
    let target = Target::new();
    let extracted = target.extract(&builder.build(), &entries).clean();
    assert_eq!((extracted.totals.chunks, extracted.totals.entries), (3000, 3));
    assert!(target.read(b"big") == content);
    assert_eq!(target.stat(b"name").ino(), target.stat(b"big").ino());
}

#[test]
fn each_chunk_is_decoded_once_in_a_window() {
    let mut builder = builder();
    let mut entries = vec![file(&mut builder, b"a", &[b"shared"])];
    builder.close(Codec::Store);
    entries.push(file(&mut builder, b"b", &[b"own"]));
    for name in [b"c", b"d"] {
        let mut again = entry(name, Kind::File);
        again.runs = vec![Run { first: 1, count: 1 }, Run { first: 0, count: 1 }].into();
        again.size = 9;
        entries.push(again);
    }
    let target = Target::new();
    let extracted = target.extract(&builder.build(), &entries).clean();
    assert_eq!(extracted.totals.chunks, 2);
    assert_eq!(target.read(b"d"), b"ownshared");
}

#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 64 << 20;
    let mut builder = builder();
    let mut sparse = file(&mut builder, b"sparse", &[&[1; 5000], &[2; 5000]]);
    builder.close(Codec::Store);
    sparse.runs.push(Run { first: builder.fragment(&[3; 2000]), count: 1 });
    sparse.size = SIZE;
    sparse.flags = FLAG_SPARSE;
    sparse.extents = vec![(4096, 3000), (1 << 20, 8000), (SIZE - 9000, 1000)];
    let mut hole = entry(b"hole", Kind::File);
    (hole.size, hole.flags) = (SIZE, FLAG_SPARSE);
    let mut single = file(&mut builder, b"single", &[b"x"]);
    (single.size, single.flags, single.extents) = (SIZE, FLAG_SPARSE, vec![(SIZE / 2, 1)]);
    let target = Target::new();
    let entries = [sparse, hole, single];
    target.extract(&builder.build(), &entries).clean();
    let data = [vec![1; 5000], vec![2; 5000], vec![3; 2000]].concat();
    let mut expected = vec![0; SIZE as usize];
    expected[4096..7096].copy_from_slice(&data[..3000]);
    expected[1 << 20..][..8000].copy_from_slice(&data[3000..11000]);
    expected[SIZE as usize - 9000..][..1000].copy_from_slice(&data[11000..]);
    assert!(target.read(b"sparse") == expected);
    assert_eq!(target.read(b"single")[SIZE as usize / 2], b'x');
    for name in [&b"sparse"[..], b"hole", b"single"] {
        assert_eq!(target.stat(name).size(), SIZE);
        assert!(target.stat(name).blocks() < 200, "{} blocks", target.stat(name).blocks());
    }
}

#[test]
fn a_damaged_chunk_costs_the_files_that_need_it_and_no_others() {
    let mut builder = builder();
    let mut entries = vec![file(&mut builder, b"bad", &[b"damaged"])];
    let mut partly = file(&mut builder, b"partly", &[b"part "]);
    builder.close(Codec::Store);
    partly.runs.push(Run { first: builder.fragment(b"of it"), count: 1 });
    partly.size = 10;
    entries.push(partly);
    entries.push(file(&mut builder, b"whole", &[b"untouched"]));
    let mut built = builder.build();
    built.bytes[300] ^= 1;
    let target = Target::new();
    let extracted = target.extract(&built, &entries);
    let mut paths: Vec<_> = extracted.problems.iter().map(|p| (&*p.path, p.errno)).collect();
    paths.sort_unstable();
    assert_eq!(paths, [(&b"bad"[..], 0), (b"partly", 0)]);
    assert!(extracted.problems[0].what.starts_with("damaged data: damaged chunk 0"));
    assert_eq!(target.read(b"whole"), b"untouched");
    assert!(!target.path(b"bad").exists() && !target.path(b"partly").exists());
    assert_eq!((extracted.totals.entries, extracted.totals.files), (3, 1));
}

#[test]
fn a_recipe_of_another_length_than_the_file_is_refused() {
    let (built, honest) = one_file(b"content");
    for (size, runs) in [(8, vec![(0, 1)]), (6, vec![(0, 1)]), (7, vec![(0, 2)]), (7, vec![])] {
        let mut lie = honest.clone();
        lie.size = size;
        lie.runs = runs.iter().map(|(first, count)| Run { first: *first, count: *count }).collect();
        let target = Target::new();
        assert_eq!(target.extract(&built, &[lie]).problem(), (&b"a"[..], 0));
        assert!(!target.path(b"a").exists());
    }
}

#[test]
fn entries_out_of_order_are_refused() {
    let mut builder = builder();
    let table =
        EntryTable { entries: vec![file(&mut builder, b"b", &[b"x"]), file(&mut builder, b"a", &[b"y"])] };
    let (target, built) = (Target::new(), builder.build());
    let mut pipeline = target.start(&built);
    pipeline.submit(Arc::new(table), None).unwrap();
    pipeline.finish();
    pipeline.poll(PATIENCE).unwrap();
    assert_eq!(pipeline.problems()[0].path, b"a");
    assert!(target.path(b"b").exists() && !target.path(b"a").exists());
}

/// A tree: for each file its name, in up to three directories, and which fragments it has.
fn trees() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<usize>)>> {
    let name = prop::collection::vec(prop::sample::select(vec!["a", "b.c", "b", "\u{fc} x"]), 1..4);
    let recipe = prop::collection::vec(0..30_usize, 0..6);
    prop::collection::btree_map(name, recipe, 1..60).prop_map(|files| {
        let named = |(path, recipe): (Vec<&str>, _)| ((path.join("/") + ".f").into_bytes(), recipe);
        files.into_iter().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn trees_that_share_fragments_are_restored_to_the_byte(
        tree in trees(), lengths in prop::collection::vec(1..3000_usize, 30), chunk in 1..8_usize, memory in 0..2_usize,
    ) {
        let mut builder = builder();
        let mut fragments = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            let fragment: Vec<u8> = (0..*length).map(|at| (at * (i + 3) % 251) as u8).collect();
            builder.fragment(&fragment);
            if i % chunk == 0 {
                builder.close([Codec::Store, Codec::Zstd, Codec::Lz4][i % 3]);
            }
            fragments.push(fragment);
        }
        let files = tree.iter().map(|(path, recipe)| {
            let mut file = entry(path, Kind::File);
            file.runs = recipe.iter().map(|i| Run { first: *i as u64, count: 1 }).collect();
            file.size = recipe.iter().map(|i| lengths[*i] as u64).sum();
            file
        });
        let mut target = Target::new();
        target.options.memory = memory << 30;
        target.extract(&builder.build(), &files.collect::<Vec<_>>()).clean();
        for (path, recipe) in &tree {
            let expected: Vec<u8> = recipe.iter().flat_map(|i| fragments[*i].clone()).collect();
            prop_assert!(target.read(path) == expected);
        }
    }
}
