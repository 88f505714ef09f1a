"""`warp diff`: what it says of changes, and how it ends."""

import os
from pathlib import Path

import pytest
from tests.unit.cli.runs import Captured, only, records, write_over

from warp_portal.cli.diff_command import divided
from warp_portal.cli.main import main
from warp_portal.keys.recipients import Identity

GROWTH = {"type": "growth", "schema": 1, "added": 0, "removed": 0, "changed": 0}


@pytest.fixture
def changed(plain: str, tree: Path, capsys: Captured) -> str:
    """An archive with two snapshots."""
    (tree / "a.txt").write_text("second")
    (tree / "link").unlink()
    (tree / "new\x1b[2J").write_text("hostile too")
    os.utime(tree, ns=(0, 0))
    assert main(["append", plain, "-C", str(tree.parent), "tree"]) == 0
    capsys.readouterr()
    return plain


def test_a_diff_of_the_last_two_is_short_and_safe_to_print(changed: str, capsys: Captured) -> None:
    assert main(["diff", changed]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "M tree  (mtime)",
        "M tree/a.txt  (content, size -5.99 kB, mtime)",
        "- tree/link",
        "+ tree/new\\x1b[2J  (11 B)",
    ]
    assert "from snapshot 1 to 2: 1 entry added (11 B), 1 removed (0 B), 2 changed (6 B in" in captured.err


def test_a_diff_for_programs_has_both_sides(changed: str, capsys: Captured) -> None:
    found = records(capsys, "diff", changed, "1", "2", "*.txt")
    change = only(found, "change")
    assert (change["path"], change["change"], change["aspects"]) == (
        "tree/a.txt",
        "changed",
        ["content", "size", "mtime"],
    )
    assert (change["old"]["size"], change["new"]["size"], change["new"]["kind"]) == (6000, 6, "file")
    summary = only(found, "summary")
    assert (summary["old"], summary["new"], summary["changed"], summary["bytes_changed"]) == (1, 2, 1, 6)


def test_the_exit_code_tells_only_when_asked(changed: str, capsys: Captured) -> None:
    assert main(["diff", changed, "--exit-code"]) == 4
    assert main(["diff", changed, "2", "--exit-code"]) == 0
    assert "from snapshot 2 to 2: no differences" in capsys.readouterr().err
    assert main(["diff", changed, "--tree", "--exit-code"]) == 0
    assert main(["diff", changed, "1", "--tree", "--exit-code"]) == 4


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["9"], 10),
        (["--content"], 2),
        (["-C", "."], 2),
        (["1", "1", "--tree"], 2),
        (["--tree", "-C", "/nowhere"], 10),
        (["--top", "0"], 2),
        (["--top", "-1"], 2),
        (["--top", "many"], 2),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], code: int, changed: str) -> None:
    assert main(["diff", changed, *words]) == code


@pytest.mark.parametrize("words", [["LATEST", "1"], ["1", "2x"], ["nothing-like-it"], ["--tree", "*.nothing"]])
def test_a_pattern_that_matches_nothing_is_said(words: list[str], changed: str, capsys: Captured) -> None:
    assert main(["diff", changed, *words]) == 10
    assert "nothing in the archive matches" in capsys.readouterr().err
    assert main(["diff", changed, "2", "2", "*.bin"]) == 0


def test_one_snapshot_has_nothing_to_compare_with_but_the_files(plain: str, tree: Path, capsys: Captured) -> None:
    assert main(["diff", plain]) == 10
    assert "--tree" in capsys.readouterr().err
    write_over(tree)
    assert main(["diff", plain, "--tree"]) == 0
    assert capsys.readouterr().out == "M tree/sub/b.bin  (content)\n"


def add_key(archive: str, passphrase_file: str) -> None:
    recipient = str(Identity.generate("x25519").recipient)
    assert main(["key", "add", archive, "-p", passphrase_file, "-r", recipient]) == 0


def test_without_numbers_changes_of_keys_are_passed_over(
    sealed: str, tree: Path, passphrase_file: str, capsys: Captured
) -> None:
    """Snapshots 1 and 3 are of files; 2, 4 and 5 repeat them."""
    diff = ["diff", sealed, "-p", passphrase_file]
    add_key(sealed, passphrase_file)
    (tree / "new").write_text("new")
    assert main(["append", sealed, "-C", str(tree.parent), "tree", "-p", passphrase_file]) == 0
    for newest in (3, 4, 5):
        summary = only(records(capsys, *diff, "--exit-code", code=4), "summary")
        assert (summary["old"], summary["new"], summary["added"]) == (1, newest, 1)
        add_key(sealed, passphrase_file)
    assert main([*diff, "3", "--exit-code"]) == 0
    assert main([*diff, "4", "latest", "--exit-code"]) == 0
    assert main([*diff, "2", "3", "--exit-code"]) == 4


