"""Finding a nameplate by multicast DNS, over loopback and between two network namespaces."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from tests.unit.transport.common import ADDRESSES
from zeroconf import ServiceInfo, Zeroconf

from warp_portal.errors import UnreachableError, UsageError
from warp_portal.protocol.addresses import Address
from warp_portal.transport.discovery import MAX_CANDIDATES, SERVICE, LocalNetwork
from warp_portal.transport.rendezvous import Rendezvous

LOOPBACK = "127.0.0.1"
GROUP, PORT = "224.0.0.251", 5353
LONG_S = 20.0  # for what is found: a test ends when it is
SHORT_S = 1.0  # for what is not
HERE = (Address("192.0.2.7", 4433), Address("2001:db8::7", 4433))
ENDS = """
set -e
ip link set lo up; ip link add left type veth peer name right
unshare -n sh -c 'echo $$ > {pid}; exec sleep 120' & other=$!
while ! [ -s {pid} ]; do :; done
trap "kill $other" EXIT
ip link set right netns $other
ip addr add 10.7.0.1/24 dev left; ip link set left up
nsenter -t $other -n sh -c 'ip link set lo up; ip addr add 10.7.0.2/24 dev right; ip link set right up'
echo ready
{python} -c '{publish}' &
nsenter -t $other -n {python} -c '{lookup}'
kill $!
"""
PUBLISH = (
    "import sys; from warp_portal.transport.discovery import LocalNetwork as L; from warp_portal.transport.interfaces import local_addresses as a\n"
    "with L().publish(17, a(4433)): sys.stdin.read()"
)
LOOKUP = "from warp_portal.transport.discovery import LocalNetwork as L; print(*next(L().lookup(17, 20)))"


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """A socket that hears what is said to the group on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        heard.settimeout(5)
        try:
            heard.bind((GROUP, PORT))
            heard.setsockopt(
                socket.IPPROTO_IP,
                socket.IP_ADD_MEMBERSHIP,
                struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(LOOPBACK)),
            )
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
                mouth.sendto(b"test", (GROUP, PORT))
            heard.recv(16)
        except OSError as error:
            pytest.skip(f"no multicast on loopback here: {error}")
        yield heard


@pytest.fixture
def network(ear: socket.socket) -> Rendezvous:
    return LocalNetwork([LOOPBACK])


def hostile(nameplate: int, number: int, port: int = 1, hosts: tuple[str, ...] = (LOOPBACK,)) -> ServiceInfo:
    return ServiceInfo(
        SERVICE, f"{nameplate}-{number:016x}.{SERVICE}", port, properties={}, server=f"h{number}.local.", parsed_addresses=list(hosts)
    )  # fmt: skip


def test_a_listener_is_found_by_its_nameplate(network: Rendezvous) -> None:
    with network.publish(17, HERE), closing(network.lookup(17, LONG_S)) as found:
        assert next(found) == HERE


def test_one_who_begins_later_is_found_too(network: Rendezvous) -> None:
    found = network.lookup(999_999, LONG_S)
    with ExitStack() as stack:
        stack.enter_context(network.publish(1, HERE))
        waiting = network.lookup(1, LONG_S)
        assert next(waiting) == HERE
        stack.enter_context(network.publish(999_999, HERE[:1]))
        assert next(found) == HERE[:1]


def test_another_nameplate_is_not_found(network: Rendezvous) -> None:
    with network.publish(17, HERE):
        assert list(network.lookup(1, SHORT_S)) == []
        assert list(network.lookup(7, SHORT_S)) == []


def test_who_has_left_is_not_found(network: Rendezvous) -> None:
    with network.publish(17, HERE):
        assert next(network.lookup(17, LONG_S))
    assert list(network.lookup(17, SHORT_S)) == []


