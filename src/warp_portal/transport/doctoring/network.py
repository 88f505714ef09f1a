"""The network as this machine sees it: interfaces, addresses for a ticket, size of packets, multicast DNS, the clock."""

import contextlib
import fcntl
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from warp_portal.clock import Clock
from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.transport.doctoring.system import read_number
from warp_portal.transport.interfaces import reachable
from warp_portal.units import format_rate

if TYPE_CHECKING:
    from ifaddr import Adapter

USUAL_MTU: Final = 1500
# What each network carries that carries IPv6 (RFC 8200 §5), and QUIC's 1200 with all headers.
_LEAST_MTU: Final = 1280
_SIOCGIFMTU: Final = 0x8921
# Of documentation (RFC 5737, RFC 3849): nothing is sent there, only the way out of this machine is asked for.
_ELSEWHERE: Final = ("192.0.2.1", "2001:db8::1")
_GROUP: Final = "224.0.0.251"
_MDNS_PORT: Final = 5353
# PTR? _warp-code._udp.local: what a receiver with a code asks (RFC 6762, transport/discovery.py).
_QUESTION: Final = bytes(5) + b"\1" + bytes(6) + b"\x0a_warp-code\x04_udp\x05local\0" + b"\0\x0c\0\1"
_ECHO_S: Final = 1.0
# 2026-01-01: no machine that runs this has seen an earlier day. And certificates of a century are none of ours.
_FIRST_NS: Final = 1_767_225_600 * 10**9
_LAST_NS: Final = 4_102_444_800 * 10**9


@dataclass(frozen=True, slots=True)
class Interface:
    """`mtu` in bytes and `rate` in bytes a second, None where the system does not say."""

    name: str
    addresses: tuple[str, ...]
    mtu: int | None
    rate: float | None


@dataclass(frozen=True, slots=True)
class Network:
    """`offered` are the hosts that a ticket would name; `outgoing` is the interface by which other networks are reached."""

    interfaces: tuple[Interface, ...]
    offered: tuple[str, ...]
    outgoing: Interface | None

    @property
    def mtu(self) -> int:
        """Bytes of a packet on the way out."""
        return (self.outgoing.mtu if self.outgoing else None) or USUAL_MTU


@dataclass(frozen=True, slots=True)
class Multicast:
    """Whether a question to the local network was heard here again; `problem` is why it could not be asked."""

    heard: bool
    problem: str = ""


def probe_network(host: str | None = None) -> Network:
    """Look at the interfaces; `host`: an IP address that matters more than the rest of the world. Raises OSError."""
    import ifaddr

    adapters = list(ifaddr.get_adapters())
    interfaces = tuple(map(_interface, adapters))
    source = next(filter(None, map(_source, (host,) if host else _ELSEWHERE)), None)
    outgoing = next((each for each in interfaces if source in each.addresses), None)
    return Network(interfaces, tuple(address.host for address in reachable(adapters, 1)), outgoing)


def _interface(adapter: "Adapter") -> Interface:
    name = str(adapter.nice_name)
    addresses = tuple(str(ip.ip[0]) if ip.is_IPv6 else str(ip.ip) for ip in adapter.ips)
    megabits = read_number(f"/sys/class/net/{name}/speed")
    return Interface(name, addresses, _mtu(name), megabits * 1e6 / 8 if megabits else None)


def _mtu(name: str) -> int | None:
    """As the kernel tells this network namespace (netdevice(7)); files of /sys may be of another one."""
    if sys.platform != "linux" or len(name.encode()) > 15:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        answer = fcntl.ioctl(probe, _SIOCGIFMTU, struct.pack("16sI12x", name.encode(), 0))
        return int(struct.unpack("16sI12x", answer)[1])
    return None


