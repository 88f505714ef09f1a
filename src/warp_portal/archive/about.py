"""What can be told of an archive: its snapshots, its key slots, and what the open snapshot holds."""

import builtins
from dataclasses import dataclass
from typing import Self

from warp_portal.archive.commit import Commit
from warp_portal.archive.slots import SlotCopy


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One of the archive's snapshots, numbered from 1; `sequence` counts all its commits.

    `signer` is None if it is unsigned or the archive was opened without a key.
    """

    number: int
    sequence: int
    time_ns: int
    commit_hash: bytes
    signed: bool
    signer: bytes | None
    chunks: int
    stored_bytes: int
    offset: int

    @classmethod
    def of(cls, number: int, commit: Commit, signer: bytes | None) -> Self:
        """As its commit tells; the signer's public key, where known."""
        place = (number, commit.sequence, commit.time_ns, commit.digest(), commit.signed, signer)
        return cls(*place, commit.chunks, commit.stored_bytes, commit.offset)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the open snapshot holds, and how it was made."""

    entries: int
    bytes: int
    fragments: int
    chunks: int
    stored_bytes: int
    scan_time_ns: int
    arguments: dict[str, object]
    owners: "tuple[dict[int, builtins.bytes], dict[int, builtins.bytes]]"


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A key slot, as anyone can see it."""

    slot_id: bytes
    kind: str
    detail: str


def slot_infos(slots: SlotCopy | None) -> tuple[SlotInfo, ...]:
    """What can be told of slots without a key."""
    return tuple(SlotInfo(slot.slot_id, slot.kind, slot.detail) for slot in slots.slots) if slots else ()
