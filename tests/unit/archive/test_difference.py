"""What changed from one snapshot to another, and from one to the live tree."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.trees import every_type
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, grow

from warp_portal._native import EntryTable, ScopeKeys
from warp_portal.archive import difference
from warp_portal.archive.content import Page, read_table
from warp_portal.archive.difference import Aspect, Change, Tally, compare, compare_snapshots
from warp_portal.archive.extraction import ExtractRequest, extract
from warp_portal.archive.filetable import FLAG_SPARSE, Entry, Kind, Recipe, table_of
from warp_portal.archive.livetree import LiveOptions, LiveProgress, LiveTree, recorded_source
from warp_portal.archive.options import Source, Stream
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.writer import append, create
from warp_portal.clock import VirtualClock
from warp_portal.errors import FormatError, NotFoundError, SignatureError, UsageError
from warp_portal.keys.signers import SigningKey

# Long after every ctime of a test's files, so that an unchanged file counts as unchanged.
LATER = VirtualClock(now_ns=4_000_000_000 * 10**9)
READ_ALL = LiveOptions(read_all=True, threads=2)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 40, 30_000)
    os.link(root / "d1" / "f0001", root / "d2" / "hard")
    (root / "link").symlink_to("d1")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def archive(tree: Path, tmp_path: Path) -> Path:
    path = tmp_path / "a.warp"
    create(path, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY, clock=LATER)
    return path


def again(archive: Path) -> None:
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, clock=LATER)


def keep_times(path: Path, content: bytes) -> None:
    """Write a file whose times do not tell."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def said(changes: Iterator[Change]) -> dict[bytes, str]:
    """A word for each path; directories, whose times change with what is in them, are left out."""
    found = {}
    for change in changes:
        entry = change.new or change.old
        assert entry is not None
        if entry.kind != Kind.DIRECTORY:
            words = " ".join(change.aspects)
            found[change.path] = "added" if change.old is None else "removed" if change.new is None else words
    return found


def between(archive: Path, old: int, new: int, *patterns: str) -> dict[bytes, str]:
    with open_archive(archive, UNLOCK) as reader:
        return said(compare_snapshots(reader.at(old), reader.at(new), patterns))


def since(archive: Path, options: LiveOptions = READ_ALL, directory: Path | None = None) -> dict[bytes, str]:
    with open_archive(archive, UNLOCK) as reader:
        source = recorded_source(reader, None if directory is None else os.fsencode(directory))
        live = LiveTree(reader, source, options)
        found = said(live.changes())
        assert live.problems.count == 0
        return found


def edit(tree: Path) -> dict[bytes, str]:
    """Change a bit of everything; what a comparison must say."""
    (tree / "d0" / "f0000").write_bytes(b"shorter")
    keep_times(tree / "d1" / "f0008", bytes((tree / "d1" / "f0008").stat().st_size))
    (tree / "d2" / "f0002").unlink()
    (tree / "d2" / "new").write_bytes(b"new")
    (tree / "d3" / "f0003").chmod(0o600)
    os.utime(tree / "d3" / "f0010", ns=(0, 1))
    (tree / "d4" / "f0004").unlink()
    (tree / "d4" / "f0004").symlink_to("f0011")
    (tree / "link").unlink()
    (tree / "link").symlink_to("d2")
    return {
        b"d0/f0000": "content size mtime",
        b"d1/f0008": "content",
        b"d2/f0002": "removed",
        b"d2/new": "added",
        b"d3/f0003": "mode",
        b"d3/f0010": "mtime",
        b"d4/f0004": "type mode mtime",
        b"link": "link mtime",
    }


def test_between_snapshots_every_change_is_named_with_what_changed(archive: Path, tree: Path) -> None:
    expected = edit(tree)
    again(archive)
    assert between(archive, 1, 2) == expected
    backwards = {b"d2/f0002": "added", b"d2/new": "removed"}
    assert between(archive, 2, 1) == expected | backwards
    assert between(archive, 2, 2) == {}
    assert between(archive, 1, 2, "d2/f*") == {b"d2/f0002": "removed"}


@pytest.mark.parametrize("read_all", [False, True])
def test_a_live_tree_compares_like_the_snapshot_of_it(archive: Path, tree: Path, read_all: bool) -> None:
    options = replace(READ_ALL, read_all=read_all)
    assert since(archive, options) == {}
    edit(tree)
    again(archive)
    with open_archive(archive, UNLOCK) as reader:
        live = LiveTree(reader.at(1), recorded_source(reader), options)
        assert said(live.changes()) == between(archive, 1, 2)
    assert since(archive, replace(options, patterns=("d*",))) == {}


