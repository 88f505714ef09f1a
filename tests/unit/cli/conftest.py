"""A small tree, and archives of it."""

import os
from pathlib import Path

import pytest
from tests.unit.cli.runs import PASSPHRASE, Captured

from warp_portal.cli.main import main


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with some of everything; the umask must not matter."""
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("hello " * 1000)
    (root / "sub" / "b.bin").write_bytes(os.urandom(300_000))
    (root / "sub" / "copy.bin").write_bytes((root / "sub" / "b.bin").read_bytes())
    (root / "link").symlink_to("a.txt")
    (root / "escape\x1b[2J\u202e").write_text("hostile")
    with open(os.fsencode(root) + b"/raw\xff", "w") as file:
        file.write("raw")
    return root


@pytest.fixture
def passphrase_file(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def plain(tree: Path, tmp_path: Path, capsys: Captured) -> str:
    archive = str(tmp_path / "plain.warp")
    assert main(["create", archive, "-C", str(tree.parent), "tree"]) == 0
    capsys.readouterr()
    return archive


@pytest.fixture
def sealed(tree: Path, tmp_path: Path, passphrase_file: str, capsys: Captured) -> str:
    archive = str(tmp_path / "sealed.warp")
    assert main(["create", archive, "-C", str(tree.parent), "tree", "-p", passphrase_file]) == 0
    capsys.readouterr()
    return archive
