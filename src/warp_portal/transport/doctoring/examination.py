"""Looks at everything, one part after the other; a check that can't be made keeps none of the others from being made."""

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import WarpPortalError
from warp_portal.transport.doctoring import buffers, carriers, disk, machine, network, path, reach, state
from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.transport.doctoring.system import limits_of_tcp
from warp_portal.transport.doctoring.verdict import Verdict, conclude

T = TypeVar("T")

# The first is what a transfer between machines takes if UDP is not blocked.
_CARRIERS: Final = ("quic", "tcp")


@dataclass(frozen=True, slots=True)
class Plan:
    """`directory` is where files would be sent from or received into, `sample` data to measure with (1 MiB or more)."""

    directory: Path
    state: Path
    sample: bytes
    target: path.Target | None = None
    clock: Clock = SYSTEM_CLOCK


@dataclass(slots=True)
class Examination:
    """Done once; `checks` gives what is found as it is found, and then there is a verdict."""

    plan: Plan
    doing: Callable[[str], None]
    """Is told what takes a moment."""
    failure: WarpPortalError | None = None
    """Why the target can't be reached, after the checks."""
    _found: list[Check] = field(default_factory=list)
    _stages: list[Stage] = field(default_factory=list)
    _buffers: buffers.Buffers | None = None
    _network: network.Network | None = None
    _carrier: str = _CARRIERS[0]
    _packets: int | None = None

    def checks(self) -> Iterator[Check]:
        """Make all of them."""
        parts = (self._machine, self._disk, self._state, self._sockets, self._interfaces, self._codes, self._path)
        for part in (*parts, self._loopback):
            for check in part():
                self._found.append(check)
                yield check

    def verdict(self) -> Verdict:
        """What follows from all of them."""
        return conclude(self._found, self._stages)

    def _machine(self) -> Iterator[Check]:
        self.doing("the processor")
        found = yield from _made(Part.CPU, "machine", machine.probe_machine)
        if found is None:
            return
        yield from machine.judge_machine(found)
        rates = yield from _made(Part.CPU, "core", lambda: machine.probe_rates(found, self.plan.sample))
        if rates is not None:
            yield from self._with(machine.judge_rates(found, rates))

    def _disk(self) -> Iterator[Check]:
        self.doing(f"the disk of {self.plan.directory}")
        found = yield from _made(Part.DISK, "disk", lambda: disk.probe_disk(self.plan.directory))
        if found is not None:
            yield from self._with(disk.judge_disk(found))

    def _state(self) -> Iterator[Check]:
        found = yield from _made(Part.DISK, "state", lambda: state.probe_state(self.plan.state))
        if found is not None:
            yield state.judge_state(found, os.geteuid())

    def _sockets(self) -> Iterator[Check]:
        self._buffers = yield from _made(Part.BUFFERS, "buffers", buffers.probe_buffers)
        if self._buffers is not None:
            yield from buffers.judge_buffers(self._buffers)

    def _interfaces(self) -> Iterator[Check]:
        self._network = yield from _made(Part.NETWORK, "addresses", lambda: network.probe_network(self._towards()))
        if self._network is not None:
            yield from self._with(network.judge_network(self._network))
        yield network.judge_clock(self.plan.clock)

    def _towards(self) -> str | None:
        """An address of the target's, as far as it is known without asking."""
        target = self.plan.target
        packed = (each.host for each in target.addresses if isinstance(each.packed(), bytes)) if target else iter(())
        return next(packed, None)

    def _codes(self) -> Iterator[Check]:
        if self._network is not None:
            yield network.judge_multicast(network.probe_multicast(self._network.offered))

    def _path(self) -> Iterator[Check]:
        target = self.plan.target
        if target is None:
            return
        ticket = reach.judge_ticket(target, self.plan.clock)
        if ticket is not None:
            yield ticket
        self.doing("the way to the other machine")
        try:
            trials = path.probe_path(target)
        except WarpPortalError as error:
            self.failure = error
            return
        self.failure = reach.failure_of(trials)
        yield from reach.judge_path(target, trials)
        self._carrier = reach.carrier_of(trials) or self._carrier
        self._packets = reach.packets_of(trials)
        stage = reach.stage_of(trials, limits_of_tcp())
        self._stages += [stage] if stage is not None else []

    def _loopback(self) -> Iterator[Check]:
        """Of the two carriers only the one that is taken counts."""
        self.doing("QUIC and TCP from this machine to itself")
        mtu = self._packets or (self._network.mtu if self._network is not None else network.USUAL_MTU)
        for carrier in _CARRIERS:
            what = f"{carrier.upper()} from this machine to itself (is its loopback interface up?)"
            carried = yield from _made(Part.CPU, carrier, partial(carriers.probe_carrier, carrier, mtu), what)
            if carried is None:
                continue
            checks, stages = carriers.judge_carriers([carried], self._buffers)
            yield from checks
            self._stages += stages if carrier == self._carrier else []

    def _with(self, found: tuple[list[Check], list[Stage]]) -> Iterator[Check]:
        checks, stages = found
        self._stages += stages
        yield from checks


def _made(part: Part, name: str, probe: Callable[[], T], what: str = "this") -> Generator[Check, None, T | None]:
    """What a probe finds; if it can't, a check that says why, and None."""
    try:
        return probe()
    except (WarpPortalError, OSError) as error:
        yield Check(part, name, Grade.FAILED, f"{what} could not be looked at: {error}")
        return None
