"""Which tools take part in the transfer bench, in the order of its tables."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benches import lineup, links
from benches.lineup import Entrant, Lineup
from benches.links import Network
from benches.mover import Mover, Room
from benches.peer_movers import Croc, Rsync, Scp, Sendme, Wormhole
from benches.transports import DATAGRAM, Iperf, Quinn
from benches.warp_mover import WarpMover
from warp_portal.protocol.ticket import Carriers


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a run takes place: the network of all tools, and the loopback with an Ethernet's datagrams, or why there is none."""

    scratch: Path
    network: Network
    ethernet: Network | None
    reason: str

    def room(self) -> Room:
        """For a tool on the network of all."""
        return Room(self.scratch, self.network)

    def ethernet_room(self) -> Room:
        """For a tool whose datagrams must be those of an Ethernet."""
        assert self.ethernet is not None
        return Room(self.scratch, self.ethernet)


ON_ETHERNET: Final = f"warp-quic-{DATAGRAM}"
ENTRANTS: Final[tuple[Entrant[Ground, Mover], ...]] = (
    Entrant("warp-quic", (), lambda ground, _: WarpMover(ground.room(), "warp-quic", Carriers.QUIC)),
    Entrant("warp-tcp", (), lambda ground, _: WarpMover(ground.room(), "warp-tcp", Carriers.TCP)),
    Entrant(ON_ETHERNET, (), lambda ground, _: WarpMover(ground.ethernet_room(), ON_ETHERNET, Carriers.QUIC)),
    Entrant("quinn", ("quinn",), lambda ground, binary: Quinn(ground.ethernet_room(), binary)),
    Entrant("iperf3", ("iperf3",), lambda ground, binary: Iperf(ground.room(), binary)),
    Entrant("rsync", ("rsync",), lambda ground, binary: Rsync(ground.room(), binary, "rsync", "-a")),
    Entrant("rsync-z", ("rsync",), lambda ground, binary: Rsync(ground.room(), binary, "rsync -z", "-az")),
    Entrant("scp", ("sshd", "scp"), lambda ground, binary: Scp(ground.room(), binary)),
    Entrant("croc", ("croc",), lambda ground, binary: Croc(ground.room(), binary)),
    Entrant("wormhole", ("wormhole",), lambda ground, binary: Wormhole(ground.room(), binary)),
    Entrant("sendme", ("sendme",), lambda ground, binary: Sendme(ground.room(), binary)),
)
KEYS: Final = tuple(entrant.key for entrant in ENTRANTS)
PROGRAMS: Final = tuple(dict.fromkeys(name for entrant in ENTRANTS for name in entrant.needs))
_ETHERNET_ONLY: Final = (ON_ETHERNET, "quinn")


@contextmanager
def ground(scratch: Path, rate: str | None) -> Iterator[Ground]:
    """Loopback, or a line of this rate. SystemExit if that cannot be had."""
    if rate is not None:
        with links.line(rate) as network:
            yield Ground(
                scratch,
                network,
                None,
                "not on a line: quinn's bench is one process; datagrams are those of an Ethernet",
            )
        return
    if reason := links.reason_without():
        with links.loopback() as network:
            yield Ground(scratch, network, None, reason)
        return
    with links.loopback() as network, links.loopback(links.ETHERNET_MTU) as ethernet:
        yield Ground(scratch, network, ethernet, "")


def choose(keys: Iterable[str], given: Mapping[str, str | None], place: Ground) -> Lineup[Ground, Mover]:
    """The chosen tools that are there and can be used here. SystemExit for an unknown one."""
    found = lineup.chosen(ENTRANTS, keys, given)
    if place.ethernet is not None:
        return found
    barred = [entrant.key for entrant, _ in found.present if entrant.key in _ETHERNET_ONLY]
    present = tuple(one for one in found.present if one[0].key not in barred)
    return replace(found, present=present, absent={**found.absent, **dict.fromkeys(barred, place.reason)})
