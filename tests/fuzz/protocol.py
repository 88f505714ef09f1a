"""Targets: what another machine says in a transfer, and tickets and codes as people paste and type them."""

from tests.fuzz.texts import _text
from warp_portal.errors import ProtocolError, VersionError, WarpPortalError
from warp_portal.keys import text as keytext
from warp_portal.protocol import cbor, messages
from warp_portal.protocol.code import ShortCode, word_list
from warp_portal.protocol.hello import Hello, Role, agree
from warp_portal.protocol.proving import Confirm, Method
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.ticket import MAX_ADDRESSES, Ticket

_OURS = Hello(Role.SOURCE, bytes(32))
_SIZE_BYTES = 2


def deterministic_cbor(data: bytes) -> None:
    """A value has one encoding; what is no such encoding is a protocol error."""
    try:
        value = cbor.decode(data)
    except ProtocolError:
        return
    assert cbor.encode(value) == data


def message(data: bytes) -> None:
    """A message; unknown keys are dropped, so its own bytes are read again and not compared."""
    try:
        parsed = messages.parse(data)
    except ProtocolError:
        return
    raw = parsed.serialize()
    assert len(raw) <= len(data)
    assert messages.parse(raw) == parsed
    assert repr(parsed)
    if isinstance(parsed, Hello):
        _agree(parsed)
    if isinstance(parsed, Confirm):
        # A further connection is answered as a ticket is.
        assert _answers(parsed, Method.JOIN) == _answers(parsed, Method.TICKET)
        assert sum(_answers(parsed, method) for method in Method if method != Method.JOIN) == 1


def _agree(theirs: Hello) -> None:
    try:
        agreed = agree(_OURS, theirs)
    except (ProtocolError, VersionError):
        return
    assert agreed.version == 1
    assert agreed.features & ~_OURS.features == 0


def _answers(confirm: Confirm, method: Method) -> bool:
    try:
        confirm.check(method)
    except ProtocolError:
        return False
    return True


def ranges(data: bytes) -> None:
    """`u16 size │ a set`, whose bytes are the bitmap of another too: operations on the two hold together."""
    size, rest = int.from_bytes(data[:_SIZE_BYTES], "little"), data[_SIZE_BYTES:]
    try:
        one = Ranges.parse(rest, size)
    except ProtocolError:
        return
    assert one.serialize() == rest
    assert one.end <= size
    other = Ranges.of_bits(rest)
    assert (one & other).count + (one | other).count == one.count + other.count
    assert (one - other) | (one & other) == one
    assert not (one - other) & other
    assert all(one.holds(*span) for span in one.spans)
    assert Ranges.whole(size) - (Ranges.whole(size) - one) == one


def ticket(data: bytes) -> None:
    """The text of a ticket as it is, and bytes under a right check."""
    for line in (_text(data), keytext.encode("warp-ticket", data)):
        try:
            parsed = Ticket.parse(line, 0)
        except WarpPortalError:
            continue
        assert Ticket.parse(parsed.text(), 0) == parsed
        assert parsed.text() not in repr(parsed)
        assert len(parsed.addresses) <= MAX_ADDRESSES
        assert all(1 <= address.port <= 65_535 for address in parsed.addresses)


def short_code(data: bytes) -> None:
    """A code as it is typed."""
    try:
        code = ShortCode.parse(_text(data))
    except WarpPortalError:
        return
    assert ShortCode.parse(code.text()) == code
    assert code.password not in repr(code)
    words = code.password.split("-")
    assert code.password.isdigit() or (len(words) == 3 and set(words) <= set(word_list()))
