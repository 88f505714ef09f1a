"""Keys, signatures, damage: what is refused, what is told apart, and how the commands end."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.runs import PASSPHRASE, Captured, only, records

from warp_portal import archive as archives
from warp_portal.cli.main import main


def test_info_without_a_key_shows_what_is_in_the_clear(sealed: str, capsys: Captured) -> None:
    assert main(["info", sealed]) == 0
    out = capsys.readouterr().out
    assert "sealed: " in out
    assert "entries" not in out
    assert "passphrase" in out
    assert "bytes" not in only(records(capsys, "info", sealed), "archive")


def test_a_key_is_needed_and_must_be_right(
    sealed: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warp_portal.cli.unlocking.on_terminal", lambda: False)
    assert main(["list", sealed]) == 12
    assert "--passphrase-file" in capsys.readouterr().err
    monkeypatch.setenv("WARP_PASSPHRASE", "wrong horse")
    assert main(["list", sealed]) == 12
    assert "wrong horse" not in capsys.readouterr().err
    monkeypatch.setenv("WARP_PASSPHRASE", PASSPHRASE)
    assert main(["list", sealed]) == 0


@pytest.mark.parametrize("level", ["quick", "index", "data", "deep"])
def test_a_sound_archive_verifies_at_every_level(
    level: str, sealed: str, passphrase_file: str, capsys: Captured
) -> None:
    found = records(capsys, "verify", sealed, "--level", level, "-p", passphrase_file)
    summary = only(found, "summary")
    assert (summary["ok"], summary["level"], summary["signature"]) == (True, level, "unsigned")


def test_data_is_verified_without_a_key(sealed: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warp_portal.cli.unlocking.on_terminal", lambda: False)
    assert main(["verify", sealed]) == 0
    assert "no damage found" in capsys.readouterr().err


@pytest.mark.parametrize(("reasons", "words"), [(1, "1 piece of metadata:"), (3, "3 pieces of metadata:")])
def test_damaged_metadata_is_counted(
    reasons: int, words: str, plain: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    report = replace(archives.verify(plain, archives.Level.QUICK), metadata_damage=("page 1: damaged",) * reasons)
    monkeypatch.setattr(archives, "verify", lambda *_, **__: report)
    assert main(["verify", plain]) == 13
    assert f"DAMAGED: {words}" in capsys.readouterr().err


def test_damage_is_named_by_file_and_ends_with_13(
    sealed: str, tree: Path, tmp_path: Path, passphrase_file: str, capsys: Captured
) -> None:
    raw = bytearray(Path(sealed).read_bytes())
    raw[len(raw) // 2] ^= 1
    Path(sealed).write_bytes(raw)
    found = records(capsys, "verify", sealed, "--level", "deep", "-p", passphrase_file, code=13)
    assert {record["path"] for record in found if record["type"] == "damage" and record["what"] == "file"} & {
        "tree/sub/b.bin", "tree/sub/copy.bin", "tree/a.txt",
    }  # fmt: skip
    assert main(["verify", sealed, "--level", "deep", "-p", passphrase_file]) == 13
    assert "DAMAGED" in capsys.readouterr().err
    back = tmp_path / "back"
    back.mkdir()
    assert main(["extract", sealed, "-C", str(back), "-p", passphrase_file]) == 13
    assert "damaged" in capsys.readouterr().err


def test_a_person_sees_some_of_the_files_of_a_damaged_chunk_and_a_program_all(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "many").mkdir()
    for number in range(57):
        (tmp_path / "many" / f"f{number:02}").write_bytes(os.urandom(100))
    archive, back = str(tmp_path / "many.warp"), str(tmp_path / "back")
    assert main(["create", archive, str(tmp_path / "many")]) == 0
    raw = bytearray(Path(archive).read_bytes())
    raw[300] ^= 1
    Path(archive).write_bytes(raw)
    for words in (["verify", archive, "--level", "deep"], ["extract", archive, "-C", back]):
        found = records(capsys, *words, code=13)
        assert sum("path" in record and record["path"].endswith(tuple("0123456789")) for record in found) == 57
        assert main(words) == 13
        said = capsys.readouterr().err
        assert sum("/many/f" in line for line in said.splitlines()) == 20
        assert "… and 37 more" in said


def test_an_expected_commit_must_be_the_newest(plain: str, capsys: Captured) -> None:
    commit = only(records(capsys, "info", plain), "archive")["commit"]
    assert main(["verify", plain, "--expect-commit", commit]) == 0
    assert main(["verify", plain, "--expect-commit", "00" * 32]) == 13
    assert main(["verify", plain, "--expect-commit", "12"]) == 2


def test_signed_archives_name_their_signer(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    archive, key, other = (str(tmp_path / name) for name in ("s.warp", "sign.key", "other.key"))
    for path in (key, other):
        assert main(["key", "keygen", path, "--kind", "signing"]) == 0
    public = capsys.readouterr().out.splitlines()[0]
    assert public.startswith("warp-signer:")
    assert main(["create", archive, str(tree), "--sign", key]) == 0
    assert main(["verify", archive, "--signer", public]) == 0
    assert "by the signer asked for" in capsys.readouterr().err
    assert main(["verify", archive, "--signer", other]) == 13


def test_an_identity_opens_what_was_made_for_its_recipient(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    archive, key = str(tmp_path / "r.warp"), str(tmp_path / "me.key")
    public = only(records(capsys, "key", "keygen", key), "key")["public"]
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert main(["create", archive, str(tree), "--recipient", public]) == 0
    assert main(["list", archive, "--identity", key]) == 0


def test_key_slots_are_added_listed_and_removed(
    sealed: str, tmp_path: Path, passphrase_file: str, capsys: Captured
) -> None:
    key = str(tmp_path / "me.key")
    public = only(records(capsys, "key", "keygen", key, "--kind", "x25519"), "key")["public"]
    added = only(records(capsys, "key", "add", sealed, "--recipient", public, "-p", passphrase_file), "summary")
    assert added["kind"] == "x25519"
    slots = {
        record["kind"]: record["slot"] for record in records(capsys, "key", "list", sealed) if record["type"] == "slot"
    }
    assert set(slots) == {"passphrase", "x25519"}
    assert main(["key", "remove", sealed, slots["passphrase"], "--identity", key]) == 0
    assert main(["list", sealed, "-p", passphrase_file]) == 12
    assert main(["list", sealed, "-i", key]) == 0
    assert main(["key", "remove", sealed, slots["x25519"], "--identity", key]) == 2
    assert main(["key", "remove", sealed, "ffff", "--identity", key]) == 10
    assert main(["key", "remove", sealed, slots["x25519"][:3], "--identity", key]) == 2


def test_the_old_passphrase_is_asked_for_before_the_new_one(sealed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = iter(["wrong", PASSPHRASE, "new words", "new words"])

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    monkeypatch.setattr("warp_portal.cli.unlocking.on_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", answer)
    assert main(["key", "add", sealed]) == 0
    assert asked == ["Passphrase: ", "Passphrase: ", "New passphrase: ", "Once more: "]
    monkeypatch.setenv("WARP_PASSPHRASE", "new words")
    assert main(["list", sealed]) == 0


@pytest.mark.parametrize(("archive", "code"), [("sealed", 12), ("plain", 2)])
def test_nobody_is_asked_for_a_new_passphrase_in_vain(
    archive: str, code: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = request.getfixturevalue(archive)
    monkeypatch.setenv("WARP_PASSPHRASE", "wrong")
    monkeypatch.setattr("warp_portal.cli.unlocking.ask_twice", lambda: pytest.fail("asked"))
    assert main(["key", "add", path]) == code


def test_costly_key_derivation_must_be_meant(sealed: str, passphrase_file: str, capsys: Captured) -> None:
    words = [
        "key",
        "add",
        sealed,
        "--new-passphrase-file",
        passphrase_file,
        "-p",
        passphrase_file,
        "--argon2-memory",
        "256M",
    ]
    assert main(words) == 2
    assert "--large-argon2" in capsys.readouterr().err


def test_extract_and_cat_demand_a_signer(tree: Path, plain: str, tmp_path: Path, capsys: Captured) -> None:
    keys = [str(tmp_path / name) for name in ("mine", "other")]
    public = []
    for key in keys:
        assert main(["key", "keygen", key, "--kind", "signing"]) == 0
        public.append(capsys.readouterr().out.strip())
    signed, target = str(tmp_path / "signed.warp"), tmp_path / "out"
    assert main(["create", signed, "-C", str(tree.parent), "tree", "--sign", keys[0]]) == 0
    for archive, signer in ((signed, public[1]), (plain, public[0])):
        assert main(["extract", archive, "-C", str(target), "--signer", signer]) == 13
        assert main(["cat", archive, "tree/a.txt", "--signer", signer]) == 13
        assert not target.exists()
    assert main(["extract", signed, "-C", str(target), "--signer", public[0]]) == 0
    assert main(["cat", signed, "tree/a.txt", "--signer", public[0]]) == 0


def test_a_public_key_in_the_place_of_a_private_one_is_told(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["key", "keygen", str(tmp_path / "key"), "--kind", "signing"]) == 0
    (tmp_path / "key.pub").write_text(capsys.readouterr().out)
    assert main(["create", str(tmp_path / "x.warp"), str(tree), "--sign", str(tmp_path / "key.pub")]) == 2
    assert "not a warp-signer" in capsys.readouterr().err