def test_pages_that_both_snapshots_hold_are_not_read(
    archive: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "many").mkdir()
    for number in range(9000):
        (tree / "many" / f"{number:05}").touch()
    again(archive)
    (tree / "z").touch()
    again(archive)
    read: list[Page] = []

    def counted(file: ArchiveFile, keys: ScopeKeys, page: Page) -> EntryTable:
        read.append(page)
        return read_table(file, keys, page)

    monkeypatch.setattr(difference, "read_table", counted)
    assert between(archive, 2, 3) == {b"z": "added"}
    with open_archive(archive, UNLOCK) as reader:
        assert 0 < len(read) < len(reader.table_pages()) + len(reader.at(2).table_pages())


def test_files_that_metadata_settle_are_not_read(archive: Path, tree: Path) -> None:
    seen: list[LiveProgress] = []
    assert since(archive, LiveOptions(threads=2, progress=seen.append)) == {}
    size = sum(path.stat().st_size for path in tree.rglob("f*") if path.is_file())
    assert (seen[-1].bytes_read, seen[-1].bytes_reused, seen[-1].total_bytes) == (0, size, size)
    assert since(archive, replace(READ_ALL, progress=seen.append)) == {}
    assert (seen[-1].bytes_read, seen[-1].bytes_reused) == (size, 0)


def test_a_restored_tree_of_every_type_is_the_same(tmp_path: Path) -> None:
    tree, back = tmp_path / "every", tmp_path / "back"
    every_type(tree)
    back.mkdir()
    create(tmp_path / "e.warp", Source.of([tree]), lock=LOCK, archive_key=KEY)
    with open_archive(tmp_path / "e.warp", UNLOCK) as reader:
        extract(reader, back, ExtractRequest(setuid=True))
        live = LiveTree(reader, recorded_source(reader, os.fsencode(back)), READ_ALL)
        assert list(live.changes()) == []
        (text,) = back.rglob("text")
        os.setxattr(text, b"user.comment", b"another")
        (edited,) = (change for change in live.changes() if change.old and change.new)
        assert edited.aspects == (Aspect.XATTRS,)


@pytest.mark.parametrize("where", ["snapshot", "live"])
def test_holes_that_lie_elsewhere_are_no_change_of_content(archive: Path, tree: Path, where: str) -> None:
    sparse = tree / "sparse"
    with sparse.open("wb") as file:
        file.truncate(3 << 20)
        file.write(b"x" * 5000)
    again(archive)
    keep_times(sparse, sparse.read_bytes())
    if where == "snapshot":
        again(archive)
        assert between(archive, 2, 3) == {}
    else:
        assert since(archive) == {}
        keep_times(sparse, sparse.read_bytes()[:-1] + b"y")
        assert since(archive) == {b"sparse": "content"}


def test_what_could_not_be_read_is_not_called_gone(archive: Path, tree: Path) -> None:
    for path in ("d1/f0008", "d3/f0003"):
        (tree / path).unlink()
    with open_archive(archive, UNLOCK) as reader:
        live = LiveTree(reader, recorded_source(reader), READ_ALL, unreadable={b"d1"})
        assert said(live.changes()) == {b"d3/f0003": "removed"}


def test_what_was_excluded_then_is_not_new_now(tree: Path, tmp_path: Path) -> None:
    create(tmp_path / "x.warp", Source.of(["."], excludes=["d2"]), lock=LOCK, archive_key=KEY)
    assert since(tmp_path / "x.warp") == {}


def test_a_root_that_is_gone_is_removed_and_if_all_are_the_place_is_asked_for(tree: Path, tmp_path: Path) -> None:
    create(tmp_path / "x.warp", Source.of(["d0", "d1/f0008"]), lock=LOCK, archive_key=KEY)
    (tree / "d1" / "f0008").unlink()
    assert since(tmp_path / "x.warp") == {b"d1/f0008": "removed"}
    with pytest.raises(NotFoundError, match="-C"):
        since(tmp_path / "x.warp", directory=tmp_path / "nowhere")


