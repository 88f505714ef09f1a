"""Where this machine can be reached: the addresses of its interfaces, for tickets and for the local network.

The order is that in which a dialer should try them: IPv4 of the LAN (RFC 1918), other IPv4, global IPv6, unique local
IPv6 (RFC 4193), self-assigned IPv4 (RFC 3927); loopback only where there is nothing else, for both sides are on one
machine then. Left out is what no other machine could use:

- link-local IPv6, which needs a zone, and a zone means something on one machine only;
- bridges of containers and virtual machines on this host, by their usual names. `172.17.0.1` is Docker's on every machine
  that runs it: a dialer would meet itself. A bridge of another name (`br0`, to which a host moves its LAN) counts.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from warp_portal.errors import UsageError
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import MAX_ADDRESSES

if TYPE_CHECKING:
    from ifaddr import Adapter

_HOST_ONLY: Final = re.compile(
    r"(docker|virbr|lxcbr|lxdbr|incusbr|podman|nerdctl|cni|flannel|cali|veth|vmnet|vboxnet)[\w.:-]*|br-[0-9a-f]{12}"
)
_LOOPBACK: Final = 5


def local_addresses(port: int) -> tuple[Address, ...]:
    """Addresses at which others may reach a listener on `port` of this machine, the likeliest first; at most 16. Raises OSError."""
    import ifaddr

    return reachable(ifaddr.get_adapters(), port)


def reachable(adapters: "Iterable[Adapter]", port: int) -> tuple[Address, ...]:
    """The same for these interfaces; equal ranks stay in the order of the system."""
    ranked = [(rank, host) for host in _hosts(adapters) if (rank := _rank(host)) is not None]
    if any(rank < _LOOPBACK for rank, _ in ranked):
        ranked = [(rank, host) for rank, host in ranked if rank < _LOOPBACK]
    hosts = dict.fromkeys(host for _, host in sorted(ranked, key=lambda one: one[0]))
    return tuple(Address(host, port) for host in hosts)[:MAX_ADDRESSES]


def is_loopback(host: str) -> bool:
    """Whether it is an address of this machine that no other one can reach."""
    return _rank(host) == _LOOPBACK


def _hosts(adapters: "Iterable[Adapter]") -> Iterable[str]:
    for adapter in adapters:
        if _HOST_ONLY.fullmatch(adapter.nice_name) is None:
            yield from (str(ip.ip[0]) if ip.is_IPv6 else str(ip.ip) for ip in adapter.ips)


def _rank(host: str) -> int | None:
    """The place in the order above; None for what no other machine could use."""
    try:
        Address(host, 1)
    except UsageError:
        return None
    number = ipaddress.ip_address(host)
    if number.is_loopback:
        return _LOOPBACK
    if number.version == 6:
        return None if number.is_link_local else 2 if number.is_global else 3
    return 4 if number.is_link_local else 0 if number.is_private else 1
