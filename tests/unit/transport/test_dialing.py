"""A name that stands for many addresses starts no more than some attempts."""

import socket

import pytest

from warp_portal.protocol.addresses import Address
from warp_portal.transport import dialing


def test_of_many_addresses_the_first_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    # A name server is the one thing here that is not ours: it may answer with as much as it likes.
    hosts = {f"box{name}.example": [f"127.{name}.0.{last}" for last in range(1, 101)] for name in range(1, 17)}

    def answer(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", (each, port)) for each in hosts[host]]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert dialing.hosts_of(Address("box1.example", 9)) == hosts["box1.example"][: dialing.MOST_OF_NAME]
    attempts = dialing.attempts_of([Address(name, 9) for name in hosts], dialing.ANY_CARRIER)
    assert len(attempts) == 2 * dialing.MOST_HOSTS
