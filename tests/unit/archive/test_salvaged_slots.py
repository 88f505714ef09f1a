"""What is kept of a damaged copy of the key slots: never more guesses at a passphrase than a whole copy may ask for."""

import struct

import pytest

from warp_portal.archive.limits import MAX_PASSPHRASE_SLOTS
from warp_portal.archive.slots import PASSPHRASE, X25519, Slot, SlotCopy
from warp_portal.errors import FormatError

COPY_BYTES = 16384
PASSPHRASE_BYTES, X25519_BYTES = 124, 8 + 32 + 80


def slot(number: int, kind: int = PASSPHRASE) -> Slot:
    body = bytes(PASSPHRASE_BYTES if kind == PASSPHRASE else X25519_BYTES)
    return Slot(kind, struct.pack("<Q", number), body)


def damaged(*slots: Slot) -> bytes:
    """A copy with these slots, whose magic is lost."""
    return b"XXXX" + SlotCopy(1, slots).serialize(COPY_BYTES)[4:]


def test_as_many_passphrases_as_are_allowed_are_salvaged() -> None:
    slots = tuple(slot(number) for number in range(MAX_PASSPHRASE_SLOTS))
    found = SlotCopy.salvage([damaged(*slots)])
    assert (found.slots[: len(slots)], found.whole) == (slots, False)


def test_no_passphrase_beyond_those_allowed_is_salvaged() -> None:
    slots = [slot(number) for number in range(MAX_PASSPHRASE_SLOTS + 40)]
    found = SlotCopy.salvage([damaged(*slots)])
    assert [each for each in found.slots if each.type == PASSPHRASE] == slots[:MAX_PASSPHRASE_SLOTS]


def test_a_recipient_behind_too_many_passphrases_is_salvaged() -> None:
    """It costs next to nothing to try."""
    slots = [slot(number) for number in range(MAX_PASSPHRASE_SLOTS + 1)]
    last = slot(99, X25519)
    assert last in SlotCopy.salvage([damaged(*slots, last)]).slots


def test_a_whole_copy_has_no_more_passphrases_than_are_allowed() -> None:
    slots = tuple(slot(number) for number in range(MAX_PASSPHRASE_SLOTS + 1))
    assert SlotCopy.parse(SlotCopy(1, slots[:-1]).serialize(COPY_BYTES)).slots == slots[:-1]
    with pytest.raises(FormatError, match="passphrases"):
        SlotCopy.parse(SlotCopy(1, slots).serialize(COPY_BYTES))
