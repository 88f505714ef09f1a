"""File-table pages: through MessagePack, through the native table, and by the plain-Python encoder."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.warp_formats import decode_table

from warp_portal.archive import filetable, packed
from warp_portal.archive.filetable import FLAG_SPARSE, Entry, Kind, Recipe, order_key
from warp_portal.errors import FormatError

NAMES = st.binary(min_size=1, max_size=6).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join) | st.just(b"")
U32 = st.integers(0, 2**32 - 1)
TIMES = st.integers(-(2**62), 2**62)
XATTRS = st.dictionaries(NAMES.map(lambda name: b"user." + name), st.binary(max_size=9), max_size=3)
GAPS = st.lists(st.tuples(st.integers(1, 2**20), st.integers(1, 2**20)), max_size=3)
RUNS = st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 2**20)), max_size=3)


@st.composite
def entries(draw: st.DrawFn, path: bytes, before: bytes | None) -> Entry:
    kind = draw(st.sampled_from([kind for kind in Kind if before or kind != Kind.HARDLINK]))
    entry = Entry(
        path,
        kind,
        draw(st.integers(0, 0o7777)),
        draw(U32),
        draw(U32),
        mtime_ns=draw(TIMES),
        ctime_ns=draw(TIMES),
        inode=draw(st.integers(0, 2**64 - 1)),
        xattrs=tuple(sorted(draw(XATTRS).items())),
    )
    if kind == Kind.SYMLINK:
        return replace(entry, link=draw(PATHS.filter(bool)))
    if kind == Kind.HARDLINK and before:
        return replace(entry, link=before, size=draw(U32))
    if kind in (Kind.CHAR_DEVICE, Kind.BLOCK_DEVICE):
        return replace(entry, rdev=draw(U32) << 32 | draw(U32))
    return draw(files(entry)) if kind == Kind.FILE else entry


@st.composite
def files(draw: st.DrawFn, entry: Entry) -> Entry:
    entry = replace(entry, runs=Recipe.of(draw(RUNS)), flags=draw(st.integers(0, 1)))
    if not draw(st.booleans()):
        return replace(entry, size=draw(st.integers(0, 2**50)))
    end, extents = 0, []
    for gap, length in draw(GAPS):
        extents.append((end + gap, length))
        end += gap + length
    return replace(entry, flags=entry.flags | FLAG_SPARSE, extents=tuple(extents), size=end + draw(st.integers(0, 9)))


@st.composite
def trees(draw: st.DrawFn) -> list[Entry]:
    paths = sorted(set(draw(st.lists(PATHS, min_size=1, max_size=12))), key=order_key)
    return [draw(entries(path, before)) for before, path in zip([None, *paths], paths, strict=False)]


@given(trees())
def test_a_page_survives_its_bytes(tree: list[Entry]) -> None:
    table = filetable.table_of(tree)
    raw = filetable.encode(table)
    again = filetable.decode(raw)
    assert [Entry.of(again, index) for index in range(len(again))] == tree
    assert filetable.encode(again) == raw


@given(trees())
def test_the_native_and_the_plain_encoder_agree(tree: list[Entry]) -> None:
    assert filetable.table_of(tree).to_columns() == filetable.columns_of(tree)


@given(trees())
def test_the_oracle_reads_the_same_entries(tree: list[Entry]) -> None:
    for ours, theirs in zip(tree, decode_table(filetable.encode(filetable.table_of(tree))), strict=True):
        assert (theirs["path"], theirs["kind"], theirs["mode"], theirs["uid"], theirs["gid"]) == (
            ours.path, ours.kind, ours.mode, ours.uid, ours.gid,
        )  # fmt: skip
        assert (theirs["mtime"], theirs["ctime"], theirs["inode"]) == (ours.mtime_ns, ours.ctime_ns, ours.inode)
        assert (theirs["size"], theirs["link"], theirs["flags"]) == (ours.size, ours.link, ours.flags)
        assert tuple(theirs["xattrs"]) == ours.xattrs
        assert tuple(theirs["extents"] or ()) == ours.extents
        assert tuple(theirs["runs"]) == tuple(ours.runs)


@given(trees(), st.data())
def test_a_changed_page_is_refused_or_says_something_else(tree: list[Entry], data: st.DataObject) -> None:
    raw = bytearray(filetable.encode(filetable.table_of(tree)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        table = filetable.decode(bytes(raw))
    except FormatError:
        return
    assert filetable.encode(table) == bytes(raw)


@given(st.binary(max_size=200))
def test_other_bytes_are_a_format_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        filetable.decode(raw)


@given(st.lists(PATHS, max_size=20))
def test_the_order_key_sorts_by_component(paths: list[bytes]) -> None:
    def components(path: bytes) -> list[bytes]:
        return path.split(b"/") if path else []

    assert sorted(paths, key=order_key) == sorted(paths, key=components)


def test_wrong_types_are_a_format_error() -> None:
    columns = filetable.columns_of([Entry(b"a", Kind.FILE, 0o644)])
    wrong: list[object] = [None, -1, "text", [], {}]
    for key in columns:
        for value in wrong:
            if value != columns[key]:
                with pytest.raises(FormatError):
                    filetable.decode(packed.pack(columns | {key: value}))
