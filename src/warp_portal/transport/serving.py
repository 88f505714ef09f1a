"""Offers a cargo to any number of machines, some at the same time, until it is stopped; nothing is ever written into it."""

import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import WarpPortalError
from warp_portal.keys.machines import Machine
from warp_portal.protocol.hello import Role
from warp_portal.transport.dialing import Note
from warp_portal.transport.giving import Giver, SendPlan, beginning, begun, laden
from warp_portal.transport.identity import machine_key
from warp_portal.transport.listening import Visitor
from warp_portal.transport.record import Kind
from warp_portal.transport.sending import SendReport
from warp_portal.transport.waiting import Waiting, coming, turn_away
from warp_portal.transport.ways import Way

_RECORDS: Final = "visit-"


@dataclass(frozen=True, slots=True)
class Served:
    """One machine that has everything now."""

    address: str
    machine: str
    seconds: float
    report: SendReport


class Server:
    """Keeps offering. A context manager: in it the port is open; at its end all connections end, and the ticket stays good."""

    def __init__(
        self,
        state: Path,
        plan: SendPlan,
        note: Note,
        served: Callable[[Served], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._state, self._plan, self._note, self._served, self._clock = state, plan, note, served, clock
        self._most = plan.wait.most_at_once
        self._resources = ExitStack()
        self.waiting = Waiting(machine_key(state), Role.SOURCE, plan.wait, note, clock)
        self.resumed = False
        self._guests = dict[bytes, Visitor]()  # the newest connection of each machine that is being served
        self._changed = threading.Condition()
        self._is_over = False
        self._failure: WarpPortalError | OSError | None = None
        self.complete = 0
        """Transfers that were completed."""

    def __enter__(self) -> Self:
        plan = self._plan
        with ExitStack() as resources:
            self._session, self.resumed = begun(self._state, plan, Kind.SERVE, self._clock)
            resources.enter_context(self._session)
            resources.callback(self._forget)
            for left in self._session.directory.glob(_RECORDS + "*"):
                shutil.rmtree(left)
            resources.enter_context(laden(self._session, self.resumed, plan.cargo))
            self._giver = Giver(self._state, self._session, plan, self._clock)
            way = Way.load(self._session.directory) if self.resumed else Way()
            with beginning(self._session, self.resumed):
                self.waiting.prepare(self._session.record.session, way)
                self.waiting.way.save(self._session.directory)
            resources.callback(self._wait_for_all)
            resources.enter_context(self.waiting)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def run(self, receivers: int | None = None) -> None:
        """Serve whoever comes, until so many have everything; without a number until it is interrupted.

        Raises what `served` and `note` do, when nobody can be told any more.
        """
        while receivers is None or self.complete < receivers:
            if self._failure is not None:
                raise self._failure
            visitor = self.waiting.visitor()
            if visitor is not None:
                self._admit(visitor)
        self._is_over = True

    def _admit(self, visitor: Visitor) -> None:
        peer = visitor.link.peer
        with self._changed:
            if len(self._guests) >= self._most and peer not in self._guests:
                self._note(f"{visitor.link.address} was told to come later: {self._most} machines are being served")
                threading.Thread(target=turn_away, args=(visitor,), name="warp-busy", daemon=True).start()
                return
            self._guests[peer] = visitor
        # Who came by a code comes back by its key.
        self.waiting.let_in(peer)
        threading.Thread(target=self._serve, args=(visitor,), name="warp-serve", daemon=True).start()

    def _serve(self, visitor: Visitor) -> None:
        try:
            self._give(visitor)
        except (WarpPortalError, OSError) as error:
            self._failure = error
        finally:
            with self._changed:
                if self._guests.get(visitor.link.peer) is visitor:
                    del self._guests[visitor.link.peer]
                self._changed.notify_all()

    def _give(self, visitor: Visitor) -> None:
        address = visitor.link.address
        self._note(f"{address} takes it {coming(visitor)}")
        began = self._clock.monotonic_s()
        try:
            with tempfile.TemporaryDirectory(prefix=_RECORDS, dir=self._session.directory) as records:
                report = self._giver.give(visitor, lambda: self._is_stale(visitor), self._count, Path(records))
        except (WarpPortalError, OSError) as error:
            self._note(f"{address}: {error}")
        else:
            self._served(Served(address, str(Machine(visitor.link.peer)), self._clock.monotonic_s() - began, report))
            with self._changed:
                self.complete += 1

    def _is_stale(self, visitor: Visitor) -> bool:
        """Whether this machine has come again."""
        return self._guests.get(visitor.link.peer) is not visitor

    def _count(self) -> int:
        return len(self._guests)

    def _forget(self) -> None:
        """The session goes when nobody writes into it any more."""
        if self._is_over:
            self._session.discard()

    def _wait_for_all(self) -> None:
        """Connections are closed by now, so whoever serves them ends soon."""
        with self._changed:
            self._changed.wait_for(lambda: not self._guests)
