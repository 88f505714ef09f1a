"""Standard streams that are closed or take nothing: one line and a code, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh; `"$@"` in it is the command."""
    command = [sys.executable, "-m", "warp_portal", *words]
    return subprocess.run(["sh", "-c", line, "sh", *command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["list", "{}"], ["info", "{}", "--json"], ["cat", "{}", "tree/a.txt"]])
def test_a_closed_stdout_is_said(words: list[str], plain: str) -> None:
    ran = shell('"$@" >&-', *(word.format(plain) for word in words))
    assert ran.returncode == 2, ran.stderr
    assert "standard output is closed" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_nothing_is_packed_where_the_result_has_no_place(tree: Path, tmp_path: Path) -> None:
    assert shell('"$@" >&-', "create", "-", str(tree)).returncode == 2
    assert shell('"$@" >&-', "create", str(tmp_path / "x.warp"), str(tree), "--json").returncode == 2
    assert not (tmp_path / "x.warp").exists()


def test_closed_streams_do_not_get_into_the_archive(tree: Path, tmp_path: Path) -> None:
    archive = str(tmp_path / "x.warp")
    assert shell('"$@" <&- >&- 2>&-', "create", archive, str(tree)).returncode == 0
    assert shell('"$@"', "verify", archive, "--level", "deep").returncode == 0


@pytest.mark.parametrize(
    "words", [["list", "{}"], ["list", "{}", "--json"], ["cat", "{}", "tree/sub/b.bin"], ["--help"]]
)
def test_a_full_stdout_is_no_room_left(words: list[str], plain: str) -> None:
    ran = shell('"$@" >/dev/full', *(word.format(plain) for word in words))
    assert ran.returncode == 17, ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert shell('"$@" >/dev/full 2>/dev/full', *(word.format(plain) for word in words)).returncode == 17
