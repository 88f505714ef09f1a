"""Takes what a machine offers that was let in, or that let us in: asks, finds the session's records, and parts when all is there."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from warp_portal.archive.extraction import Overwrite
from warp_portal.archive.receiving import Target
from warp_portal.archive.state import StateStore
from warp_portal.archive.trust import NOTHING_EXPECTED, Expectation
from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.config import read_regular
from warp_portal.errors import (
    ExistsError,
    GivenUpError,
    NotFoundError,
    PolicyError,
    ProtocolError,
    RecordsError,
    UnreachableError,
    WarpPortalError,
)
from warp_portal.keys.machines import Machine
from warp_portal.protocol.any_sink import AnySink
from warp_portal.protocol.hello import BRANCHES, SPARE
from warp_portal.protocol.offers import Offer, TreeOffer
from warp_portal.protocol.sink import Sink
from warp_portal.protocol.tree import Finished
from warp_portal.transport.archive_receiving import ArchiveReceiving
from warp_portal.transport.destinations import Arriving, Destination
from warp_portal.transport.discarding import give_up
from warp_portal.transport.files import replace_file, sync_directory
from warp_portal.transport.giving import COMES_BACK
from warp_portal.transport.listening import Visitor
from warp_portal.transport.peers import note_met
from warp_portal.transport.receiving import RECEIVE_DEFAULTS, Arrival, Outcome, ReceiveOptions, Receiving, Work
from warp_portal.transport.record import Kind, SessionRecord
from warp_portal.transport.state import AGAIN, Session, SessionStore
from warp_portal.transport.tree_receiving import TreePlace, TreeReceiving
from warp_portal.transport.ways import Way

ARRIVED: Final = "arrived"
_MOST_ARRIVED: Final = 4096
_NS: Final = 10**9


Accept = Callable[[Offer, Machine], bool]
"""Whether a person takes what a machine offers."""


@dataclass(frozen=True, slots=True)
class ReceiveReport:
    """How it ended. `outcome` is None if all had come before already, and only what was left to do with it was done."""

    title: str
    is_tree: bool
    restored: int
    failed: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class TakeRules:
    """What is taken, and how. `accept` is asked once a session; `expectation` is of archives.

    `again` is kept with a new session, for who runs it again.
    """

    accept: Accept
    options: ReceiveOptions = RECEIVE_DEFAULTS
    expectation: Expectation = NOTHING_EXPECTED
    again: bytes = b"{}"


class Taker:
    """Takes one session into one destination, on one connection after another. A context manager: its session is closed then."""

    def __init__(self, state: Path, destination: Destination, rules: TakeRules) -> None:
        self._state = state
        self._store = SessionStore(state)
        self._destination, self._rules = destination, rules
        self._resources = ExitStack()
        self.session: Session | None = None
        """The one that goes on, once it is known."""
        self._is_empty = False
        self._outcome: Outcome | None = None  # of the connection on which all came

    def __enter__(self) -> Self:
        self._destination.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()
        if self.session is not None:
            self.session.close()

    def find(self, number: bytes) -> ReceiveReport | None:
        """Go on with a session if it is known; what became of it if all had come before. Raises ExistsError, BusyError, FormatError."""
        self.session = self._known(number)
        return self.settled()

    @property
    def has_all(self) -> bool:
        """Whether all has come, and only the other side's last word has not."""
        return self.session is not None and os.path.lexists(self.session.directory / ARRIVED)

    def settled(self) -> ReceiveReport | None:
        """What became of the session if all has come, be the other side gone; None if not. Raises what finishing does."""
        return self._conclude(self.session, self._outcome) if self.session is not None and self.has_all else None

    def take(
        self, visitor: Visitor, number: bytes | None, way: Way, is_back: Callable[[], bool] = lambda: False
    ) -> ReceiveReport:
        """Take what is offered on a connection. `number`: the session that must be offered. `way` is how to come again.

        `is_back`: whether the other side has come again; then this connection is dead, though nobody said so.

        Raises what ends it for good, and UnreachableError for a cut; what came is kept for another try.
        """
        link = visitor.link
        note_met(self._state, link.peer)
        session = AnySink(link.peer, number)
        hands = Arrival(lambda offer: self._decide(offer, session, visitor, way), is_back)
        try:
            with self._resources:
                finished = visitor.conversation.run(session, (), hands)
        except UnreachableError as error:
            self._leave(error, hands.receiving)
            if hands.receiving is None or not self.has_all:
                raise
            self._outcome = hands.receiving.outcome(Finished(False, *_arrived(self._arrived_path)))
            # Without a reason the connection is closed by who has heard that all is here.
            if isinstance(error, GivenUpError) and (report := self.settled()) is not None:
                return report
            raise
        except BaseException as error:
            self._leave(error, hands.receiving)
            raise
        assert hands.receiving is not None
        assert self.session is not None
        return self._conclude(self.session, hands.receiving.outcome(finished))

    @property
    def _arrived_path(self) -> Path:
        assert self.session is not None
        return self.session.directory / ARRIVED

    def _leave(self, error: BaseException, receiving: Receiving | None) -> None:
        """Keep what came for another try; what was refused before anything came is not unfinished."""
        if self.session is None:
            return
        came = 0 if receiving is None else receiving.bytes_done
        self._is_empty = self._is_empty and came == 0 and not self.has_all
        if self._is_empty and isinstance(error, (WarpPortalError, OSError)) and not isinstance(error, COMES_BACK):
            give_up(self.session, StateStore(self._state))
            self.session = None
        elif receiving is not None and came:
            self._note(receiving.bytes_kept, came)

    def _conclude(self, session: Session, outcome: Outcome | None) -> ReceiveReport:
        record = session.record
        restored, failed = _arrived(session.directory / ARRIVED)
        what = Arriving.noted(record)
        self._destination.finish(what, self._destination.place(what, session.directory))
        session.discard()
        self.session = None
        return ReceiveReport(record.title, what.is_tree, restored, failed, outcome)

    def _decide(self, offer: Offer, session: AnySink, visitor: Visitor, way: Way) -> Receiving:
        """The hands for an offer, if it is taken."""
        peer = visitor.link.peer
        secret = offer.what.scope_secret if isinstance(offer.what, TreeOffer) else None
        if self.session is None:
            self.session = self._known(offer.session) or self._begun(offer, secret, peer)
        record = self.session.record
        if (record.session, record.peer, record.scope_secret) != (offer.session, peer, secret):
            raise ProtocolError("OFFER: not that of the session before")
        self._retract()
        way.save(self.session.directory)
        place = self._destination.make(Arriving.of(offer), self.session.directory)
        return self._hands(offer, session, visitor, place)

    def _hands(self, offer: Offer, session: AnySink, visitor: Visitor, place: Path) -> Receiving:
        assert self.session is not None
        assert session.chosen is not None
        records, options = self.session.directory, self._rules.options
        if isinstance(session.chosen, Sink):
            if self._destination.is_staged(Arriving.of(offer)):
                # What an earlier try staged is of this session alone: it follows the source.
                options = replace(options, overwrite=Overwrite.CHANGED)
            target = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._resources.callback(os.close, target)
            where = TreePlace(target, records)
            return TreeReceiving(self._work(visitor, options), session.chosen, offer, where)
        archive = Target(place, records, self._rules.expectation, StateStore(self._state))
        return ArchiveReceiving(self._work(visitor, options), session.chosen, offer, archive)

    def _work(self, visitor: Visitor, options: ReceiveOptions) -> Work:
        features = visitor.proved.agreement.features
        return Work(visitor.link, options, self._arrived, self._note, bool(features & BRANCHES), bool(features & SPARE))

    def _note(self, bytes_done: int, on_disk: int = 0) -> None:
        assert self.session is not None
        record = self.session.record
        # Each connection begins to count anew.
        done = max(bytes_done, record.bytes_done)
        self.session.save(replace(record, bytes_done=done, disk_bytes=max(done, on_disk, record.disk_bytes)))

    def _arrived(self, restored: int, failed: int) -> None:
        """Noted before the source hears of it, for then it forgets the session."""
        replace_file(self._arrived_path, json.dumps([restored, failed]).encode())

    def _retract(self) -> None:
        """What is offered again may be more than what came before."""
        self._outcome = None
        if self.has_all:
            self._arrived_path.unlink()
            sync_directory(self._arrived_path.parent)

    def _known(self, number: bytes) -> Session | None:
        try:
            session = self._store.open(number)
        except NotFoundError:
            return None
        target = self._destination.noted(Arriving.noted(session.record))
        if session.record.paths != (os.fsencode(target),) or session.record.kind is not Kind.RECEIVE:
            place = os.fsdecode(session.record.paths[0])
            session.close()
            raise ExistsError(
                f"this session is being received into {place}: go on there, or discard it (warp sessions)"
            )
        return session

    def _begun(self, offer: Offer, secret: bytes | None, peer: bytes) -> Session:
        if not self._rules.accept(offer, Machine(peer)):
            raise PolicyError("the offer was not taken")
        now = SYSTEM_CLOCK.now_ns() // _NS
        paths = (os.fsencode(self._destination.noted(Arriving.of(offer))),)
        record = SessionRecord(Kind.RECEIVE, offer.session, offer.title, paths, now, now, peer, secret)
        self._is_empty = True
        session = self._store.begin(replace(record, bytes_total=offer.size_bytes))
        replace_file(session.directory / AGAIN, self._rules.again)
        return session


def _arrived(path: Path) -> tuple[int, int]:
    """Entries that are there, and that failed. Raises RecordsError, UsageError, OSError."""
    content = read_regular(str(path), "notes of what has arrived", _MOST_ARRIVED, private=True)
    try:
        match json.loads(content):
            case [int(restored), int(failed)]:
                return restored, failed
    except ValueError:
        pass
    raise RecordsError(f"{path}: damaged: discard the session (warp sessions discard), and receive again")