def test_a_stream_has_no_tree(tmp_path: Path) -> None:
    with (tree_file := tmp_path / "in").open("wb"), tree_file.open("rb") as file:
        create(tmp_path / "s.warp", Stream(b"name", file.fileno()), lock=LOCK, archive_key=KEY)
    with pytest.raises(UsageError, match="stream"):
        since(tmp_path / "s.warp")


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"roots": 1, "excludes": []}, {"roots": [], "excludes": [b"x"]}, {"roots": [[b"a"]], "excludes": []},
        {"roots": [["a", "/a"]], "excludes": []}, {"roots": [[b"a", b"/a\0"]], "excludes": []},
        {"roots": [[b"a", b"relative"]], "excludes": []}, {"roots": [b"ab"], "excludes": []},
    ],
)  # fmt: skip
def test_recorded_arguments_that_no_writer_makes_are_refused(arguments: dict[str, object]) -> None:
    reader = SimpleNamespace(summary=SimpleNamespace(arguments=arguments))
    with pytest.raises(FormatError):
        recorded_source(cast(ArchiveReader, reader))


def test_an_earlier_snapshot_is_checked_like_one_opened_by_itself(tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "signed.warp"
    signed = replace(OFTEN, signing_key=SigningKey(b"a" * 32))
    create(archive, Source.of(["."]), signed, lock=LOCK, archive_key=KEY)
    append(archive, Source.of(["."]), signed, unlock=UNLOCK)
    with open_archive(archive, UNLOCK) as reader:
        assert reader.at(1).snapshot.number == 1
        assert reader.at(1).find(b"link") == reader.find(b"link")
        with pytest.raises(NotFoundError):
            reader.at(3)
        raw = bytearray(archive.read_bytes())
    first = raw.index(b"WCOMMIT1")
    while raw[first + 128] != 6:  # the flags of a signed snapshot
        first = raw.index(b"WCOMMIT1", first + 1)
    raw[first + 150] ^= 1
    archive.write_bytes(raw)
    with open_archive(archive, UNLOCK) as reader, pytest.raises((FormatError, SignatureError)):
        reader.at(1)


def entry(path: bytes, **fields: object) -> Entry:
    return replace(Entry(path, Kind.FILE, 0o644), **fields)  # type: ignore[arg-type]  # fields by name


def aspects(old: Entry, new: Entry, same: bool = False) -> tuple[Aspect, ...]:
    changes = list(compare([table_of([old])], [table_of([new])], lambda _before, _after: same))
    return changes[0].aspects if changes else ()


def test_recipes_decide_and_bytes_only_where_holes_differ() -> None:
    one = entry(b"f", size=9, runs=Recipe.of([(1, 2), (3, 1)]))
    assert aspects(one, replace(one, runs=Recipe.of([(1, 3)]))) == ()
    assert aspects(one, replace(one, runs=Recipe.of([(1, 2)])), same=True) == (Aspect.CONTENT,)
    sparse = replace(one, flags=FLAG_SPARSE, extents=((3, 4),), runs=Recipe.of([(7, 1)]))
    assert aspects(one, sparse, same=True) == ()
    assert aspects(one, sparse) == (Aspect.CONTENT,)


def test_a_first_name_that_becomes_a_link_is_no_other_type() -> None:
    one, link = entry(b"f", size=9, runs=Recipe.of([(1, 2)])), entry(b"f", size=9, kind=Kind.HARDLINK, link=b"e")
    assert aspects(one, link) == (Aspect.LINK,)
    assert aspects(replace(link, size=8), one) == (Aspect.CONTENT, Aspect.SIZE, Aspect.LINK)


def test_owners_devices_and_attributes_count_and_ctime_and_inode_do_not() -> None:
    one = entry(b"f", kind=Kind.CHAR_DEVICE, rdev=1 << 32 | 3, uid=1)
    assert aspects(one, replace(one, ctime_ns=5, inode=7)) == ()
    changed = replace(one, rdev=1 << 32 | 5, gid=2, xattrs=((b"user.a", b"b"),))
    assert aspects(one, changed) == (Aspect.DEVICE, Aspect.OWNER, Aspect.XATTRS)


def test_the_merge_follows_archive_order() -> None:
    names = [b"", b"a", b"a/b", b"a-", b"a.b", b"b"]
    old, new = [entry(name) for name in names[::2]], [entry(name) for name in names[1::2]]
    found = list(compare([table_of(old)], [table_of(new[:1]), table_of(new[1:])], lambda _a, _b: False))
    assert [change.path for change in found] == names
    tally = Tally()
    for change in found:
        tally.count(change)
    assert (tally.added, tally.removed, tally.changed, tally.total) == (3, 3, 0, 6)
