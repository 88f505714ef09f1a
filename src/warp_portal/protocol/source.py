"""The source of a tree, from OFFER to CLOSE, without I/O (docs/transfer-protocol.md §5, §6).

    OFFER ─▶ ACCEPT ─▶ (pages leave: `page`)  WANT, KEPT, CANCEL ─▶ `catalogue_done`: FINISH ─▶ DONE ─▶ CLOSE

A data engine walks, sends pages and fragments, and tells what it did by calling the methods; outputs tell it what to do.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from warp_portal.errors import IntegrityError, ProtocolError, UsageError
from warp_portal.protocol.ending import Catalogue, CloseCode, Done, Finish, signed_part
from warp_portal.protocol.exchange import MAX_PAGES, MAX_TREE_FRAGMENTS, Cancel, Kept, Lost, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Accept, Mode, Offer, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs, Session, closing, out_of_turn
from warp_portal.protocol.tree import CatalogueEnd, Finished, check_within_tree

# A fragment is asked for once, and once more if it came damaged or its copy turned out bad.
_TIMES_WANTED: Final = 2

Sign = Callable[[bytes], bytes]
"""The Ed25519 signature (64 bytes) of the source's key."""


@dataclass(frozen=True, slots=True)
class Start(Output):
    """The sink takes it: walk, and send pages of which at most so many raw bytes are unanswered."""

    mode: Mode
    window_bytes: int


@dataclass(frozen=True, slots=True)
class Answer(Output):
    """The sink wants these fragments of a page; the WANTs of a session are its requests, counted from 1.

    Of the page that is answered first the session has checked that it has so many. Of an earlier one, and in mode EVERYTHING
    of any, the engine does, and closes with ProtocolError.
    """

    request: int
    page: int
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Revoke(Output):
    """What of this request has not left need not leave; it may all have left."""

    request: int


@dataclass(frozen=True, slots=True)
class KeptNow(Output):
    """These fragments are durable at the sink, and with them so many in all."""

    epoch: int
    pages: Mapping[int, Ranges]
    total: int


class Turn(Enum):
    """Where the dialogue is."""

    BEGIN = "nothing was offered"
    OFFERED = "ACCEPT is awaited"
    SENDING = "pages are being sent"
    FINISHED = "all pages were sent"


