"""`warp receive --listen` waits, and `warp send --to` goes there: by a ticket, a code, a saved name or an address."""

import os
from pathlib import Path

import pytest

from tests.integration.archives import grown, packed, passphrase
from tests.transfers import Pair, Side, Warp, address_of, arrived, door_of, noise
from tests.trees import differences
from warp_portal.archive import Lock

MIB = 1 << 20
SIZE = 5 * MIB
SLOW = ("--limit", "3MiB/s")
REFUSED = 12


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path, WARP_CHECKPOINT_BYTES=f"{MIB}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grown(tmp_path / "confidential")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than what is on the way in a moment."""
    noise(tmp_path / "large" / "noise", SIZE)
    return tmp_path / "large"


def send_to(side: Side, where: str, *arguments: str | Path) -> Warp:
    return side.run("send", *arguments, "--to", where)


def test_a_listener_takes_one_transfer_by_its_ticket(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.sink.listen(target) as receiver, send_to(pair.source, receiver.offer()["ticket"], tree) as sender:
        sent, received = sender.succeeded(), receiver.succeeded()
    assert sent["restored"] == received["restored"] == 9
    assert differences(tree, target / tree.name) == ""
    pair.assert_clean(target)


def test_a_listener_is_found_by_its_code(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.sink.run("receive", "--listen", "-C", target) as receiver:
        code = receiver.offer()["code"]
        if code is None:
            pytest.skip(str(receiver.said("no short code")["message"]))
        with send_to(pair.source, code, tree) as sender:
            if sender.ended() == 10:
                pytest.skip("multicast does not come back on this machine")
            sender.succeeded()
        receiver.succeeded()
    assert differences(tree, target / tree.name) == ""
    pair.assert_clean(target)


@pytest.mark.parametrize("by", ["name", "address"])
def test_a_saved_machine_is_gone_to_by_name_or_address(pair: Pair, tree: Path, tmp_path: Path, by: str) -> None:
    target = tmp_path / "out"
    pair.sink.knows(pair.source, "alice")
    with pair.sink.listen(target, "--for", "alice") as receiver:
        where = address_of(receiver.offer())
        pair.source.knows(pair.sink, "bob", *([where] if by == "name" else []))
        with send_to(pair.source, "bob" if by == "name" else str(where), tree) as sender:
            sender.succeeded()
        receiver.succeeded()
    assert differences(tree, target / tree.name) == ""
    for side in pair:
        with side.run("peers", "list") as process:
            assert process.of_type("peer")["seen_s"] is not None
    pair.assert_clean(target)


def test_who_is_not_let_in_learns_nothing_and_tells_nothing(pair: Pair, tree: Path, tmp_path: Path) -> None:
    stranger = Side(tmp_path, "stranger")
    pair.sink.knows(pair.source, "alice")
    with pair.sink.listen(tmp_path / "out", "--for", "alice") as receiver:
        where = address_of(receiver.offer())
        # It knows us, and we do not know it.
        stranger.knows(pair.sink, "bob", where)
        with send_to(stranger, "bob", tree) as sender:
            assert sender.failed()[0] == REFUSED
        receiver.said("was not let in")
        # We know it, and it takes us for nobody that it knows.
        pair.source.knows(stranger, "carol")
        with send_to(pair.source, str(where), tree) as sender:
            code, said = sender.failed()
            assert (code, "another key" in said) == (REFUSED, True), said
        assert receiver.alive
        assert "alice" not in str(sender.records)
        receiver.interrupt()
        assert receiver.ended() == 130
        assert tree.name not in str(receiver.records)
    assert os.listdir(tmp_path / "out") == []
    assert pair.sink.sessions() == []


def test_a_name_that_is_not_saved_leads_nowhere(pair: Pair, tree: Path) -> None:
    for where, expected, says in (("nobody", 10, "no peer is called"), ("127.0.0.1:9", 2, "none is saved")):
        with send_to(pair.source, where, tree) as sender:
            code, said = sender.failed()
        assert (code, says in said) == (expected, True), said
    assert pair.source.sessions() == []


def test_what_came_whole_is_finished_without_waiting_again(pair: Pair, tree: Path, tmp_path: Path) -> None:
    archive, target = packed(tmp_path / "from" / "home.warp", tree, Lock(passphrases=("right",))), tmp_path / "out"
    with pair.sink.listen(target, "--restore", "-p", passphrase(tmp_path / "given", "wrong")) as receiver:
        with send_to(pair.source, receiver.offer()["ticket"], archive) as sender:
            sender.succeeded()
        assert receiver.failed()[0] == REFUSED
    with pair.sink.listen(target, "--restore", "-p", passphrase(tmp_path / "given", "right")) as receiver:
        receiver.said("had come before")
        assert receiver.ended() == 0
    assert differences(tree, target / tree.name) == ""
    pair.assert_clean(target)


@pytest.mark.parametrize("kind", ["tree", "archive"])
def test_a_killed_listener_has_the_same_ticket_again(pair: Pair, large: Path, tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path / "from" / "large.warp", large) if kind == "archive" else large
    target = tmp_path / "out"
    with pair.sink.listen(target) as receiver:
        offer = receiver.offer()
        with send_to(pair.source, offer["ticket"], path, *SLOW) as sender:
            arrived(target, 3 * MIB)
            receiver.kill()
            with pair.sink.listen(target) as again:
                assert (door_of(again.offer()), again.offer()["resumed"]) == (door_of(offer), True)
                received = again.succeeded()
            sender.succeeded()
    assert 0 < received["bytes_received"] < SIZE - MIB // 2
    if kind == "archive":
        assert (target / path.name).read_bytes() == path.read_bytes()
    else:
        assert differences(large, target / "large") == ""
    pair.assert_clean(target)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_sender_is_resumed_and_nobody_else_comes_between(pair: Pair, large: Path, tmp_path: Path, how: str) -> None:
    target = tmp_path / "out"
    with pair.sink.listen(target) as receiver:
        ticket = receiver.offer()["ticket"]
        with send_to(pair.source, ticket, large, *SLOW) as sender:
            arrived(target, 3 * MIB)
            if how == "killed":
                sender.kill()
            else:
                sender.interrupt()
                receiver.said("waiting for it to come back")
        with send_to(Side(tmp_path, "other"), ticket, large) as other:
            assert other.failed() == (11, "the other side ended it: too many sessions")
        (unfinished,) = pair.source.unfinished()
        with pair.source.resume(unfinished["session"]) as sender:
            assert sender.succeeded()["bytes_packed"] < SIZE - MIB // 2
        receiver.succeeded()
    assert differences(large, target / "large") == ""
    pair.assert_clean(target)


def test_who_went_elsewhere_before_waits_with_a_ticket_of_its_own(pair: Pair, large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.sink.listen(target) as receiver:
        offer = receiver.offer()
        with send_to(pair.source, offer["ticket"], large, *SLOW) as sender:
            arrived(target, MIB)
            sender.kill()
        receiver.kill()
    with pair.source.send(large) as sender:
        assert sender.offer()["resumed"]
        assert set(door_of(sender.offer())).isdisjoint(door_of(offer))
        with pair.sink.receive(sender.offer()["ticket"], target) as receiver:
            receiver.succeeded()
        sender.succeeded()
    assert differences(large, target / "large") == ""
    pair.assert_clean(target)
