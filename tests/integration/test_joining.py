"""Further connections over real sockets: who may join, and that nobody else does."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import pytest

from tests.transfers import PATIENCE_S
from warp_portal._native import Endpoint, Link
from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.errors import BusyError, WarpPortalError, WrongKeyError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol import proofs
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.claims import ByJoin, ByTicket, Claim
from warp_portal.protocol.door import Door
from warp_portal.protocol.handshake import Dialer, Proved
from warp_portal.protocol.hello import Role
from warp_portal.protocol.proving import Prove
from warp_portal.protocol.ticket import Carriers, Ticket
from warp_portal.transport import dialing
from warp_portal.transport.branching import Branching, Load, Side
from warp_portal.transport.conversation import Conversation
from warp_portal.transport.dialing import Network, connect
from warp_portal.transport.listening import Listening, Place, Visitor, hello

HOST: Final = MachineKey(b"the host's private key, 32 bytes")
GUEST: Final = MachineKey(b"the guest's private key, 32 byte")
STRANGER: Final = MachineKey(b"a stranger's private key, 32 by.")
CONNECTIONS: Final = 3


class Scene:
    """A machine that waits at a port for who has a ticket, and others that come."""

    def __init__(self, carrier: str, resources: ExitStack) -> None:
        self._carrier, self._resources = carrier, resources
        self.notes = list[str]()
        self._door = Door(SYSTEM_CLOCK)
        expires = SYSTEM_CLOCK.now_ns() // 10**9 + 3600
        self.ticket = Ticket((), HOST.public.raw, bytes(16), secrets.token_bytes(32), expires)
        self._door.admit(self.ticket)
        place = Place(connections=CONNECTIONS)
        self.listening = resources.enter_context(Listening(HOST, self._door, Role.SOURCE, self.notes.append, place))

    def dial(self, key: MachineKey = GUEST) -> Link:
        endpoint = Endpoint(key.seed)
        self._resources.callback(endpoint.close)
        port = self.listening.port
        return endpoint.dial("127.0.0.1", port, carrier=self._carrier, expected=HOST.public.raw, timeout=10)

    def come(self, key: MachineKey = GUEST) -> tuple[Link, Visitor]:
        """A first connection, and what was let in there."""
        link = self.dial(key)
        prove(link, key, ByTicket(self.ticket))
        while (visitor := self.listening.visitor()) is None:
            pass
        return link, visitor

    def join(self, first: Link, key: MachineKey = GUEST) -> Link:
        """A further connection, as `Branching` opens it."""
        branch = self.dial(key)
        first.receive_over(branch)
        prove(branch, key, ByJoin(ends(first, GUEST)))
        first.send_over(branch)
        return branch

    def branching(self, connections: int, load: Load) -> tuple[Branching, Visitor]:
        """A first connection of `Branching`, which is to have so many, 0: as many as help."""
        address = Address("127.0.0.1", self.listening.port)
        network = Network(Carriers[self._carrier.upper()], connections=connections)
        first = connect(GUEST, (address,), HOST.public.raw, self.notes.append, network)
        self._resources.enter_context(first)
        prove(first.link, GUEST, ByTicket(self.ticket))
        while (visitor := self.listening.visitor()) is None:
            pass
        branching = Branching(Side(GUEST, Role.SINK, network, self.notes.append), first, load)
        self._resources.callback(branching.end)
        return branching, visitor

    def refused(self, claim: Claim, key: MachineKey) -> type[WarpPortalError]:
        """What whoever comes with this claim hears."""
        with pytest.raises(WarpPortalError) as told:
            prove(self.dial(key), key, claim)
        return told.type


def ends(link: Link, key: MachineKey) -> proofs.Link:
    return proofs.Link(link.exporter, key.public.raw, link.peer)


def prove(link: Link, key: MachineKey, claim: Claim) -> Proved:
    return Conversation(link).handshake(Dialer(ends(link, key), hello(Role.SINK), claim))


@pytest.fixture(params=["quic", "tcp"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with ExitStack() as resources:
        yield Scene(request.param, resources)


def test_whose_is_the_first_connection_joins_it_and_not_too_often(scene: Scene) -> None:
    link, visitor = scene.come()
    for number in range(2, CONNECTIONS + 1):
        scene.join(link)
        assert (link.connections, visitor.link.connections) == (number, number)
    assert scene.refused(ByJoin(ends(link, GUEST)), GUEST) is BusyError
    assert scene.listening.visitor() is None
    # The first goes on as before.
    assert link.send(b"\xa0", 5.0)
    assert visitor.link.connections == CONNECTIONS


def test_a_stranger_does_not_join(scene: Scene) -> None:
    """Not another machine, whatever it knows; and not this one with the proof of another connection, or after the end."""
    link, visitor = scene.come()
    mine, other = scene.come(STRANGER)
    assert scene.refused(ByJoin(proofs.Link(link.exporter, STRANGER.public.raw, link.peer)), STRANGER) is WrongKeyError
    forged = proofs.Link(secrets.token_bytes(32), GUEST.public.raw, link.peer)
    assert scene.refused(ByJoin(forged), GUEST) is WrongKeyError
    # That of a connection that is there, but not the guest's.
    assert scene.refused(ByJoin(ends(mine, STRANGER)), GUEST) is WrongKeyError
    assert (visitor.link.connections, other.link.connections) == (1, 1)
    visitor.conversation.company.end()
    assert scene.refused(ByJoin(ends(link, GUEST)), GUEST) is WrongKeyError
    assert visitor.link.connections == 1


def test_a_proof_that_was_sent_once_is_worth_nothing_on_another_connection(scene: Scene) -> None:
    class Replayed(ByJoin):
        """Says what was said on another connection."""

        def prove(self, link: proofs.Link, randoms: bytes) -> Prove:
            return super().prove(other, randoms)

    link, visitor = scene.come()
    other = ends(scene.dial(), GUEST)
    assert scene.refused(Replayed(ends(link, GUEST)), GUEST) is WrongKeyError
    assert visitor.link.connections == 1


class Told(Load):
    """It is full when somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.says = False

    def is_full(self, worked_s: Sequence[float]) -> bool:
        """Once for each time that it was said."""
        says, self.says = self.says, False
        return says


