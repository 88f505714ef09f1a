"""Tags by which dialer and listener prove to each other that they hold a secret (docs/transfer-protocol.md §4).

    tag(r) = BLAKE3_keyed(derive_key(context, secret), r ‖ E ‖ key of the dialer ‖ key of the listener ‖ session)

E is the exporter of the connection, so a tag is worth nothing on another; r tells the two apart, so none can be sent back.
The secret is that of a ticket; or, where a further connection joins a first one, the exporter of the first, whose group takes the
place of the session.
"""

import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from warp_portal._native import blake3
from warp_portal.errors import UsageError, WrongKeyError
from warp_portal.protocol.fields import SESSION_BYTES

TICKET_CONTEXT: Final = "warp-portal 2026-11 ticket proof v1"
JOIN_CONTEXT: Final = "warp-portal 2026-11 join proof v1"
GROUP_CONTEXT: Final = "warp-portal 2026-11 join group v1"
SECRET_BYTES: Final = 32
EXPORTER_BYTES: Final = 32
KEY_BYTES: Final = 32


class Prover(IntEnum):
    """Whose tag it is: r above."""

    DIALER = 1
    LISTENER = 2


@dataclass(frozen=True, slots=True, repr=False)
class Binding:
    """What a tag holds for: this connection, these two machines (Ed25519 keys), this session. Raises UsageError for other lengths."""

    exporter: bytes
    dialer: bytes
    listener: bytes
    session: bytes

    def __post_init__(self) -> None:
        # With a part of another length two different bindings could give one string.
        lengths = tuple(map(len, (self.exporter, self.dialer, self.listener, self.session)))
        if lengths != (EXPORTER_BYTES, KEY_BYTES, KEY_BYTES, SESSION_BYTES):
            raise UsageError("a proof is bound to an exporter and two keys of 32 bytes, and to a session of 16")

    def serialize(self) -> bytes:
        """The parts, joined."""
        return self.exporter + self.dialer + self.listener + self.session


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """A connection as proofs see it: its exporter, and the Ed25519 keys of its two ends. Raises UsageError for other lengths."""

    exporter: bytes
    dialer: bytes
    listener: bytes

    def __post_init__(self) -> None:
        self.binding(bytes(SESSION_BYTES))

    def binding(self, session: bytes) -> Binding:
        """What the tags of a session hold for on this connection."""
        return Binding(self.exporter, self.dialer, self.listener, session)

    @property
    def group(self) -> bytes:
        """What names the connections that join this one (16 bytes): only its two ends know it."""
        return blake3(self.exporter, context=GROUP_CONTEXT)[:SESSION_BYTES]


def ticket_tag(secret: bytes, prover: Prover, binding: Binding) -> bytes:
    """The tag (32 bytes) of one side. Raises UsageError unless the secret has 32 bytes."""
    return _tag(TICKET_CONTEXT, secret, prover, binding)


def check_ticket_tag(tag: bytes, secret: bytes, prover: Prover, binding: Binding) -> None:
    """Raises WrongKeyError unless this is the tag of that side; the comparison takes the same time for any tag."""
    if not hmac.compare_digest(tag, ticket_tag(secret, prover, binding)):
        raise WrongKeyError(f"the {prover.name.lower()} does not hold this ticket's secret: ask for another ticket")


def join_tag(first: bytes, prover: Prover, binding: Binding) -> bytes:
    """The tag (32 bytes) of one side of a further connection; `first` is the exporter of the one that it joins."""
    return _tag(JOIN_CONTEXT, first, prover, binding)


def check_join_tag(tag: bytes, first: bytes, prover: Prover, binding: Binding) -> None:
    """Raises WrongKeyError unless this is the tag of that side; the comparison takes the same time for any tag."""
    if not hmac.compare_digest(tag, join_tag(first, prover, binding)):
        raise WrongKeyError(f"the {prover.name.lower()} is not at the other end of the connection that it would join")


def _tag(context: str, secret: bytes, prover: Prover, binding: Binding) -> bytes:
    if len(secret) != SECRET_BYTES:
        raise UsageError(f"the secret of a proof has {SECRET_BYTES} bytes")
    key = blake3(secret, context=context)
    return blake3(bytes([prover]) + binding.serialize(), key=key)
