"""`warp serve`: the same files for many machines, some at the same time, until it is stopped."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.archives import grown, packed
from tests.transfers import Record, Side, Warp, address_of, arrived, door_of, leftovers, noise
from tests.trees import differences
from warp_portal.errors import EXIT_BROKEN_PIPE

MIB = 1 << 20
SLOW = ("--limit", "3MiB/s")


@pytest.fixture
def source(tmp_path: Path) -> Side:
    return Side(tmp_path, "source")


@pytest.fixture
def sinks(tmp_path: Path) -> list[Side]:
    return [Side(tmp_path, f"sink{number}", WARP_CHECKPOINT_BYTES=f"{MIB}") for number in range(3)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grown(tmp_path / "tree")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than what is on the way in a moment."""
    noise(tmp_path / "large" / "noise", 5 * MIB)
    return tmp_path / "large"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends every process."""
    with ExitStack() as processes:
        yield processes


def served(server: Warp) -> list[Record]:
    return [record for record in server.records if record["type"] == "served"]


def state_of(tree: Path) -> list[tuple[str, int, int, int, bytes]]:
    """Names, modes, sizes, and when each was last changed; and what is in it."""
    found = []
    for path in sorted(tree.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((str(path), info.st_mode, info.st_size, info.st_ctime_ns, content))
    return found


def test_three_machines_get_equal_trees_and_then_it_ends(
    source: Side, sinks: list[Side], tree: Path, tmp_path: Path, stack: ExitStack
) -> None:
    before = state_of(tree)
    server = stack.enter_context(source.run("serve", tree, "--receivers", "3"))
    ticket = server.offer()["ticket"]
    assert server.offer()["code"] is None
    receivers = [stack.enter_context(sink.receive(ticket, tmp_path / f"out{n}")) for n, sink in enumerate(sinks)]
    for number, receiver in enumerate(receivers):
        receiver.succeeded()
        assert differences(tree, tmp_path / f"out{number}" / "tree") == ""
    assert server.succeeded()["transfers"] == 3
    assert len({each["machine"] for each in served(server)}) == 3
    assert all((each["restored"], each["failed"]) == (9, 0) for each in served(server))
    assert state_of(tree) == before
    assert source.sessions() == []


def test_a_killed_receiver_comes_back(
    source: Side, sinks: list[Side], large: Path, tmp_path: Path, stack: ExitStack
) -> None:
    server = stack.enter_context(source.run("serve", large, "--receivers", "1", *SLOW))
    ticket, target = server.offer()["ticket"], tmp_path / "out"
    with sinks[0].receive(ticket, target) as receiver:
        arrived(target, 3 * MIB)
        receiver.kill()
    with sinks[0].receive(ticket, target) as receiver:
        assert receiver.succeeded()["bytes_received"] < 5 * MIB - MIB // 2
    assert server.succeeded()["transfers"] == 1
    assert differences(large, target / "large") == ""
    assert leftovers(target) == []


def test_who_comes_to_a_full_house_comes_again_later(
    source: Side, sinks: list[Side], large: Path, tmp_path: Path, stack: ExitStack
) -> None:
    server = stack.enter_context(source.run("serve", large, "--at-once", "1", "--receivers", "2", *SLOW))
    ticket = server.offer()["ticket"]
    first = stack.enter_context(sinks[0].receive(ticket, tmp_path / "first"))
    first.of_type("offer")
    first.process.send_signal(signal.SIGSTOP)
    with sinks[1].receive(ticket, tmp_path / "second") as second:
        assert second.failed() == (11, "the other side ended it: too many sessions")
    server.said("was told to come later")
    assert sinks[1].sessions() == []
    first.process.send_signal(signal.SIGCONT)
    first.succeeded()
    server.of_type("served")
    with sinks[1].receive(ticket, tmp_path / "second") as second:
        second.succeeded()
    assert server.succeeded()["transfers"] == 2
    assert differences(tmp_path / "first" / "large", tmp_path / "second" / "large") == ""


def test_after_ctrl_c_the_same_ticket_is_good(
    source: Side, sinks: list[Side], tree: Path, tmp_path: Path, stack: ExitStack
) -> None:
    with source.run("serve", tree) as server:
        offer = server.offer()
        with sinks[0].receive(offer["ticket"], tmp_path / "out0") as receiver:
            receiver.succeeded()
        server.of_type("served")
        server.interrupt()
        assert server.ended() == 130
    noise(tree / "new", 1000)
    server = stack.enter_context(source.run("serve", tree, "--receivers", "2"))
    assert (door_of(server.offer()), server.offer()["resumed"]) == (door_of(offer), True)
    for number in (0, 1):
        with sinks[number].receive(offer["ticket"], tmp_path / f"out{number}") as receiver:
            receiver.succeeded()
        assert differences(tree, tmp_path / f"out{number}" / "tree") == ""
    server.succeeded()
    assert source.sessions() == []


def test_an_archive_is_served_to_two(
    source: Side, sinks: list[Side], tree: Path, tmp_path: Path, stack: ExitStack
) -> None:
    archive = packed(tmp_path / "from" / "home.warp", tree)
    server = stack.enter_context(source.run("serve", archive, "--receivers", "2"))
    ticket = server.offer()["ticket"]
    receivers = [stack.enter_context(sinks[n].receive(ticket, tmp_path / f"out{n}")) for n in (0, 1)]
    for number, receiver in enumerate(receivers):
        assert receiver.succeeded()["kind"] == "archive"
        assert (tmp_path / f"out{number}" / "home.warp").read_bytes() == archive.read_bytes()
    server.succeeded()
    assert os.listdir(archive.parent) == ["home.warp"]


def test_it_ends_when_nobody_reads_what_it_says(source: Side, sinks: list[Side], tree: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with ThreadPoolExecutor(1) as thread:
        server = thread.submit(source.piped, "serve", tree, "--json", stdout=writing)
        with open(reading) as lines:
            offer = next(record for record in map(json.loads, lines) if record["type"] == "offer")
        os.close(writing)
        with sinks[0].receive(offer["ticket"], tmp_path / "out") as receiver:
            receiver.ended()
        done = server.result()
    assert done.returncode == EXIT_BROKEN_PIPE, done.stderr
    assert b"Traceback" not in done.stderr


def test_a_limit_is_for_all_together(
    source: Side, sinks: list[Side], large: Path, tmp_path: Path, stack: ExitStack
) -> None:
    rate = 2 * MIB
    server = stack.enter_context(source.run("serve", large, "--receivers", "2", "--limit", f"{rate}"))
    ticket = server.offer()["ticket"]
    receivers = [stack.enter_context(sinks[n].receive(ticket, tmp_path / f"out{n}")) for n in (0, 1)]
    receivers[0].of_type("offer")
    began = time.monotonic()
    total = sum(receiver.succeeded()["bytes_wire"] for receiver in receivers)
    # A piece goes at once when each begins, and when the rate of the other changes. A limit for each would be twice as fast.
    assert total - 4 * MIB < 1.2 * rate * (time.monotonic() - began)
    server.succeeded()


def test_a_saved_machine_needs_no_ticket(
    source: Side, sinks: list[Side], tree: Path, tmp_path: Path, stack: ExitStack
) -> None:
    source.knows(sinks[0], "bob")
    server = stack.enter_context(source.run("serve", tree, "--for", "bob", "--receivers", "1"))
    where = address_of(server.offer())
    for sink in sinks:
        sink.knows(source, "alice", where)
    with sinks[1].run("receive", "alice", "-C", tmp_path / "stranger") as stranger:
        assert stranger.failed()[0] == 12
    assert os.listdir(tmp_path / "stranger") == []
    with sinks[0].run("receive", "alice", "-C", tmp_path / "out") as receiver:
        receiver.succeeded()
    server.succeeded()
    assert differences(tree, tmp_path / "out" / "tree") == ""
