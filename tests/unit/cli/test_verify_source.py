"""`warp verify --level source`: the archive, and whether the files are what it holds."""

from pathlib import Path

from tests.unit.cli.runs import Captured, only, records, write_over

from warp_portal.cli.main import main


def test_a_restored_copy_is_found_to_be_the_same(
    sealed: str, tmp_path: Path, passphrase_file: str, capsys: Captured
) -> None:
    back = tmp_path / "back"
    back.mkdir()
    assert main(["extract", sealed, "-C", str(back), "-p", passphrase_file]) == 0
    words = ["verify", sealed, "--level", "source", "-p", passphrase_file]
    assert main([*words, "-C", str(back)]) == 0
    assert "the files are what it holds" in capsys.readouterr().err
    write_over(back / "tree")
    (back / "tree" / "a.txt").unlink()
    assert main([*words, "-C", str(back)]) == 4
    captured = capsys.readouterr()
    assert captured.out == "M tree  (mtime)\n- tree/a.txt  (6.00 kB)\nM tree/sub/b.bin  (content)\n"
    assert "no damage found" in captured.err
    assert "the archive is whole, but THE FILES DIFFER" in captured.err
    summary = only(records(capsys, *words, "-C", str(back), code=4), "summary")
    assert (summary["ok"], summary["source"]["same"], summary["source"]["removed"]) == (True, False, 1)
    assert main(words) == 0


def test_the_level_is_called_as_it_was_asked_for(plain: str, capsys: Captured) -> None:
    assert main(["verify", plain, "--level", "source"]) == 0
    assert "snapshot 1, level source, " in capsys.readouterr().err
    assert only(records(capsys, "verify", plain, "--level", "source"), "summary")["level"] == "source"


def test_damage_comes_before_a_comparison(plain: str, capsys: Captured) -> None:
    raw = bytearray(Path(plain).read_bytes())
    raw[300] ^= 1
    Path(plain).write_bytes(raw)
    assert main(["verify", plain, "--level", "source"]) == 13
    assert "the files were not compared" in capsys.readouterr().err


def test_a_directory_to_compare_with_needs_that_level(plain: str) -> None:
    assert main(["verify", plain, "-C", "/"]) == 2


def test_of_the_archive_all_is_said_even_if_the_files_are_not_found(plain: str, capsys: Captured) -> None:
    found = records(capsys, "verify", plain, "--level", "source", "-C", "/nowhere", code=10)
    assert only(found, "summary")["ok"] is True
    assert only(found, "error")["fatal"] is True
