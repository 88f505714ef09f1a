"""`--connections`: a session over several connections, with each carrier and from either side, to its end and over kills."""

import secrets
from pathlib import Path

import pytest

from tests.integration.archives import packed
from tests.transfers import Pair, Record, Warp, arrived, noise
from tests.trees import differences

MIB = 1 << 20
SIZE = 12 * MIB
CONNECTIONS = 3
THREE = ("--connections", str(CONNECTIONS))
# Slow enough that there is something to tell, and to kill.
SLOW = ("--limit", "6MiB/s")
CARRIERS = ("quic", "tcp")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path, WARP_CHECKPOINT_BYTES=f"{MIB}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number in range(300):
        noise(root / f"d{number % 7}" / f"f{number}", 100 + 97 * number, seed=number)
    noise(root / "large", SIZE, seed=1000)
    return root


def most_connections(process: Warp) -> int:
    """As its progress told."""
    steps: list[Record] = [record for record in process.records if record["type"] == "progress"]
    return max((int(step["connections"]) for step in steps), default=0)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_tree_comes_over_three_connections(pair: Pair, tree: Path, tmp_path: Path, carrier: str) -> None:
    target, taking = tmp_path / "out", ("--carrier", carrier, *THREE)
    with pair.both(target, tree, *SLOW, *THREE, taking=taking) as (sender, receiver):
        received, sent = receiver.succeeded(), sender.succeeded()
    assert differences(tree, target / "tree") == ""
    assert received["restored"] == sent["restored"] == sent["entries"]
    assert received["bytes_wire"] == sent["bytes_wire"] >= SIZE
    assert (most_connections(sender), most_connections(receiver)) == (CONNECTIONS, CONNECTIONS)
    pair.assert_clean(target)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_tree_is_brought_over_three_connections(pair: Pair, tree: Path, tmp_path: Path, carrier: str) -> None:
    target = tmp_path / "out"
    going = ("--carrier", carrier, *THREE, *SLOW)
    with (
        pair.sink.listen(target, *THREE) as receiver,
        pair.source.run("send", tree, "--to", receiver.offer()["ticket"], *going) as sender,
    ):
        receiver.succeeded()
        sender.succeeded()
    assert differences(tree, target / "tree") == ""
    assert (most_connections(sender), most_connections(receiver)) == (CONNECTIONS, CONNECTIONS)
    pair.assert_clean(target)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_an_archive_comes_over_three_connections(pair: Pair, tree: Path, tmp_path: Path, carrier: str) -> None:
    archive, target = packed(tmp_path / "from" / "home.warp", tree), tmp_path / "out"
    taking = ("--carrier", carrier, *THREE)
    with pair.both(target, archive, *SLOW, *THREE, taking=taking) as (sender, receiver):
        receiver.succeeded()
        sender.succeeded()
    assert (target / "home.warp").read_bytes() == archive.read_bytes()
    assert (most_connections(sender), most_connections(receiver)) == (CONNECTIONS, CONNECTIONS)
    pair.assert_clean(target)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("victim", ["sender", "receiver"])
def test_a_session_over_three_connections_goes_on_after_a_kill(
    pair: Pair, tree: Path, tmp_path: Path, carrier: str, victim: str
) -> None:
    target, taking = tmp_path / "out", ("--carrier", carrier, *THREE)
    sending = (tree, *SLOW, *THREE)
    with pair.source.send(*sending) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target, *taking) as receiver:
            arrived(target, SIZE // 3)
            (sender if victim == "sender" else receiver).kill()
            if victim == "sender":
                with pair.source.send(*sending) as again:
                    received = receiver.succeeded()
                    again.succeeded()
            else:
                with pair.sink.receive(ticket, target, *taking) as again:
                    received = again.succeeded()
                    sender.succeeded()
    assert differences(tree, target / "tree") == ""
    whole = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    assert received["bytes_received"] < whole - SIZE // 12
    pair.assert_clean(target)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_who_takes_one_connection_alone_has_one(pair: Pair, tree: Path, tmp_path: Path, carrier: str) -> None:
    target, taking = tmp_path / "out", ("--carrier", carrier, *THREE)
    with pair.both(target, tree, *SLOW, "--connections", "1", taking=taking) as (sender, receiver):
        receiver.said("the other side takes one connection alone")
        receiver.succeeded()
        sender.succeeded()
    assert differences(tree, target / "tree") == ""
    assert (most_connections(sender), most_connections(receiver)) == (1, 1)


def test_a_sender_may_allow_fewer_than_are_asked_for(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target, taking = tmp_path / "out", ("--carrier", "tcp", "--connections", "4")
    with pair.both(target, tree, *SLOW, "--connections", "2", taking=taking) as (sender, receiver):
        receiver.said("of 4 connections")
        receiver.succeeded()
        sender.succeeded()
    assert differences(tree, target / "tree") == ""
    assert (most_connections(sender), most_connections(receiver)) == (2, 2)
    pair.assert_clean(target)


def test_a_file_that_is_packed_arrives_over_three_connections(pair: Pair, tmp_path: Path) -> None:
    """Some of it compresses: frames of many sizes, and the whole of a small tree within one page."""
    target, text = tmp_path / "out", tmp_path / "tree" / "text"
    text.parent.mkdir()
    text.write_text("".join(f"{number} {secrets.token_hex(8)}\n" for number in range(200_000)))
    taking = ("--carrier", "tcp", *THREE)
    pair.transfer(target, text.parent, *THREE, "--compress", "always", taking=taking)
    assert differences(text.parent, target / "tree") == ""
