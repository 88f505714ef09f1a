"""kill -9 at any moment of compact: the archive is the old one or the new one, whole, and the next run tidies up."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.driver import KEY
from tests.chaos.kill import driver, killed_at, moments, size_of, succeed
from tests.chaos.test_kill import content
from warp_portal.archive import Level, StateStore, Unlock, open_archive, verify

KILLS = 12
SOAK_KILLS = 200


@pytest.fixture
def place() -> Iterator[Path]:
    """In memory if possible: what counts is the order of writes, not the disk."""
    home = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp") / f"warp-compact-{os.getpid()}"
    (home / "here").mkdir(parents=True)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def two_snapshots(place: Path) -> Path:
    """An archive whose newest snapshot uses about half of it."""
    rng, tree, archive = random.Random(13), place / "tree", place / "whole.warp"
    for number in range(300):
        (tree / f"d{number % 9}").mkdir(parents=True, exist_ok=True)
        (tree / f"d{number % 9}" / f"f{number}").write_bytes(rng.randbytes(rng.randrange(150_000)))
    succeed(driver("create", archive, tree, place / "state"))
    for directory in range(4):
        shutil.rmtree(tree / f"d{directory}")
    (tree / "new").write_bytes(rng.randbytes(3 << 20))
    succeed(driver("append", archive, tree, place / "state"))
    return archive


@pytest.mark.parametrize("kills", [KILLS, pytest.param(SOAK_KILLS, marks=pytest.mark.soak)])
@pytest.mark.timeout(1800)
def test_a_killed_compact_leaves_one_whole_archive(place: Path, two_snapshots: Path, kills: int) -> None:
    archive, state, newest = place / "here" / "a.warp", place / "state", content(two_snapshots)
    command = driver("compact", archive, place, state)
    shutil.copyfile(two_snapshots, archive)
    succeed(command)
    compacted, old, new = content(archive), two_snapshots.stat().st_size, archive.stat().st_size
    counted = 0
    for at_bytes in moments(kills, 10 * kills, old + 1, old + new - 4096):
        if counted >= kills:
            break
        shutil.copyfile(two_snapshots, archive)
        if not killed_at(command, archive.parent, at_bytes):
            continue
        if content(archive) != compacted:  # else the rename was faster
            assert content(archive) == newest
            assert size_of(archive) == old
            succeed(command)
            counted += 1
        assert content(archive) == compacted
        assert [path.name for path in archive.parent.iterdir()] == ["a.warp"]
    assert counted >= kills
    assert verify(archive, Level.DEEP, unlock=Unlock(archive_key=KEY)).ok
    with open_archive(archive, Unlock(archive_key=KEY), state=StateStore(state)) as reader:
        assert len(reader.snapshots()) == 1
