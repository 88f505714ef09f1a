"""`warp forget` and `warp compact` on real archives: what they choose, need, say, and leave alone."""

from pathlib import Path

import pytest
from tests.unit.cli.runs import PASSPHRASE, Captured, only, records

from warp_portal.archive import Level, Unlock, open_archive, verify
from warp_portal.cli.main import main
from warp_portal.keys import Identity, SigningKey


def grown(archive: str, tree: Path, *words: str) -> str:
    """The archive with two more snapshots: a large file comes in the second and goes in the third."""
    (tree / "large.bin").write_bytes(bytes(range(256)) * 4000 + PASSPHRASE.encode())
    assert main(["append", archive, "-C", str(tree.parent), "tree", *words]) == 0
    (tree / "large.bin").unlink()
    assert main(["append", archive, "-C", str(tree.parent), "tree", *words]) == 0
    return archive


@pytest.fixture
def three(plain: str, tree: Path, capsys: Captured) -> str:
    grown(plain, tree)
    capsys.readouterr()
    return plain


def snapshots(archive: str, *passphrases: str) -> int:
    with open_archive(archive, Unlock(passphrases)) as reader:
        return len(reader.snapshots())


def test_forget_shows_what_it_would_do(three: str, capsys: Captured) -> None:
    before = Path(three).read_bytes()
    assert main(["forget", three, "--keep-last", "2", "--dry-run"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[0] for line in lines] == ["snapshot", "1", "2", "3"]
    assert lines[1].endswith("-  nothing: forgotten")
    assert lines[3].endswith("2  last")
    assert "would lose 1 snapshot" in captured.err
    assert "nothing was changed" in captured.err
    assert Path(three).read_bytes() == before


def test_a_dry_run_changes_nothing_with_compact_either(three: str, capsys: Captured) -> None:
    before = Path(three).read_bytes()
    forget = ["forget", three, "--keep-last", "1", "--dry-run"]
    dry, both = (records(capsys, *words) for words in (forget, [*forget, "--compact"]))
    assert both == dry
    assert only(both, "summary")["dry_run"] is True
    assert Path(three).read_bytes() == before


def test_forget_needs_to_be_told_to_do_it_and_what(three: str, capsys: Captured) -> None:
    before = Path(three).read_bytes()
    assert main(["forget", three, "--keep-last", "1"]) == 2
    assert "--compact" in capsys.readouterr().err
    assert main(["forget", three, "--compact"]) == 2
    assert main(["forget", three, "--compact", "--keep-last", "0"]) == 2
    assert main(["forget", three, "--compact", "--keep-within", "soon"]) == 2
    assert main(["forget", three, "--compact", "--snapshot", "3"]) == 2
    assert main(["forget", three, "--compact", "--snapshot", "7"]) == 10
    assert Path(three).read_bytes() == before


def test_forget_gives_programs_the_numbers(three: str, capsys: Captured) -> None:
    size = Path(three).stat().st_size
    found = records(capsys, "forget", three, "--keep-last", "1", "--compact")
    fates = [record for record in found if record["type"] == "snapshot"]
    assert [(fate["snapshot"], fate["becomes"], fate["rules"]) for fate in fates] == [
        (1, None, []),
        (2, None, []),
        (3, 1, ["last"]),
    ]
    summary = only(found, "summary")
    assert (summary["changed"], summary["dry_run"], summary["snapshots"], summary["forgotten"]) == (True, False, 1, 2)
    assert summary["chunks"] < summary["chunks_before"]
    assert (summary["file_bytes"], summary["file_bytes_before"]) == (Path(three).stat().st_size, size)
    with open_archive(three) as reader:
        assert reader.uuid.hex() == summary["uuid"] != summary["uuid_before"]
    assert only(records(capsys, "info", three), "archive")["compacted_from"] == summary["uuid_before"]
    assert main(["info", three]) == 0
    assert f"compacted from {summary['uuid_before']}" in capsys.readouterr().out
    assert verify(three, Level.DEEP).ok


def test_a_named_snapshot_goes(three: str, capsys: Captured) -> None:
    assert main(["forget", three, "-s", "2", "--compact"]) == 0
    assert "left out 1 snapshot and 1 chunk" in capsys.readouterr().err
    assert snapshots(three) == 2


def test_what_stays_unused_is_said_to_be_uncompressed(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    """What repeats compresses so well that it may be more than the file has bytes."""
    for name in ("goes", "stays"):
        (tree / name).write_text(f"{name} " * 100_000)
    archive = str(tmp_path / "x.warp")
    assert main(["create", archive, "-C", str(tree.parent), "tree"]) == 0
    (tree / "goes").unlink()
    assert main(["append", archive, "-C", str(tree.parent), "tree"]) == 0
    capsys.readouterr()
    assert main(["forget", archive, "--keep-last", "1", "--compact"]) == 0
    assert " kB (uncompressed) that nothing uses stay in chunks with what is used" in capsys.readouterr().err


def test_compact_keeps_every_snapshot_and_does_nothing_for_nothing(three: str, capsys: Captured) -> None:
    before = Path(three).read_bytes()
    assert main(["compact", three]) == 0
    assert "nothing to leave out" in capsys.readouterr().err
    assert Path(three).read_bytes() == before


def test_every_key_slot_needs_its_key(
    sealed: str, tree: Path, tmp_path: Path, passphrase_file: str, capsys: Captured
) -> None:
    grown(sealed, tree, "-p", passphrase_file)
    second, identity = tmp_path / "second", Identity.generate("x25519")
    second.write_text("another passphrase\n")
    second.chmod(0o600)
    identity.save(tmp_path / "me.key")
    assert main(["key", "add", sealed, "-p", passphrase_file, "--new-passphrase-file", str(second)]) == 0
    assert main(["key", "add", sealed, "-p", passphrase_file, "-r", str(identity.recipient)]) == 0
    forget = ["forget", sealed, "--keep-last", "1", "--compact", "-p", passphrase_file]
    capsys.readouterr()
    assert main([*forget, "--dry-run"]) == 0
    assert "would stop: key slots that none of the keys given can make again" in capsys.readouterr().err
    assert main(forget) == 2
    assert "--drop-slots" in capsys.readouterr().err
    with_all = [*forget, "--slot-passphrase-file", str(second), "-r", str(identity.recipient)]
    assert only(records(capsys, *with_all, "--dry-run"), "summary")["obstacle"] is None
    mistyped = tmp_path / "mistyped"
    mistyped.write_text("another pasphrase\n")
    mistyped.chmod(0o600)
    assert main([*forget, "--drop-slots", "--slot-passphrase-file", str(mistyped)]) == 2
    said = capsys.readouterr().err
    assert "the passphrase given for key slots (--slot-passphrase-file) opens none" in said
    assert "another pasphrase" not in said
    assert main(with_all) == 0
    assert snapshots(sealed, "another passphrase") == 2  # the last of the tree, and the newest: a change of keys
    assert main(["verify", sealed, "-l", "deep", "-i", str(tmp_path / "me.key")]) == 0


def test_slots_are_lost_only_on_request_and_that_is_said(
    sealed: str, tree: Path, tmp_path: Path, passphrase_file: str, capsys: Captured
) -> None:
    grown(sealed, tree, "-p", passphrase_file)
    recipient = str(Identity.generate().recipient)
    assert main(["key", "add", sealed, "-p", passphrase_file, "-r", recipient]) == 0
    assert main(["forget", sealed, "--keep-last", "1", "--compact", "-p", passphrase_file, "--drop-slots"]) == 0
    assert "1 key slot left out" in capsys.readouterr().err
    assert len([r for r in records(capsys, "key", "list", sealed) if r["type"] == "slot"]) == 1


def test_a_mistyped_passphrase_beside_an_identity_loses_no_slot(
    sealed: str, passphrase_file: str, tmp_path: Path, capsys: Captured
) -> None:
    identity = Identity.generate("x25519")
    identity.save(tmp_path / "me.key")
    (tmp_path / "bad").write_text("mistyped\n")
    assert main(["key", "add", sealed, "-p", passphrase_file, "-r", str(identity.recipient)]) == 0
    compact = ["compact", sealed, "-i", str(tmp_path / "me.key"), "--drop-slots"]
    assert main([*compact, "-p", str(tmp_path / "bad")]) == 2
    assert "the passphrase given opens no key slot, so nothing was changed" in capsys.readouterr().err
    assert main([*compact, "-q"]) == 0
    assert "warning: 1 key slot left out" in capsys.readouterr().err


def test_dropping_slots_alone_is_done_and_dropping_none_is_said(
    sealed: str, passphrase_file: str, plain: str, tmp_path: Path, capsys: Captured
) -> None:
    before = Path(sealed).read_bytes()
    compact = ["compact", sealed, "-p", passphrase_file, "--drop-slots"]
    other = str(tmp_path / "other")
    Path(other).write_text("another passphrase\n")
    for words in (compact, [*compact, "--dry-run"], ["compact", plain, "--drop-slots"]):
        assert main(words) == 0
        said = capsys.readouterr().err
        assert "--drop-slots leaves out no key slot" in said
        assert "it is as it was" in said
    assert Path(sealed).read_bytes() == before
    recipient = str(Identity.generate().recipient)
    assert main(["key", "add", sealed, "-p", passphrase_file, "-r", recipient]) == 0
    assert main([*compact, "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "1 key slot would be left out" in said
    assert "would lose 1 key slot" in said
    assert main([*compact, "--dry-run", "--slot-passphrase-file", other]) == 0
    said = capsys.readouterr().err
    assert "would stop: the passphrase given for key slots" in said
    assert "nothing to leave out" not in said
    assert main(compact) == 0
    assert "left out 1 key slot: " in capsys.readouterr().err
    assert len([r for r in records(capsys, "key", "list", sealed) if r["type"] == "slot"]) == 1


def test_a_signed_archive_wants_its_key(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    archive, key = str(tmp_path / "signed.warp"), tmp_path / "sign.key"
    signing = SigningKey.generate()
    signing.save(key)
    assert main(["create", archive, "-C", str(tree.parent), "tree", "--sign", str(key)]) == 0
    grown(archive, tree, "--sign", str(key))
    assert main(["forget", archive, "--keep-last", "1", "--compact"]) == 2
    assert "--sign" in capsys.readouterr().err
    assert main(["forget", archive, "--keep-last", "1", "--compact", "--sign", str(key)]) == 0
    assert main(["verify", archive, "--signer", str(signing.public)]) == 0


def test_who_signs_what_was_not_signed_is_told(three: str, tmp_path: Path, capsys: Captured) -> None:
    SigningKey.generate().save(tmp_path / "sign.key")
    assert main(["forget", three, "--keep-last", "1", "--compact", "--sign", str(tmp_path / "sign.key")]) == 0
    assert "is not signed, and stays so" in capsys.readouterr().err


def test_a_slot_that_may_have_been_anothers_is_warned_of(sealed: str, passphrase_file: str, capsys: Captured) -> None:
    friend, stranger = (Identity.generate("xwing") for _ in range(2))
    assert main(["key", "add", sealed, "-p", passphrase_file, "-r", str(friend.recipient)]) == 0
    assert main(["append", sealed, "-p", passphrase_file, __file__]) == 0
    forget = ["forget", sealed, "--keep-last", "1", "-p", passphrase_file, "-r", str(stranger.recipient)]
    capsys.readouterr()
    assert main([*forget, "--dry-run", "-q"]) == 0
    assert "warning: a key slot would be made anew for warp-recipient-xwing:" in capsys.readouterr().err
    assert only(records(capsys, *forget, "--compact"), "summary")["unproven"] == [str(stranger.recipient)]


def test_a_change_of_keys_is_marked_and_no_rule_counts_it(sealed: str, passphrase_file: str, capsys: Captured) -> None:
    recipient = str(Identity.generate("x25519").recipient)
    assert main(["key", "add", sealed, "-p", passphrase_file, "-r", recipient]) == 0
    capsys.readouterr()
    assert main(["info", sealed, "-p", passphrase_file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("a change of keys") for line in lines[-2:]] == [False, True]
    marks = [r["key_change"] for r in records(capsys, "info", sealed, "-p", passphrase_file) if r["type"] == "snapshot"]
    assert marks == [False, True]
    marks = [r["key_change"] for r in records(capsys, "info", sealed) if r["type"] == "snapshot"]
    assert marks == [None, None]
    forget = ["forget", sealed, "--keep-last", "1", "--dry-run", "-p", passphrase_file]
    assert [r["rules"] for r in records(capsys, *forget) if r["type"] == "snapshot"] == [["last"], ["newest"]]
    assert main(forget) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("newest (a change of keys)")
