"""What the sinks of trees and of archives have in common: their turns, and what is said while data comes (docs/transfer-protocol.md §5–7).

    OFFER ─▶ ACCEPT ─▶ WANT, KEPT, LOST ─▶ FINISH ─▶ DONE ─▶ CLOSE

What is said travels beside the data and may overtake it.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from warp_portal.errors import ProtocolError, UsageError
from warp_portal.protocol import cbor
from warp_portal.protocol.ending import Close, CloseCode, Finish
from warp_portal.protocol.exchange import Cancel, Kept, Lost, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Offer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs, Session, closing, out_of_turn
from warp_portal.protocol.tree import Finished

# A quarter of a message's limit, so that a KEPT delays no WANT by much.
KEPT_BYTES: Final = 256 * 1024
_KEY_BYTES: Final = 16  # of a page's number and of the length of its ranges, at most


@dataclass(frozen=True, slots=True)
class Offered(Output):
    """What the source has: accept or refuse it."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class Missing(Output):
    """The source can't have these records of a page any more, which may not be here yet."""

    page: int
    ranges: Ranges


class Turn(Enum):
    """Where the dialogue is."""

    BEGIN = "OFFER is awaited"
    OFFERED = "the offer is being considered"
    TAKING = "pages are being taken"
    FINISHED = "all pages were sent"
    DONE = "CLOSE is awaited"


class SinkSide(Session):
    """One session of what this side takes."""

    def __init__(self, session: bytes | None = None) -> None:
        """`session`: the one that must be offered, as a ticket names it."""
        super().__init__()
        self._session = session
        self._turn = Turn.BEGIN
        self._requests = self._wanted = self._lost = self._epoch = 0
        self._counts = 0, 0

    def refuse(self, text: str, code: CloseCode = CloseCode.REFUSED) -> Outputs:
        """Take nothing, or nothing more; the source is told this text, so it names nothing of this machine."""
        return self._say_last(closing(code, text))

    def cancel(self, request: int) -> Outputs:
        """What of the WANT with this number has not come need not come."""
        self._expect(Turn.TAKING, Turn.FINISHED)
        if not 1 <= request <= self._requests and not self._over:
            raise UsageError(f"request {request} was not made")
        return self._say(Cancel(request))

    def durable(self, epoch: int, pages: Mapping[int, Ranges]) -> Outputs:
        """These records that the source sent are durable, and noted in the journal. As many KEPT as it takes."""
        self._expect(Turn.TAKING, Turn.FINISHED)
        if epoch < self._epoch and not self._over:
            raise UsageError(f"epoch {epoch} after {self._epoch}")
        self._epoch = epoch
        return self._say(*(Kept(epoch, MappingProxyType(part)) for part in _parts(pages)))

    def _ask(self, page: int, ranges: Ranges) -> Outputs:
        """Ask for records. WANTs count from 1."""
        self._requests += 1
        self._wanted += ranges.count
        return self._say(Want(page, ranges))

    def _expect(self, *turns: Turn) -> None:
        if self._turn not in turns and not self._over:
            raise UsageError(f"the engine is out of turn ({self._turn.value})")

    def _take(self, message: Message) -> Outputs:
        match self._turn, message:
            case Turn.BEGIN, Offer():
                return self._offered(message)
            case Turn.TAKING | Turn.FINISHED, Lost():
                return self._missing(message)
            case Turn.TAKING, Finish():
                return self._finish(message)
        raise out_of_turn(message, self._turn.value)

    def _closed_by_peer(self, close: Close) -> Outputs:
        if self._turn == Turn.DONE and close.code in (CloseCode.OK, CloseCode.PARTIAL):
            return (Finished(close.code == CloseCode.PARTIAL, *self._counts),)
        return super()._closed_by_peer(close)

    def _offered(self, offer: Offer) -> Outputs:
        if self._session not in (None, offer.session):
            raise ProtocolError("OFFER: another session than that of the ticket")
        self._turn, self._offer = Turn.OFFERED, offer
        return (Offered(offer),)

    @abstractmethod
    def _missing(self, lost: Lost) -> Outputs:
        """Answer LOST."""

    @abstractmethod
    def _finish(self, finish: Finish) -> Outputs:
        """Answer FINISH; the turn is FINISHED then."""


def _parts(pages: Mapping[int, Ranges]) -> Iterator[dict[int, Ranges]]:
    """Pages in ascending order, in as many parts as there must be messages."""
    part, size = dict[int, Ranges](), 0
    for page in sorted(pages):
        cost = _KEY_BYTES + len(pages[page].serialize())
        if part and (size + cost > KEPT_BYTES or len(part) == cbor.MAX_KEYS):
            yield part
            part, size = {}, 0
        part[page] = pages[page]
        size += cost
    if part:
        yield part
