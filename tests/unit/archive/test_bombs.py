"""Small archives that would become huge when they are read: refused before anything is unpacked."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from warp_portal._native import OBJECT_TOC, ScopeKeys, blake3
from warp_portal.archive import filetable, packed
from warp_portal.archive.limits import ALIGNMENT, MAX_ITEMS, MAX_OWNERS
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.toc import TOC, SealedTOC, bounded_owners, check_arguments
from warp_portal.archive.writer import create
from warp_portal.errors import FormatError, UsageError
from warp_portal.primitives.compression import ZSTD

MIB = 1 << 20


@contextmanager
def refused_within(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def array_of_empty(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count


def bomb(path: Path, empty: bytes) -> None:
    """Put `empty` into the arguments of a plain archive's sealed TOC; everything else stays valid."""
    keys = ScopeKeys(None, 0)
    with open_archive(path) as reader:
        opened, sealed = reader.opened, reader.content.sealed
    raw = replace(sealed, arguments={"z": "MARK"}).serialize().replace(b"\xa4MARK", empty)
    stored, dp = keys.seal(OBJECT_TOC, raw, ZSTD, 3)
    toc = TOC(opened.toc.clear, dp, stored).serialize()
    data = path.read_bytes()[: opened.commit.toc_offset] + toc
    data += bytes(-len(data) % ALIGNMENT)
    commit = replace(opened.commit, offset=len(data), toc_bytes=len(toc), toc_digest=blake3(toc))
    path.write_bytes(data + commit.sealed(keys, opened.header.uuid, None).serialize())


@pytest.mark.parametrize("count", [600_000, 15 * MIB])
def test_a_toc_of_empty_arrays_is_refused(tmp_path: Path, count: int) -> None:
    (tmp_path / "file").write_bytes(b"content")
    create(tmp_path / "a.warp", Source.of([tmp_path / "file"]))
    bomb(tmp_path / "a.warp", array_of_empty(count))
    assert (tmp_path / "a.warp").stat().st_size < 64 * 1024
    with refused_within(64 * MIB), open_archive(tmp_path / "a.warp") as reader:
        list(reader)


@pytest.mark.parametrize("count", [MAX_ITEMS, 30 * MIB])
def test_a_file_table_of_empty_sets_is_refused(count: int) -> None:
    columns = filetable.columns_of([filetable.Entry(b"a", filetable.Kind.FILE, 0o644)])
    raw = packed.pack(columns | {"xd": "MARK"}).replace(b"\xa4MARK", array_of_empty(count))
    with refused_within(4 * MIB):
        filetable.decode(raw)


def test_the_count_is_that_of_the_values() -> None:
    value = {"a": [1, 200, 70_000, 1 << 40, -1, -300], "b": b"x" * 70_000, "c": "y" * 300, "d": {"e": None}, "f": "g"}
    value["h"] = [[0] * 20, [b"z" * 20] * 70_000, {str(number): True for number in range(20)}]
    raw, count = packed.pack(value), 13 + 6 + 2 + 3 + 20 + 70_000 + 40
    packed.check_items(raw, count, "it")
    with pytest.raises(FormatError, match="items"):
        packed.check_items(raw, count - 1, "it")


def test_nesting_has_an_end() -> None:
    with pytest.raises(FormatError):
        packed.unpack_map(b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0", "it")


def test_what_no_reader_would_take_is_not_written() -> None:
    check_arguments({"roots": [["a" * 20, "b" * 20]] * 50_000})
    for roots in ([["a", "b"]] * 100_000, [["a" * 1000, "b" * 1000]] * 5_000):
        with pytest.raises(UsageError):
            check_arguments({"roots": roots})
    names = dict.fromkeys(range(2 * MAX_OWNERS), b"n" * 255)
    owners = bounded_owners((names, names))
    arguments: dict[str, object] = {"roots": [["a" * 20, "b" * 20]] * 50_000}
    sealed = SealedTOC(0, 0, 0, (), (), (), b"", 0, arguments, owners)
    assert SealedTOC.parse(sealed.serialize()) == sealed
