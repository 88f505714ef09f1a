"""Opens a connection to one of several addresses: the carrier that is likely the faster one first, the other soon after it.

address 1  quic ──── ✗            address 2  quic ─ ✗
           tcp     ── ✓  ← taken             tcp    …      what comes later is closed
"""

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Final, NamedTuple, Self

from warp_portal._native import Endpoint, Link
from warp_portal.archive.options import cores
from warp_portal.errors import UnreachableError, UsageError, WarpPortalError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import Carriers

# A carrier that has not answered by then gets company; both together are through in two seconds.
HEAD_START_S: Final = 1.0
TIMEOUT_S: Final = 10.0
# Larger than loopback and jumbo frames need is never found there; on all other paths discovery stops where they end.
LOOPBACK_MTU: Final = 60_000

MOST_CONNECTIONS: Final = 8
# More, unasked, would take cores from disks and hashing.
MOST_UNASKED: Final = 4

ANY_CARRIER: Final = Carriers.QUIC | Carriers.TCP
_ANY_PORT: Final = 9
# Addresses of one name that are tried, and of all names together: each costs a thread for each carrier.
MOST_OF_NAME: Final = 8
MOST_HOSTS: Final = 32

Note = Callable[[str], None]
"""Tells a person what is not as expected."""


class Attempt(NamedTuple):
    """One address by one carrier, to begin after so many seconds."""

    host: str
    port: int
    carrier: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Network:
    """Carriers that may be tried, and how QUIC finds the rate of what leaves: `cubic`, or `bbr` for long paths that lose packets.

    `connections` that one session uses, 0: as many as help.
    """

    carriers: Carriers = ANY_CARRIER
    congestion: str = "cubic"
    connections: int = 0


ANY_NETWORK: Final = Network()


@dataclass(frozen=True, slots=True)
class Connected:
    """A link and the endpoint that it ends with; a context manager."""

    link: Link
    endpoint: Endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.endpoint.close()


def connect(
    key: MachineKey,
    addresses: Sequence[Address],
    expected: bytes | None,
    note: Note,
    network: Network = ANY_NETWORK,
) -> Connected:
    """A connection to the machine with the key `expected` (None: any). Raises UnreachableError, IdentityError."""
    attempts = attempts_of(addresses, network.carriers)
    if not attempts:
        raise UnreachableError("there is no address at which the other machine could be")
    return _Race(key, attempts, expected, network.congestion).run(note)


def most_connections(wanted: int) -> int:
    """`wanted`; for 0 what this machine has cores for, two for each. Raises UsageError for a number that is none."""
    if not 0 <= wanted <= MOST_CONNECTIONS:
        raise UsageError(f"{wanted} connections: name a number from 1 to {MOST_CONNECTIONS}, or 0 for as many as help")
    return wanted or max(1, min(MOST_UNASKED, cores() // 2))


def hosts_of(address: Address) -> list[str]:
    """The IP addresses that it stands for, the first of them. Names are looked up; one that is none has no address."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(place[0]) for *_, place in found))[:MOST_OF_NAME]


def attempts_of(addresses: Sequence[Address], carriers: Carriers) -> list[Attempt]:
    """Both carriers at each IP address that these stand for, of so many at most: who wrote a ticket, or answers for a name, may be a stranger."""
    places = dict.fromkeys((host, address.port) for address in addresses for host in hosts_of(address))
    return [attempt for place in islice(places, MOST_HOSTS) for attempt in _attempts(*place, carriers)]


def _attempts(host: str, port: int, carriers: Carriers) -> list[Attempt]:
    """Both carriers of an IP address."""
    order = [name for name in preferred(host) if Carriers[name.upper()] in carriers]
    return [Attempt(host, port, carrier, number * HEAD_START_S) for number, carrier in enumerate(order)]


def preferred(host: str) -> tuple[str, str]:
    """The faster carrier first: TCP within one machine, where its segments are 64 KiB and nothing is lost (docs/performance.md)."""
    return ("tcp", "quic") if is_here(host) else ("quic", "tcp")


def is_here(host: str) -> bool:
    """Whether an IP address, which may name a zone, is this machine's own: then it is also the one that it is reached from."""
    if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        return True
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((host, _ANY_PORT))  # nothing is sent
            return str(asking.getsockname()[0]) == host
    except OSError:
        return False


class _Race:
    """Attempts side by side, of which the first to succeed counts."""

    def __init__(self, key: MachineKey, attempts: Sequence[Attempt], expected: bytes | None, congestion: str) -> None:
        self._attempts, self._expected, self._congestion = attempts, expected, congestion
        self._results = queue.SimpleQueue[tuple[Attempt, Link | WarpPortalError | OSError]]()
        self._over = threading.Event()
        self._entering = threading.Lock()
        self._endpoints = {wide: self._endpoint(key, wide) for wide in {":" in each.host for each in attempts}}

    def _endpoint(self, key: MachineKey, wide: bool) -> Endpoint:
        loops = all(is_here(each.host) for each in self._attempts)
        largest = LOOPBACK_MTU if loops else None
        place = "[::]:0" if wide else "0.0.0.0:0"
        return Endpoint(key.seed, address=place, mtu_most=largest, congestion=self._congestion)

    def run(self, note: Note) -> Connected:
        """Start all of them and wait for the first that succeeds, or for all to fail."""
        for attempt in self._attempts:
            threading.Thread(target=self._try, args=(attempt,), name="warp-dial", daemon=True).start()
        failures = list[tuple[Attempt, WarpPortalError | OSError]]()
        try:
            while len(failures) < len(self._attempts):
                attempt, result = self._results.get()
                if isinstance(result, Link):
                    return self._won(attempt, result, note)
                failures.append((attempt, result))
        except BaseException:
            self._lose()
            raise
        self._lose()
        raise _worst(failures)

    def _try(self, attempt: Attempt) -> None:
        if self._over.wait(attempt.after_s):
            return None
        endpoint = self._endpoints[":" in attempt.host]
        try:
            link = endpoint.dial(
                attempt.host, attempt.port, carrier=attempt.carrier, expected=self._expected, timeout=TIMEOUT_S
            )
        except (WarpPortalError, OSError) as error:
            return self._results.put((attempt, error))
        with self._entering:
            if not self._over.is_set():
                return self._results.put((attempt, link))
        return link.abort(0, "")

    def _won(self, attempt: Attempt, link: Link, note: Note) -> Connected:
        endpoint = self._endpoints.pop(":" in attempt.host)
        self._lose()
        if attempt.carrier == "tcp" and attempt.after_s > 0:
            note(
                f"UDP does not get through to {attempt.host} (no answer in {attempt.after_s:.0f} s): going on over TCP"
            )
        return Connected(link, endpoint)

    def _lose(self) -> None:
        """End what did not win. Nobody waits for that: an endpoint may take a second to say farewell."""
        with self._entering:
            self._over.set()
        while not self._results.empty():
            _, late = self._results.get()
            if isinstance(late, Link):
                late.abort(0, "")
        for endpoint in self._endpoints.values():
            threading.Thread(target=endpoint.close, name="warp-close", daemon=True).start()


def _worst(failures: Sequence[tuple[Attempt, WarpPortalError | OSError]]) -> WarpPortalError:
    """The error that says most: another machine, before no answer; of those that are alike the first."""
    for _, error in failures:
        if isinstance(error, WarpPortalError) and not isinstance(error, UnreachableError):
            return error
    tried = ", ".join(dict.fromkeys(f"{each.host} port {each.port}" for each, _ in failures))
    return UnreachableError(
        f"no answer from {tried}: is the other side running, and does its firewall let UDP or TCP through to this port?"
    )
