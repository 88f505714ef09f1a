"""Millions of small files: everything works, in memory that does not grow with their number.

The large trees are made below WARP_SCALE_DIR (default: the test's own directory). Ten million files need 45 GB where each
takes a block, and 6 GB on ext4 made with `mkfs.ext4 -O inline_data -I 512 -N 10300000`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scale import small_files
from tests.scale.commands import SCALE_DIR, warp
from tests.scale.small_files import FILES, directory_name, records

MIB = 1 << 20
CREATE_BYTES = 500 * MIB
LIST_BYTES = 300 * MIB


@pytest.fixture(
    params=[
        12,
        pytest.param(1_000, marks=pytest.mark.soak),
        pytest.param(10_000, marks=pytest.mark.soak),
    ],
    ids=["12thousand", "1million", "10million"],
)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """So many directories of a thousand files."""
    root = Path(SCALE_DIR or tmp_path) / f"files-{request.param}"
    shutil.rmtree(root, ignore_errors=True)
    small_files.make(root, 0, request.param)
    yield root
    shutil.rmtree(root)


def test_a_tree_of_very_many_files_is_packed_read_and_packed_again(tree: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / "a.warp", tmp_path / "out"
    directories = [path for group in tree.iterdir() for path in group.iterdir()]
    number = len(directories) * 3 // 4
    name = f"{tree.name}/{directory_name(number)}"
    _, peak = warp("create", archive, "-C", tree.parent, tree.name)
    assert peak < CREATE_BYTES
    lines, peak = warp("list", archive, "--paths", name)
    assert lines == [name, *(f"{name}/{file}" for file, _ in records(number))]
    assert peak < LIST_BYTES
    for level in ("index", "deep"):
        _, peak = warp("verify", archive, "--level", level)
        assert peak < CREATE_BYTES
    warp("extract", archive, "-q", "-C", out, name)
    assert {path.name: path.read_bytes() for path in (out / name).iterdir()} == dict(records(number))
    size = archive.stat().st_size
    _, peak = warp("append", archive, "-C", tree.parent, tree.name)
    assert peak < CREATE_BYTES
    # A TOC of some hundred bytes a page, and no page anew.
    assert archive.stat().st_size - size < 16384 + 200 * len(directories) * FILES // 1024


def test_no_two_records_are_alike() -> None:
    """Otherwise deduplication would make the trees small."""
    contents = [content for number in (0, 1, 99) for _, content in records(number)]
    assert len(set(contents)) == 3 * FILES
    assert 100 < sum(map(len, contents)) / len(contents) < 300
