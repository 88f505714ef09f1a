"""Changing what opens an archive: the other copy of the slots is written, a snapshot commit names it, the old one is wiped.

    write the unused copy ─ sync ─ commit that lists the same pages and names it ─ sync ─ zero the copy used before

The archive key stays the same, so this binds nobody who has it, or an old copy of the file.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Self

from warp_portal._native import Frontier, ScopeKeys, blake3
from warp_portal.archive.about import SlotInfo, slot_infos
from warp_portal.archive.base import Base
from warp_portal.archive.commit import Commit
from warp_portal.archive.committing import CommitChain, Facts
from warp_portal.archive.content import Content, open_content
from warp_portal.archive.header import Header
from warp_portal.archive.limits import MAX_PASSPHRASE_SLOTS
from warp_portal.archive.opening import Opened, newest, open_commit, read_header, slot_copy_offset
from warp_portal.archive.resuming import (
    check_finished,
    newest_for_writer,
    noted_change,
    remembered_as,
    tidy_slots,
    writable_header,
)
from warp_portal.archive.slots import (
    PASSPHRASE,
    Slot,
    SlotCopy,
    seal_for_passphrase,
    seal_for_recipient,
)
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.storage import AnyPath, ArchiveFile, FileOutput
from warp_portal.archive.trust import check_continued, check_state
from warp_portal.archive.unlock import Unlock, find_archive_key, open_keys, passphrase_slot
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import NotFoundError, UsageError, naming
from warp_portal.keys.password import DEFAULT_COST, Argon2Cost
from warp_portal.keys.recipients import Recipient
from warp_portal.keys.signers import SigningKey

Change = Callable[[SlotCopy], tuple[Slot, ...]]


def list_slots(path: AnyPath) -> tuple[SlotInfo, ...]:
    """The key slots of an archive; needs no key."""
    with ArchiveFile(path) as file:
        return slot_infos(newest(file, read_header(file)).slots)


def proven(path: AnyPath, unlock: Unlock, state: StateStore | None = None) -> Unlock:
    """The archive key that `unlock` leads to, for the change to come: who asks for a new key asks for the old one first.

    Raises:
        As `remove_slot` does, before anything is written.
    """
    with _Rekeying(path, unlock, state) as rekeying:
        return Unlock(archive_key=rekeying.archive_key)


def add_slot(  # noqa: PLR0913 - one call of the API, mostly by keyword
    path: AnyPath,
    unlock: Unlock,
    *,
    passphrase: str | None = None,
    recipient: Recipient | None = None,
    cost: Argon2Cost = DEFAULT_COST,
    signing_key: SigningKey | None = None,
    state: StateStore | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> SlotInfo:
    """Let a further passphrase or recipient open the archive.

    Raises:
        UsageError: neither or both given, a passphrase that a slot of the same cost has already, no room, a plain archive, or
            one that is signed and no `signing_key`.
        DamagedTailError: something follows the newest snapshot.
        As `append` does.
    """
    if (passphrase is None) == (recipient is None):
        raise UsageError("give either a passphrase or a recipient")

    with _Rekeying(path, unlock, state) as rekeying:
        uuid, archive_key = rekeying.header.uuid, rekeying.archive_key
        if recipient is not None:
            slot = seal_for_recipient(archive_key, uuid, recipient)
        elif same := passphrase_slot(rekeying.slots.slots, uuid, passphrase or "", cost):
            raise UsageError(f"this passphrase opens the archive already, by slot {same.slot_id.hex()}: choose another")
        else:
            slot = seal_for_passphrase(archive_key, uuid, passphrase or "", cost)
        slots = (*rekeying.slots.slots, slot)
        if sum(each.type == PASSPHRASE for each in slots) > MAX_PASSPHRASE_SLOTS:
            raise UsageError(f"an archive takes at most {MAX_PASSPHRASE_SLOTS} passphrases")
        rekeying.exchange(slots, signing_key, clock)
        return SlotInfo(slot.slot_id, slot.kind, slot.detail)


def remove_slot(  # noqa: PLR0913 - one call of the API, mostly by keyword
    path: AnyPath,
    unlock: Unlock,
    slot_id: bytes,
    *,
    signing_key: SigningKey | None = None,
    state: StateStore | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Take away a slot. Whoever has the archive key or an old copy of the file can still open that.

    Raises:
        NotFoundError: no such slot.
        UsageError: it is the last one.
        As `add_slot` does.
    """
    with _Rekeying(path, unlock, state) as rekeying:
        rest = tuple(slot for slot in rekeying.slots.slots if slot.slot_id != slot_id)
        if len(rest) == len(rekeying.slots.slots):
            raise NotFoundError(f"{rekeying.file.name} has no key slot {slot_id.hex()}")
        if not rest:
            raise UsageError("this is the last key slot: without it nobody could open the archive")
        rekeying.exchange(rest, signing_key, clock)


