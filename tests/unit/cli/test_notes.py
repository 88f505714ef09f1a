"""Notes and warnings: what is said beside the result, and what of it --quiet leaves."""

import shutil
from pathlib import Path

import pytest
from tests.unit.cli.runs import Captured, only, records

from warp_portal.cli.main import main
from warp_portal.keys import Identity


def test_a_key_for_a_plain_archive_is_said_to_encrypt_nothing(
    plain: str, tree: Path, tmp_path: Path, passphrase_file: str, capsys: Captured
) -> None:
    Identity.generate("x25519").save(tmp_path / "me.key")
    append = ["append", plain, "-C", str(tree.parent), "tree"]
    for words in (["-p", passphrase_file], ["-i", str(tmp_path / "me.key")]):
        assert main([*append, *words]) == 0
        assert f"note: {plain} is not encrypted, and so neither is this snapshot" in capsys.readouterr().err
    assert main(append) == 0
    assert "not encrypted" not in capsys.readouterr().err
    assert only(records(capsys, *append), "summary")["encrypted"] is False


def test_a_key_that_is_needed_gets_no_note(sealed: str, tree: Path, passphrase_file: str, capsys: Captured) -> None:
    assert main(["append", sealed, "-C", str(tree.parent), "tree", "-p", passphrase_file]) == 0
    assert "note:" not in capsys.readouterr().err


def test_quiet_silences_notes(
    plain: str, tree: Path, passphrase_file: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """That others can read the passphrase, that a variable is mistyped, that an exclude matched nothing, that bytes were cut off."""
    Path(passphrase_file).chmod(0o644)
    monkeypatch.setenv("WARP_RECIPIENTS", "x")
    words = ["append", plain, "-C", str(tree.parent), "tree", "-p", passphrase_file, "-x", "/nosuch", "--recover"]
    for quiet in (False, True):
        with open(plain, "ab") as file:
            file.write(bytes(1000))
        assert main([*words, *(["-q"] if quiet else [])]) == 0
        said = capsys.readouterr().err
        assert said.count("note: ") == (0 if quiet else 5)
        assert (said == "") == quiet


def test_quiet_leaves_warnings(plain: str, tree: Path, tmp_path: Path, capsys: Captured) -> None:
    copy = str(shutil.copy(plain, tmp_path / "copy.warp"))
    append = ["-C", str(tree.parent), "tree", "-q"]
    assert main(["append", plain, *append]) == 0
    assert main(["append", copy, *append, "--recover"]) == 0
    assert capsys.readouterr().err.startswith("warning: it was at commit ")
    with open(copy, "ab") as file:
        file.write(bytes(5000))
    assert main(["list", copy, "--recover", "-q"]) == 0
    assert "warning: 5,000 bytes after the last whole snapshot" in capsys.readouterr().err
    found = records(capsys, "list", copy, "--recover")
    assert sum(record.get("message", "").startswith("warning: ") for record in found) == 2


def test_what_is_not_remembered_is_a_warning_whatever_is_logged(
    plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WARP_STATE_DIR", str(tmp_path / "file" / "state"))
    monkeypatch.setenv("WARP_LOG_LEVEL", "error")
    said = "warning: the state of the archive cannot be remembered, so a rollback will not be noticed"
    for words in (["list", plain, "-q"], ["verify", plain, "-q"]):
        assert main(words) == 0
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(said)
        found = records(capsys, *words)
        assert sum(record.get("message", "").startswith(said) for record in found) == 1
    monkeypatch.setenv("WARP_STATE_DIR", str(tmp_path / "state"))
    assert main(["list", plain]) == 0
    (record,) = (tmp_path / "state" / "archives").iterdir()
    record.write_bytes(b"x")
    capsys.readouterr()
    assert main(["list", plain, "-q"]) == 0
    assert capsys.readouterr().err.startswith("warning: what is remembered of the archive counts as nothing: ")
