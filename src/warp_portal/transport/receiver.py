"""Takes a tree from the machine that offers it: by a ticket, by a code, or going on with a session that was cut."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from warp_portal.archive.problems import ProblemList
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import (
    ExistsError,
    NotFoundError,
    PolicyError,
    ProtocolError,
    UnreachableError,
    UsageError,
)
from warp_portal.keys.machines import Machine
from warp_portal.protocol import proofs
from warp_portal.protocol import sink as sessions
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.claims import ByCode, ByPeer, ByTicket, Claim
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.handshake import Dialer
from warp_portal.protocol.hello import Role
from warp_portal.protocol.offers import Offer, TreeOffer
from warp_portal.protocol.ticket import Carriers, Ticket
from warp_portal.protocol.tree import Finished
from warp_portal.transport.conversation import Conversation
from warp_portal.transport.dialing import Connected, Note, connect
from warp_portal.transport.identity import machine_key
from warp_portal.transport.listening import hello
from warp_portal.transport.receiving import RECEIVE_DEFAULTS, ReceiveOptions, TreeReceiving
from warp_portal.transport.record import Kind, SessionRecord
from warp_portal.transport.rendezvous import Rendezvous
from warp_portal.transport.state import Session, SessionStore
from warp_portal.transport.ways import Way

# A connection that was there and broke is tried again so often, each time after a longer pause.
TRIES: Final = 8
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
# So long a code is looked for on the network.
LOOKUP_S: Final = 30.0
_NS: Final = 10**9


Accept = Callable[[Offer, Machine], bool]
"""Whether a person takes what a machine offers."""


class Route(NamedTuple):
    """Where the other side is, and by what right we come; `way` is how to come again."""

    addresses: tuple[Address, ...]
    expected: bytes | None
    claim: Claim
    session: bytes | None
    way: Way
    carriers: Carriers = Carriers.QUIC | Carriers.TCP


def by_ticket(text: str, clock: Clock = SYSTEM_CLOCK) -> Route:
    """To the listener of a ticket. Raises UsageError, VersionError, PolicyError."""
    ticket = Ticket.parse(text, clock.now_ns())
    way = Way(ticket.text())
    return Route(ticket.addresses, ticket.listener, ByTicket(ticket), ticket.session, way, ticket.carriers)


def by_code(code: ShortCode, rendezvous: Rendezvous, timeout_s: float = LOOKUP_S) -> Route:
    """To the first who says that the code is its own. Raises NotFoundError if nobody does."""
    for addresses in rendezvous.lookup(code.nameplate, timeout_s):
        return Route(addresses, None, ByCode(code), None, Way())
    raise NotFoundError(
        f"nobody on this network waits with code {code.nameplate}-…: is it typed right, and the other side still waiting? "
        "A ticket works on other networks too"
    )


def by_way(way: Way, session: bytes) -> Route:
    """Back to a session that was cut. Raises UsageError, VersionError, PolicyError."""
    if way.ticket is not None:
        return by_ticket(way.ticket)
    if way.peer is None:
        raise UsageError("this session never got as far as to know its other side: discard it")
    return Route(way.addresses, way.peer.raw, ByPeer(way.peer.raw), session, way)


@dataclass(frozen=True, slots=True)
class ReceiveReport:
    """How it ended. `partial`: the other side could not read something."""

    title: str
    partial: bool
    restored: int
    failed: int
    files: int
    bytes_written: int
    bytes_received: int
    bytes_wire: int
    skipped: dict[str, int]
    problems: ProblemList


class Receiver:
    """Receives into a directory, again and again after a cut, until all is there."""

    def __init__(
        self, state: Path, target: Path, note: Note, accept: Accept, options: ReceiveOptions = RECEIVE_DEFAULTS
    ) -> None:
        """`accept` is asked once a session."""
        self._store = SessionStore(state)
        self._key = machine_key(state)
        self._target, self._note, self._options = target, note, options
        self._accept = accept
        self._session: Session | None = None
        self._connected = False

    def run(self, route: Route) -> ReceiveReport:
        """Take what is at the end of the route. Raises what ends it for good; what came is kept for another try."""
        failures = 0
        with ExitStack() as resources:
            resources.callback(self._close)
            if route.session is not None:
                # What is wrong here is no reason to trouble the other side.
                self._session = self._known(route.session)
            target = self._open_target(resources)
            while True:
                try:
                    return self._try(route, target)
                except UnreachableError as error:
                    failures = 1 if self._connected else failures + 1
                    if self._session is None or failures > TRIES:
                        raise
                    self._wait(error, failures)
                    if route.way.ticket is None:
                        route = by_way(Way.load(self._session.directory), self._session.record.session)

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()

    def _wait(self, error: UnreachableError, failures: int) -> None:
        pause = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
        self._connected = False
        self._note(f"{error}: trying again in {pause:g} s (Ctrl-C ends this; what came is kept)")
        time.sleep(pause)

    def _open_target(self, resources: ExitStack) -> int:
        self._target.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        resources.callback(os.close, fd)
        return fd

    def _try(self, route: Route, target: int) -> ReceiveReport:
        with connect(self._key, route.addresses, route.expected, self._note, route.carriers) as connected:
            return self._receive(route, connected, target)

    def _receive(self, route: Route, connected: Connected, target: int) -> ReceiveReport:
        link = connected.link
        conversation = Conversation(link)
        ends = proofs.Link(link.exporter, self._key.public.raw, link.peer)
        conversation.handshake(Dialer(ends, hello(Role.SINK), route.claim))
        self._connected = True
        self._note(f"connected to {link.address} over {link.carrier.upper()}")
        session = sessions.Sink(link.peer, route.session)
        hands = TreeReceiving(link, session, target, lambda offer: self._decide(offer, route, link.peer), self._options)
        finished = conversation.run(session, (), hands)
        assert self._session is not None
        record = self._session.record
        self._session.discard()
        self._session = None
        return _report(record.title, finished, hands, link.traffic()[1])

    def _decide(self, offer: Offer, route: Route, peer: bytes) -> Session:
        """The records of the session: those of before, or new ones if it is taken."""
        tree = offer.what
        if not isinstance(tree, TreeOffer):
            raise UsageError("an archive is offered, and a tree is expected here")
        if self._session is None:
            self._session = self._known(offer.session) or self._begun(offer, tree, peer)
        record = self._session.record
        if (record.session, record.peer, record.scope_secret) != (offer.session, peer, tree.scope_secret):
            raise ProtocolError("OFFER: not that of the session before")
        way = route.way if route.way.ticket else Way(None, 0, Machine(peer), route.addresses)
        way.save(self._session.directory)
        return self._session

    def _known(self, number: bytes) -> Session | None:
        try:
            session = self._store.open(number)
        except NotFoundError:
            return None
        if session.record.paths != (os.fsencode(self._target.resolve()),) or session.record.kind is not Kind.RECEIVE:
            place = os.fsdecode(session.record.paths[0])
            session.close()
            raise ExistsError(
                f"this session is being received into {place}: go on there, or discard it (warp sessions)"
            )
        return session

    def _begun(self, offer: Offer, tree: TreeOffer, peer: bytes) -> Session:
        if not self._accept(offer, Machine(peer)):
            raise PolicyError("the offer was not taken")
        now = SYSTEM_CLOCK.now_ns() // _NS
        paths = (os.fsencode(self._target.resolve()),)
        record = SessionRecord(Kind.RECEIVE, offer.session, offer.title, paths, now, now, peer, tree.scope_secret)
        return self._store.begin(replace(record, bytes_total=offer.size_bytes))


def _report(title: str, finished: Finished, hands: TreeReceiving, wire: int) -> ReceiveReport:
    totals = hands.totals
    return ReceiveReport(
        title,
        finished.partial,
        finished.restored,
        finished.failed,
        totals["files"],
        totals["bytes_written"],
        totals["bytes_received"],
        wire,
        hands.skipped,
        hands.problems,
    )
