"""Encrypted archives whose author fills the key slots with whatever fits, and knows the key: each MAC is right.

The commands have the passphrase of one slot, the last, and an identity that opens none.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from unittest.mock import patch

from warp_portal.archive import writer
from warp_portal.archive.limits import MAX_PASSPHRASE_SLOTS, MAX_SLOT_COPY
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.slots import PASSPHRASE as PASSPHRASE_SLOT
from warp_portal.archive.slots import Slot, SlotCopy, seal_for_passphrase, seal_for_recipient
from warp_portal.archive.unlock import Lock
from warp_portal.keys.password import DEFAULT_COST
from warp_portal.keys.recipients import Identity

PASSPHRASE: Final = "of the last slot"
IDENTITY_FILE: Final = "identity"
ENVIRONMENT: Final = {"WARP_PASSPHRASE": PASSPHRASE, "WARP_IDENTITY": IDENTITY_FILE}
SALT_BYTES: Final = 32

Slots = Callable[[bytes, bytes, Slot], list[Slot]]


def locked(slots: Slots) -> Callable[[Path], None]:
    """An archive with the slots that are made of its key, its uuid, and a slot that the passphrase opens."""

    def hostile(lock: Lock, key: bytes, uuid: bytes) -> SlotCopy:
        return SlotCopy(1, tuple(slots(key, uuid, seal_for_passphrase(key, uuid, PASSPHRASE, lock.cost))))

    def build(path: Path) -> None:
        Identity.generate("x25519").save(path.parent / IDENTITY_FILE)
        seed = path.parent / "seed"
        seed.write_bytes(b"content")
        with patch.object(writer, "new_slots", hostile):
            create(path, seed)

    return build


def create(path: Path, seed: Path) -> None:
    lock = Lock(passphrases=(PASSPHRASE,), slot_copy_bytes=MAX_SLOT_COPY)
    writer.create(path, Source.of([seed]), PackOptions(threads=1), lock=lock)


def room(slot: Slot) -> int:
    """Bytes of a copy that are left beside head, MAC and one slot."""
    return MAX_SLOT_COPY - 16 - 32 - len(slot.serialize())


def as_many(made: Callable[[], Slot], last: Slot) -> list[Slot]:
    """Slots up to the end of the copy."""
    size = len(made().serialize())
    return [*(made() for _ in range(room(last) // size)), last]


def unknown(_key: bytes, _uuid: bytes, last: Slot) -> list[Slot]:
    """2,700 slots of a type that nobody knows, without a body."""
    return as_many(lambda: Slot(200, os.urandom(8), b""), last)


def recipients(kind: str) -> Slots:
    """Slots for identities that nobody has; each is a Diffie-Hellman to try."""

    def slots(key: bytes, uuid: bytes, last: Slot) -> list[Slot]:
        known = seal_for_recipient(key, uuid, Identity.generate(kind).recipient)
        return as_many(lambda: replace(known, slot_id=os.urandom(8)), last)

    return slots


def costing(memory_kib: int, passes: int = 2, lanes: int = 1, count: int = 1) -> Slots:
    """Slots before the last that cost so much to try, and open nothing."""

    def slots(_key: bytes, _uuid: bytes, last: Slot) -> list[Slot]:
        cost = struct.pack("<III", memory_kib, passes, lanes)
        body = bytearray(last.body)
        body[SALT_BYTES : SALT_BYTES + len(cost)] = cost
        return [*(Slot(PASSPHRASE_SLOT, os.urandom(8), bytes(body)) for _ in range(count)), last]

    return slots


def of_another_key(_key: bytes, uuid: bytes, _last: Slot) -> list[Slot]:
    return [seal_for_passphrase(os.urandom(32), uuid, PASSPHRASE, DEFAULT_COST)]


def of_another_archive(key: bytes, _uuid: bytes, _last: Slot) -> list[Slot]:
    return [seal_for_passphrase(key, os.urandom(16), PASSPHRASE, DEFAULT_COST)]


def twice_one_id(_key: bytes, _uuid: bytes, last: Slot) -> list[Slot]:
    return [Slot(200, last.slot_id, b""), last]


MIB: Final = 1024
CASES: Final[dict[str, Callable[[Path], None]]] = {
    "slots_of_an_unknown_type": locked(unknown),
    "slots_of_x25519_without_number": locked(recipients("x25519")),
    "slots_of_xwing_without_number": locked(recipients("xwing")),
    "passphrases_of_128_mib": locked(costing(128 * MIB, count=MAX_PASSPHRASE_SLOTS - 1)),
    "passphrases_of_1_gib": locked(costing(1024 * MIB, count=MAX_PASSPHRASE_SLOTS - 1)),
    "nine_passphrases": locked(costing(64 * MIB, count=MAX_PASSPHRASE_SLOTS)),
    "a_passphrase_of_4_tib": locked(costing((1 << 32) - 1)),
    "a_passphrase_of_four_billion_passes": locked(costing(64 * MIB, passes=(1 << 32) - 1)),
    "a_passphrase_of_no_lanes": locked(costing(64 * MIB, lanes=0)),
    "a_slot_of_another_key": locked(of_another_key),
    "a_slot_of_another_archive": locked(of_another_archive),
    "two_slots_of_one_id": locked(twice_one_id),
}
