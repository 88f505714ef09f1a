"""Pipes and files of another name: `warp send -`, and `warp receive -o` to a file, to an archive, to standard output."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.archives import grown, names, packed, passphrase
from tests.transfers import Pair, Side, Warp, arrived, noise
from warp_portal.archive import Unlock, open_archive
from warp_portal.errors import EXIT_BROKEN_PIPE

MIB = 1 << 20


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return noise(tmp_path / "data", 300_000).read_bytes()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grown(tmp_path / "tree")


def take(pair: Pair, sender: Warp, *arguments: str | Path, code: int = 0) -> bytes:
    """What `warp receive` writes to stdout."""
    ticket = sender.offer()["ticket"]
    done = pair.sink.piped("receive", *arguments, "-o", "-", given=f"{ticket}\n".encode())
    assert done.returncode == code, done.stderr.decode()
    return done.stdout


def test_standard_input_arrives_as_a_file_of_the_name_it_was_given(pair: Pair, data: bytes, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.run("send", "-", "--no-code", "--name", "dump.sql", given=data) as sender:
        with pair.sink.receive(sender.offer()["ticket"], target) as receiver:
            receiver.succeeded()
        assert sender.succeeded()["bytes"] == len(data)
    assert os.listdir(target) == ["dump.sql"]
    assert (target / "dump.sql").read_bytes() == data
    pair.assert_clean(target)


def test_standard_input_comes_out_of_standard_output(pair: Pair, data: bytes, tmp_path: Path) -> None:
    with pair.source.run("send", "-", "--no-code", given=data) as sender:
        assert take(pair, sender) == data
        sender.succeeded()
    pair.assert_clean(tmp_path / "source")


@pytest.mark.parametrize("kind", ["file", "archive"])
def test_a_file_or_an_archive_comes_out_of_standard_output(pair: Pair, tree: Path, tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path / "from" / "home.warp", tree) if kind == "archive" else tree / "d0" / "f0"
    with pair.source.send(path) as sender:
        assert take(pair, sender) == path.read_bytes()
        assert sender.succeeded()["kind"] == ("archive" if kind == "archive" else "tree")
    pair.assert_clean(tmp_path / "from")


def test_a_tree_is_no_one_file(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "file"
    with pair.both(None, tree, taking=["-o", target]) as (sender, receiver):
        code, said = receiver.failed()
        assert (code, "more than one file is offered" in said) == (2, True), said
        sender.said("waiting for it to come back")
        assert take(pair, sender, code=2) == b""
    assert not target.exists()
    assert pair.sink.sessions() == []


def test_one_file_gets_its_new_name_only_when_that_is_free_or_may_go(pair: Pair, tree: Path, tmp_path: Path) -> None:
    path, target = tree / "d0" / "f0", tmp_path / "there" / "renamed"
    noise(target, 10)
    with pair.both(None, path, taking=["-o", target]) as (sender, receiver):
        code, said = receiver.failed()
        assert (code, "exists already" in said) == (2, True), said
        sender.said("waiting for it to come back")
    assert target.stat().st_size == 10
    pair.transfer(None, path, taking=["-o", target, "--overwrite", "always"])
    assert target.read_bytes() == path.read_bytes()
    target.unlink()
    pair.transfer(None, path, taking=["-o", target])
    assert target.read_bytes() == path.read_bytes()
    assert os.listdir(target.parent) == ["renamed"]
    pair.assert_clean(target.parent)


def test_a_tree_is_packed_into_an_archive(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "there" / "home.warp"
    target.parent.mkdir()
    pair.transfer(None, tree, taking=["-o", target, "--plain"])
    assert names(target) == {"tree", "tree/d0", "tree/d1", *(f"tree/d{n % 2}/f{n}" for n in range(6))}
    assert os.listdir(target.parent) == ["home.warp"]
    before = target.read_bytes()
    with pair.both(None, tree, taking=["-o", target, "--plain"]) as (_, receiver):
        code, said = receiver.failed()
    assert (code, "exists already" in said) == (2, True), said
    assert target.read_bytes() == before
    (tree / "d0" / "f0").unlink()
    pair.transfer(None, tree, taking=["-o", target, "--plain", "--overwrite", "always"])
    assert "tree/d0/f0" not in names(target)
    assert os.listdir(target.parent) == ["home.warp"]
    assert pair.sink.sessions() == []


def test_a_tree_is_packed_for_a_passphrase(pair: Pair, tree: Path, tmp_path: Path) -> None:
    given, target = passphrase(tmp_path / "passphrase"), tmp_path / "home.warp"
    pair.transfer(None, tree, taking=["-o", target, "-p", given])
    with open_archive(target, Unlock(passphrases=("correct horse",))) as reader:
        assert sum(1 for _ in reader.entries()) == 9
    assert pair.sink.sessions() == []


def test_a_receiver_killed_while_it_packs_goes_on(tree: Path, tmp_path: Path) -> None:
    # One checkpoint follows another, so that the archive grows for a while.
    pair = Pair.at(tmp_path, WARP_CHECKPOINT_BYTES="1000000", WARP_THREADS="1", WARP_COMPRESSION="zstd:19")
    noise(tree / "large", 6 * MIB)
    target = tmp_path / "there" / "home.warp"
    target.parent.mkdir()
    with pair.source.send(tree) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, None, "-o", target, "--plain") as receiver:
            sender.succeeded()
            arrived_archive(target.parent, receiver)
        with pair.sink.receive(ticket, None, "-o", target, "--plain") as receiver:
            receiver.said("had come before")
            assert receiver.ended() == 0
    assert len(names(target)) == 10
    assert os.listdir(target.parent) == ["home.warp"]
    assert pair.sink.sessions() == []


def arrived_archive(directory: Path, receiver: Warp) -> None:
    """Kill it as soon as there is something of the archive that it packs."""
    while not any(path.suffix == ".warp" and path.stat().st_size > MIB for path in directory.iterdir()):
        assert receiver.alive, receiver.records
    receiver.kill()
    assert not (directory / "home.warp").exists()


def test_a_reader_that_leaves_costs_nothing(pair: Pair, data: bytes, tmp_path: Path) -> None:
    path = noise(tmp_path / "file", len(data))
    reading, writing = os.pipe()
    os.close(reading)
    with pair.source.send(path) as sender:
        ticket = f"{sender.offer()['ticket']}\n".encode()
        done = pair.sink.piped("receive", "-o", "-", given=ticket, stdout=writing)
        os.close(writing)
        assert done.returncode == EXIT_BROKEN_PIPE, done.stderr
        assert b"Traceback" not in done.stderr
        sender.succeeded()
    # All had come: the same command again writes it, without the sender.
    again = pair.sink.piped("receive", "-o", "-", given=ticket)
    assert (again.returncode, again.stdout) == (0, path.read_bytes())
    assert pair.sink.sessions() == []


def test_what_was_read_from_standard_input_goes_on_after_a_kill(pair: Pair, data: bytes, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.run("send", "-", "--no-code", "--name", "dump.sql", given=data) as sender:
        ticket = sender.offer()["ticket"]
        sender.kill()
    (unfinished,) = pair.source.unfinished()
    assert len(data) <= unfinished["disk_bytes"] < len(data) + 10_000
    with pair.source.resume(unfinished["session"]) as sender:
        assert sender.offer()["resumed"]
        assert sender.offer()["session"] == unfinished["session"]
        with pair.sink.receive(ticket, target) as receiver:
            receiver.succeeded()
        sender.succeeded()
    assert (target / "dump.sql").read_bytes() == data
    pair.assert_clean(target)


def test_what_was_not_read_to_its_end_can_only_be_given_up(pair: Pair, data: bytes) -> None:
    with pair.source.run("send", "-", "--no-code", given=None) as sender:
        sender.give(data)
        arrived(pair.source.home, 200_000)
        sender.kill()
    (unfinished,) = pair.source.unfinished()
    with pair.source.resume(unfinished["session"]) as sender:
        code, said = sender.failed()
    assert (code, "discard" in said) == (2, True), said
    pair.source.discard(unfinished["session"])
    assert pair.source.sessions() == []


def test_ctrl_c_while_standard_input_is_read_leaves_nothing(pair: Pair, data: bytes) -> None:
    with pair.source.run("send", "-", "--no-code", given=None) as sender:
        sender.give(data)
        arrived(pair.source.home, 200_000)
        sender.process.send_signal(signal.SIGINT)
        assert sender.ended() == 130
    assert pair.source.sessions() == []


def test_records_and_a_file_do_not_share_standard_output(tmp_path: Path) -> None:
    with Side(tmp_path, "sink").run("receive", "-o", "-", given="warp-ticket:a\n") as receiver:
        code, said = receiver.failed()
    assert (code, "--json" in said) == (2, True), said
