"""The account at the end of `extract` where a file fails that had got some of its data."""

import os
from pathlib import Path

from tests.unit.cli.runs import Captured

from warp_portal.cli.main import main


def test_the_bytes_of_files_that_failed_are_not_said_to_be_there(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "large").write_bytes(os.urandom(8_000_000))
    archive, back = str(tmp_path / "x.warp"), str(tmp_path / "back")
    assert main(["create", archive, "-C", str(tmp_path), "tree"]) == 0
    assert main(["extract", archive, "-C", str(tmp_path / "whole")]) == 0
    assert "failed" not in capsys.readouterr().err
    raw = bytearray(Path(archive).read_bytes())
    raw[7_000_000] ^= 1
    Path(archive).write_bytes(raw)
    assert main(["extract", archive, "-C", back, "-j", "1"]) == 13
    said = capsys.readouterr().err
    assert f"{back}: 0 files, " in said
    assert "that of paths that failed among it" in said
    assert "1 path failed, 1 of them for damaged data" in said
