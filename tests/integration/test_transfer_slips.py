"""What is one machine's own affair does not end the other's transfer; and signals end one as a person does."""

import signal
from pathlib import Path

import pytest

from tests.transfers import Pair, Side, arrived, noise

MIB = 1 << 20


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path)


def test_a_sender_waits_while_the_receiver_mends_what_is_its_own(pair: Pair, tmp_path: Path) -> None:
    path, there = noise(tmp_path / "noise", MIB), tmp_path / "there"
    there.write_text("mine")
    with pair.source.send(path) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, None, "-o", there) as receiver:
            code, said = receiver.failed()
            assert (code, "exists already" in said) == (2, True)
        told = sender.said("waiting for it to come back")["message"]
        assert "a reason of its own machine" in told
        assert str(there) not in told
        there.unlink()
        with pair.sink.receive(ticket, None, "-o", there) as receiver:
            receiver.succeeded()
        sender.succeeded()
    assert there.read_bytes() == path.read_bytes()


def test_a_damaged_journal_is_the_receivers_own(pair: Pair, tmp_path: Path) -> None:
    path, target = noise(tmp_path / "noise", 8 * MIB), tmp_path / "out"
    with pair.source.send(path, "--limit", "4MB/s") as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            arrived(target, MIB)
            receiver.kill()
        (session,) = pair.sink.sessions()
        journal = pair.sink.home / "warp" / "sessions" / session / "journal"
        journal.write_bytes(b"x" * 100)
        with pair.sink.receive(ticket, target) as receiver:
            code, said = receiver.failed()
            assert (code, "warp sessions discard" in said) == (13, True)
        sender.said("a reason of its own machine")
        pair.sink.discard(session)
        with pair.sink.receive(ticket, target) as receiver:
            receiver.succeeded()
        sender.succeeded()
    assert (target / "noise").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_server_that_is_told_to_end_says_so_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    server, sink = Side(tmp_path, "server"), Side(tmp_path, "sink")
    path, target = noise(tmp_path / "noise", 8 * MIB), tmp_path / "out"
    with (
        server.run("serve", "--no-code", "--limit", "1MB/s", path) as serving,
        sink.receive(serving.offer()["ticket"], target) as receiver,
    ):
        arrived(target, 1)
        serving.process.send_signal(number)
        assert serving.ended() == 130
        receiver.said("the other side")
        receiver.kill()
    (session,) = server.sessions()
    assert not list((server.home / "warp" / "sessions" / session).glob("visit-*"))


def test_a_sender_that_is_told_to_end_keeps_its_session(pair: Pair, tmp_path: Path) -> None:
    with pair.source.send(noise(tmp_path / "noise", MIB)) as sender:
        sender.offer()
        sender.process.send_signal(signal.SIGTERM)
        code, said = sender.failed()
    assert (code, "interrupted" in said) == (130, True)
    assert len(pair.source.sessions()) == 1
