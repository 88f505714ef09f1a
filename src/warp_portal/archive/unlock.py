"""From what a person gives (passphrases, identities) to the keys of an archive, and the other way round when one is made."""

import hmac
import itertools
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from warp_portal._native import ScopeKeys
from warp_portal.archive.header import Header
from warp_portal.archive.limits import MAX_PASSPHRASE_SLOTS, SUITE_CHACHA20_POLY1305, SUITE_PLAIN
from warp_portal.archive.slots import (
    PASSPHRASE,
    Slot,
    SlotCopy,
    open_with_identity,
    open_with_passphrase,
    passphrase_cost,
    seal_for_passphrase,
    seal_for_recipient,
)
from warp_portal.errors import BeginningError, IntegrityError, KeyRequiredError, UsageError, WrongKeyError
from warp_portal.keys.password import DEFAULT_COST, Argon2Cost
from warp_portal.keys.recipients import Identity, Recipient

DEFAULT_SLOT_COPY_BYTES: Final = 16384  # twelve X-Wing recipients
ARCHIVE_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Unlock:
    """What may open an archive; all of it is tried. Empty: only what needs no key.

    Passphrase slots that take more than 128 MiB are tried only with `large_argon2`: whoever made the archive chose it.
    """

    passphrases: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()
    archive_key: bytes | None = None
    large_argon2: bool = False

    def __bool__(self) -> bool:
        return bool(self.passphrases or self.identities or self.archive_key)

    def __repr__(self) -> str:
        return f"Unlock({len(self.passphrases)} passphrases, {len(self.identities)} identities)"


NO_KEY: Final = Unlock()


@dataclass(frozen=True, slots=True, repr=False)
class Lock:
    """What shall open a new archive, and its cipher suite."""

    passphrases: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    suite: int = SUITE_CHACHA20_POLY1305
    cost: Argon2Cost = DEFAULT_COST
    slot_copy_bytes: int = DEFAULT_SLOT_COPY_BYTES

    def __repr__(self) -> str:
        return f"Lock({len(self.passphrases)} passphrases, {len(self.recipients)} recipients, suite {self.suite})"


def new_slots(lock: Lock, archive_key: bytes, uuid: bytes) -> SlotCopy:
    """A slot for each passphrase and recipient, in a first copy without MAC; raises UsageError."""
    if len(lock.passphrases) > MAX_PASSPHRASE_SLOTS:
        raise UsageError(f"an archive takes at most {MAX_PASSPHRASE_SLOTS} passphrases")
    slots = [seal_for_passphrase(archive_key, uuid, text, lock.cost) for text in lock.passphrases]
    slots += [seal_for_recipient(archive_key, uuid, recipient) for recipient in lock.recipients]
    return SlotCopy(1, tuple(slots))


def random_archive_key() -> bytes:
    """A new archive key."""
    return os.urandom(ARCHIVE_KEY_BYTES)


def find_archive_key(header: Header, slots: SlotCopy, unlock: Unlock) -> bytes:
    """The key that opens the archive; the header's commitment decides.

    Raises:
        KeyRequiredError: nothing was given.
        WrongKeyError: nothing of what was given opens a slot.
        BeginningError: so it is, and the slots are damaged.
        IntegrityError: a slot holds another archive's key, or is damaged.
    """
    if not unlock:
        raise KeyRequiredError("the archive is encrypted: give a passphrase or an identity")
    for archive_key in _candidates(header, slots, unlock):
        if hmac.compare_digest(ScopeKeys(archive_key, header.suite).commitment(), header.key_commitment):
            return archive_key
        if slots.whole and archive_key != unlock.archive_key:
            raise IntegrityError("a key slot holds the key of another archive: the header or the slots were exchanged")
    if not slots.whole:
        raise BeginningError(
            "the key slots are damaged, and none of the given keys opens what is left of them: put the archive's first "
            f"{header.first_segment} bytes back from a copy, or try another key"
        )
    if costly := _too_costly(slots, unlock):
        raise WrongKeyError(
            f"none of the given keys opens this archive; not tried, as it takes more than 128 MiB: {costly}. If you trust who "
            "made the archive, set large_argon2 (WARP_LARGE_ARGON2=true)"
        )
    raise WrongKeyError(
        f"none of the given keys opens this archive ({_tried(unlock)}): `warp key list` shows what kinds of key do"
    )


