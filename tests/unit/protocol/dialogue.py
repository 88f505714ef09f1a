"""Sessions joined in memory: what a driver does, with bytes between the two sides, and everything that a handshake needs."""

from collections import deque
from typing import Final

from tests.unit.protocol.common import SECRET, SESSION

from warp_portal.clock import VirtualClock
from warp_portal.errors import WarpPortalError
from warp_portal.primitives import signing
from warp_portal.primitives.cutting import PROFILES
from warp_portal.protocol.claims import ByCode, ByPeer, ByTicket, Claim
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import Door
from warp_portal.protocol.fields import Message
from warp_portal.protocol.handshake import Dialer, Listener
from warp_portal.protocol.hello import Hello, Role
from warp_portal.protocol.messages import PROVED, STRANGER, Limits, parse
from warp_portal.protocol.offers import Offer, TreeOffer
from warp_portal.protocol.proofs import Link
from warp_portal.protocol.session import Output, Outputs, Send, Session
from warp_portal.protocol.ticket import Ticket

SEED: Final = b"source's private key, 32 bytes.."
DIALER: Final = b"D" * 32
LISTENER: Final = b"L" * 32
LINK: Final = Link(b"E" * 32, DIALER, LISTENER)
# A further connection of the two.
FURTHER: Final = Link(b"F" * 32, DIALER, LISTENER)
TICKET: Final = Ticket((), LISTENER, SESSION, SECRET, 1_800_000_000)
CODE: Final = ShortCode(7, "abandon-zoo-legal")
OFFER: Final = Offer(SESSION, "photos", TreeOffer(SECRET, 1, PROFILES["general"].fragment, 2))
NOW_S: Final = 1_700_000_000


def hello(role: Role, fill: bytes = b"r") -> Hello:
    return Hello(role, fill * 32, "warp 0.1.0")


def clock() -> VirtualClock:
    return VirtualClock(NOW_S * 10**9)


def door(at: VirtualClock | None = None) -> Door:
    """A door that opens to the ticket, to the code and to the dialer's key."""
    made = Door(at or clock())
    made.admit(TICKET)
    made.show(CODE)
    made.save(DIALER)
    return made


def gathering(most: int = 7) -> Door:
    """A door at which others may join LINK."""
    made = door()
    made.gather(LINK, most)
    return made


def claims() -> dict[str, Claim]:
    return {"ticket": ByTicket(TICKET), "code": ByCode(CODE), "peer": ByPeer(LISTENER)}


def dialer(claim: Claim, link: Link = LINK, role: Role = Role.SINK) -> Dialer:
    return Dialer(link, hello(role, b"d"), claim)


def listener(at: Door, link: Link = LINK, role: Role = Role.SOURCE) -> Listener:
    return Listener(link, hello(role, b"l"), at)


def public_key() -> bytes:
    return signing.public_key(SEED)


def sign(message: bytes) -> bytes:
    return signing.sign(SEED, message)


class Side:
    """A driver of one session: what it sent, what else it was told, and the error that ended it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sent = deque[Message]()
        self.said = list[Message]()
        self.told = list[Output]()
        self.error: WarpPortalError | None = None

    def carry_out(self, outputs: Outputs) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self.sent.append(output.message)
                self.said.append(output.message)
            else:
                self.told.append(output)

    def hear(self, message: Message) -> None:
        try:
            self.carry_out(self.session.receive(message))
        except WarpPortalError as error:
            self.error = error
            self.carry_out(self.session.close(error))

    def names(self) -> list[str]:
        return [message.NAME for message in self.said]


def talk(left: Side, right: Side, limits: Limits = PROVED) -> None:
    """Carry messages, as bytes, until nobody has anything to say."""
    while left.sent or right.sent:
        for one, other in ((left, right), (right, left)):
            if one.sent:
                other.hear(parse(one.sent.popleft().serialize(), limits))


def shake(dialing: Dialer, listening: Listener) -> tuple[Side, Side]:
    """A whole handshake."""
    left, right = Side(dialing), Side(listening)
    left.carry_out(dialing.start())
    right.carry_out(listening.start())
    talk(left, right, STRANGER)
    return left, right
