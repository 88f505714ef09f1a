"""What lies where something is received, under the default of `--overwrite`: a sender does not get at it, and a kill leaves no doubt."""

import os
import time
from pathlib import Path

import pytest

from tests.transfers import PATIENCE_S, Pair, arrived, leftovers, noise
from tests.trees import differences

MIB = 1 << 20
# No sender knows those of the receiver; this one is only alike.
TEMPORARY = ".warp-0123456789abcdef-0123456789abcdef.part"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path)


def test_a_hard_link_leads_to_nothing_that_was_there(pair: Pair, tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "out"
    for place, text in ((tree, "sent"), (target, "mine")):
        place.mkdir()
        (place / ".bashrc").write_text(text)
        os.utime(place / ".bashrc", (1_000_000_000, 1_000_000_000))
    os.link(tree / ".bashrc", tree / TEMPORARY)
    os.link(tree / ".bashrc", tree / "link")
    noise(tree / "zzz", MIB)
    with pair.source.run("send", "--no-code", ".", directory=tree) as sender:
        with pair.sink.receive(sender.offer()["ticket"], target) as receiver:
            code, said = receiver.failed()
            summary = receiver.of_type("summary")
        sender.ended()
    assert (code, "could not be restored" in said) == (3, True)
    assert (target / ".bashrc").read_text() == "mine"
    assert (target / ".bashrc").stat().st_nlink == 1
    assert sorted(os.listdir(target)) == [".bashrc", "zzz"]
    assert (summary["failed"], summary["skipped"]["exists"]) == (2, 1)


def test_what_is_not_on_the_disk_has_no_name_when_the_receiver_is_killed(pair: Pair, tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "out"
    for number in range(40):
        noise(tree / f"f{number:02}", 20_000, seed=number)
    noise(tree / "large", 8 * MIB)
    with pair.source.send(tree, "--limit", "2MiB/s") as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            until = time.monotonic() + PATIENCE_S
            while len(leftovers(target)) < 41 and time.monotonic() < until:
                receiver.process.poll()
            receiver.kill()
        named = [path for path in (target / "tree").iterdir() if not path.name.startswith(".warp-")]
        assert named == []
        # As after a power cut: nothing was synced.
        for path in (target / "tree").iterdir():
            os.truncate(path, 0)
        with pair.sink.receive(ticket, target) as receiver:
            assert receiver.succeeded()["skipped"]["exists"] == 0
        sender.succeeded()
    assert differences(tree, target / "tree") == ""
    assert leftovers(target) == []


def test_what_was_written_before_a_kill_counts_though_it_was_not_durable(tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, WARP_CHECKPOINT_BYTES=f"{1 << 40}", WARP_CHECKPOINT_SECONDS="3600")
    path, target = noise(tmp_path / "noise", 16 * MIB), tmp_path / "out"
    with pair.source.send(path, "--limit", "4MiB/s") as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            # A second after these there is a note of them, and hardly more than twice as many are here.
            arrived(target, 4 * MIB)
            arrived(target, 8 * MIB)
            receiver.kill()
        with pair.sink.receive(ticket, target) as receiver:
            received = receiver.succeeded()
        sender.succeeded()
    assert (target / "noise").read_bytes() == path.read_bytes()
    assert received["bytes_received"] <= 12 * MIB
