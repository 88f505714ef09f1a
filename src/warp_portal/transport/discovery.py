"""The rendezvous on the local network: DNS-SD over multicast DNS (RFC 6763, RFC 6762), through zeroconf.

    17-3f9a0c55d1e2b487._warp-code._udp.local.   SRV → 8c1d….local. port   TXT: empty   A, AAAA of 8c1d….local.

The instance is the nameplate and 8 random bytes, the host 8 other ones: nothing tells the machine, its user or its key, and
two codes of one machine have only their addresses in common. Everybody on the network may read, answer and forge this.
"""

import asyncio
import contextlib
import queue
import re
import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Final

from zeroconf import Error as ZeroconfError
from zeroconf import ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceInfo

from warp_portal.errors import UnreachableError, UsageError
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import MAX_ADDRESSES
from warp_portal.transport.interfaces import local_addresses

SERVICE: Final = "_warp-code._udp.local."
# Who answers with more under one nameplate is no listener; each costs questions and memory.
MAX_CANDIDATES: Final = 16
# A code lives for ten minutes: caches need not remember it for the 75 that DNS-SD proposes.
_TTL_S: Final = 120
_RANDOM_BYTES: Final = 8
_ANY_PORT: Final = 1  # where only hosts are asked for


class LocalNetwork:
    """A Rendezvous. `hosts` are the addresses of the interfaces to speak on: by default those that tickets name."""

    def __init__(self, hosts: Sequence[str] | None = None) -> None:
        self._hosts = hosts

    @contextlib.contextmanager
    def publish(self, nameplate: int, addresses: Sequence[Address]) -> Iterator[None]:
        """As Rendezvous.publish. Raises UsageError for names or more ports than one, UnreachableError if there is no network."""
        hosts, ports = [address.host for address in addresses], {address.port for address in addresses}
        if len(ports) != 1 or any(isinstance(address.packed(), str) for address in addresses):
            raise UsageError("what is told on the local network are IP addresses of one port")
        info = ServiceInfo(
            SERVICE,
            f"{nameplate}-{_random()}.{SERVICE}",
            port=ports.pop(),
            properties={},
            server=f"{_random()}.local.",
            host_ttl=_TTL_S,
            other_ttl=_TTL_S,
            parsed_addresses=hosts,
        )
        with self._opened() as network:
            with _reached():
                # Nobody else has such a name, so there is no need to ask first whether somebody has.
                network.register_service(info, cooperating_responders=True)
            yield

    def lookup(self, nameplate: int, timeout_s: float) -> Generator[tuple[Address, ...], None, None]:
        """As Rendezvous.lookup. Raises UnreachableError if there is no network."""
        deadline = time.monotonic() + timeout_s
        with self._opened() as network:
            search = _Search(network, nameplate, timeout_s)
            browser = ServiceBrowser(network, SERVICE, handlers=[search.changed])
            try:
                while (left := deadline - time.monotonic()) > 0:
                    with contextlib.suppress(queue.Empty):
                        yield search.found.get(timeout=left)
            finally:
                browser.cancel()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Zeroconf]:
        hosts = [address.host for address in local_addresses(_ANY_PORT)] if self._hosts is None else list(self._hosts)
        if not hosts:
            raise UnreachableError("this machine has no network: connect it, or give the ticket in another way")
        with _reached():
            network = Zeroconf(interfaces=[*hosts], use_asyncio=False)
        try:
            yield network
        finally:
            network.close()


class _Search:
    """Listeners of one nameplate, as the browser's thread hears of them; each is asked for its port and addresses."""

    def __init__(self, network: Zeroconf, nameplate: int, timeout_s: float) -> None:
        self.found: queue.Queue[tuple[Address, ...]] = queue.Queue()
        self._network = network
        self._name = re.compile(rf"{nameplate}-[0-9a-f]{{{2 * _RANDOM_BYTES}}}{re.escape('.' + SERVICE)}")
        self._timeout_ms = timeout_s * 1000
        self._asked = set[str]()

    def changed(self, *, name: str, state_change: ServiceStateChange, **_others: object) -> None:
        """What the browser calls, with these names."""
        is_new = state_change is ServiceStateChange.Added and name not in self._asked
        if is_new and len(self._asked) < MAX_CANDIDATES and self._name.fullmatch(name):
            self._asked.add(name)
            assert self._network.loop is not None
            asyncio.run_coroutine_threadsafe(self._ask(name), self._network.loop)

    async def _ask(self, name: str) -> None:
        info = AsyncServiceInfo(SERVICE, name)
        if await info.async_request(self._network, self._timeout_ms):
            addresses = tuple(_addresses(info.parsed_addresses()[:MAX_ADDRESSES], info.port or 0))
            if addresses:
                self.found.put(addresses)


def _addresses(hosts: Sequence[str], port: int) -> Iterator[Address]:
    """Those that one can dial."""
    for host in dict.fromkeys(hosts):
        with contextlib.suppress(UsageError):
            yield Address(host, port)


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (OSError, ZeroconfError) as error:
        raise UnreachableError(
            f"the local network cannot be asked (multicast DNS, UDP port 5353): {error}: give the ticket in another way"
        ) from error


def _random() -> str:
    return secrets.token_hex(_RANDOM_BYTES)