class Source(Session):
    """One session of a tree that this side has."""

    def __init__(self, offer: Offer, sign: Sign) -> None:
        """Raises UsageError for the offer of an archive."""
        super().__init__()
        if not isinstance(offer.what, TreeOffer):
            raise UsageError("this source is one of trees")
        self._offer = offer
        self._sign = sign
        self._turn = Turn.BEGIN
        self._mode = Mode.WANTED
        self._pages = 0  # that were sent
        self._fragments = 0  # of these pages
        self._unanswered = _Counts()
        self._requests = self._wanted = self._revoked = 0
        self._epoch = self._kept = 0
        self._partial = False
        self._digest = b""

    def start(self) -> Outputs:
        """Offer it."""
        self._expect(Turn.BEGIN)
        self._turn = Turn.OFFERED
        return self._say(self._offer)

    def page(self, fragments: int) -> None:
        """The next page is about to leave, with so many new fragments. To be told before it leaves, for WANT comes soon."""
        self._expect(Turn.SENDING)
        if not 0 <= fragments <= MAX_TREE_FRAGMENTS or self._pages == MAX_PAGES:
            raise UsageError("a page with too many fragments, or too many pages")
        self._pages += 1
        self._fragments += fragments
        if self._mode == Mode.WANTED:
            self._unanswered.push(fragments)

    def lost(self, page: int, ranges: Ranges) -> Outputs:
        """Fragments that were wanted can't be read any more."""
        self._expect(Turn.SENDING, Turn.FINISHED)
        if page >= self._pages - len(self._unanswered) and not self._over:
            raise UsageError(f"page {page} was not wanted yet, so nothing of it is missed")
        self._partial = True
        return self._say(Lost(page, ranges))

    def catalogue_done(self, end: CatalogueEnd, unread: int) -> Outputs:
        """The walk has ended, and `unread` entries could not be read."""
        self._expect(Turn.SENDING)
        if end.pages != self._pages and not self._over:
            raise UsageError(f"{end.pages} pages are said to be all, and {self._pages} were sent")
        self._turn = Turn.FINISHED
        self._partial |= unread > 0
        self._digest = end.digest
        signature = self._sign(signed_part(self._offer.session, end.digest))
        return self._say(Finish(end.pages, end.digest, Catalogue(end.entries, end.size_bytes, signature)))

    def _expect(self, *turns: Turn) -> None:
        if self._turn not in turns and not self._over:
            raise UsageError(f"the engine is out of turn ({self._turn.value})")

    def _take(self, message: Message) -> Outputs:
        match self._turn, message:
            case Turn.OFFERED, Accept():
                return self._accepted(message)
            case Turn.SENDING | Turn.FINISHED, Want():
                return self._want(message)
            case Turn.SENDING | Turn.FINISHED, Kept():
                return self._keep(message)
            case Turn.SENDING | Turn.FINISHED, Cancel():
                return self._revoke(message)
            case Turn.FINISHED, Done():
                return self._done(message)
        raise out_of_turn(message, self._turn.value)

    def _accepted(self, accept: Accept) -> Outputs:
        if accept.known_commit is not None:
            raise ProtocolError("ACCEPT: a commit, where a tree was offered")
        self._turn, self._mode = Turn.SENDING, accept.mode
        return (Start(accept.mode, accept.window_bytes),)

    def _want(self, want: Want) -> Outputs:
        self._wanted += check_within_tree("WANT", {want.page: want.ranges}, self._pages)
        self._requests += 1
        if self._mode == Mode.WANTED:
            self._check_order(want)
        # Each page is answered once, and each further WANT names something.
        most = _TIMES_WANTED * self._fragments
        if self._wanted > most or self._requests > self._pages + most:
            raise ProtocolError("WANT: the same again and again")
        return (Answer(self._requests, want.page, want.ranges),)

    def _check_order(self, want: Want) -> None:
        """Pages are answered in their order; then any of them may be wanted again, but not for nothing."""
        answered = self._pages - len(self._unanswered)
        if want.page > answered:
            raise ProtocolError(f"WANT: page {want.page} before page {answered}")
        if want.page < answered and not want.ranges:
            raise ProtocolError("WANT: nothing of a page that was answered before")
        if want.page == answered and want.ranges.end > self._unanswered.pop():
            raise ProtocolError("WANT: more fragments than the page has")

    def _keep(self, kept: Kept) -> Outputs:
        if kept.epoch < self._epoch:
            raise ProtocolError(f"KEPT: epoch {kept.epoch} after {self._epoch}")
        self._epoch = kept.epoch
        self._kept += check_within_tree("KEPT", kept.pages, self._pages - len(self._unanswered))
        if self._kept > self._wanted + (self._fragments if self._mode == Mode.EVERYTHING else 0):
            raise ProtocolError("KEPT: more than was sent")
        return (KeptNow(kept.epoch, kept.pages, self._kept),)

    def _revoke(self, cancel: Cancel) -> Outputs:
        self._revoked += 1
        if cancel.request > self._requests or self._revoked > self._requests:
            raise ProtocolError("CANCEL: a request that was not made, or one twice")
        return (Revoke(cancel.request),)

    def _done(self, done: Done) -> Outputs:
        if self._unanswered:
            raise ProtocolError(f"DONE: {len(self._unanswered)} pages were not answered")
        if done.digest != self._digest:
            raise IntegrityError("the sink has other pages than were sent: its digest is another")
        last = closing(CloseCode.PARTIAL if self._partial else CloseCode.OK)
        return (*self._say_last(last), Finished(self._partial, done.restored, done.failed))


class _Counts:
    """A queue of counts, as runs: pages without new fragments take no window, so there may be any number of them."""

    def __init__(self) -> None:
        self._runs = deque[list[int]]()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, count: int) -> None:
        """Put one at the end."""
        self._length += 1
        if self._runs and self._runs[-1][0] == count:
            self._runs[-1][1] += 1
        else:
            self._runs.append([count, 1])

    def pop(self) -> int:
        """Take the first."""
        self._length -= 1
        first = self._runs[0]
        first[1] -= 1
        if not first[1]:
            self._runs.popleft()
        return first[0]
