"""Key slots for an archive that is written anew under another uuid, to which each slot is bound (docs/format.md §3).

A slot can be made again only by who knows its passphrase or its public key, and an archive does not name recipients: the
public key is that of an identity which opens the slot, or is given. One given takes the place of one slot of its kind that
nothing else opens. No slot is dropped unless that is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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


def carried_over(
    slots: Sequence[Slot], binding: Rebinding, unlock: Unlock, recipients: Sequence[Recipient], drop: bool
) -> tuple[Slot, ...]:
    """The same slots for the new uuid, in their order, then those of `recipients`; without the rest if `drop`.

    Raises:
        UsageError: a slot would be lost, or a recipient has none.
    """
    made = [_again(slot, binding, unlock) for slot in slots]
    left = [slot for slot, again in zip(slots, made, strict=True) if again is None]
    opened = {identity.recipient for identity in unlock.identities}
    for recipient in dict.fromkeys(recipients):
        match = next((slot for slot in left if slot.kind == recipient.kind), None)
        if match is None and recipient in opened:
            continue
        if match is None:
            raise UsageError(
                f"there is no slot left for the recipient {recipient}: a further one is added by `warp key add`"
            )
        left.remove(match)
        made.append(seal_for_recipient(binding.archive_key, binding.after, recipient))
    if left and not drop:
        raise UsageError(_missing(left))
    kept = tuple(slot for slot in made if slot is not None)
    if slots and not kept:
        raise UsageError("no key slot would be left: give a passphrase, an identity or a recipient to keep")
    return kept


def _again(slot: Slot, binding: Rebinding, unlock: Unlock) -> Slot | None:
    """The slot for the new uuid, if one of the keys given opens it."""
    if slot.type == PASSPHRASE:
        for passphrase in unlock.passphrases if allowed(slot, unlock) else ():
            if open_with_passphrase(slot, binding.before, passphrase) == binding.archive_key:
                return seal_for_passphrase(binding.archive_key, binding.after, passphrase, passphrase_cost(slot))
        return None
    for identity in unlock.identities:
        if open_with_identity(slot, binding.before, identity) == binding.archive_key:
            return seal_for_recipient(binding.archive_key, binding.after, identity.recipient)
    return None


def _missing(left: list[Slot]) -> str:
    named = ", ".join(f"{slot.slot_id.hex()} ({slot.kind})" for slot in left)
    return (
        f"key slots that none of the keys given can make again: {named}: give their passphrases "
        "(--slot-passphrase-file), identities (-i) or public keys (-r), or leave them out (--drop-slots)"
    )
