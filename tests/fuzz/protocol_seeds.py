"""Inputs to begin with for the targets of the transfer protocol: one message of each kind, sets, tickets, codes."""

from tests.unit.protocol.common import MESSAGES, SECRET, SESSION
from warp_portal.keys import text as keytext
from warp_portal.protocol import cbor
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.ticket import Carriers, Ticket


def seeds() -> dict[str, list[bytes]]:
    """Seeds of these targets."""
    said = [message.serialize() for message in MESSAGES.values()]
    lines = [ticket.text() for ticket in _tickets()]
    codes = [ShortCode(7, "abandon-zoo-legal").text(), "17 ABAN ability Able", "999999-4711 0815", "7-zoo-zoo"]
    values = [0, -(2**64), "ü", [1, [b"", True]], {1: {2: {24: None, 300: "x", 2**32: 2**64 - 1}}}]
    return {
        "cbor": [*said, *map(cbor.encode, values)],
        "message": said,
        "ranges": [(4096).to_bytes(2, "little") + ranges.serialize() for ranges in _ranges()],
        "short-code": [code.encode() for code in codes],
        "ticket": [*(line.encode() for line in lines), *(keytext.decode(line)[1] for line in lines)],
    }


def _ranges() -> list[Ranges]:
    return [Ranges(), Ranges.whole(4096), Ranges(((0, 3), (7, 8))), Ranges(((130, 1000), (1001, 1002), (4000, 4096)))]


def _tickets() -> list[Ticket]:
    addresses = (Address("192.0.2.1", 4433), Address("2001:db8::1", 443), Address("box.example", 1))
    return [
        Ticket(addresses, b"k" * 32, SESSION, SECRET, 1_800_000_000),
        Ticket((), b"k" * 32, SESSION, SECRET, 1_800_000_000, Carriers.TCP),
    ]
