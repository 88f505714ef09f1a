"""Receives what another machine offers: goes to where it waits, or waits for it at a port."""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.errors import ClosedError, NotFoundError, UnreachableError
from warp_portal.keys.machines import Machine
from warp_portal.protocol.fields import SESSION_BYTES
from warp_portal.protocol.hello import Role
from warp_portal.protocol.ticket import Ticket
from warp_portal.transport.calling import Caller
from warp_portal.transport.destinations import Arriving, Destination
from warp_portal.transport.dialing import ANY_NETWORK, Network, Note
from warp_portal.transport.giving import COMES_BACK
from warp_portal.transport.identity import machine_key
from warp_portal.transport.listening import Visitor
from warp_portal.transport.record import Kind, SessionRecord
from warp_portal.transport.routes import Route, by_way, met
from warp_portal.transport.state import SessionStore
from warp_portal.transport.taking import ReceiveReport, Taker, TakeRules
from warp_portal.transport.waiting import WAIT_DEFAULTS, Waiting, WaitPlan, coming, turn_away
from warp_portal.transport.ways import Way


class Receiver:
    """Goes to a machine that offers something, again and again after a cut, until all is there."""

    def __init__(
        self,
        state: Path,
        destination: Destination,
        note: Note,
        rules: TakeRules,
        network: Network = ANY_NETWORK,
    ) -> None:
        self._state, self._destination, self._rules = state, destination, rules
        self._caller = Caller(machine_key(state), Role.SINK, note, network)

    def run(self, route: Route) -> ReceiveReport:
        """Take what is at the end of the route. Raises what ends it for good; what came is kept for another try."""
        with Taker(self._state, self._destination, self._rules) as taker:
            # What is wrong here is no reason to trouble the other side.
            done = taker.find(route.session) if route.session is not None else None
            if done is not None:
                return done

            def visit(visitor: Visitor) -> ReceiveReport:
                return taker.take(visitor, route.session, met(route.way, Machine(visitor.link.peer)))

            try:
                return self._caller.run(route, visit, lambda: _back(route, taker))
            except (UnreachableError, ClosedError, NotFoundError):
                # It was told that all is here; be it gone then, or not.
                done = taker.settled()
                if done is None:
                    raise
                return done


def _back(route: Route, taker: Taker) -> Route | None:
    """The route again; None if nothing has begun that could go on."""
    if taker.session is None:
        return None
    if route.way.ticket is not None:
        return route
    return by_way(Way.load(taker.session.directory), taker.session.record.session)


def finish_before(state: Path, destination: Destination, rules: TakeRules) -> ReceiveReport | None:
    """Finish what came whole to this machine as it waited, if there is any: nobody will come for that again."""
    for record, _ in _awaited(state, destination):
        with Taker(state, destination, rules) as taker:
            report = taker.find(record.session)
            if report is not None:
                return report
    return None


def _awaited(state: Path, destination: Destination) -> Iterator[tuple[SessionRecord, Way]]:
    """Sessions into this destination for which this machine waited, and how it did; the last active first."""
    key = machine_key(state).public.raw
    for listed in SessionStore(state).list():
        record = listed.record
        if record is None or listed.busy or record.kind is not Kind.RECEIVE:
            continue
        if record.paths == (os.fsencode(destination.noted(Arriving.noted(record))),):
            way = Way.load(state / "sessions" / record.session.hex())
            if way.ticket is not None and Ticket.parse(way.ticket, 0).listener == key:
                yield record, way


class WaitingReceiver:
    """Waits for a machine that brings something. A context manager: in it the port is open."""

    def __init__(
        self, state: Path, destination: Destination, note: Note, rules: TakeRules, wait: WaitPlan = WAIT_DEFAULTS
    ) -> None:
        self._state, self._destination, self._rules, self._note = state, destination, rules, note
        self.waiting = Waiting(machine_key(state), Role.SINK, wait, note)
        self._last_word_s = wait.last_word_s
        self._alone_since = SYSTEM_CLOCK.monotonic_s()
        self._resources = ExitStack()
        self.resumed = False

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self._taker = resources.enter_context(Taker(self._state, self._destination, self._rules))
            record, way = next(_awaited(self._state, self._destination), (None, Way()))
            self.resumed = record is not None
            guests = () if record is None or record.peer is None else (record.peer,)
            self.waiting.prepare(secrets.token_bytes(SESSION_BYTES), way, guests)
            resources.enter_context(self.waiting)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def run(self) -> ReceiveReport:
        """Wait for the other side, however often it comes, until all is here. Raises what ends it for good."""
        while True:
            visitor = self.waiting.visitor()
            report = self._left_alone() if visitor is None else self._visit(visitor)
            if report is not None:
                return report

    def _left_alone(self) -> ReceiveReport | None:
        """How it ended, if all has come and nobody comes again to hear of it."""
        if not self._taker.has_all:
            self._alone_since = SYSTEM_CLOCK.monotonic_s()
        elif SYSTEM_CLOCK.monotonic_s() - self._alone_since >= self._last_word_s:
            return self._taker.settled()
        return None

    def _visit(self, visitor: Visitor) -> ReceiveReport | None:
        peer, session = visitor.link.peer, self._taker.session
        if session is not None and session.record.peer != peer:
            self._note(f"{visitor.link.address} came too, and was told that another machine is awaited")
            turn_away(visitor)
            return None
        self.waiting.let_in(peer)
        self._note(f"{visitor.link.address} brings something {coming(visitor)}")
        try:
            return self._taker.take(visitor, None, self.waiting.way, lambda: self.waiting.is_back(peer))
        except COMES_BACK as error:
            self._alone_since = SYSTEM_CLOCK.monotonic_s()
            self._note(f"{error}: waiting for it to come back (Ctrl-C ends this; what came is kept)")
            return None
