"""All messages by their type, and `parse`, which reads any of them (docs/transfer-protocol.md §3).

The classes are in `hello`, `proving`, `offers`, `exchange` and `ending`. Whether a message may come now, and from this
side, is for the session to say; so is whether it fits what was offered.
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from warp_portal.errors import ProtocolError
from warp_portal.protocol import cbor
from warp_portal.protocol.ending import Close, Done, Finish
from warp_portal.protocol.exchange import Cancel, Kept, Lost, Same, Want
from warp_portal.protocol.fields import TYPE_KEY, Content, Message
from warp_portal.protocol.hello import Hello
from warp_portal.protocol.offers import Accept, Offer
from warp_portal.protocol.proving import Confirm, Confirmed, Prove


class Limits(NamedTuple):
    """How long a message may be, and of how many items."""

    most_bytes: int
    most_items: int


PROVED: Final = Limits(cbor.MAX_BYTES, cbor.MAX_ITEMS)
# Before the proof of §4. What is said then has fewer than ten items; 65,536 would keep a core busy for 0.1 s.
STRANGER: Final = Limits(64 * 1024, 1024)

BY_TYPE: Final = MappingProxyType[int, type[Message]](
    {
        kind.TYPE: kind
        for kind in (
            Hello, Prove, Confirm, Confirmed, Offer, Accept, Want, Kept, Lost, Finish, Done, Cancel, Close,
            Same,
        )
    }
)  # fmt: skip


def parse(raw: bytes, limits: Limits = PROVED) -> Message:
    """The message that a frame's payload is. Keys that are not listed are passed over; raises ProtocolError."""
    if len(raw) > limits.most_bytes:
        raise ProtocolError(f"a message of {len(raw)} bytes, where {limits.most_bytes} are allowed")
    values = cbor.decode_map(raw, limits.most_items)
    kind = values.get(TYPE_KEY)
    if type(kind) is not int or kind not in BY_TYPE:
        raise ProtocolError("a message of no known type")
    message = BY_TYPE[kind]
    return message.read(Content(message.NAME, values))
