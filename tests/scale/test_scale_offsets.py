"""Offsets of 2^40 and more in a file are kept exactly: a sparse file of more than 2 TiB, with data about each power of two."""

import os
from pathlib import Path

import pytest

from tests.scale.commands import warp
from warp_portal.archive import open_archive

SIZE = (1 << 41) + (1 << 30) + 17
POWERS = (31, 32, 33, 39, 40, 41)
BLOCK = 4096


def marks() -> dict[int, bytes]:
    """A line of text across each power of two, by its offset, and one that ends the file."""
    found = {(1 << power) - 13: f"here lies the offset 2^{power}".encode() for power in POWERS}
    return found | {SIZE - 7: b"the end"}


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "tree" / "huge"
    path.parent.mkdir()
    with open(path, "wb") as file:
        try:
            file.truncate(SIZE)
        except OSError:
            pytest.skip("this file system has no files of 2 TiB")
        for offset, mark in marks().items():
            file.seek(offset)
            file.write(mark)
    if path.stat().st_blocks * 512 > 64 * len(POWERS) * BLOCK:
        pytest.skip("this file system keeps no holes")
    return path


def test_data_about_2_to_the_40_is_read_and_restored_in_its_place(huge: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / "a.warp", tmp_path / "out"
    warp("create", archive, "-C", tmp_path, "tree")
    warp("verify", archive, "--level", "deep")
    with open_archive(archive) as reader, reader.open_file("tree/huge") as file:
        for offset, mark in marks().items():
            file.seek(offset - BLOCK)
            before = file.read(BLOCK + len(mark))
            assert before == bytes(BLOCK) + mark
    warp("extract", archive, "-q", "-C", out, "--no-space-check")
    restored = out / "tree" / "huge"
    assert restored.stat().st_size == SIZE
    with open(restored, "rb") as file:
        for offset, mark in marks().items():
            assert os.pread(file.fileno(), len(mark) + 2, offset - 1) == b"\0" + mark + b"\0" * (
                offset + len(mark) < SIZE
            )