def _source(host: str) -> str | None:
    """The address of this machine that a packet to `host` would leave from; none is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
    return None


def probe_multicast(hosts: Sequence[str], seconds: float = _ECHO_S) -> Multicast:
    """Ask the local network as a receiver with a code does, from the IPv4 addresses among `hosts`, and listen for the echo."""
    own = [host for host in hosts if ":" not in host]
    if not own:
        return Multicast(False, "there is no IPv4 address to ask from")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            _join(asking, own)
            for host in own:
                asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
                asking.sendto(_QUESTION, (_GROUP, _MDNS_PORT))
            return Multicast(_echo(asking, time.monotonic() + seconds))
    except OSError as error:
        return Multicast(False, str(error))


def _join(asking: socket.socket, hosts: Sequence[str]) -> None:
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Others on this machine who answer such questions share the port.
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    asking.bind(("", _MDNS_PORT))
    for host in hosts:
        membership = socket.inet_aton(_GROUP) + socket.inet_aton(host)
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)


def _echo(asking: socket.socket, deadline: float) -> bool:
    while (left := deadline - time.monotonic()) > 0:
        asking.settimeout(left)
        try:
            if asking.recv(9000) == _QUESTION:
                return True
        except TimeoutError:
            break
    return False


def judge_network(network: Network) -> tuple[list[Check], list[Stage]]:
    """What is to be said of the interfaces, and what the one that leads out lets through."""
    figures: dict[str, object] = {
        "interfaces": [
            {"name": each.name, "addresses": list(each.addresses), "mtu": each.mtu, "rate": each.rate}
            for each in network.interfaces
        ],
        "ticket_addresses": list(network.offered),
        "outgoing": network.outgoing.name if network.outgoing else None,
    }
    offered = ", ".join(network.offered)
    checks = [Check(Part.NETWORK, "addresses", Grade.FINE, f"a ticket would name {offered}", figures=figures)]
    if not network.offered or all(host.startswith("127.") or host == "::1" for host in network.offered):
        says = "this machine has no address that another one could reach"
        checks = [Check(Part.NETWORK, "addresses", Grade.MEND, says, "connect it to a network", figures)]
    out = network.outgoing
    if out is None:
        return checks, []
    checks.append(_packets(out))
    if out.rate is None:
        return checks, []
    return checks, [Stage(Part.NETWORK, f"{out.name} gives", out.rate, advice="a faster link, or another interface")]


def _packets(out: Interface) -> Check:
    speed = f", {format_rate(out.rate)}" if out.rate else ""
    says = f"packets leave by {out.name}, of {out.mtu or USUAL_MTU:,} bytes{speed}"
    if out.mtu is not None and out.mtu < _LEAST_MTU:
        says += f": QUIC needs {_LEAST_MTU:,}, so transfers go over TCP"
        return Check(Part.NETWORK, "packets", Grade.MEND, says, f"ip link set {out.name} mtu {USUAL_MTU}")
    if out.mtu is not None and out.mtu < USUAL_MTU:
        says += ": smaller than usual, as in a VPN or tunnel, which costs some speed"
        return Check(Part.NETWORK, "packets", Grade.NOTE, says)
    return Check(Part.NETWORK, "packets", Grade.FINE, says)


def judge_multicast(multicast: Multicast) -> Check:
    """What is to be said of codes."""
    if multicast.heard:
        says = "the local network can be asked for codes (multicast DNS, UDP port 5353)"
        return Check(Part.NETWORK, "multicast", Grade.FINE, says)
    reason = multicast.problem or "a question to it does not come back"
    says = f"codes find nobody: the local network cannot be asked (multicast DNS, UDP port 5353): {reason}"
    return Check(Part.NETWORK, "multicast", Grade.NOTE, says, "take the ticket, or let UDP port 5353 through")


def judge_clock(clock: Clock) -> Check:
    """Whether the clock can be right: tickets end by it."""
    now_ns = clock.now_ns()
    shown = datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if _FIRST_NS <= now_ns < _LAST_NS:
        return Check(Part.NETWORK, "clock", Grade.FINE, f"it is {shown} by this machine's clock")
    says = f"the clock is wrong: it says {shown}, by which tickets end too late or at once"
    return Check(Part.NETWORK, "clock", Grade.MEND, says, "set it: timedatectl set-ntp true")
