"""The account at the end of `extract` where a file fails that had got some of its data."""

import os
import re
from pathlib import Path

from tests.unit.cli.runs import Captured

from warp_portal.cli.main import main

LENGTH = 8_000_000


def damaged(tmp_path: Path) -> tuple[str, bytes]:
    """An archive of one large file, in which a byte is changed; and the file."""
    (tmp_path / "tree").mkdir()
    content = os.urandom(LENGTH)
    (tmp_path / "tree" / "large").write_bytes(content)
    archive = str(tmp_path / "x.warp")
    assert main(["create", archive, "-C", str(tmp_path), "tree"]) == 0
    assert main(["extract", archive, "-C", str(tmp_path / "whole")]) == 0
    raw = bytearray(Path(archive).read_bytes())
    raw[7_000_000] ^= 1
    Path(archive).write_bytes(raw)
    return archive, content


def test_the_bytes_of_files_that_failed_are_not_said_to_be_there(tmp_path: Path, capsys: Captured) -> None:
    archive, back = damaged(tmp_path)[0], str(tmp_path / "back")
    assert "failed" not in capsys.readouterr().err
    assert main(["extract", archive, "-C", back, "-j", "1"]) == 13
    said = capsys.readouterr().err
    assert f"{back}: 0 files, 0 B in " in said
    assert "1 path failed, 1 of them for damaged data: see above" in said
    assert not os.path.exists(tmp_path / "back" / "tree" / "large")


def test_what_is_left_of_a_damaged_file_is_kept_where_it_is_wanted(tmp_path: Path, capsys: Captured) -> None:
    archive, content = damaged(tmp_path)
    capsys.readouterr()
    assert main(["extract", archive, "-C", str(tmp_path / "back"), "--keep-damaged"]) == 13
    said = capsys.readouterr().err
    assert "1 path failed, 1 of them for damaged data (of 1 what is left is kept): see above" in said
    place = re.search(r"kept as (large\.damaged-[0-9a-f]{8}), with zeros for bytes (\d+) to (\d+)\n", said)
    assert place, said
    start, end = int(place[2]), int(place[3])
    assert start < end
    kept = (tmp_path / "back" / "tree" / place[1]).read_bytes()
    assert kept == content[:start] + bytes(end - start) + content[end:]
    assert os.listdir(tmp_path / "back" / "tree") == [place[1]]
