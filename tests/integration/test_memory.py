"""A large file costs no more memory than the budget allows, wherever it stands in the tree."""

import os
from pathlib import Path

from tests.scale.commands import run_warp

GIB = 1 << 30
BUDGET = "64M"
MOST_BYTES = 300 << 20  # the interpreter, Argon2id's own, and the budget; the file is three times that


def peak_bytes(*arguments: str | Path) -> int:
    """Peak resident size of `warp` with these arguments."""
    return run_warp(list(arguments)).peak_bytes


def test_a_large_file_behind_a_directory_is_not_read_whole(tmp_path: Path) -> None:
    tree, archive = tmp_path / "tree", tmp_path / "a.warp"
    tree.mkdir()
    with open(tree / "large", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, GIB)
    (tree / "small").write_bytes(b"x")
    assert peak_bytes("create", archive, "--memory", BUDGET, "-C", tmp_path, "tree") < MOST_BYTES
    assert peak_bytes("verify", archive, "--level", "deep") < MOST_BYTES
    assert peak_bytes("extract", archive, "--memory", BUDGET, "-C", tmp_path / "out") < MOST_BYTES
    assert (tmp_path / "out" / "tree" / "large").stat().st_size == GIB