def has(visitor: Visitor, connections: int, branching: Branching) -> None:
    """Wait until it has so many."""
    deadline = SYSTEM_CLOCK.monotonic_s() + PATIENCE_S
    while visitor.link.connections < connections:
        assert SYSTEM_CLOCK.monotonic_s() < deadline
        branching.beat()


def to_the_end(link: Link) -> None:
    while not link.ended:
        link.messages()


def test_one_more_is_opened_whenever_it_helps(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "cores", lambda: 8)
    load = Told()
    branching, visitor = scene.branching(0, load)
    branching.beat()
    assert visitor.link.connections == 1
    for number in range(2, CONNECTIONS + 1):
        load.says = True
        has(visitor, number, branching)
    branching.end()
    # With the further connections the first is over too: they carried its data.
    with pytest.raises(WarpPortalError):
        to_the_end(visitor.link)


def said(scene: Scene) -> int:
    return sum(f"of {CONNECTIONS + 2} connections" in note for note in scene.notes)


def test_what_the_other_side_does_not_take_is_said_once(scene: Scene) -> None:
    branching, visitor = scene.branching(CONNECTIONS + 2, Told())
    has(visitor, CONNECTIONS, branching)
    deadline = SYSTEM_CLOCK.monotonic_s() + PATIENCE_S
    while sum("was not let in" in note for note in scene.notes) < 2 or not said(scene):
        assert SYSTEM_CLOCK.monotonic_s() < deadline
        branching.beat()
    assert said(scene) == 1
    assert visitor.link.connections == CONNECTIONS
