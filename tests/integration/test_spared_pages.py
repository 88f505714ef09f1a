"""A receiver that was killed has pages of the tree: they need not travel again, and what changed since arrives as it is."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.transfers import Pair, noise, written
from tests.trees import differences

MIB = 1 << 20
SIZE = 48 * MIB  # three pages


def _changed(large: Path, offset: int) -> None:
    with large.open("r+b") as file:
        file.seek(offset)
        file.write(b"changed")


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda tree: None,
    "a file at its beginning": lambda tree: _changed(tree / "large", MIB),
    "a file behind what came": lambda tree: _changed(tree / "large", SIZE - 100),
    "a file that is new before all others": lambda tree: noise(tree / "a", MIB, seed=5),
    "a file that is shorter": lambda tree: os.truncate(tree / "large", 9 * MIB),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("restarts", [False, True], ids=["the sender stays", "the sender too"])
def test_what_changed_while_the_receiver_was_away_arrives_as_it_is(tmp_path: Path, change: str, restarts: bool) -> None:
    pair = Pair.at(tmp_path, WARP_CHECKPOINT_BYTES=str(MIB))
    tree, target = tmp_path / "tree", tmp_path / "out"
    noise(tree / "large", SIZE)
    noise(tree / "small" / "last", MIB)
    with pair.source.send(tree, "--limit", "30MiB/s") as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            while written(target) < SIZE * 2 // 3:
                assert receiver.alive
                time.sleep(0.005)
            receiver.kill()
        CHANGES[change](tree)
        if restarts:
            sender.kill()
        with pair.source.send(tree) if restarts else sender as going, pair.sink.receive(ticket, target) as receiver:
            received = receiver.succeeded()
            going.succeeded()
    assert differences(tree, target / "tree") == ""
    pair.assert_clean(target)
    if change == "nothing":
        assert received["bytes_received"] < SIZE // 2
