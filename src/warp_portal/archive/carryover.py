"""Key slots for an archive that is written anew under another uuid, to which each slot is bound (docs/format.md §3).

A slot can be made again only by who knows its passphrase or its public key, and an archive does not name recipients: the
public key is that of an identity which opens the slot, or is given. One given takes the place of one slot of its kind that
nothing else opens. No slot is dropped unless that is asked for. What is given for a slot and makes none is refused: mistyped, it
would lose the slot that it was meant for.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from warp_portal.archive.slots import (
    PASSPHRASE,
    Slot,
    open_with_identity,
    open_with_passphrase,
    passphrase_cost,
    seal_for_passphrase,
    seal_for_recipient,
)
from warp_portal.archive.unlock import Unlock, allowed
from warp_portal.errors import UsageError
from warp_portal.keys.recipients import Recipient


@dataclass(frozen=True, slots=True, repr=False)
class Rebinding:
    """The archive key, and the uuids that slots are bound to before and after."""

    archive_key: bytes
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True, repr=False)
class SlotKeys:
    """What was given for slots alone, beside the keys that open the archive; with `drop`, the other slots may be lost.

    Each passphrase must open a slot: a mistyped one would lose what it was meant for. If `tolerant`, only those given here must.
    """

    passphrases: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] = ()
    drop: bool = False
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """The slots of the new file, and the public keys that got one without proof that the slot before was theirs."""

    slots: tuple[Slot, ...] = ()
    unproven: tuple[Recipient, ...] = ()


def carried_over(slots: Sequence[Slot], binding: Rebinding, unlock: Unlock, given: SlotKeys) -> Carried:
    """The same slots for the new uuid, in their order, then those of recipients that are given; without the rest if that may be.

    Raises:
        UsageError: a slot would be lost, or a passphrase or recipient given for one has none.
    """
    made, used = _again(slots, binding, replace(unlock, passphrases=unlock.passphrases + given.passphrases))
    _check_used(given.passphrases, used, "for key slots (--slot-passphrase-file) opens none", slots, unlock)
    if not given.tolerant:
        _check_used(unlock.passphrases, used, "opens no key slot", slots, unlock)
    left = [slot for slot, again in zip(slots, made, strict=True) if again is None]
    unproven = _assigned(left, given.recipients, {identity.recipient for identity in unlock.identities})
    made += [seal_for_recipient(binding.archive_key, binding.after, recipient) for recipient in unproven]
    if left and not given.drop:
        raise UsageError(_missing(left))
    kept = tuple(slot for slot in made if slot is not None)
    if slots and not kept:
        raise UsageError("no key slot would be left: give a passphrase, an identity or a recipient to keep")
    return Carried(kept, tuple(unproven))


def _assigned(left: list[Slot], recipients: Sequence[Recipient], opened: set[Recipient]) -> list[Recipient]:
    """Recipients that take a slot out of `left`, one of their kind for each time they are given: whose it was can't be known."""
    assigned = list[Recipient]()
    for recipient in recipients:
        match = next((slot for slot in left if slot.kind == recipient.kind), None)
        if match is not None:
            left.remove(match)
            assigned.append(recipient)
        elif recipient not in opened and recipient not in assigned:
            raise UsageError(
                f"there is no slot left for the recipient {recipient}: a further one is added by `warp key add`"
            )
    return assigned


def _again(slots: Sequence[Slot], binding: Rebinding, unlock: Unlock) -> tuple[list[Slot | None], set[str]]:
    """Each slot for the new uuid, None if none of the keys given opens it; and the passphrases that opened one."""
    made, used = list[Slot | None](), set[str]()
    for slot in slots:
        passphrase = _passphrase_of(slot, binding, unlock)
        if passphrase is None:
            made.append(_again_for_identity(slot, binding, unlock))
        else:
            used.add(passphrase)
            made.append(seal_for_passphrase(binding.archive_key, binding.after, passphrase, passphrase_cost(slot)))
    return made, used


def _passphrase_of(slot: Slot, binding: Rebinding, unlock: Unlock) -> str | None:
    """The first of the passphrases that opens the slot; each one asked costs a guess."""
    if slot.type != PASSPHRASE or not allowed(slot, unlock):
        return None
    key, tried = binding.archive_key, dict.fromkeys(map(_normal, unlock.passphrases))
    return next((text for text in tried if open_with_passphrase(slot, binding.before, text) == key), None)


def _again_for_identity(slot: Slot, binding: Rebinding, unlock: Unlock) -> Slot | None:
    if slot.type == PASSPHRASE:
        return None
    for identity in unlock.identities:
        if open_with_identity(slot, binding.before, identity) == binding.archive_key:
            return seal_for_recipient(binding.archive_key, binding.after, identity.recipient)
    return None


def _check_used(passphrases: tuple[str, ...], used: set[str], what: str, slots: Sequence[Slot], unlock: Unlock) -> None:
    """Raises UsageError for the first that opened no slot, by its place: what it is must not be said."""
    place = next((number for number, text in enumerate(passphrases, 1) if _normal(text) not in used), None)
    if place is None:
        return
    which = f"number {place} of the passphrases" if len(passphrases) > 1 else "the passphrase"
    costly = any(slot.type == PASSPHRASE and not allowed(slot, unlock) for slot in slots)
    hint = ", or set large_argon2: a slot that takes more than 128 MiB was not tried" if costly else ""
    raise UsageError(f"{which} given {what}, so nothing was changed: check it{hint}")


def _normal(passphrase: str) -> str:
    return unicodedata.normalize("NFC", passphrase)


def _missing(left: list[Slot]) -> str:
    named = ", ".join(f"{slot.slot_id.hex()} ({slot.kind})" for slot in left)
    return (
        f"key slots that none of the keys given can make again: {named}: give their passphrases "
        "(--slot-passphrase-file), identities (-i) or public keys (-r, once for each slot), or leave them out (--drop-slots)"
    )
