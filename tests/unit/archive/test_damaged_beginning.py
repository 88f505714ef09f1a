"""What `recover` still opens when the first bytes of an archive, which exist once, are damaged."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, grow

from warp_portal.archive.header import HEADER_BYTES
from warp_portal.archive.limits import MAX_PASSPHRASE_SLOTS
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.rekey import add_slot
from warp_portal.archive.slots import SlotCopy, seal_for_passphrase
from warp_portal.archive.unlock import DEFAULT_SLOT_COPY_BYTES, Lock, Unlock
from warp_portal.archive.writer import append, create
from warp_portal.errors import BeginningError
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity

FIRST, SECOND = Identity.generate("x25519"), Identity.generate("x25519")
COPY_HEAD_BYTES, SLOT_BYTES, SLOT_HEAD_BYTES = 16, 12 + 8 + 32 + 80, 12


def archive_in(directory: Path, lock: Lock) -> Path:
    grow(directory / "tree", 20, 9000)
    with contextlib.chdir(directory / "tree"):
        create(directory / "a.warp", Source.of(["."]), OFTEN, lock=lock)
    return directory / "a.warp"


def flip(archive: Path, offset: int) -> None:
    """Change one bit of the byte at `offset`."""
    raw = bytearray(archive.read_bytes())
    raw[offset] ^= 1
    archive.write_bytes(raw)


def first_file(archive: Path, unlock: Unlock, *, recover: bool) -> bytes:
    with open_archive(archive, unlock, recover=recover) as reader, reader.open_file("d1/f0001") as file:
        return file.read()


@pytest.mark.parametrize("damaged", [0, 1])
@pytest.mark.parametrize("inside", [0, 1, 2, 3, 8, SLOT_HEAD_BYTES + 8, SLOT_BYTES - 1])
def test_a_damaged_slot_does_not_lock_out_another_key(tmp_path: Path, inside: int, damaged: int) -> None:
    archive = archive_in(tmp_path, Lock(recipients=(FIRST.recipient, SECOND.recipient)))
    flip(archive, HEADER_BYTES + COPY_HEAD_BYTES + damaged * SLOT_BYTES + inside)
    lost, left = (Unlock(identities=(key,)) for key in ((FIRST, SECOND) if damaged == 0 else (SECOND, FIRST)))
    with pytest.raises(BeginningError, match="--recover"):
        first_file(archive, left, recover=False)
    assert first_file(archive, left, recover=True) == (tmp_path / "tree/d1/f0001").read_bytes()
    with pytest.raises(BeginningError, match="back from a copy"):
        first_file(archive, lost, recover=True)


def test_both_copies_are_tried_where_the_commit_that_changed_the_keys_is_lost(tmp_path: Path) -> None:
    archive = archive_in(tmp_path, Lock(recipients=(FIRST.recipient,)))
    size = archive.stat().st_size
    add_slot(archive, Unlock(identities=(FIRST,)), recipient=SECOND.recipient)
    os.truncate(archive, size)
    flip(archive, HEADER_BYTES + DEFAULT_SLOT_COPY_BYTES + COPY_HEAD_BYTES + SLOT_BYTES - 1)
    assert first_file(archive, Unlock(identities=(SECOND,)), recover=True) == (tmp_path / "tree/d1/f0001").read_bytes()


def test_no_more_passphrase_slots_are_tried_than_an_archive_may_have() -> None:
    cost = Argon2Cost(passes=2)
    slot = seal_for_passphrase(bytes(32), bytes(16), "one", cost)
    copies = [b"\1" * COPY_HEAD_BYTES + replace(slot, slot_id=bytes([number] * 8)).serialize() for number in range(20)]
    assert len(SlotCopy.salvage(copies).slots) == MAX_PASSPHRASE_SLOTS


@pytest.mark.parametrize("inside", [0, 4, 8, 12])
def test_a_damaged_head_of_the_slots_locks_out_nobody(tmp_path: Path, inside: int) -> None:
    archive = archive_in(tmp_path, Lock(recipients=(FIRST.recipient,)))
    flip(archive, HEADER_BYTES + inside)
    assert first_file(archive, Unlock(identities=(FIRST,)), recover=True) == (tmp_path / "tree/d1/f0001").read_bytes()


def test_a_changed_header_of_an_encrypted_archive_stays_refused(tmp_path: Path) -> None:
    archive = archive_in(tmp_path, Lock(recipients=(FIRST.recipient,)))
    flip(archive, 145)
    with pytest.raises(BeginningError, match="header"):
        first_file(archive, Unlock(identities=(FIRST,)), recover=True)


def test_nothing_is_appended_behind_damaged_slots(tmp_path: Path) -> None:
    archive = archive_in(tmp_path, Lock(recipients=(FIRST.recipient, SECOND.recipient)))
    flip(archive, HEADER_BYTES + COPY_HEAD_BYTES + SLOT_HEAD_BYTES)
    before = archive.read_bytes()
    with contextlib.chdir(tmp_path / "tree"), pytest.raises(BeginningError):
        append(archive, Source.of(["."]), OFTEN, unlock=Unlock(identities=(SECOND,)), recover=True)
    assert archive.read_bytes() == before
