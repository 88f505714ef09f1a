"""Patterns that choose entries: what they restore and list, and those that choose nothing."""

from pathlib import Path

import pytest
from tests.unit.cli.runs import Captured, only, records

from warp_portal.archive import problems
from warp_portal.cli.main import main


def test_a_pattern_restores_its_part(plain: str, tmp_path: Path) -> None:
    back = tmp_path / "back"
    back.mkdir()
    assert main(["extract", plain, "*.bin", "-C", str(back)]) == 0
    assert sorted(path.name for path in back.rglob("*") if path.is_file()) == ["b.bin", "copy.bin"]


@pytest.mark.parametrize("words", [["list"], ["extract"], ["extract", "--dry-run"]])
def test_a_pattern_that_matches_nothing_is_not_found(
    words: list[str], plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *flags = words
    assert main([command, plain, "tree/nonesuch", "*.exe", *flags]) == 10
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("warp: nothing in the archive matches tree/nonesuch or *.exe")
    assert "files" not in said[0], "an account of nothing looks like success"
    only(records(capsys, command, plain, "nonesuch", *flags, code=10), "error")


@pytest.mark.parametrize("words", [["list"], ["extract"], ["extract", "--dry-run"]])
def test_one_of_several_patterns_that_matches_nothing_is_named_and_the_others_are_done(
    words: list[str], plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "back").mkdir()
    monkeypatch.chdir(tmp_path / "back")
    command, *flags = words
    assert main([command, plain, "*.bin", "tree/nonesuch", "!copy.bin", *flags]) == 10
    captured = capsys.readouterr()
    assert "nothing in the archive matches tree/nonesuch:" in captured.err
    done = sorted(path.name for path in Path().rglob("*") if path.is_file())
    assert done == (["b.bin"] if words == ["extract"] else [])
    if words != ["extract"]:
        assert "b.bin" in captured.out


def test_a_pattern_that_begins_with_the_directory_itself_counts_from_the_top(plain: str, capsys: Captured) -> None:
    assert main(["list", plain, "--paths", "./tree/a.txt"]) == 0
    assert capsys.readouterr().out == "tree/a.txt\n"
    assert main(["list", plain, "--paths", "./a.txt"]) == 10


def test_patterns_that_match_the_same_all_count(plain: str, capsys: Captured) -> None:
    assert main(["list", plain, "b.bin", "*.bin", "tree", "!*.exe"]) == 0


def test_a_pattern_that_is_not_utf_8_is_refused_and_wildcards_stand_for_its_bytes(
    plain: str, tree: Path, tmp_path: Path, capsys: Captured
) -> None:
    pattern, new = "raw\udcff", str(tmp_path / "new.warp")
    for words in (
        ["list", plain, pattern],
        ["extract", plain, pattern, "-C", str(tmp_path)],
        ["create", new, str(tree), "-x", pattern],
        ["append", plain, str(tree), "-x", pattern],
        ["diff", plain, "1", "1", pattern],
    ):
        assert main(words) == 2
        assert "warp: the pattern raw\\xff is not UTF-8: write ?" in capsys.readouterr().err
    assert "raw\\xff" in only(records(capsys, "list", plain, pattern, code=2), "error")["message"]
    for wildcards in ("raw?", "raw*"):
        assert main(["list", plain, "--paths", wildcards]) == 0
        assert capsys.readouterr().out == "tree/raw\\xff\n"


def test_failures_that_are_not_listed_are_counted(
    plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "back" / "tree" / "a.txt" / "in-the-way").mkdir(parents=True)
    monkeypatch.setattr(problems, "KEPT_BYTES", 0)
    words = ["extract", plain, "a.txt", "-C", str(tmp_path / "back"), "--overwrite", "always"]
    found = only(records(capsys, *words, code=3), "summary")
    assert (found["problems"], found["unlisted"]) == (1, 1)
