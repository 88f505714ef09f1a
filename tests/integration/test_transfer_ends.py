"""How `warp send` and `warp receive` end when something is in the way: exit codes, what is said, and going on."""

import os
import pty
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.transfers import Pair, Side, Warp, leftovers, noise, written
from tests.trees import IS_ROOT, differences
from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.protocol.ticket import Ticket

MIB = 1 << 20
# Slow enough that something can happen meanwhile.
SLOW = ("--limit", "4MiB/s")
_NS = 10**9


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """More than what is on the way at once."""
    for number in range(8):
        noise(tmp_path / "tree" / f"f{number}", MIB, seed=number)
    return tmp_path / "tree"


@pytest.fixture
def small_room(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for half of the tree."""
    if not IS_ROOT:
        pytest.skip("only root can mount")
    room = tmp_path / "room"
    room.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(room)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield room
    subprocess.run(["umount", "-l", str(room)], check=True)


def test_a_wrong_or_expired_ticket_opens_nothing(pair: Pair, tree: Path, tmp_path: Path) -> None:
    with pair.source.send(tree) as sender:
        text = sender.offer()["ticket"]
        ticket = Ticket.parse(text, SYSTEM_CLOCK.now_ns())
        forged = Ticket(ticket.addresses, ticket.listener, ticket.session, bytes(32), ticket.expires_s)
        unknown = Ticket(ticket.addresses, ticket.listener, bytes(16), ticket.secret, ticket.expires_s)
        old = Ticket(ticket.addresses, ticket.listener, ticket.session, ticket.secret, 1)
        for wrong, code, message in (
            (forged.text(), 12, "no proof, or a wrong one"),
            (unknown.text(), 12, "no proof, or a wrong one"),
            (old.text(), 14, "expired"),
            (text[:-1], 2, "ticket"),
        ):
            with pair.sink.receive(wrong, tmp_path / "out") as receiver:
                found, said = receiver.failed()
            assert (found, message in said) == (code, True), said
        assert "was not let in" in sender.said("was not let in")["message"]
        assert sender.alive
        assert ticket.secret.hex() not in str(sender.records)
        sender.interrupt()
        assert sender.ended() == 130
    assert not any((tmp_path / "out").iterdir())
    assert pair.sink.sessions() == []


@pytest.mark.soak  # it waits ten seconds for an answer
def test_nobody_answers_after_the_sender_has_left(pair: Pair, tree: Path, tmp_path: Path) -> None:
    with pair.source.send(tree) as sender:
        ticket = sender.offer()["ticket"]
        sender.interrupt()
        assert sender.ended() == 130
    with pair.sink.receive(ticket, tmp_path / "out") as receiver:
        code, said = receiver.failed()
    assert code == 15
    assert "is the other side running" in said


@pytest.mark.skipif(not IS_ROOT, reason="only root can give up what root may write")
def test_a_target_that_cannot_be_written(tree: Path, tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, within=["setpriv", "--bounding-set=-dac_override,-dac_read_search"])
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pair.source.send(tree) as sender:
        ticket = sender.offer()["ticket"]
        for target in (closed / "out", closed):
            with pair.sink.receive(ticket, target) as receiver:
                code, said = receiver.failed()
            assert (code, "Permission denied" in said) == (1, True), said
        # What can be written below it is no reason to refuse.
        (closed / "open").mkdir()
        with pair.sink.receive(ticket, closed) as receiver:
            code, said = receiver.failed()
        assert (code, "could not be restored" in said) == (3, True), said
        assert sender.failed()[0] == 3
    pair.assert_clean(closed)


def test_a_full_disk_ends_it_and_a_later_run_goes_on(pair: Pair, tree: Path, small_room: Path) -> None:
    with pair.source.send(tree) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, small_room, "--threads", "1") as receiver:
            code, said = receiver.failed()
        assert code == 17, said
        assert sender.alive, sender.records
        before = written(small_room)
        assert before > 3 * MIB
        subprocess.run(["mount", "-o", "remount,size=40m", str(small_room)], check=True)
        with pair.sink.receive(ticket, small_room) as receiver:
            received = receiver.succeeded()
        sender.succeeded()
    assert differences(tree, small_room / "tree") == ""
    pair.assert_clean(small_room)
    assert received["restored"] == 9


def test_an_interrupted_receiver_comes_back(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.send(tree, *SLOW) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            receiver.of_type("progress")
            receiver.interrupt()
            assert receiver.ended() == 130
        sender.said("waiting for it to come back")
        with pair.sink.receive(ticket, target) as receiver:
            receiver.succeeded()
        sender.succeeded()
    assert differences(tree, target / "tree") == ""
    pair.assert_clean(target)


def test_an_interrupted_sender_tells_the_receiver(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.both(target, tree, *SLOW) as (sender, receiver):
        receiver.of_type("progress")
        sender.interrupt()
        assert sender.ended() == 130
        code, said = receiver.failed()
        assert (code, said) == (130, "the other side ended it: stopped by a person")
    pair.transfer(target, tree)
    assert differences(tree, target / "tree") == ""
    pair.assert_clean(target)


def test_a_second_receiver_hears_that_it_is_taken(pair: Pair, tree: Path, tmp_path: Path) -> None:
    other = Pair.at(tmp_path / "other").sink
    with pair.both(tmp_path / "out", tree, "--limit", "500kB/s") as (sender, receiver):
        receiver.of_type("progress")
        with other.receive(sender.offer()["ticket"], tmp_path / "second") as second:
            code, said = second.failed()
        assert (code, said) == (11, "the other side ended it: too many sessions")
        sender.said("another machine is being served")
        assert receiver.alive
        assert sender.alive
    assert other.sessions() == []
    assert leftovers(tmp_path / "second") == []


def test_a_session_is_received_into_one_directory(pair: Pair, tree: Path, tmp_path: Path) -> None:
    with pair.both(tmp_path / "out", tree, *SLOW) as (sender, receiver):
        receiver.of_type("progress")
        receiver.kill()
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, tmp_path / "elsewhere") as elsewhere:
            code, said = elsewhere.failed()
        assert code == 2
        assert re.search("being received into .*/out: go on there", said), said
        assert sender.alive
        with pair.sink.receive(ticket, tmp_path / "out") as again:
            again.succeeded()
        sender.succeeded()
    pair.assert_clean(tmp_path / "out")


def test_a_person_may_decline(pair: Pair, tree: Path, tmp_path: Path) -> None:
    with pair.source.send(tree) as sender:
        said = answered(pair.sink, sender.offer()["ticket"], tmp_path / "out", b"n\n")
        assert b"Receive tree" in said
        assert b"from warp-machine:" in said
        assert sender.failed() == (14, "the other side did not take it")
    assert pair.sink.sessions() == []
    assert not any((tmp_path / "out").iterdir())


def answered(side: Side, ticket: str, target: Path, answer: bytes) -> bytes:
    """What `warp receive` shows on a terminal on which a person answers so; it must end with 14."""
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "warp_portal", "receive", "-C", str(target), ticket]
    with subprocess.Popen(command, env=side.environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(terminal, 4096):
                shown += piece
                if b"[Y/n]" in shown and answer:
                    os.write(terminal, answer)
                    answer = b""
        except OSError:
            pass  # so Linux says that the other end of a terminal is closed
    os.close(terminal)
    assert process.returncode == 14, shown
    return shown


def _bytes_read(process: Warp) -> int:
    """How much a process has read from files and sockets, until it ended."""
    found = 0
    with suppress(OSError, ValueError):
        while process.alive:
            counts = (Path("/proc") / str(process.process.pid) / "io").read_text()
            found = max(found, int(re.findall(r"rchar: (\d+)", counts)[0]))
            time.sleep(0.005)
    return found


def test_a_killed_sender_reads_only_what_has_not_arrived(tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, WARP_CHECKPOINT_BYTES=str(MIB))
    tree, target, size = tmp_path / "tree", tmp_path / "out", 160 * MIB
    noise(tree / "large", size - 8 * MIB)
    for number in range(64):
        noise(tree / "small" / f"f{number}", MIB // 8, seed=number)
    with pair.source.send(tree, "--limit", "100MiB/s") as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            while written(target) < size * 3 // 4:
                assert receiver.alive
                time.sleep(0.005)
            sender.kill()
            with pair.source.send(tree) as again:
                read = _bytes_read(again)
                again.succeeded()
            receiver.succeeded()
    assert differences(tree, target / "tree") == ""
    # What was on the way is read once more, and the program itself is read too.
    assert read < size * 5 // 8, f"{read / MIB:.0f} MiB"
    pair.assert_clean(target)


def test_what_changed_while_the_sender_was_away_arrives_as_it_is(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    noise(tree / "large", 12 * MIB, seed=99)
    with pair.source.send(tree, *SLOW) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            while written(target) < 2 * MIB:
                assert receiver.alive
                time.sleep(0.005)
            sender.kill()
            # All of them were read, and none has arrived.
            for name, length in (("f6", MIB), ("f7", MIB // 2), ("large", 12 * MIB)):
                stamp = (tree / name).stat()
                noise(tree / name, length, seed=1000)
                os.utime(tree / name, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            (tree / "f5").unlink()
            noise(tree / "f6a", 3000, seed=77)
            (tree / "f4").rename(tree / "f9")
            with pair.source.send(tree) as again:
                again.succeeded()
            receiver.succeeded()
    assert differences(tree, target / "tree") == ""


@pytest.mark.parametrize("seed", range(3))
def test_damaged_records_of_a_sender_cost_time_and_nothing_else(
    pair: Pair, tree: Path, tmp_path: Path, seed: int
) -> None:
    target, rng = tmp_path / "out", random.Random(seed)
    with pair.source.send(tree, *SLOW) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            while written(target) < 5 * MIB:
                assert receiver.alive
                time.sleep(0.005)
            sender.kill()
            [cuts] = (pair.source.home / "warp" / "sessions").glob("*/cuts")
            assert cuts.stat().st_mode & 0o777 == 0o600
            content = bytearray(cuts.read_bytes())
            assert len(content) > 1000
            for _ in range(3):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            cuts.write_bytes(content[: len(content) - rng.randrange(20)])
            with pair.source.send(tree) as again:
                again.succeeded()
            receiver.succeeded()
    assert differences(tree, target / "tree") == ""
    pair.assert_clean(target)
