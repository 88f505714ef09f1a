"""A sparse file of more data extents than a reader takes: a writer takes what lies behind the last of them as data."""

import os
from pathlib import Path

import pytest

from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.writer import create

MOST = 1 << 18  # docs/format.md §10
PAGE = 4096


def test_extents_beyond_the_most_become_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, count = tmp_path / "tree" / "sparse", MOST + 50
    path.parent.mkdir()
    with path.open("wb") as file:
        os.ftruncate(file.fileno(), 2 * PAGE * count)
        for number in range(count):
            os.pwrite(file.fileno(), number.to_bytes(4, "little"), 2 * PAGE * number)
        if os.lseek(file.fileno(), 0, os.SEEK_HOLE) > PAGE:
            pytest.skip("this file system keeps no holes of a page")
    create(tmp_path / "a.warp", Source.of(["tree"]), PackOptions(threads=2))
    with open_archive(tmp_path / "a.warp") as reader:
        entry = reader.find(b"tree/sparse")
        assert entry is not None
        assert (len(entry.extents), entry.size) == (MOST, 2 * PAGE * count)
        assert entry.extents[-1] == (2 * PAGE * (MOST - 1), 2 * PAGE * (count - MOST + 1))
        with reader.open_file(b"tree/sparse") as content:
            for number in (0, MOST - 1, MOST, count - 1):
                content.seek(2 * PAGE * number)
                assert content.read(2 * PAGE) == number.to_bytes(4, "little").ljust(2 * PAGE, b"\0")
