"""What the sources of trees and of archives have in common: their turns, and bounds on what the sink may say (docs/transfer-protocol.md §5–7).

    OFFER ─▶ ACCEPT ─▶ (what is pushed leaves)  WANT, KEPT, CANCEL ─▶ FINISH ─▶ DONE ─▶ CLOSE

*Records* are what ranges speak of: fragments of a tree; chunks and metadata pages of an archive.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from warp_portal.errors import IntegrityError, ProtocolError, UsageError
from warp_portal.protocol.ending import CloseCode, Done
from warp_portal.protocol.exchange import Cancel, Kept, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Accept, Offer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs, Session, closing, out_of_turn
from warp_portal.protocol.tree import Finished

# A record is asked for once, and once more if it came damaged or its copy turned out bad.
TIMES_WANTED: Final = 2


@dataclass(frozen=True, slots=True)
class Answer(Output):
    """The sink wants these records of a page; the WANTs of a session are its requests, counted from 1.

    Of the page of a tree that is answered first the session has checked that it has so many. Of an earlier one, and in mode
    EVERYTHING of any, the engine does, and closes with ProtocolError.
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
    """These records are durable at the sink, and with them so many in all."""

    epoch: int
    pages: Mapping[int, Ranges]
    total: int


class Turn(Enum):
    """Where the dialogue is."""

    BEGIN = "nothing was offered"
    OFFERED = "ACCEPT is awaited"
    SENDING = "pages are being sent"
    FINISHED = "all pages were sent"


class SourceSide(Session):
    """One session of what this side has."""

    def __init__(self, offer: Offer) -> None:
        super().__init__()
        self._offer = offer
        self._turn = Turn.BEGIN
        self._records = 0  # that can be wanted
        self._requests = self._wanted = self._revoked = 0
        self._epoch = self._kept = 0
        self._partial = False
        self._digest = b""

    def start(self) -> Outputs:
        """Offer it."""
        self._expect(Turn.BEGIN)
        self._turn = Turn.OFFERED
        return self._say(self._offer)

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

    @abstractmethod
    def _accepted(self, accept: Accept) -> Outputs:
        """The turn is SENDING then."""

    @abstractmethod
    def _check_want(self, want: Want) -> int:
        """How many records it names, all of which can be wanted now; raises ProtocolError."""

    @abstractmethod
    def _check_kept(self, pages: Mapping[int, Ranges]) -> int:
        """How many records these are, all of which can be kept now; raises ProtocolError."""

    @property
    @abstractmethod
    def _most_empty(self) -> int:
        """How many WANTs may name nothing."""

    @property
    @abstractmethod
    def _unasked(self) -> int:
        """Records that may be kept without being wanted."""

    @abstractmethod
    def _check_done(self) -> None:
        """Raises ProtocolError if something is to be said before DONE."""

    def _want(self, want: Want) -> Outputs:
        self._wanted += self._check_want(want)
        self._requests += 1
        most = TIMES_WANTED * self._records
        if self._wanted > most or self._requests > self._most_empty + most:
            raise ProtocolError("WANT: the same again and again")
        return (Answer(self._requests, want.page, want.ranges),)

    def _keep(self, kept: Kept) -> Outputs:
        if kept.epoch < self._epoch:
            raise ProtocolError(f"KEPT: epoch {kept.epoch} after {self._epoch}")
        self._epoch = kept.epoch
        self._kept += self._check_kept(kept.pages)
        if self._kept > self._wanted + self._unasked:
            raise ProtocolError("KEPT: more than was sent")
        return (KeptNow(kept.epoch, kept.pages, self._kept),)

    def _revoke(self, cancel: Cancel) -> Outputs:
        self._revoked += 1
        if cancel.request > self._requests or self._revoked > self._requests:
            raise ProtocolError("CANCEL: a request that was not made, or one twice")
        return (Revoke(cancel.request),)

    def _done(self, done: Done) -> Outputs:
        self._check_done()
        if done.digest != self._digest:
            raise IntegrityError("the sink has something else than was sent: its digest is another")
        last = closing(CloseCode.PARTIAL if self._partial else CloseCode.OK)
        return (*self._say_last(last), Finished(self._partial, done.restored, done.failed))
