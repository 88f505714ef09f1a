"""The sink of a tree, from OFFER to CLOSE, without I/O (docs/transfer-protocol.md §5, §6).

    OFFER ─▶ `accept`: ACCEPT ─▶ `want`: WANT, `durable`: KEPT, LOST ─▶ FINISH ─▶ `restored`: DONE ─▶ CLOSE

A data engine reads pages and fragments, and tells what it did by calling the methods; outputs tell it what the source said.
That travels beside the data and may overtake it: LOST may speak of a page that is still on its way, and FINISH comes early.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from warp_portal.errors import IntegrityError, ProtocolError, UsageError
from warp_portal.primitives import signing
from warp_portal.protocol import cbor
from warp_portal.protocol.ending import Close, CloseCode, Done, Finish, signed_part
from warp_portal.protocol.exchange import MAX_PAGES, Cancel, Kept, Lost, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Accept, Mode, Offer, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs, Session, closing, out_of_turn
from warp_portal.protocol.tree import CatalogueEnd, Finished, check_within_tree

# A quarter of a message's limit, so that a KEPT delays no WANT by much.
KEPT_BYTES: Final = 256 * 1024
_KEY_BYTES: Final = 16  # of a page's number and of the length of its ranges, at most


@dataclass(frozen=True, slots=True)
class Offered(Output):
    """What the source has: accept or refuse it."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class Missing(Output):
    """The source can't have these fragments of a page any more, which may not be here yet."""

    page: int
    ranges: Ranges


class Turn(Enum):
    """Where the dialogue is."""

    BEGIN = "OFFER is awaited"
    OFFERED = "the offer is being considered"
    TAKING = "pages are being taken"
    FINISHED = "all pages were sent"
    DONE = "CLOSE is awaited"


class Sink(Session):
    """One session of a tree that this side takes. `source` is the other side's Ed25519 key."""

    def __init__(self, source: bytes, session: bytes | None = None) -> None:
        """`session`: the one that must be offered, as a ticket names it."""
        super().__init__()
        self._source = source
        self._session = session
        self._turn = Turn.BEGIN
        self._mode = Mode.WANTED
        self._answered = self._requests = self._wanted = self._lost = self._epoch = 0

    def accept(self, mode: Mode, window_bytes: int) -> Outputs:
        """Take it. Raises UsageError for an archive."""
        self._expect(Turn.OFFERED)
        if not self._over and not isinstance(self._offer.what, TreeOffer):
            raise UsageError("this sink takes trees alone")
        self._turn, self._mode = Turn.TAKING, mode
        return self._say(Accept(mode, window_bytes))

    def refuse(self, text: str, code: CloseCode = CloseCode.REFUSED) -> Outputs:
        """Take nothing, or nothing more; the source is told this text, so it names nothing of this machine."""
        return self._say_last(closing(code, text))

    def want(self, page: int, ranges: Ranges) -> Outputs:
        """Ask for fragments: in mode WANTED for each page in its order, then again for what is damaged. WANTs count from 1."""
        self._expect(Turn.TAKING, Turn.FINISHED)
        if self._mode == Mode.WANTED and not self._over:
            if page > self._answered or (page < self._answered and not ranges):
                raise UsageError(f"page {page} is answered out of turn, or again for nothing")
            self._answered += page == self._answered
        self._requests += 1
        self._wanted += ranges.count
        return self._say(Want(page, ranges))

    def cancel(self, request: int) -> Outputs:
        """What of the WANT with this number has not come need not come."""
        self._expect(Turn.TAKING, Turn.FINISHED)
        if not 1 <= request <= self._requests and not self._over:
            raise UsageError(f"request {request} was not made")
        return self._say(Cancel(request))

    def durable(self, epoch: int, pages: Mapping[int, Ranges]) -> Outputs:
        """These fragments that the source sent are durable, and noted in the journal. As many KEPT as it takes."""
        self._expect(Turn.TAKING, Turn.FINISHED)
        if epoch < self._epoch and not self._over:
            raise UsageError(f"epoch {epoch} after {self._epoch}")
        self._epoch = epoch
        return self._say(*(Kept(epoch, MappingProxyType(part)) for part in _parts(pages)))

    def restored(self, digest: bytes, restored: int, failed: int) -> Outputs:
        """All is restored that could be, from pages with this digest. Raises IntegrityError, for `close`, if it is not the source's."""
        self._expect(Turn.FINISHED)
        if self._over:
            return ()
        if self._mode == Mode.WANTED and self._answered != self._end.pages:
            raise UsageError(f"{self._answered} of {self._end.pages} pages were answered")
        if digest != self._end.digest:
            raise IntegrityError("the pages that came are not those that the source signed")
        self._turn = Turn.DONE
        self._counts = restored, failed
        return self._say(Done(digest, restored, failed))

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

    def _missing(self, lost: Lost) -> Outputs:
        end = self._end.pages if self._turn == Turn.FINISHED else MAX_PAGES
        # What was not wanted is not missed. Of what is pushed only the engine knows how much there is.
        end = min(end, self._answered) if self._mode == Mode.WANTED else end
        self._lost += check_within_tree("LOST", {lost.page: lost.ranges}, end)
        if self._mode == Mode.WANTED and self._lost > self._wanted:
            raise ProtocolError("LOST: more than was wanted")
        return (Missing(lost.page, lost.ranges),)

    def _finish(self, finish: Finish) -> Outputs:
        tree = finish.catalogue
        if tree is None or not self._answered <= finish.count <= MAX_PAGES:
            raise ProtocolError("FINISH: not of this tree")
        signing.verify(self._source, tree.signature, signed_part(self._offer.session, finish.digest))
        self._turn = Turn.FINISHED
        self._end = CatalogueEnd(finish.count, finish.digest, tree.entries, tree.size_bytes)
        return (self._end,)


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
