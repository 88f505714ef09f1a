"""Addresses for tickets: those that others can reach, in the order in which to try them."""

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ifaddr import IP, Adapter

from warp_portal.protocol.ticket import MAX_ADDRESSES
from warp_portal.transport.interfaces import local_addresses, reachable

SHOW = "from warp_portal.transport.interfaces import local_addresses as a; print(*(each.host for each in a(4433)))"
LAYOUT = """
set -e
ip link set lo up
%s
ip link add lan type bridge; ip link set lan up; ip addr add 203.0.113.7/24 dev lan
ip addr add 192.168.7.7/24 dev lan; ip addr add 169.254.9.9/16 dev lan
ip -6 addr add 2600:7::7/64 dev lan nodad; ip -6 addr add fd00:7::7/64 dev lan nodad
ip link add docker0 type bridge; ip link set docker0 up; ip addr add 172.17.0.1/16 dev docker0
ip link add br0 type bridge; ip link set br0 up; ip addr add 10.1.1.1/24 dev br0
echo ready
%s
"""


def adapter(name: str, *hosts: str) -> Adapter:
    return Adapter(
        name, name, [IP((host, 0, 0) if ":" in host else host, 64 if ":" in host else 24, name) for host in hosts]
    )


def hosts(*adapters: Adapter) -> list[str]:
    found = reachable(adapters, 4433)
    assert all(address.port == 4433 for address in found)
    return [address.host for address in found]


LO = adapter("lo", "127.0.0.1", "::1")


def test_the_likeliest_come_first() -> None:
    eth = adapter(
        "eth0", "fe80::1", "fd00::1", "2600::1", "169.254.1.1", "8.8.8.8", "100.64.0.1", "10.0.0.1", "192.168.1.1"
    )
    expected = ["10.0.0.1", "192.168.1.1", "8.8.8.8", "100.64.0.1", "2600::1", "fd00::1", "169.254.1.1"]
    assert hosts(LO, eth) == expected


def test_loopback_is_given_only_where_nothing_else_is() -> None:
    assert hosts(LO) == ["127.0.0.1", "::1"]
    assert hosts(LO, adapter("eth0", "fe80::1")) == ["127.0.0.1", "::1"]
    assert hosts(LO, adapter("eth0", "169.254.1.1")) == ["169.254.1.1"]
    assert hosts() == []


@pytest.mark.parametrize(
    "name", ["docker0", "br-0123456789ab", "veth12ab", "virbr0", "lxdbr0", "cni0", "podman1", "vboxnet0"]
)
def test_bridges_of_this_host_are_left_out(name: str) -> None:
    bridge = adapter(name, "172.17.0.1", "2600::2")
    assert hosts(LO, bridge, adapter("eth0", "10.0.0.1")) == ["10.0.0.1"]
    assert hosts(LO, bridge) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "name", ["br0", "br-lan", "wlp3s0", "en0", "wg0", "tailscale0", "bond0.7", "enxbr-0123456789ab"]
)
def test_other_interfaces_count(name: str) -> None:
    assert hosts(LO, adapter(name, "10.0.0.1")) == ["10.0.0.1"]


def test_an_address_is_given_once_and_so_many_as_a_ticket_takes() -> None:
    assert hosts(adapter("eth0", "10.0.0.1"), adapter("eth0:1", "10.0.0.1", "10.0.0.2")) == ["10.0.0.1", "10.0.0.2"]
    assert len(hosts(adapter("eth0", *(f"10.0.0.{n}" for n in range(1, 200))))) == MAX_ADDRESSES


@given(st.lists(st.ip_addresses().map(str)))
def test_any_addresses_of_interfaces_are_ordered_or_left_out(listed: list[str]) -> None:
    found = hosts(adapter("eth0", *listed))
    assert set(found) <= set(listed)
    assert len(set(found)) == len(found) <= MAX_ADDRESSES


def test_this_machine_has_an_address() -> None:
    assert local_addresses(4433)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2, for a network of its own"
)
def test_a_real_network_gives_what_others_can_reach() -> None:
    show = f"{sys.executable} -c '{SHOW}'"
    ran = subprocess.run(
        ["unshare", "-n", "sh", "-c", LAYOUT % (show, show)], check=False, capture_output=True, text=True
    )
    if ran.returncode and "ready" not in ran.stdout:
        pytest.skip(f"no network namespace here: {ran.stderr.strip()}")
    alone, _, all_of_it = ran.stdout.splitlines()
    assert alone.split() == ["127.0.0.1", "::1"]
    # 203.0.113.0/24 is for documents, and counts as private.
    assert all_of_it.split() == ["203.0.113.7", "192.168.7.7", "10.1.1.1", "2600:7::7", "fd00:7::7", "169.254.9.9"]