def test_two_of_one_nameplate_are_two_candidates_of_which_one_takes_the_first(network: Rendezvous) -> None:
    other = (Address("192.0.2.66", 666),)
    with network.publish(17, HERE), network.publish(17, other):
        found = network.lookup(17, LONG_S)
        assert {next(found), next(found)} == {HERE, other}


def test_only_the_nameplate_port_and_addresses_are_told(network: Rendezvous, ear: socket.socket) -> None:
    said = b""
    for host in ("192.0.2.7", "192.0.2.8"):
        with network.publish(17, (Address(host, 4433),)):
            while socket.inet_aton(host) not in said:
                said += ear.recv(9000)
    words = set(re.findall(rb"[\x21-\x7e]{4,}", said))
    instances = {word for word in words if re.fullmatch(rb"17-[0-9a-f]{16}", word)}
    hosts = {word for word in words if re.fullmatch(rb"[0-9a-f]{16}", word)}
    assert words - instances - hosts == {b"_warp-code", b"_udp", b"local"}
    assert (len(instances), len(hosts)) == (2, 2)  # new ones for each code: only the addresses link them


def test_what_no_one_can_dial_is_left_out(ear: socket.socket) -> None:
    with Zeroconf(interfaces=[LOOPBACK]) as forger:
        forger.register_service(hostile(17, 1, 0), cooperating_responders=True)
        forger.register_service(hostile(17, 2, 1, ("0.0.0.0",)), cooperating_responders=True)
        forger.register_service(
            hostile(17, 3, 4, ("224.0.0.1", "192.0.2.1", "255.255.255.255")), cooperating_responders=True
        )
        forger.register_service(ServiceInfo(SERVICE, f"17-evil.{SERVICE}", 1, properties={}, server="h.local.", parsed_addresses=[LOOPBACK]), cooperating_responders=True)  # fmt: skip
        found = LocalNetwork([LOOPBACK]).lookup(17, LONG_S)
        assert next(found) == (Address("192.0.2.1", 4),)
        found.close()
        assert list(LocalNetwork([LOOPBACK]).lookup(17, SHORT_S)) == [(Address("192.0.2.1", 4),)]


def test_of_many_candidates_only_so_many_are_asked(ear: socket.socket) -> None:
    with Zeroconf(interfaces=[LOOPBACK]) as forger:
        for number in range(MAX_CANDIDATES + 4):
            forger.registry.async_add(hostile(17, number, number + 1))
        found = list(LocalNetwork([LOOPBACK]).lookup(17, 2 * SHORT_S))
    assert 1 <= len(found) <= MAX_CANDIDATES


def test_names_and_several_ports_are_not_told(network: Rendezvous) -> None:
    for addresses in ((), ADDRESSES, (Address("192.0.2.1", 1), Address("192.0.2.2", 2)), (Address("a.example", 1),)):
        with pytest.raises(UsageError, match="IP addresses of one port"), network.publish(17, addresses):
            pass


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # zeroconf leaves its socket to the collector
def test_a_machine_without_this_network_says_so() -> None:
    with pytest.raises(UnreachableError, match="UDP port 5353"):
        next(LocalNetwork(["192.0.2.255"]).lookup(17, SHORT_S))
    with pytest.raises(UnreachableError, match="no network"):
        next(LocalNetwork([]).lookup(17, SHORT_S))


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nsenter"), reason="needs root and nsenter, for networks of its own"
)
def test_two_machines_find_each_other(tmp_path_factory: pytest.TempPathFactory) -> None:
    pid = tmp_path_factory.mktemp("ns") / "pid"
    script = ENDS.format(pid=pid, python=sys.executable, publish=PUBLISH, lookup=LOOKUP)
    ran = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], check=False, capture_output=True, text=True, stdin=subprocess.PIPE
    )
    if ran.returncode and "ready" not in ran.stdout:
        pytest.skip(f"no network namespaces here: {ran.stderr.strip()}")
    assert ran.stdout.splitlines()[1:] == ["10.7.0.1:4433"], ran.stderr
