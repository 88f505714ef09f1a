"""Sends a cargo to one machine: waits for it at a port, or goes to where it waits."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.keys.machines import Machine
from warp_portal.protocol.hello import Role
from warp_portal.transport.calling import Caller
from warp_portal.transport.dialing import Note
from warp_portal.transport.giving import COMES_BACK, Giver, SendPlan, beginning, begun, laden
from warp_portal.transport.identity import machine_key
from warp_portal.transport.listening import Visitor
from warp_portal.transport.routes import Route, by_way, met
from warp_portal.transport.sending import SendReport
from warp_portal.transport.state import Session
from warp_portal.transport.waiting import Waiting, coming
from warp_portal.transport.ways import Way


class Sender:
    """Waits with a cargo for the machine that takes it. A context manager: in it the port is open."""

    def __init__(self, state: Path, plan: SendPlan, note: Note, clock: Clock = SYSTEM_CLOCK) -> None:
        self._state, self._plan, self._note, self._clock = state, plan, note, clock
        self._resources = ExitStack()
        self.waiting = Waiting(machine_key(state), Role.SOURCE, plan.wait, note, clock)
        self.resumed = False

    def __enter__(self) -> Self:
        plan = self._plan
        with ExitStack() as resources:
            self._session, self.resumed = begun(self._state, plan, clock=self._clock)
            resources.enter_context(self._session)
            resources.enter_context(laden(self._session, self.resumed, plan.cargo))
            self._giver = Giver(self._state, self._session, plan, self._clock)
            record = self._session.record
            way = Way.load(self._session.directory) if self.resumed else Way()
            with beginning(self._session, self.resumed):
                self.waiting.prepare(record.session, way, () if record.peer is None else (record.peer,))
                self.waiting.way.save(self._session.directory)
            resources.enter_context(self.waiting)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def seconds(self) -> float:
        """What the last connection took."""
        return self._giver.seconds

    def run(self) -> SendReport:
        """Wait for the other side, however often it comes, until it has everything. Raises what ends it for good."""
        while True:
            visitor = self.waiting.visitor()
            report = None if visitor is None else self._visit(visitor)
            if report is not None:
                self._session.discard()
                return report

    def _visit(self, visitor: Visitor) -> SendReport | None:
        """Send to a machine that was let in; None if it left before it had all."""
        peer = visitor.link.peer
        self.waiting.let_in(peer)
        self._giver.note(peer=peer)
        self._note(f"{visitor.link.address} takes it {coming(visitor)}")
        try:
            return self._giver.give(visitor, lambda: self.waiting.is_back(peer))
        except COMES_BACK as error:
            self._note(f"{error}: waiting for it to come back (Ctrl-C ends this, and the ticket stays good)")
            return None


class GoingSender:
    """Goes with a cargo to the machine that waits for it, and again after a cut."""

    def __init__(self, state: Path, plan: SendPlan, note: Note, clock: Clock = SYSTEM_CLOCK) -> None:
        self._state, self._plan, self._clock = state, plan, clock
        self._caller = Caller(machine_key(state), Role.SOURCE, note, plan.network)
        self.seconds = 0.0
        """What the last connection took."""

    def run(self, route: Route) -> SendReport:
        """Send it to whoever is at the end of the route. Raises what ends it for good; it may go on in another run."""
        plan = self._plan
        with ExitStack() as resources:
            session, resumed = begun(self._state, plan, clock=self._clock)
            resources.enter_context(session)
            resources.enter_context(laden(session, resumed, plan.cargo))
            giver = Giver(self._state, session, plan, self._clock)

            def visit(visitor: Visitor) -> SendReport:
                peer = visitor.link.peer
                met(route.way, Machine(peer)).save(session.directory)
                giver.note(peer=peer)
                return giver.give(visitor)

            report = self._caller.run(route, visit, lambda: _back(route, session))
            session.discard()
            self.seconds = giver.seconds
        return report


def _back(route: Route, session: Session) -> Route | None:
    """The route again; None if nobody was met yet."""
    if route.way.ticket is not None:
        return route
    if session.record.peer is None:
        return None
    return by_way(Way.load(session.directory), None)
