"""When one more connection helps, and how many there may be."""

import os

import pytest

from warp_portal.clock import VirtualClock
from warp_portal.errors import UsageError
from warp_portal.transport import dialing
from warp_portal.transport.branching import BUSY, LOOK_S, Load, idle_s
from warp_portal.transport.dialing import MOST_CONNECTIONS, most_connections
from warp_portal.transport.listening import THREADS, Place


class Machine:
    """A machine whose processors were idle so long, as it is told."""

    def __init__(self) -> None:
        self.clock, self.idle_s = VirtualClock(), 0.0
        self.load = Load(self.clock, lambda: self.idle_s)

    def passed(self, seconds: float, worked_s: list[float], idle_cores: float) -> bool:
        self.clock.advance(seconds)
        self.idle_s += idle_cores * seconds
        return self.load.is_full(worked_s)


def test_it_is_full_when_the_thread_works_all_the_time_and_a_core_does_not() -> None:
    machine = Machine()
    assert machine.passed(LOOK_S, [BUSY], 1)
    assert not machine.passed(LOOK_S, [2 * BUSY - 0.01], 5)
    assert not machine.passed(LOOK_S, [3 * BUSY], 0.9)
    assert machine.passed(2 * LOOK_S, [5 * BUSY], 1)


def test_it_is_judged_over_a_second() -> None:
    machine = Machine()
    assert not machine.passed(LOOK_S / 2, [LOOK_S / 2], 8)
    assert machine.passed(LOOK_S / 2, [LOOK_S], 8)


def test_all_threads_must_be_busy() -> None:
    machine = Machine()
    assert not machine.passed(1, [1, 0.5], 8)
    assert machine.passed(1, [2, 1.4], 8)


def test_idle_time_of_this_machine_grows() -> None:
    before = idle_s()
    assert before > 0
    assert idle_s() >= before


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)])
def test_unasked_two_cores_make_a_connection(monkeypatch: pytest.MonkeyPatch, cores: int, most: int) -> None:
    monkeypatch.setattr(dialing, "cores", lambda: cores)
    assert most_connections(0) == most
    assert most_connections(MOST_CONNECTIONS) == MOST_CONNECTIONS


@pytest.mark.parametrize("wanted", [-1, MOST_CONNECTIONS + 1])
def test_a_number_that_is_none_is_refused(wanted: int) -> None:
    with pytest.raises(UsageError):
        most_connections(wanted)


def test_who_listens_for_one_connection_has_one_thread() -> None:
    assert (Place(connections=1).threads, Place(connections=1).most_connections) == (1, 1)
    assert (Place(connections=3).threads, Place(connections=3).most_connections) == (THREADS, 3)
    assert Place().most_connections == MOST_CONNECTIONS
    assert Place().threads == (1 if len(os.sched_getaffinity(0)) <= 2 else THREADS)
