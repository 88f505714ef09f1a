"""`warp sessions`: what was killed goes on by its number, from anywhere, or is given up."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.archives import MIB, grown, names, packed
from tests.transfers import Pair, Record, Side, Warp, arrived, door_of, noise
from tests.trees import differences
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.writer import newest_of_any_kind
from warp_portal.errors import WarpPortalError

SIZE = 5 * MIB
SLOW = ("--limit", "3MiB/s")
PASSPHRASE = "correct horse battery"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path, WARP_CHECKPOINT_BYTES=f"{MIB}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grown(tmp_path / "tree")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than what is on the way in a moment."""
    noise(tmp_path / "large" / "noise", SIZE)
    return tmp_path / "large"


@pytest.fixture
def slow(tmp_path: Path) -> Side:
    """A machine on which an archive grows for a while, with a checkpoint in each moment."""
    return Side(tmp_path, "slow", WARP_CHECKPOINT_BYTES="1000000", WARP_THREADS="1", WARP_COMPRESSION="zstd:19")


def only(side: Side) -> Record:
    (found,) = side.unfinished()
    return found


def notes(side: Side) -> str:
    """How each command would be run again."""
    state = side.home / "warp"
    found = [*state.glob("sessions/*/again"), *state.glob("creates/*")]
    assert found != []
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)
    return "\n".join(path.read_text() for path in found)


