"""The sink of a tree, from OFFER to CLOSE, without I/O (docs/transfer-protocol.md §5, §6).

    OFFER ─▶ `accept`: ACCEPT ─▶ `want`: WANT, `durable`: KEPT, LOST ─▶ FINISH ─▶ `restored`: DONE ─▶ CLOSE

A data engine reads pages and fragments, and tells what it did by calling the methods; outputs tell it what the source said.
That travels beside the data and may overtake it: LOST may speak of a page that is still on its way, and FINISH comes early.
"""

from dataclasses import dataclass

from warp_portal.errors import IntegrityError, ProtocolError, UsageError
from warp_portal.primitives import signing
from warp_portal.protocol.ending import Done, Finish, signed_part
from warp_portal.protocol.exchange import MAX_PAGES, Lost, Same
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Accept, Mode, PagesHere, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.sink_side import KEPT_BYTES, Missing, Offered, SinkSide, Turn
from warp_portal.protocol.tree import CatalogueEnd, check_within_tree

__all__ = ["KEPT_BYTES", "Missing", "Offered", "Sink", "Spared"]


@dataclass(frozen=True, slots=True)
class Spared(Output):
    """The first pages are those that are here: so many. They do not come."""

    pages: int


class Sink(SinkSide):
    """One session of a tree that this side takes. `source` is the other side's Ed25519 key."""

    def __init__(self, source: bytes, session: bytes | None = None) -> None:
        """`session`: the one that must be offered, as a ticket names it."""
        super().__init__(session)
        self._source = source
        self._mode = Mode.WANTED
        self._answered = 0
        self._here = self._same = 0

    def accept(self, mode: Mode, window_bytes: int, pages: PagesHere | None = None) -> Outputs:
        """Take it; the first `pages` are here from an earlier connection. Raises UsageError for an archive."""
        self._expect(Turn.OFFERED)
        if not self._over and not isinstance(self._offer.what, TreeOffer):
            raise UsageError("this sink takes trees alone")
        self._turn, self._mode = Turn.TAKING, mode
        self._here = 0 if pages is None else pages.count
        return self._say(Accept(mode, window_bytes, pages=pages))

    def want(self, page: int, ranges: Ranges) -> Outputs:
        """Ask for fragments: in mode WANTED for each page in its order, then again for what is damaged. WANTs count from 1."""
        self._expect(Turn.TAKING, Turn.FINISHED)
        if self._mode == Mode.WANTED and not self._over:
            if page > self._answered or (page < self._answered and not ranges):
                raise UsageError(f"page {page} is answered out of turn, or again for nothing")
            self._answered += page == self._answered
        return self._ask(page, ranges)

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

    def _take(self, message: Message) -> Outputs:
        # FINISH is no later than all that is spared, for both are messages.
        if isinstance(message, Same) and self._turn == Turn.TAKING:
            return self._spared(message.pages)
        return super()._take(message)

    def _spared(self, pages: int) -> Outputs:
        if not self._same < pages <= self._here or self._answered != self._same:
            raise ProtocolError(f"SAME: {pages} pages after {self._same}, of {self._here} that are here")
        self._answered = self._same = pages
        return (Spared(pages),)

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
