"""Ways to a machine that listens: a ticket, a short code, a saved machine by its name, an address, or that of a session before."""

from pathlib import Path
from typing import Final, NamedTuple

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import NotFoundError, UsageError
from warp_portal.keys.machines import Machine
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.claims import ByCode, ByPeer, ByTicket, Claim
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.ticket import LABEL, MAX_ADDRESSES, Carriers, Ticket
from warp_portal.transport.dialing import ANY_CARRIER
from warp_portal.transport.peers import PeerStore
from warp_portal.transport.rendezvous import Rendezvous
from warp_portal.transport.ways import Way

# So long a code is looked for on the network.
LOOKUP_S: Final = 30.0


class Route(NamedTuple):
    """Where the other side is, and by what right we come; `way` is how to come again.

    `expected`: the key that must answer, None if that is only known then. `session`: the one that must be offered.
    """

    addresses: tuple[Address, ...]
    expected: bytes | None
    claim: Claim
    session: bytes | None
    way: Way
    carriers: Carriers = ANY_CARRIER


def by_ticket(text: str, clock: Clock = SYSTEM_CLOCK) -> Route:
    """To the listener of a ticket. Raises UsageError, VersionError, PolicyError."""
    ticket = Ticket.parse(text, clock.now_ns())
    way = Way(ticket.text())
    return Route(ticket.addresses, ticket.listener, ByTicket(ticket), ticket.session, way, ticket.carriers)


def by_code(code: ShortCode, rendezvous: Rendezvous, timeout_s: float = LOOKUP_S) -> Route:
    """To the first who says that the code is its own. Raises NotFoundError if nobody does."""
    for addresses in rendezvous.lookup(code.nameplate, timeout_s):
        return Route(addresses, None, ByCode(code), None, Way(addresses=addresses[:MAX_ADDRESSES]))
    raise NotFoundError(
        f"nobody on this network waits with code {code.nameplate}-…: is it typed right, and the other side still waiting? "
        "A ticket works on other networks too"
    )


def by_way(way: Way, session: bytes | None) -> Route:
    """Back to a session that was cut. Raises UsageError, VersionError, PolicyError."""
    if way.ticket is not None:
        return by_ticket(way.ticket)
    if way.peer is None:
        raise UsageError("this session never got as far as to know its other side: discard it")
    return Route(way.addresses, way.peer.raw, ByPeer(way.peer.raw), session, way)


def by_name(name: str, peers: PeerStore) -> Route:
    """To a saved machine. Raises NotFoundError; UsageError if no address of it is known."""
    peer = peers.named(name)
    if not peer.addresses:
        raise UsageError(f"no address of {peer.name} is saved: warp peers add {peer.name} KEY -a HOST:PORT")
    way = Way(peer=peer.machine, addresses=peer.addresses)
    return Route(peer.addresses, peer.machine.raw, ByPeer(peer.machine.raw), None, way)


def by_address(address: Address, peers: PeerStore) -> Route:
    """To whichever saved machine answers there; a stranger is told nothing. Raises UsageError while none is saved."""
    saved = [peer.machine.raw for peer in peers.all()]
    if not saved:
        raise UsageError("an address alone is enough only for saved machines, and none is saved: see `warp peers add`")
    return Route((address,), None, ByPeer(*saved), None, Way(addresses=(address,)))


def is_ticket(text: str) -> bool:
    """Whether it is meant as a ticket."""
    return text.strip().lower().startswith(LABEL + ":")


def met(way: Way, machine: Machine) -> Way:
    """The way with the machine that answered, where it was not known before."""
    return way if way.ticket else Way(None, 0, machine, way.addresses)


def to_peer(text: str, state: Path) -> Route:
    """By the name of a saved machine, or by HOST:PORT. Raises NotFoundError, UsageError."""
    peers = PeerStore(state)
    return by_address(Address.parse(text), peers) if ":" in text else by_name(text, peers)