def test_a_send_goes_on_from_anywhere_with_its_options(pair: Pair, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.send(tree.name, "-x", "f0", "--threads=1", directory=tree.parent) as sender:
        offer = sender.offer()
        sender.kill()
    unfinished = only(pair.source)
    assert (unfinished["kind"], unfinished["title"], unfinished["busy"]) == ("send", "tree", False)
    with pair.source.resume(unfinished["session"][:8]) as sender:
        assert (door_of(sender.offer()), sender.offer()["resumed"]) == (door_of(offer), True)
        assert only(pair.source)["busy"]
        with pair.sink.receive(offer["ticket"], target) as receiver:
            receiver.succeeded()
        sender.succeeded()
    (tree / "d0" / "f0").unlink()
    assert differences(tree, target / "tree").replace(".d..t...... d0/\n", "") == ""
    pair.assert_clean(target)


def test_a_receive_by_ticket_goes_on_without_it(pair: Pair, large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.send(large, *SLOW) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.run("receive", ticket, "-C", target) as receiver:
            arrived(target, 3 * MIB)
            receiver.kill()
        assert ticket not in notes(pair.sink)
        with pair.sink.resume(only(pair.sink)["session"]) as receiver:
            assert receiver.succeeded()["bytes_received"] < SIZE - MIB // 2
        sender.succeeded()
    assert differences(large, target / "large") == ""
    pair.assert_clean(target)


def test_a_receive_by_a_code_that_is_used_up_goes_on_by_the_key(pair: Pair, large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.run("send", large, *SLOW) as sender:
        code = sender.offer()["code"]
        if code is None:
            pytest.skip(str(sender.said("no short code")["message"]))
        with pair.sink.run("receive", code, "-C", target) as receiver:
            receiver.wait_for(lambda record: record["type"] in ("offer", "error"))
            if not any(record["type"] == "offer" for record in receiver.records):
                pytest.skip("multicast does not come back on this machine")
            arrived(target, 3 * MIB)
            receiver.kill()
        assert code not in notes(pair.sink)
        with pair.sink.resume(only(pair.sink)["session"]) as receiver:
            assert receiver.succeeded()["bytes_received"] < SIZE - MIB // 2
        sender.succeeded()
    assert differences(large, target / "large") == ""
    pair.assert_clean(target)


def test_what_is_served_goes_on(pair: Pair, tree: Path, tmp_path: Path) -> None:
    with pair.source.run("serve", tree, "--receivers", "1") as server:
        offer = server.offer()
        server.kill()
    unfinished = only(pair.source)
    assert unfinished["kind"] == "serve"
    with pair.source.resume(unfinished["session"]) as server:
        assert (door_of(server.offer()), server.offer()["resumed"]) == (door_of(offer), True)
        with pair.sink.receive(offer["ticket"], tmp_path / "out") as receiver:
            receiver.succeeded()
        assert server.succeeded()["transfers"] == 1
    pair.assert_clean(tmp_path / "out")


def killed_create(side: Side, archive: Path, tree: Path, **variables: str) -> Record:
    """What is told of a create that was killed with something to go on from."""
    noise(tree / "large", 6 * MIB)
    with side.run("create", archive.name, tree, directory=archive.parent, **variables) as process:
        _checkpointed(archive, process)
        process.kill()
    return only(side)


def _checkpointed(archive: Path, process: Warp) -> None:
    """Wait until there is something to go on from."""
    while True:
        assert process.alive, process.records
        with suppress(WarpPortalError), ArchiveFile(archive) as file:
            if newest_of_any_kind(file) is not None:
                return


def test_a_create_goes_on_where_it_was_killed(slow: Side, tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "home.warp"
    unfinished = killed_create(slow, archive, tree, WARP_PASSPHRASE=PASSPHRASE)
    assert (unfinished["kind"], unfinished["paths"]) == ("create", [str(archive)])
    assert unfinished["disk_bytes"] == archive.stat().st_size
    assert PASSPHRASE not in notes(slow)
    slow.environment["WARP_PASSPHRASE"] = PASSPHRASE
    with slow.resume(unfinished["session"]) as process:
        summary = process.succeeded()
    assert summary["resumed"]
    assert slow.unfinished() == []
    with slow.run("verify", archive) as process:
        assert process.ended() == 0


def test_a_create_is_given_up_with_what_there_is_of_it(slow: Side, tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "home.warp"
    unfinished = killed_create(slow, archive, tree)
    assert slow.discard(unfinished["session"])["parts_removed"] == 1
    assert not archive.exists()
    assert slow.unfinished() == []
    assert list((slow.home / "warp").glob("unfinished/*")) == []


def test_a_finished_archive_is_never_given_up(slow: Side, tree: Path, tmp_path: Path) -> None:
    archive, state, before = tmp_path / "home.warp", slow.home / "warp", tmp_path / "before"
    unfinished = killed_create(slow, archive, tree)
    shutil.copytree(state, before)
    with slow.resume(unfinished["session"]) as process:
        process.succeeded()
    for finished in (archive.read_bytes(), packed(tmp_path / "other.warp", tree).read_bytes()):
        # As if it had been killed just before it forgot that it had not finished; or another took the place.
        shutil.rmtree(state)
        shutil.copytree(before, state)
        archive.write_bytes(finished)
        assert slow.discard(only(slow)["session"])["parts_removed"] == 0
        assert archive.read_bytes() == finished
    assert len(names(archive)) == 10


def test_a_create_that_was_refused_does_not_take_the_place_of_the_one_before(
    slow: Side, tree: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "home.warp"
    unfinished = killed_create(slow, archive, tree)
    with slow.run("create", archive, grown(tmp_path / "other")) as process:
        code, said = process.failed()
    assert (code, "begun with other arguments" in said) == (2, True), said
    with slow.resume(unfinished["session"]) as process:
        process.succeeded()


def test_no_ticket_is_kept_of_where_it_was_sent(pair: Pair, large: Path, tmp_path: Path) -> None:
    with pair.sink.listen(tmp_path / "out") as receiver:
        ticket = receiver.offer()["ticket"]
        with pair.source.run("send", large, "--to", ticket, *SLOW) as sender:
            arrived(tmp_path / "out", MIB)
            sender.kill()
        assert ticket not in notes(pair.source)


def test_damaged_notes_are_told_and_given_up(pair: Pair, tree: Path) -> None:
    with pair.source.send(tree) as sender:
        number = sender.offer()["session"]
        sender.kill()
    (again,) = (pair.source.home / "warp" / "sessions").glob("*/again")
    again.write_text('{"cwd": 7, "words": ["send"]}')
    with pair.source.resume(number) as sender:
        code, said = sender.failed()
    assert (code, "run the same command again" in said) == (13, True), said
    os.remove(again)
    with pair.source.resume(number) as sender:
        assert sender.failed()[0] == 10
    pair.source.discard(number)
    assert pair.source.unfinished() == []