def _tried(unlock: Unlock) -> str:
    """`a passphrase, 2 identities`: how many of each were given."""
    given = {"passphrase": len(unlock.passphrases), "identity": len(unlock.identities)}
    given["archive key"] = int(unlock.archive_key is not None)
    plural = {"identity": "identities"}
    tried = [
        f"{count} {plural.get(kind, kind + 's')}" if count > 1 else f"{'an' if kind[0] in 'ai' else 'a'} {kind}"
        for kind, count in given.items()
        if count
    ]
    return ", ".join(tried)


def allowed(slot: Slot, unlock: Unlock) -> bool:
    """Whether what it costs to try a slot may be spent; what is outside the limits fails where it is tried."""
    if slot.type != PASSPHRASE or unlock.large_argon2:
        return True
    cost = passphrase_cost(slot)
    return not cost.large or cost.defect() is not None


def _too_costly(slots: SlotCopy, unlock: Unlock) -> str:
    left = [slot for slot in slots.slots if not allowed(slot, unlock)] if unlock.passphrases else []
    return ", ".join(f"key slot {slot.slot_id.hex()} ({passphrase_cost(slot).memory_kib // 1024} MiB)" for slot in left)


def _candidates(header: Header, slots: SlotCopy, unlock: Unlock) -> Iterator[bytes]:
    if unlock.archive_key is not None:
        yield unlock.archive_key
    passphrases = dict.fromkeys(unicodedata.normalize("NFC", text) for text in unlock.passphrases)
    keys: tuple[Identity | str, ...] = (*unlock.identities, *passphrases)
    tried = [slot for slot in slots.slots if allowed(slot, unlock)]
    for key, slot in itertools.product(keys, tried):
        try:
            archive_key = _opened(slot, header.uuid, key)
        except IntegrityError:
            if slots.whole:
                raise
            continue  # one damaged slot must not stand before the others
        if archive_key:
            yield archive_key


def _opened(slot: Slot, uuid: bytes, key: Identity | str) -> bytes | None:
    if isinstance(key, Identity):
        return open_with_identity(slot, uuid, key)
    return open_with_passphrase(slot, uuid, key) if slot.type == PASSPHRASE else None


def passphrase_slot(slots: tuple[Slot, ...], uuid: bytes, passphrase: str, cost: Argon2Cost) -> Slot | None:
    """The slot that a passphrase opens already, among those of the same cost; each one asked costs a guess."""
    text = unicodedata.normalize("NFC", passphrase)
    alike = (slot for slot in slots if slot.type == PASSPHRASE and passphrase_cost(slot) == cost)
    return next((slot for slot in alike if open_with_passphrase(slot, uuid, text)), None)


def open_keys(header: Header, slots: SlotCopy | None, unlock: Unlock) -> ScopeKeys:
    """The keys of an archive, with the header's and the slots' MAC checked. Raises as `find_archive_key`."""
    if slots is None:
        keys = ScopeKeys(None, SUITE_PLAIN)
    else:
        keys = ScopeKeys(find_archive_key(header, slots, unlock), header.suite)
        if slots.whole:
            slots.check_mac(keys)
    check_header_mac(header, keys)
    return keys


def check_header_mac(header: Header, keys: ScopeKeys) -> None:
    """Raises IntegrityError unless someone with the archive key wrote the header."""
    if not hmac.compare_digest(header.mac, keys.header_mac(header.body())):
        raise IntegrityError("the header's MAC does not match: changed by someone without the key")
