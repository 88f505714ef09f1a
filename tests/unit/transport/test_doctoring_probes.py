"""The probes of an examination, on what there really is: this machine's disk, sockets, and listeners."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.errors import FormatError, UnreachableError, UsageError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import Door
from warp_portal.protocol.hello import Role
from warp_portal.protocol.ticket import Carriers, Ticket
from warp_portal.transport.doctoring import buffers, carriers, disk, machine, network, path, state
from warp_portal.transport.listening import Listening

HOST = "127.0.0.1"
KEY = MachineKey(bytes(range(32)))
TICKET = Ticket((Address(HOST, 4433),), KEY.public.raw, bytes(16), b"the secret of a ticket: 32 bytes", 1_800_000_000)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MOST_BYTES", 4 << 20)


@pytest.mark.usefixtures("small")
def test_a_disk_is_measured_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    found = disk.probe_disk(tmp_path)
    assert min(found.writes, found.reads, found.files) > 0
    assert found.free > 0
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("small")
def test_an_interrupted_measurement_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(directory: bytes, sizes: object) -> float:
        (Path(os.fsdecode(directory)) / "0").write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr(disk, "measure_creation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        disk.probe_disk(tmp_path)
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written_the_system_says_why() -> None:
    with pytest.raises(OSError, match=r".+"):
        disk.probe_disk(Path("/proc"))


def test_this_machine_tells_what_it_is() -> None:
    found = machine.probe_machine()
    assert found.cores >= 1
    assert found.memory > 1 << 20


def test_state_directories_are_looked_at_and_not_made(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    assert state.probe_state(place) == state.StateDirectory(str(place), True)
    assert os.listdir(tmp_path) == []
    place.mkdir(parents=True)
    place.chmod(0o750)
    assert state.probe_state(place) == state.StateDirectory(str(place), True, 0o750, os.geteuid())
    (place / "file").touch()
    assert not state.probe_state(place / "file").is_directory


def test_buffers_are_those_that_the_kernel_gives() -> None:
    found = buffers.probe_buffers()
    assert found.receive == min(buffers.WANTED, found.receive_most or found.receive)
    assert found.send == min(buffers.WANTED, found.send_most or found.send)


def test_the_network_has_this_machine_itself() -> None:
    found = network.probe_network(HOST)
    assert found.outgoing is not None
    assert HOST in found.outgoing.addresses
    assert found.mtu >= 1280


def test_without_an_address_nobody_is_asked() -> None:
    assert not network.probe_multicast(["::1"]).heard
    assert network.probe_multicast([]).problem


@pytest.mark.parametrize("carrier", ["quic", "tcp"])
def test_carriers_carry(carrier: str) -> None:
    found = carriers.probe_carrier(carrier, 1500, 0.1)
    assert found.rate > 0
    assert found.handshake_s > 0
    assert found.datagram == (1452 if carrier == "quic" else 0)


@pytest.fixture
def door() -> Door:
    return Door(SYSTEM_CLOCK)


@pytest.fixture
def listening(door: Door) -> Iterator[Listening]:
    with Listening(KEY, door, Role.SOURCE, lambda _: None) as waiting:
        yield waiting


def test_a_listener_is_reached_by_both_carriers_and_counts_no_guess(door: Door, listening: Listening) -> None:
    code = ShortCode.of_words(7)
    door.show(code)
    for _ in range(4):
        trials = path.probe_path(path.Target.parse(f"{HOST}:{listening.port}"))
        assert [(trial.carrier, trial.outcome) for trial in trials] == [("quic", "open"), ("tcp", "open")]
    quic, tcp = trials
    assert quic.datagram >= 1200
    assert quic.rtt_s > 0
    assert tcp.handshake_s > 0
    assert door.guess(7).guesses == 1


def test_another_key_than_that_of_the_ticket_is_told(listening: Listening) -> None:
    address = Address(HOST, listening.port)
    trials = path.probe_path(path.Target((address,), bytes(32)))
    assert {trial.outcome for trial in trials} == {path.Outcome.OTHER}
    trials = path.probe_path(path.Target((address,), KEY.public.raw, Carriers.TCP))
    assert [(trial.carrier, trial.outcome) for trial in trials] == [("tcp", path.Outcome.OPEN)]


def test_what_speaks_another_protocol_is_told() -> None:
    with socket.create_server((HOST, 0)) as server:
        answering = threading.Thread(target=_greet, args=(server,))
        answering.start()
        (trial,) = path.probe_path(path.Target((Address(HOST, server.getsockname()[1]),), carriers=Carriers.TCP))
        answering.join()
    assert trial.outcome is path.Outcome.FOREIGN


def _greet(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
        connection.recv(4096)


def test_a_closed_port_is_told_from_silence() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    (trial,) = path.probe_path(path.Target((Address(HOST, port),), carriers=Carriers.TCP))
    assert trial.outcome is path.Outcome.REFUSED


def test_a_name_that_nobody_has_cannot_be_reached() -> None:
    with pytest.raises(UnreachableError, match=r"nobody\.invalid:1"):
        path.probe_path(path.Target.parse("nobody.invalid:1"))


def test_of_a_ticket_the_secret_is_not_kept() -> None:
    target = path.Target.parse(f"  {TICKET.text().upper()} ")
    assert target == path.Target(TICKET.addresses, TICKET.listener, TICKET.carriers, TICKET.expires_s)
    assert target.is_over(SYSTEM_CLOCK) == (SYSTEM_CLOCK.now_ns() >= 1_800_000_000 * 10**9)
    ended = replace(TICKET, expires_s=1)
    assert path.Target.parse(ended.text()).is_over(SYSTEM_CLOCK)


@pytest.mark.parametrize(
    "text", ["", "7-apple-river-stone", "host", "host:0", "::1:80", "warp-ticket:", "warp-ticket:a"]
)
def test_what_is_no_target_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises((UsageError, FormatError)) as raised:
        path.Target.parse(text)
    assert text in ("", "host") or text not in str(raised.value)
