"""Rollback, forks, lost and exchanged signatures: each told apart, each refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, UUID, grow

from warp_portal.archive.committing import CommitChain
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.rekey import add_slot
from warp_portal.archive.state import Remembered, StateStore, Unfinished
from warp_portal.archive.trust import SignatureState
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import IntegrityError, RollbackError, SignatureError, SignerError, UnsignedError
from warp_portal.keys.recipients import Identity
from warp_portal.keys.signers import SigningKey

ALICE, MALLORY = SigningKey(b"a" * 32), SigningKey(b"m" * 32)
SIGNED = replace(OFTEN, signing_key=ALICE)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    grow(tmp_path / "tree", 10, 9000)
    monkeypatch.chdir(tmp_path / "tree")
    return tmp_path / "a.warp"


def made(path: Path, options: PackOptions) -> bytes:
    path.unlink(missing_ok=True)
    create(path, Source.of(["."]), options, lock=LOCK, archive_key=KEY, uuid=UUID)
    return path.read_bytes()


def test_an_older_state_is_refused_once_a_newer_was_seen(archive: Path, state: StateStore) -> None:
    first = made(archive, OFTEN)
    open_archive(archive, UNLOCK, state=state).close()
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
    with open_archive(archive, UNLOCK, state=state) as reader:
        newest = reader.commit_hash
    archive.write_bytes(first)
    with pytest.raises(RollbackError, match="older"):
        open_archive(archive, UNLOCK, state=state)
    with pytest.raises(RollbackError, match="not the expected"):
        open_archive(archive, UNLOCK, expect_commit=newest)
    with pytest.raises(RollbackError):
        verify(archive, Level.QUICK, unlock=UNLOCK, expect_commit=newest[:8])
    open_archive(archive, UNLOCK).close()


def test_an_old_copy_is_read_by_its_commit_and_does_not_become_the_state_remembered(
    archive: Path, state: StateStore
) -> None:
    first = made(archive, OFTEN)
    with open_archive(archive, UNLOCK, state=state) as reader:
        earlier = reader.commit_hash
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, state=state)
    archive.write_bytes(first)
    with pytest.raises(RollbackError, match=earlier.hex()):
        open_archive(archive, UNLOCK, state=state)
    open_archive(archive, UNLOCK, state=state, expect_commit=earlier).close()
    with pytest.raises(RollbackError, match="older"):
        open_archive(archive, UNLOCK, state=state)


def test_another_history_is_refused(archive: Path, state: StateStore) -> None:
    made(archive, OFTEN)
    open_archive(archive, UNLOCK, state=state).close()
    made(archive, OFTEN)
    with pytest.raises(RollbackError, match="another than the one seen"):
        open_archive(archive, UNLOCK, state=state)
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
    with pytest.raises(RollbackError, match="another than the one seen"):
        open_archive(archive, UNLOCK, state=state)


def test_expected_and_remembered_signers(archive: Path, state: StateStore) -> None:
    made(archive, SIGNED)
    assert verify(archive, Level.QUICK, unlock=UNLOCK, state=state).signature == SignatureState.UNKNOWN_SIGNER
    assert verify(archive, Level.QUICK, unlock=UNLOCK, state=state).signature == SignatureState.REMEMBERED
    assert verify(archive, Level.QUICK, state=state).signature == SignatureState.REMEMBERED
    assert verify(archive, Level.QUICK, signer=ALICE.public).signature == SignatureState.TRUSTED
    with pytest.raises(SignatureError, match="another signer"):
        verify(archive, Level.QUICK, unlock=UNLOCK, signer=MALLORY.public)


def test_a_state_signed_by_another_is_refused(archive: Path, state: StateStore, tmp_path: Path) -> None:
    made(archive, SIGNED)
    other = StateStore(tmp_path / "other")
    open_archive(archive, UNLOCK, state=other).close()
    open_archive(archive, UNLOCK, state=state).close()
    append(archive, Source.of(["."]), replace(OFTEN, signing_key=MALLORY), unlock=UNLOCK, state=other)
    with pytest.raises(SignatureError, match="than before"):
        open_archive(archive, UNLOCK, state=state)
    assert verify(archive, Level.QUICK, unlock=UNLOCK, state=state, signer=MALLORY.public).ok
    open_archive(archive, UNLOCK, state=state).close()


def forged(archive: Path) -> bytes:
    """The archive with a signature of its newest commit that does not hold, under the right MAC and checksum."""
    with open_archive(archive, UNLOCK) as reader:
        commit, keys = reader.commit, reader.keys
    junk = replace(commit, signature=bytes(63) + b"x")
    return archive.read_bytes()[:-256] + replace(junk, mac=junk.expected_mac(keys)).serialize()


def test_a_writer_signs_on_top_of_no_signature_that_fails(archive: Path, state: StateStore) -> None:
    made(archive, SIGNED)
    archive.write_bytes(forged(archive))
    before = archive.read_bytes()
    with pytest.raises(SignatureError):
        append(archive, Source.of(["."]), SIGNED, unlock=UNLOCK, state=state)
    with pytest.raises(SignatureError):
        add_slot(archive, UNLOCK, recipient=Identity.generate().recipient, signing_key=ALICE, state=state)
    assert archive.read_bytes() == before


def test_a_writer_builds_on_no_stranger(archive: Path, state: StateStore) -> None:
    made(archive, SIGNED)
    by_mallory = replace(OFTEN, signing_key=MALLORY)
    with pytest.raises(SignerError, match=str(ALICE.public)):
        append(archive, Source.of(["."]), by_mallory, unlock=UNLOCK, state=state)
    with pytest.raises(SignerError):
        add_slot(archive, UNLOCK, recipient=Identity.generate().recipient, signing_key=MALLORY)
    verify(archive, Level.QUICK, unlock=UNLOCK, state=state)  # this remembers the signer
    append(archive, Source.of(["."]), by_mallory, unlock=UNLOCK, state=state)
    assert verify(archive, Level.QUICK, unlock=UNLOCK, state=state).signature == SignatureState.REMEMBERED
    first = verify(archive, Level.QUICK, unlock=UNLOCK, state=state, snapshot=1)
    assert first.signature == SignatureState.UNKNOWN_SIGNER
    with pytest.raises(SignatureError, match="another signer"):
        verify(archive, Level.QUICK, unlock=UNLOCK, signer=MALLORY.public, snapshot=1)


def test_an_earlier_snapshot_must_hold_by_itself(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(archive, SIGNED)
    archive.write_bytes(forged(archive))
    monkeypatch.setattr("warp_portal.archive.writer.check_continued", lambda *_: None)
    append(archive, Source.of(["."]), SIGNED, unlock=UNLOCK)
    assert verify(archive, Level.QUICK, unlock=UNLOCK, signer=ALICE.public).ok
    with pytest.raises(SignatureError):
        verify(archive, Level.QUICK, unlock=UNLOCK, signer=ALICE.public, snapshot=1)
    with pytest.raises(SignatureError):
        open_archive(archive, UNLOCK, snapshot=1)


def test_unsigned_after_signed_is_refused(archive: Path, state: StateStore) -> None:
    signed = made(archive, SIGNED)
    open_archive(archive, UNLOCK, state=state).close()
    with open_archive(archive, UNLOCK) as reader:
        opened, keys = reader.opened, reader.keys
    stripped = opened.commit.sealed(keys, opened.header.uuid, None)
    archive.write_bytes(signed[:-256] + replace(stripped, flags=2).sealed(keys, UUID, None).serialize())
    with pytest.raises(RollbackError):
        open_archive(archive, UNLOCK, state=state)
    with pytest.raises(UnsignedError, match="its TOC names a signer"):
        open_archive(archive, UNLOCK)
    archive.unlink()
    made(archive, OFTEN)
    state.remember(UUID, Remembered(1, replaced_digest(archive), ALICE.public.raw))
    with pytest.raises(UnsignedError, match="before"):
        open_archive(archive, UNLOCK, state=state)
    with pytest.raises(UnsignedError):
        verify(archive, Level.QUICK, signer=ALICE.public)


def replaced_digest(archive: Path) -> bytes:
    with open_archive(archive, UNLOCK) as reader:
        return reader.commit_hash


def test_unsigned_after_signed_is_seen_in_the_chain(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(archive, SIGNED)
    append(archive, Source.of(["."]), replace(OFTEN, signing_key=ALICE), unlock=UNLOCK)
    for kind in ("checkpoint", "snapshot"):
        original = getattr(CommitChain, kind)
        monkeypatch.setattr(CommitChain, kind, lambda *given, original=original: original(*given[:-1], None))
    append(archive, Source.of(["."]), replace(OFTEN, signing_key=ALICE), unlock=UNLOCK)
    monkeypatch.undo()
    with pytest.raises(UnsignedError, match="an earlier one is"):
        open_archive(archive, UNLOCK)


def test_a_commit_by_someone_without_the_key_is_refused(archive: Path) -> None:
    raw = made(archive, OFTEN)
    with open_archive(archive, UNLOCK) as reader:
        commit = reader.commit
    archive.write_bytes(raw[:-256] + replace(commit, time_ns=commit.time_ns + 1).serialize())
    with pytest.raises(IntegrityError, match="MAC"):
        open_archive(archive, UNLOCK)


def test_records_are_private_and_survive_damage(state: StateStore, tmp_path: Path) -> None:
    seen = Remembered(7, b"d" * 32, b"")
    state.remember(UUID, seen)
    state.begin(b"/some/where", Unfinished(UUID, KEY, {"roots": [[b"a", b"/a"]]}, ("warp-recipient-x",), b"header"))
    assert state.remembered(UUID) == seen
    unfinished = state.unfinished(b"/some/where")
    assert unfinished is not None
    assert unfinished.archive_key == KEY
    assert repr(KEY) not in repr(unfinished)
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    assert state.remembered(UUID) is None
    assert state.unfinished(b"/some/where") is None
    state.finish(b"/some/where")
    state.finish(b"/some/where")


def test_what_cannot_be_remembered_is_a_warning(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made(archive, OFTEN)
    (tmp_path / "file").touch()
    nowhere = StateStore(tmp_path / "file" / "state")
    open_archive(archive, UNLOCK, state=nowhere).close()
    assert "cannot be remembered" in caplog.text
    assert append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, state=nowhere).snapshot == 2
    add_slot(archive, UNLOCK, recipient=Identity.generate().recipient, state=nowhere)
    nowhere.finish(b"/some/where")
