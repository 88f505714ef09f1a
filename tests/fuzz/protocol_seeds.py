"""Inputs to begin with for the targets of the transfer protocol: one message of each kind, sets, tickets, codes."""

from tests.fuzz import sections
from tests.fuzz.sessions import SAME, STEP
from tests.unit.protocol.common import DIGEST, MESSAGES, SECRET, SESSION
from tests.unit.protocol.dialogue import FURTHER, LINK, OFFER, claims, dialer, door, gathering, listener, shake
from tests.unit.protocol.trees import FINISH, WINDOW
from tests.vectors import HERE
from warp_portal.archive.offering import Offering
from warp_portal.keys import text as keytext
from warp_portal.protocol import cbor
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.claims import ByJoin
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.ending import Close, Done, Finish
from warp_portal.protocol.exchange import METADATA_PAGES, Cancel, Kept, Lost, Same, Want
from warp_portal.protocol.offers import Accept, Mode, PagesHere
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
        "arrival": _arrivals(),
        "session": [*_handshakes(), *_trees(), *_archives()],
        "short-code": [code.encode() for code in codes],
        "ticket": [*(line.encode() for line in lines), *(keytext.decode(line)[1] for line in lines)],
    }


def _handshakes() -> list[bytes]:
    """What the other side says in a whole handshake, to a dialer of each method and to the listener."""
    out = []
    for which, name in enumerate(claims()):
        left, right = shake(dialer(claims()[name]), listener(door()))
        out.append(_session(which, [message.serialize() for message in right.said]))
        out.append(_session(3, [message.serialize() for message in left.said]))
    left, right = shake(dialer(ByJoin(LINK), FURTHER), listener(gathering(), FURTHER))
    joins = enumerate((right.said, left.said), start=8)
    return [*out, *(_session(which, [message.serialize() for message in said]) for which, said in joins)]


def _trees() -> list[bytes]:
    """Both sides of a tree of three pages."""
    part, wants = Ranges.whole(1), [Want(page, Ranges.whole(3)) for page in range(3)]
    pages, end = [STEP + bytes([0, 3])] * 3, STEP + bytes([2, 3])
    kept, done = Kept(1, {0: part, 2: part}), Done(DIGEST, 1, 0)
    sink = [Accept(Mode.WANTED, WINDOW), *wants, Want(1, part), Cancel(4), kept, done]
    accept, *rest = (message.serialize() for message in sink)
    steps = [STEP + bytes([13, page]) for page in range(3)]
    source = [message.serialize() for message in (OFFER, Lost(0, part), FINISH, Close(0))]
    # On another connection, on which the sink has two of the pages.
    again = Accept(Mode.WANTED, WINDOW, pages=PagesHere(2, DIGEST)).serialize()
    same, spared = STEP + bytes([SAME, 2]), Same(2).serialize()
    return [
        _session(4, [again, same, pages[0], *rest[1:3], *rest[4:-1], end, rest[-1]]),
        _session(5, [source[0], STEP + bytes([SAME, 1]), spared, *steps[:1], *source[1:3], STEP + b"\3", source[3]]),
        _session(4, [accept, *pages, *rest[:-1], end, rest[-1]]),
        _session(5, [source[0], STEP + b"\0\1", *steps, STEP + b"\2\1", *source[1:3], STEP + b"\3", source[3]]),
    ]


def _archives() -> list[bytes]:
    """Both sides of an archive of two locator pages and three metadata pages."""
    page, metadata = Ranges.whole(9), METADATA_PAGES + 1
    said = [Accept(Mode.WANTED, WINDOW, DIGEST), Want(0, page), Want(metadata, Ranges.whole(1)), Cancel(2)]
    accept, *wants = (message.serialize() for message in said)
    kept, done = Kept(1, {0: page}).serialize(), Done(DIGEST, 5000, 0).serialize()
    heard = [Lost(0, Ranges.whole(1)), Lost(METADATA_PAGES + 3, Ranges.whole(1)), Finish(5000, DIGEST), Close(0)]
    lost, broken, finish, close = (message.serialize() for message in heard)
    listed, sent, end = STEP + b"\0\3", STEP + b"\1", STEP + b"\4"
    offer = MESSAGES["offer an archive"].serialize()
    return [
        _session(6, [accept, listed, sent, sent, *wants, kept, end, done]),
        _session(
            6, [Accept(Mode.WANTED, WINDOW, locators=Ranges.whole(1)).serialize(), listed, sent, sent, *wants, end]
        ),
        _session(7, [offer, STEP + b"\0", STEP + b"\1\3", STEP + b"\2\0", lost, broken, finish, STEP + b"\4", close]),
    ]


def _arrivals() -> list[bytes]:
    """The plain archive of the vectors, as it is sent."""
    with Offering(HERE / "plain.warp") as offering:
        (_, raw) = next(offering.steps(None)).pieces[0]
        pages = [offering.locator(number) for number in range(len(offering.locators))]
        return [sections.join([offering.beginning(), raw, *pages])]


def _session(which: int, parts: list[bytes]) -> bytes:
    return sections.join([bytes([which]), *parts])


def _ranges() -> list[Ranges]:
    return [Ranges(), Ranges.whole(4096), Ranges(((0, 3), (7, 8))), Ranges(((130, 1000), (1001, 1002), (4000, 4096)))]


def _tickets() -> list[Ticket]:
    addresses = (Address("192.0.2.1", 4433), Address("2001:db8::1", 443), Address("box.example", 1))
    return [
        Ticket(addresses, b"k" * 32, SESSION, SECRET, 1_800_000_000),
        Ticket((), b"k" * 32, SESSION, SECRET, 1_800_000_000, Carriers.TCP),
    ]
