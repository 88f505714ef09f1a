"""Waiting at a port: what a person is told of who came, and of a code that opens nothing any more."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.transfers import PATIENCE_S
from tests.unit.transport.common import SESSION

from warp_portal._native import Endpoint
from warp_portal.clock import SYSTEM_CLOCK, VirtualClock
from warp_portal.errors import NotFoundError, WrongKeyError
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.claims import ByCode
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import CODE_LIFE_S, MAX_GUESSES
from warp_portal.protocol.hello import Role
from warp_portal.transport.calling import Caller
from warp_portal.transport.identity import machine_key
from warp_portal.transport.listening import Visitor
from warp_portal.transport.routes import Route
from warp_portal.transport.waiting import Waiting, WaitPlan
from warp_portal.transport.ways import Way


class Board:
    """A rendezvous at which nobody looks anything up."""

    @contextmanager
    def publish(self, nameplate: int, addresses: Sequence[Address]) -> Iterator[None]:
        yield

    def lookup(self, nameplate: int, timeout_s: float) -> Generator[tuple[Address, ...], None, None]:
        yield from ()


class Host:
    """Somebody who waits with a code, and what is noted there."""

    def __init__(self, place: Path) -> None:
        self.clock = VirtualClock(SYSTEM_CLOCK.now_ns())
        self.notes = queue.SimpleQueue[str]()
        key = machine_key(place / "host")
        self.waiting = Waiting(key, Role.SOURCE, WaitPlan(Board()), self.notes.put, self.clock)
        self._guest = machine_key(place / "guest")

    def said(self) -> str:
        return self.notes.get(timeout=PATIENCE_S)

    def come(self, code: ShortCode) -> Visitor:
        """Come to it with a code."""
        caller = Caller(self._guest, Role.SINK, lambda _: None)
        at = Address("127.0.0.1", self.waiting.listening.port)
        return caller.run(Route((at,), None, ByCode(code), None, Way()), lambda visitor: visitor, lambda: None)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    with made.waiting.prepare(SESSION, Way()):
        while not made.notes.empty():
            made.notes.get()
        yield made


def wrong(host: Host) -> ShortCode:
    code = host.waiting.code
    assert code is not None
    return ShortCode(code.nameplate, "zoo-zoo-abandon")


def test_wrong_guesses_are_counted_and_the_last_one_ends_the_code(host: Host) -> None:
    for number in range(1, MAX_GUESSES + 1):
        with pytest.raises(WrongKeyError, match="mistyped"):
            host.come(wrong(host))
        assert f"was not let in: it has another code (guess {number} of 3)" in host.said()
    assert host.waiting.visitor() is None
    assert "the code opens nothing any more" in host.said()
    assert host.waiting.visitor() is None
    assert host.notes.empty()
    with pytest.raises(NotFoundError, match="take the ticket, or a new code"):
        host.come(wrong(host))


def test_who_waits_is_told_once_that_the_code_is_too_old(host: Host) -> None:
    assert host.waiting.visitor() is None
    assert host.notes.empty()
    host.clock.advance(CODE_LIFE_S)
    assert host.waiting.visitor() is None
    assert "the code opens nothing any more (it lives for 10 minutes" in host.said()
    assert host.waiting.visitor() is None
    assert host.notes.empty()


@pytest.mark.parametrize("carrier", ["tcp", "quic"])
def test_who_leaves_without_a_word_is_not_worth_one(host: Host, carrier: str) -> None:
    guest = Endpoint(bytes(32), address="127.0.0.1:0")
    guest.dial("127.0.0.1", host.waiting.listening.port, carrier=carrier, expected=None, timeout=PATIENCE_S)
    guest.close()
    # Who comes after it is noted when it has been heard.
    with pytest.raises(WrongKeyError):
        host.come(wrong(host))
    for thread in threading.enumerate():
        if thread.name == "warp-proof":
            thread.join()
    assert "guess" in host.said()
    assert host.notes.empty()


def test_a_machine_without_addresses_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for addresses, says in (
        ((), "no network address that another one could reach"),
        (("127.0.0.1",), "of this machine"),
    ):
        made = Host(tmp_path)
        found = tuple(Address(host, 1) for host in addresses)
        monkeypatch.setattr("warp_portal.transport.listening.local_addresses", lambda _, found=found: found)
        with made.waiting.prepare(SESSION, Way()):
            assert says in made.said()
            assert made.notes.empty()
            assert (made.waiting.code is None) == (not addresses)