def test_one_snapshot_and_changes_of_its_keys_are_nothing_to_compare(
    sealed: str, passphrase_file: str, capsys: Captured
) -> None:
    add_key(sealed, passphrase_file)
    add_key(sealed, passphrase_file)
    assert main(["diff", sealed, "-p", passphrase_file]) == 10
    assert "nothing to compare it with: append another" in capsys.readouterr().err


def test_numbers_first_then_patterns() -> None:
    assert divided(()) == ((), ())
    assert divided(("1", "2", "3")) == ((1, 2), ("3",))
    assert divided(("1", "latest", "a")) == ((1, 0), ("a",))
    assert divided(("*.txt", "1")) == ((), ("*.txt", "1"))


def test_latest_names_a_snapshot_here_too(plain: str, tree: Path, capsys: Captured) -> None:
    """As a pattern it would match nothing, and nothing would seem to differ."""
    (tree / "a.txt").write_text("changed")
    assert main(["append", plain, "-C", str(tree.parent), "tree"]) == 0
    assert main(["diff", plain, "1", "latest", "--exit-code"]) == 4
    assert main(["diff", plain, "latest", "--exit-code"]) == 0
    assert main(["diff", plain, "0"]) == 2
    assert "numbered from 1" in capsys.readouterr().err


@pytest.fixture
def grown(plain: str, tree: Path, capsys: Captured) -> str:
    """Two snapshots: a directory more, and less in another."""
    (tree / "data").mkdir()
    (tree / "data" / "big").write_bytes(bytes(8_000_000))
    (tree / "data" / "sm\x1ball").write_bytes(bytes(10_000))
    (tree / "sub" / "copy.bin").unlink()
    (tree / "a.txt").write_text("second")
    assert main(["append", plain, "-C", str(tree.parent), "tree"]) == 0
    capsys.readouterr()
    return plain


def test_what_grew_most_is_shown_with_the_largest_change_first(grown: str, capsys: Captured) -> None:
    assert main(["diff", grown, "--top", "6", "--exit-code"]) == 4
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "+8.01 MB  tree/data/           (2 added)",
        "+8.00 MB  tree/data/big",
        "+7.70 MB  tree/                (2 added, 1 removed, 1 changed)",
        " -300 kB  tree/sub/            (1 removed)",
        " -300 kB  tree/sub/copy.bin",
        "+10.0 kB  tree/data/sm\\x1ball",
    ]
    assert "from snapshot 1 to 2: 3 entries added (8.01 MB), 1 removed (300 kB)" in captured.err


def test_what_grew_most_since_a_snapshot_is_told_of_the_files_too(grown: str, tree: Path, capsys: Captured) -> None:
    between = [main(["diff", grown, "--top", "5"]), capsys.readouterr().out]
    assert [main(["diff", grown, "1", "--tree", "--top", "5"]), capsys.readouterr().out] == between
    assert [main(["diff", grown, "--tree", "--top", "5", "--exit-code"]), capsys.readouterr().out] == [0, ""]
    (tree / "data" / "big").unlink()
    assert main(["diff", grown, "--tree", "--top", "1", "data/", "--exit-code"]) == 4
    assert capsys.readouterr().out == "-8.00 MB  tree/  (1 removed)\n"


def test_what_grew_most_is_told_to_programs(grown: str, tree: Path, capsys: Captured) -> None:
    found = records(capsys, "diff", grown, "--top", "2", "tree/sub", "*.txt")
    assert [record for record in found if record["type"] in ("growth", "change")] == [
        {**GROWTH, "path": "tree", "directory": True, "bytes": -305_994, "removed": 1, "changed": 1},
        {**GROWTH, "path": "tree/sub", "directory": True, "bytes": -300_000, "removed": 1},
    ]
    assert only(found, "summary")["bytes_removed"] == 300_000
    with open(os.fsencode(tree) + b"/raw\xff", "w") as file:
        file.write("raw and more")
    found = records(capsys, "diff", grown, "--tree", "--top", "2", "tree/raw*")
    raw = [record for record in found if record["type"] == "growth" and not record["directory"]]
    assert [(record["path_b64"], record["bytes"], record["changed"]) for record in raw] == [("dHJlZS9yYXf/", 9, 1)]