class _Rekeying:
    """An archive that is locked and open for a change of its slots."""

    def __init__(self, path: AnyPath, unlock: Unlock, state: StateStore | None) -> None:
        self.file = ArchiveFile(path, os.O_RDWR)
        self._state = state
        try:
            self.file.lock()
            self._open(unlock)
        except BaseException:
            self.file.close()
            raise

    def _open(self, unlock: Unlock) -> None:
        self.header: Header = writable_header(self.file)
        self._opened: Opened = newest_for_writer(self.file, self.header)
        if self._opened.slots is None:
            raise UsageError(f"{self.file.name} is not encrypted: it has no key slots")
        begun = self._state.changed_from(self.header.uuid) if self._state else None
        check_finished(self.file, self._opened, begun)
        self.slots: SlotCopy = self._opened.slots
        self.archive_key = find_archive_key(self.header, self.slots, unlock)  # once: it takes a second
        self.keys: ScopeKeys = open_keys(self.header, self.slots, Unlock(archive_key=self.archive_key))
        self._seen = self._state.remembered(self.header.uuid) if self._state else None
        check_state(self.file, self._opened, self.keys, self._seen)

    def _check_start(self, signing_key: SigningKey | None) -> None:
        """Whose state is changed; then remember it."""
        start = remembered_as(self._opened, self.keys)
        own = signing_key.public if signing_key else None
        check_continued(self.file, self._opened, start.signer, self._seen, own)
        if self._state and start != self._seen:
            self._state.remember(self.header.uuid, start)

    def exchange(self, slots: tuple[Slot, ...], signing_key: SigningKey | None, clock: Clock) -> None:
        """Make `slots` the ones that count."""
        if self._opened.commit.signed and signing_key is None:
            raise UsageError(f"{self.file.name} is signed: sign this change too, or readers will refuse it")
        self._check_start(signing_key)
        unused = 1 - self._opened.toc.clear.active_copy
        draft = SlotCopy(self.slots.generation + 1, slots)
        copy = replace(draft, mac=self.keys.slot_mac(draft.body())).serialize(self.header.slot_copy_bytes)
        last = self._opened.commit
        with naming(os.fsdecode(self.file.path)), noted_change(self.file, self.header.uuid, last, self._state):
            try:
                os.ftruncate(self.file.fd, last.end)
                os.pwrite(self.file.fd, copy, slot_copy_offset(self.header, unused))
                self.file.sync()
                commit = self._commit(unused, blake3(copy), signing_key, clock)
            except BaseException:
                self._undo()
                raise
            tidy_slots(self.file, open_commit(self.file, self.header, commit))
            if self._state:
                signer = signing_key.public.raw if signing_key else b""
                self._state.remember(self.header.uuid, Remembered(commit.sequence, commit.digest(), signer))

    def _undo(self) -> None:
        """Leave the archive as it was, if that can be; else the next change does."""
        with suppress(OSError):
            os.ftruncate(self.file.fd, self._opened.commit.end)
            tidy_slots(self.file, self._opened)

    def _commit(self, active: int, digest: bytes, signing_key: SigningKey | None, clock: Clock) -> Commit:
        """A snapshot that lists what the one before lists."""
        content: Content = open_content(self._opened, self.keys)
        sealed, clear, last = content.sealed, self._opened.toc.clear, self._opened.commit
        base = Base(commit=last, commit_digest=last.digest(), active_copy=active, slots_digest=digest)
        facts = Facts(
            fragments=sealed.fragments,
            entries=sealed.entries,
            logical_bytes=sealed.logical_bytes,
            stored_bytes=last.stored_bytes,
            scan_time_ns=sealed.time_ns,
            arguments=sealed.arguments,
            owners=sealed.owners,
        )
        listed = [page for of_kind in content.pages.values() for page in of_kind]
        output = FileOutput(self.file.fd, last.end, durable=True)
        chain = CommitChain(self.header, self.keys, base, clock)
        return chain.snapshot(output, listed, facts, Frontier(clear.chunks, clear.frontier), signing_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
