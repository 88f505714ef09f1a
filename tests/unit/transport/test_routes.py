"""Ways to a machine that listens, and back to it after a cut."""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.unit.transport.common import ADDRESSES, MACHINE, OTHER, SESSION

from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.errors import NotFoundError, PolicyError, UsageError
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.claims import ByCode, ByPeer, ByTicket
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.ticket import MAX_ADDRESSES, Ticket
from warp_portal.transport.peers import PeerStore
from warp_portal.transport.routes import by_address, by_code, by_name, by_ticket, by_way, is_ticket, met, to_peer
from warp_portal.transport.ways import Way

CODE = ShortCode(7, "abandon-zoo-legal")
NOW_S = SYSTEM_CLOCK.now_ns() // 10**9
TICKET = Ticket(ADDRESSES[:2], MACHINE.raw, SESSION, b"s" * 32, NOW_S + 3600)


class Network:
    """A network on which somebody waits at these addresses, or nobody."""

    def __init__(self, *found: tuple[Address, ...]) -> None:
        self._found = found

    def publish(self, nameplate: int, addresses: Sequence[Address]) -> AbstractContextManager[None]:
        raise NotImplementedError

    def lookup(self, nameplate: int, timeout_s: float) -> Generator[tuple[Address, ...], None, None]:
        assert nameplate == CODE.nameplate
        yield from self._found


def test_a_ticket_leads_to_its_machine_and_back() -> None:
    route = by_ticket(TICKET.text())
    assert (route.addresses, route.expected, route.session) == (TICKET.addresses, MACHINE.raw, SESSION)
    assert isinstance(route.claim, ByTicket)
    assert met(route.way, OTHER) == route.way == Way(TICKET.text())
    assert by_way(route.way, None).addresses == TICKET.addresses
    assert is_ticket(f" {TICKET.text().upper()}\n")
    old = Ticket(TICKET.addresses, MACHINE.raw, SESSION, b"s" * 32, 1)
    with pytest.raises(PolicyError, match="expired"):
        by_way(Way(old.text()), None)


def test_who_came_by_a_code_comes_back_by_its_key_to_where_it_was() -> None:
    many = tuple(Address("192.0.2.1", port) for port in range(1, MAX_ADDRESSES + 9))
    for found in (ADDRESSES, many):
        route = by_code(CODE, Network(found))
        assert (route.addresses, route.expected) == (found, None)
        assert isinstance(route.claim, ByCode)
        back = by_way(met(route.way, MACHINE), SESSION)
        assert (back.addresses, back.expected, back.session) == (found[:MAX_ADDRESSES], MACHINE.raw, SESSION)
        assert isinstance(back.claim, ByPeer)


def test_a_code_that_nobody_has_leads_nowhere() -> None:
    with pytest.raises(NotFoundError, match="nobody on this network"):
        by_code(CODE, Network())


def test_who_met_nobody_can_not_come_back() -> None:
    with pytest.raises(UsageError, match="discard it"):
        by_way(Way(), SESSION)


def test_a_saved_machine_is_found_by_name_or_by_address(tmp_path: Path) -> None:
    peers = PeerStore(tmp_path)
    with pytest.raises(UsageError, match="none is saved"):
        by_address(ADDRESSES[0], peers)
    peers.add("bob", MACHINE)
    with pytest.raises(UsageError, match="no address of bob"):
        by_name("bob", peers)
    peers.add("bob", MACHINE, ADDRESSES)
    by = by_name("BOB", peers)
    assert (by.addresses, by.expected, by.way.peer) == (ADDRESSES, MACHINE.raw, MACHINE)
    there = to_peer("192.0.2.1:4433", tmp_path)
    assert (there.addresses, there.expected) == ((ADDRESSES[0],), None)
    assert met(there.way, MACHINE) == Way(None, 0, MACHINE, (ADDRESSES[0],))
    with pytest.raises(NotFoundError):
        to_peer("nobody", tmp_path)
