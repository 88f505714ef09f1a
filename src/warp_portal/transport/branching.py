"""Further connections beside one that was dialed: each has a thread of its own on both sides, so the work of the network takes more
than one core (docs/transfer-protocol.md §1).

so many as were asked for ─┐
or one more, each time     ├─▶ connect ─▶ HELLO, PROVE join ─▶ the first link sends and receives over it too
its thread is all busy ────┘
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import UnreachableError, WarpPortalError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol import proofs
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.claims import ByJoin
from warp_portal.protocol.handshake import Dialer
from warp_portal.protocol.hello import Role
from warp_portal.protocol.ticket import Carriers
from warp_portal.transport.conversation import Company, Conversation
from warp_portal.transport.dialing import Connected, Network, Note, connect, most_connections
from warp_portal.transport.listening import hello

LOOK_S: Final = 1.0
# A thread that works so much of the time is what others wait for.
BUSY: Final = 0.85
_STAT: Final = "/proc/stat"


def idle_s() -> float:
    """Seconds that the processors of this machine had nothing to do, added up since it started; 0 where nobody tells."""
    try:
        with open(_STAT, "rb") as stat:
            fields = stat.readline().split()
        return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


class Load:
    """Whether the threads of the network are all busy, while a core of the machine is idle."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK, idle: Callable[[], float] = idle_s) -> None:
        self._clock, self._idle = clock, idle
        self._last = (clock.monotonic_s(), 0.0, idle())

    def is_full(self, worked_s: Sequence[float]) -> bool:
        """Of what each thread has worked since it began, in seconds; judged once a second, and False between."""
        since, worked_before, idle_before = self._last
        now = self._clock.monotonic_s()
        passed = now - since
        if passed < LOOK_S:
            return False
        worked, idle = sum(worked_s), self._idle()
        self._last = (now, worked, idle)
        return worked - worked_before >= BUSY * passed * len(worked_s) and idle - idle_before >= passed


class Side(NamedTuple):
    """Who dials: its key, its role, how it goes, and whom it tells."""

    key: MachineKey
    role: Role
    network: Network
    note: Note


class Branching(Company):
    """The further connections of one that was dialed."""

    def __init__(self, side: Side, first: Connected, load: Load | None = None) -> None:
        self._side, self._first = side, first
        link, ours = first.link, side.key.public.raw
        self._ends = proofs.Link(link.exporter, ours, link.peer)
        # The first has shown what gets through.
        self._network = replace(side.network, carriers=Carriers[link.carrier.upper()])
        self._most = most_connections(side.network.connections)
        self._load = load or Load()
        self._changing = threading.Lock()
        self._branches = list[Connected]()
        self._begun = 1
        self._is_over = self._has_told = False

    def beat(self) -> None:
        """Open those that were asked for, or one more if it helps."""
        wanted = self._most if self._side.network.connections else self._begun + self._is_full()
        while self._begun < min(wanted, self._most):
            self._begun += 1
            threading.Thread(target=self._open, name="warp-branch", daemon=True).start()

    def end(self) -> None:
        """End them. Nobody waits for that: an endpoint may take a second to say farewell."""
        with self._changing:
            self._is_over = True
        for branch in self._branches:
            threading.Thread(target=branch.endpoint.close, name="warp-close", daemon=True).start()

    def _is_full(self) -> bool:
        with self._changing:
            threads = [self._first.endpoint, *(branch.endpoint for branch in self._branches)]
        # One that is on its way has not shown what it is worth.
        return len(threads) == self._begun and self._load.is_full([each.worked() for each in threads])

    def _open(self) -> None:
        link = self._first.link
        try:
            branch = connect(self._side.key, (Address.parse(link.address),), link.peer, self._side.note, self._network)
            try:
                self._join(branch)
            except BaseException:
                branch.endpoint.close()
                raise
        except (WarpPortalError, OSError) as error:
            self._give_up(error)

    def _join(self, branch: Connected) -> None:
        link, side = self._first.link, self._side
        # From here on it may come over it; what we send waits until the other side knows what it is.
        link.receive_over(branch.link)
        ends = proofs.Link(branch.link.exporter, side.key.public.raw, branch.link.peer)
        Conversation(branch.link).handshake(Dialer(ends, hello(side.role), ByJoin(self._ends)))
        with self._changing:
            if self._is_over:
                raise UnreachableError("the first connection is over")
            self._branches.append(branch)
        link.send_over(branch.link)

    def _give_up(self, error: WarpPortalError | OSError) -> None:
        """What can't be had is not asked for again; it is said once, if it was to be."""
        wanted = self._side.network.connections
        with self._changing:
            self._most = self._begun
            is_quiet = self._is_over or self._has_told or not wanted
            self._has_told = True
        if not is_quiet:
            # Where nobody reads what is said, whoever says the next thing that matters finds out.
            with suppress(BrokenPipeError):
                self._side.note(f"not all of {wanted} connections can be had: {error}")
