"""What grew most, by sums over a stream of changes."""

import random
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator

import pytest

from warp_portal.archive.difference import Aspect, Change
from warp_portal.archive.filetable import Entry, Kind, order_key
from warp_portal.archive.growth import Growth, Sums, growths, largest_growths


def entry(path: bytes, size: int | None, kind: Kind) -> Entry | None:
    return None if size is None else Entry(path, kind, 0o644, size=size)


def change(path: bytes, old: int | None, new: int | None, before: Kind = Kind.FILE, after: Kind = Kind.FILE) -> Change:
    """A change of a file; None where there is none."""
    return Change(path, entry(path, old, before), entry(path, new, after), (Aspect.CONTENT,))


def said(found: list[Growth]) -> list[tuple[str, int]]:
    return [(each.path.decode() + "/" * each.directory, each.sums.grown_bytes) for each in found]


def test_directories_have_the_sums_and_counts_of_the_files_beneath_them() -> None:
    changes = [
        change(b"t/data/big", None, 800),
        change(b"t/data/more/a", 10, 60),
        change(b"t/data/more/b", 7, None),
        change(b"t/old/x", 300, None),
        change(b"t.txt", 5, 5),
    ]
    found = largest_growths(changes, 99)
    assert said(found) == [
        ("t/data/", 843),
        ("t/data/big", 800),
        ("t/", 543),
        ("t/old/", -300),
        ("t/old/x", -300),
        ("t/data/more/a", 50),
        ("t/data/more/", 43),
        ("t/data/more/b", -7),
    ]
    assert found[0].sums == Sums(843, added=1, removed=1, changed=1)
    assert found[3].sums == Sums(-300, removed=1)


def test_only_so_many_are_kept_and_of_equal_ones_the_first_by_path() -> None:
    """In the order of archives: a directory's files come before `a!`, which sorts before a slash."""
    changes = [change(b"a/b", 1, 6), change(b"a!", 9, 4), change(b"b", None, 5)]
    assert said(largest_growths(changes, 3)) == [("a/", 5), ("a/b", 5), ("a!", -5)]
    assert said(largest_growths(changes, 1)) == [("a/", 5)]


def test_what_changed_no_size_is_left_out() -> None:
    changes = [change(b"a/1", 5, None), change(b"a/2", None, 5), change(b"b", 3, 3)]
    assert said(largest_growths(changes, 9)) == [("a/1", -5), ("a/2", 5)]


def test_what_became_something_else_counts_its_size_in_and_out() -> None:
    changes = [
        change(b"d/link", 4, 900, after=Kind.SYMLINK),
        change(b"d/was", 9, 0, before=Kind.SYMLINK),
        change(b"dir", 70, 0, after=Kind.DIRECTORY),
        change(b"dir/file", None, 50),
        change(b"file", 0, 8, before=Kind.DIRECTORY),
        change(b"file/gone", 2, None),
    ]
    found = largest_growths(changes, 99)
    assert said(found) == [
        ("dir", -70),
        ("dir/", 50),
        ("dir/file", 50),
        ("file", 8),
        ("d/", -4),
        ("d/link", -4),
        ("file/", -2),
        ("file/gone", -2),
    ]
    assert found[4].sums == Sums(-4, changed=2)


@pytest.mark.parametrize("kind", [Kind.DIRECTORY, Kind.SYMLINK, Kind.HARDLINK])
def test_what_is_no_regular_file_counts_nothing(kind: Kind) -> None:
    changes = [change(b"d/x", None, 7, after=kind), change(b"d/y", 7, 9, before=kind, after=kind)]
    assert list(growths(changes)) == []


def expected(changes: list[Change]) -> list[tuple[str, int]]:
    """The same from a table of all directories."""
    sums: dict[bytes, int] = defaultdict(int)
    for each in changes:
        parts = each.path.split(b"/")
        grown = (each.new.size if each.new else 0) - (each.old.size if each.old else 0)
        for path in (*(b"/".join(parts[:n]) + b"/" for n in range(1, len(parts))), each.path):
            sums[path] += grown
    found = [(path.decode(), grown) for path, grown in sums.items() if grown]
    return sorted(found, key=lambda one: (-abs(one[1]), order_key(one[0].rstrip("/").encode())))


@pytest.mark.parametrize("seed", range(20))
def test_sums_are_those_of_a_table_of_all_directories(seed: int) -> None:
    chosen = random.Random(seed)
    names = [b"a", b"a!", b"ab", b"b"]
    paths = {b"/".join(chosen.choices(names, k=chosen.randint(1, 5))) + b".f" for _ in range(60)}
    sizes = [None, *range(5)]
    changes = [change(path, chosen.choice(sizes), chosen.choice(sizes)) for path in sorted(paths, key=order_key)]
    changes = [each for each in changes if each.old or each.new]
    assert said(largest_growths(changes, 9999)) == expected(changes)
    assert said(largest_growths(changes, 7)) == expected(changes)[:7]


def test_memory_does_not_grow_with_the_changes_or_with_the_square_of_a_path() -> None:
    def many() -> Iterator[Change]:
        for number in range(20_000):
            yield change(b"d%05d/a/b/file" % number, None, number + 1)
        yield change(b"e/" * 16_000 + b"f", None, 1)

    tracemalloc.start()
    try:
        found = largest_growths(many(), 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said(found) == [("d19999/", 20_000), ("d19999/a/", 20_000), ("d19999/a/b/", 20_000)]
    assert peak < 8_000_000
