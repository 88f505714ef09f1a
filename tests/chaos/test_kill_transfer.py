"""kill -9 of `warp send` or `warp receive` at any moment: the same command again goes on, and the tree arrives as it was."""

import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.kill import size_of
from tests.networks import namespace, reason_to_skip
from tests.transfers import PATIENCE_S, Pair, Warp, noise, written
from tests.trees import differences

MIB = 1 << 20
# With each carrier.
KILLS = 6
SOAK_KILLS = 100
# Of one session, so that some are of a session that was killed before.
KILLS_A_SESSION = 3
RATE = 24 * MIB
EPOCH = MIB
# On its way, or written and not yet durable when an epoch ended; a twentieth of a second, and what a busy machine adds.
IN_FLIGHT = 5 * MIB


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """In memory if possible: what counts is the order of writes, not the disk."""
    home = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp") / f"warp-kill-transfer-{os.getpid()}"
    home.mkdir()
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def tree(place: Path) -> Path:
    """Small files and a large one, none of which compresses or has anything in common with another."""
    rng, root = random.Random(17), place / "tree"
    for number in range(240):
        noise(root / f"d{number % 6}" / f"f{number}", rng.randrange(60_000), seed=number)
    noise(root / "large", 12 * MIB, seed=1000)
    os.link(root / "large", root / "d1" / "linked")
    return root


@dataclass
class Story:
    """One session with its kills. `begun` is whatever runs now."""

    pair: Pair
    tree: Path
    target: Path
    ticket: str = ""
    kills: int = 0

    def send(self) -> Warp:
        sender = self.pair.source.send(self.tree, "--limit", f"{RATE}")
        offer = sender.offer()
        assert offer["resumed"] == (self.ticket != "")
        # The ticket of the first is good for all that follow: they have its session, its secret and its port.
        self.ticket = self.ticket or offer["ticket"]
        return sender

    def receive(self) -> Warp:
        return self.pair.sink.receive(self.ticket, self.target)

    def tell(self, rng: random.Random, moments: list[int]) -> int | None:
        """Kill at these amounts of data at the target; what was there at the last kill."""
        sender = self.send()
        receiver = self.receive()
        last = None
        try:
            for moment in moments:
                if not _reached(self.target, moment, sender, receiver):
                    break
                victims = rng.choice([(True, False), (False, True), (True, True)])
                for process, is_victim in zip((sender, receiver), victims, strict=True):
                    if is_victim:
                        process.kill()
                last = written(self.target)
                self.kills += 1
                if victims[0]:
                    sender = self.send()
                if victims[1]:
                    receiver = self.receive()
            self.received = receiver.succeeded()["bytes_received"]
            sender.succeeded()
        finally:
            sender.kill()
            receiver.kill()
        return last


def _reached(target: Path, moment: int, *processes: Warp) -> bool:
    """Wait until so much is at the target; False if they ended before."""
    deadline = time.monotonic() + PATIENCE_S
    while written(target) < moment:
        assert time.monotonic() < deadline, "\n".join(process.stands() for process in processes)
        if not all(process.alive for process in processes):
            return False
        time.sleep(0.005)
    return all(process.alive for process in processes)


@pytest.fixture(params=["tcp", "quic"])
def within(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """A network where this carrier is the faster one, and so the first that is tried."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    with namespace("10.9.0.1" if request.param == "quic" else None) as command:
        yield command


@pytest.mark.parametrize("kills", [KILLS, pytest.param(SOAK_KILLS, marks=pytest.mark.soak)])
@pytest.mark.timeout(3600)
def test_a_killed_transfer_goes_on_to_the_same_tree(place: Path, tree: Path, within: list[str], kills: int) -> None:
    rng, total, counted, number = random.Random(kills), size_of(tree) - 12 * MIB, 0, 0
    while counted < kills:
        number += 1
        assert number < kills, "most kills came too late to count"
        home = place / f"story-{number}"
        story = Story(Pair.at(home, within, WARP_CHECKPOINT_BYTES=str(EPOCH)), tree, home / "out")
        last = story.tell(rng, sorted(rng.randrange(1, total - 2 * MIB) for _ in range(KILLS_A_SESSION)))
        counted += story.kills
        assert differences(tree, story.target / "tree") == ""
        story.pair.assert_clean(story.target)
        if last is not None:
            again = story.received - (total - last)
            assert again <= EPOCH + IN_FLIGHT, f"{again} bytes were sent again"
        shutil.rmtree(home)
