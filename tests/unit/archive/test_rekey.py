"""Changing what opens an archive."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, grow, in_child

from warp_portal.archive import rekey
from warp_portal.archive.committing import CommitChain
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.rekey import add_slot, list_slots, remove_slot
from warp_portal.archive.state import StateStore
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.unlock import Lock, Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import DamagedTailError, IntegrityError, NotFoundError, UsageError, WrongKeyError
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity
from warp_portal.keys.signers import SigningKey

CHEAP = Argon2Cost(passes=2)
ONE, TWO = Unlock(("one",)), Unlock(("two",))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    grow(tmp_path / "tree", 20, 9000)
    monkeypatch.chdir(tmp_path / "tree")
    create(tmp_path / "a.warp", Source.of(["."]), OFTEN, lock=Lock(("one",), cost=CHEAP))
    return tmp_path / "a.warp"


def opens(archive: Path, unlock: Unlock) -> bool:
    try:
        with open_archive(archive, unlock) as reader:
            return reader.find("d1/f0001") is not None
    except WrongKeyError:
        return False


def test_slots_are_added_listed_and_removed(archive: Path, tmp_path: Path) -> None:
    state, identity = StateStore(tmp_path / "state"), Identity.generate()
    (first,) = list_slots(archive)
    assert (first.kind, first.detail) == ("passphrase", "Argon2id, 64 MiB, 2 passes, 4 lanes")
    added = add_slot(archive, ONE, passphrase="two", cost=CHEAP, state=state)
    recipient = add_slot(archive, TWO, recipient=identity.recipient, state=state)
    assert [slot.slot_id for slot in list_slots(archive)] == [first.slot_id, added.slot_id, recipient.slot_id]
    assert [opens(archive, unlock) for unlock in (ONE, TWO, Unlock((), (identity,)))] == [True, True, True]
    remove_slot(archive, TWO, first.slot_id, state=state)
    assert [opens(archive, unlock) for unlock in (ONE, TWO, Unlock((), (identity,)))] == [False, True, True]
    assert verify(archive, Level.DEEP, unlock=TWO, state=state).ok
    append(archive, Source.of(["."]), OFTEN, unlock=TWO)
    with open_archive(archive, TWO) as reader:
        assert len(reader.snapshots()) == 5
    with open_archive(archive, TWO, snapshot=1) as reader:
        assert reader.find("d1/f0001") is not None


def test_nonsense_is_refused(archive: Path, tmp_path: Path) -> None:
    (first,) = list_slots(archive)
    with pytest.raises(UsageError, match="last key slot"):
        remove_slot(archive, ONE, first.slot_id)
    with pytest.raises(NotFoundError):
        remove_slot(archive, ONE, bytes(8))
    with pytest.raises(UsageError, match="either"):
        add_slot(archive, ONE)
    with pytest.raises(WrongKeyError):
        add_slot(archive, TWO, passphrase="three", cost=CHEAP)
    create(tmp_path / "plain.warp", Source.of(["."]), OFTEN)
    assert list_slots(tmp_path / "plain.warp") == ()
    with pytest.raises(UsageError, match="not encrypted"):
        add_slot(tmp_path / "plain.warp", ONE, passphrase="two")


def test_a_signed_archive_is_signed_again(tmp_path: Path, archive: Path) -> None:
    key = SigningKey.generate()
    create(tmp_path / "s.warp", Source.of(["."]), replace(OFTEN, signing_key=key), lock=Lock(("one",), cost=CHEAP))
    with pytest.raises(UsageError, match="sign this change"):
        add_slot(tmp_path / "s.warp", ONE, passphrase="two", cost=CHEAP)
    add_slot(tmp_path / "s.warp", ONE, passphrase="two", cost=CHEAP, signing_key=key)
    with open_archive(tmp_path / "s.warp", TWO) as reader:
        assert reader.snapshot.signer == key.public.raw


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, archive: Path) -> None:
    lock = Lock(("one",), cost=CHEAP, slot_copy_bytes=256)
    create(tmp_path / "small.warp", Source.of(["."]), OFTEN, lock=lock)
    before = (tmp_path / "small.warp").read_bytes()
    with pytest.raises(UsageError, match="room for 256"):
        add_slot(tmp_path / "small.warp", ONE, passphrase="two", cost=CHEAP)
    assert (tmp_path / "small.warp").read_bytes() == before


@pytest.mark.parametrize("step", ["pwrite", "commit", "tidy"])
def test_a_change_that_is_stopped_leaves_the_archive_readable(
    archive: Path, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateStore(tmp_path / "state")

    def stop(*_: object) -> None:
        os._exit(9)

    def change() -> None:
        if step == "pwrite":
            monkeypatch.setattr(rekey._Rekeying, "_commit", stop)
        elif step == "commit":
            monkeypatch.setattr(CommitChain, "_append", stop)
        else:
            monkeypatch.setattr(rekey, "tidy_slots", stop)
        add_slot(archive, ONE, passphrase="two", cost=CHEAP, state=state)

    assert in_child(change) == 9
    if step == "commit":
        with open_archive(archive, ONE, recover=True) as reader:
            assert reader.find("d1/f0001") is not None
        stopped = archive.read_bytes()
        with pytest.raises(DamagedTailError, match="not finished"):
            add_slot(archive, ONE, passphrase="three", cost=CHEAP)
        # The machine whose change was stopped goes on with another, or with an append.
        again = StateStore(shutil.copytree(tmp_path / "state", tmp_path / "again"))
        add_slot(archive, ONE, passphrase="three", cost=CHEAP, state=again)
        assert verify(archive, Level.DEEP, unlock=Unlock(("three",))).ok
        archive.write_bytes(stopped)
        append(archive, Source.of(["."]), OFTEN, unlock=ONE, state=state)
    else:
        assert opens(archive, ONE)
    add_slot(archive, ONE, passphrase="three", cost=CHEAP)
    assert opens(archive, Unlock(("three",)))
    append(archive, Source.of(["."]), OFTEN, unlock=ONE)
    assert verify(archive, Level.DEEP, unlock=ONE).ok


def test_when_the_commit_of_a_change_is_lost_the_new_slots_still_recover(archive: Path) -> None:
    with open_archive(archive, ONE) as reader:
        end = reader.commit.end
    add_slot(archive, ONE, passphrase="two", cost=CHEAP)
    os.truncate(archive, end + 100)
    with open_archive(archive, TWO, recover=True) as reader:
        assert reader.find("d1/f0001") is not None


def test_stripped_slots_are_damage_and_no_wrong_key(archive: Path) -> None:
    raw = bytearray(archive.read_bytes())
    raw[256 + 8] = 0
    archive.write_bytes(raw)
    with pytest.raises(IntegrityError, match="key slots"):
        open_archive(archive, ONE)


@pytest.mark.parametrize("step", ["sync", "_commit"])
def test_a_change_that_fails_leaves_the_archive_as_it_was(
    archive: Path, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, before = StateStore(tmp_path / "state"), archive.read_bytes()

    def fail(rekeying: rekey._Rekeying | ArchiveFile, *_: object) -> None:
        file = rekeying.file if isinstance(rekeying, rekey._Rekeying) else rekeying
        os.pwrite(file.fd, b"half of a commit", file.size())
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ArchiveFile if step == "sync" else rekey._Rekeying, step, fail)
    with pytest.raises(OSError, match="No space left"):
        add_slot(archive, ONE, passphrase="two", cost=CHEAP, state=state)
    assert archive.read_bytes() == before
    add_slot(archive, ONE, passphrase="two", cost=CHEAP, state=state)
    assert opens(archive, Unlock(("two",)))
