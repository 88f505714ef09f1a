"""`warp doctor` as a process: what it says of this machine, of the way to a sender, and where it can't look."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.networks import namespace, reason_to_skip
from tests.transfers import Pair, Record, Warp, noise
from tests.trees import IS_ROOT, differences

# Of the namespace alone.
HOST = "10.9.0.1"
# The way of this machine to itself stays open.
WITHOUT_UDP = f"""
table inet test {{
    chain in {{
        type filter hook input priority 0
        ip daddr {HOST} meta l4proto udp drop
    }}
}}
"""
# An empty file system that takes nothing, in place of the directory that is the first word; then the others are run.
READ_ONLY = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"']


@pytest.fixture
def without_udp() -> Iterator[list[str]]:
    if reason := reason_to_skip("nft"):
        pytest.skip(reason)
    with namespace(HOST, WITHOUT_UDP) as within:
        yield within


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def checks(doctor: Warp) -> dict[str, Record]:
    """By name, the last of each."""
    return {record["name"]: record for record in doctor.records if record["type"] == "check"}


def test_every_part_is_looked_at_and_the_slowest_is_named(place: Path, tmp_path: Path) -> None:
    side = Pair.at(tmp_path).sink
    with side.run("doctor", "-C", place) as doctor:
        summary = doctor.succeeded()
    found = checks(doctor)
    names = {"machine", "core", "disk", "state", "buffers", "offload", "addresses", "clock", "multicast", "quic", "tcp"}
    assert names <= set(found)
    assert {check["part"] for check in found.values()} == {"cpu", "disk", "buffers", "network"}
    assert found["disk"]["directory"] == str(place)
    rates = [stage["rate"] for stage in summary["stages"]]
    assert rates == sorted(rates)
    assert summary["stages"][0]["part"] == summary["bottleneck"]
    assert summary["message"].startswith("the slowest is ")
    assert min(summary["sends"], summary["receives"]) == rates[0]
    assert summary["failed"] == 0
    assert os.listdir(place) == []
    assert not (side.home / "warp").exists()


def test_a_directory_that_takes_nothing_leaves_the_other_checks(place: Path, tmp_path: Path) -> None:
    if IS_ROOT:
        side = Pair.at(tmp_path, [*READ_ONLY, str(place)]).sink
    else:
        side = Pair.at(tmp_path).sink
        place.chmod(0o500)
    with side.run("doctor", "-C", place) as doctor:
        code, message = doctor.failed()
    assert (code, message) == (3, "1 check could not be made: see above")
    assert checks(doctor)["disk"]["grade"] == "failed"
    assert checks(doctor)["quic"]["grade"] == "ok"
    assert doctor.of_type("summary")["failed"] == 1


def test_the_way_to_a_sender_is_looked_at_and_its_ticket_stays_good(place: Path, tmp_path: Path) -> None:
    noise(tmp_path / "tree" / "f", 40_000)
    pair, target = Pair.at(tmp_path), tmp_path / "out"
    with pair.source.send(tmp_path / "tree") as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.run("doctor", "-", "-C", place, given=f"{ticket}\n") as doctor:
            doctor.succeeded()
        assert ticket not in str(doctor.records)
        tried = [record for record in doctor.records if record.get("address")]
        assert {record["carrier"] for record in tried} == {"quic", "tcp"}
        assert {record["outcome"] for record in tried} == {"open"}
        assert all("with the ticket's key" in record["message"] for record in tried)
        assert all(record["datagram"] >= 1200 for record in tried if record["carrier"] == "quic")
        assert checks(doctor)["ticket"]["grade"] == "ok"
        with pair.sink.receive(ticket, target) as receiver:
            receiver.succeeded()
        sender.succeeded()
    assert differences(tmp_path / "tree", target / "tree") == ""


def test_where_udp_is_blocked_it_says_so_and_what_to_do(place: Path, tmp_path: Path, without_udp: list[str]) -> None:
    noise(tmp_path / "tree" / "f", 40_000)
    pair = Pair.at(tmp_path, without_udp)
    with pair.source.send(tmp_path / "tree") as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.run("doctor", "-C", place, WARP_CODE=ticket) as doctor:
            summary = doctor.succeeded()
        assert sender.alive
    udp = checks(doctor)["udp"]
    assert udp["grade"] == "mend"
    assert f"UDP does not get through to {HOST}" in udp["message"]
    assert "ufw allow" in udp["advice"]
    outcomes = {record["carrier"]: record["outcome"] for record in doctor.records if record.get("address")}
    assert outcomes == {"quic": "silent", "tcp": "open"}
    assert any("TCP carries" in stage["says"] for stage in summary["stages"])
    assert not any("QUIC carries" in stage["says"] for stage in summary["stages"])
    assert any("UDP does not get through" in line for line in summary["advice"])


def test_a_closed_port_is_unreachable(place: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Pair.at(tmp_path).sink.run("doctor", f"127.0.0.1:{port}", "-C", place) as doctor:
        code, message = doctor.failed()
    assert code == 15
    assert f"nothing listens at 127.0.0.1:{port}" in message
    assert doctor.of_type("summary")["bottleneck"]


def test_an_interrupted_examination_leaves_nothing(place: Path, tmp_path: Path) -> None:
    with Pair.at(tmp_path).sink.run("doctor", "-C", place) as doctor:
        doctor.said("the disk of")
        doctor.interrupt()
        assert doctor.ended() == 130
    assert os.listdir(place) == []
