"""kill -9 at any moment of create, append and extract: the same command again ends as if nothing had happened.

Only kills before the final commit count. Half of those in create and append fall after a checkpoint.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.driver import KEY
from tests.chaos.kill import driver, killed_at, moments, size_of, succeed
from tests.trees import differences
from warp_portal.archive import Unlock, extract, open_archive

KILLS = 50
SOAK_KILLS = 200
EARLY = 3 << 20  # hardly ever after a checkpoint: the driver's are at least 2 MiB apart
LATE = 40 << 20  # nearly always after one


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """In memory if possible: what counts is the order of writes, not the disk."""
    home = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp") / f"warp-kill-{os.getpid()}"
    home.mkdir()
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def trees(place: Path) -> tuple[Path, Path]:
    """A tree of small and large files that don't compress, and a later version of it."""
    rng = random.Random(11)
    first, second = place / "first", place / "second"
    for directory in range(12):
        (first / f"d{directory}").mkdir(parents=True)
        for number in range(120):
            (first / f"d{directory}" / f"f{number}").write_bytes(rng.randbytes(rng.randrange(30_000)))
    (first / "large").write_bytes(rng.randbytes(72 << 20))
    shutil.copytree(first, second)
    (second / "large").write_bytes((first / "large").read_bytes()[: 5 << 20] + rng.randbytes(66 << 20))
    for number in range(0, 120, 3):
        (second / "d7" / f"f{number}").write_bytes(rng.randbytes(20_000))
    return first, second


def content(archive: Path, snapshot: int | None = None, *, recover: bool = False) -> tuple[object, ...]:
    """What must be equal: chunks, cids (by the root), fragments and every entry with its recipe."""
    with open_archive(archive, Unlock(archive_key=KEY), snapshot=snapshot, recover=recover) as reader:
        index = reader.chunk_index()
        spans = tuple(index.chunk_fragments(chunk) for chunk in range(index.chunks))
        entries = tuple(table.entry(number) for table in reader.tables() for number in range(len(table)))
        return reader.commit.root, spans, entries


def kill_create(place: Path, tree: Path, at_bytes: int, expected: tuple[object, ...]) -> str | None:
    """One kill and one resume: what the second run said, or None if the kill came too late to count."""
    archive, state = place / "a.warp", place / "state"
    archive.unlink(missing_ok=True)
    shutil.rmtree(state, ignore_errors=True)
    command = driver("create", archive, tree, state)
    if not killed_at(command, archive, at_bytes):
        return None
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    if "is a finished archive" in again.stderr:  # killed between its commit and its end
        assert content(archive) == expected
        return None
    assert again.returncode == 0, again.stderr
    assert "problems 0" in again.stdout
    assert content(archive) == expected
    return again.stdout


@pytest.mark.parametrize("kills", [KILLS, pytest.param(SOAK_KILLS, marks=pytest.mark.soak)])
@pytest.mark.timeout(1800)
def test_a_killed_create_resumes_to_the_same_content(place: Path, trees: tuple[Path, Path], kills: int) -> None:
    whole = place / "whole.warp"
    whole.unlink(missing_ok=True)
    succeed(driver("create", whole, trees[0], place / "whole-state"))
    expected, last = content(whole), whole.stat().st_size
    early = moments(kills, kills // 4, 1, EARLY)
    late = moments(-kills, 10 * kills, LATE, last - (1 << 20))
    said = [kill_create(place, trees[0], at_bytes, expected) for at_bytes in early]
    for at_bytes in late:
        if len(said) - said.count(None) >= kills:
            break
        said.append(kill_create(place, trees[0], at_bytes, expected))
    counted = [line for line in said if line is not None]
    assert len(counted) >= kills
    assert sum("resumed" in line for line in counted) >= kills // 2
    leftovers = {path.name for path in place.iterdir()} - {
        "a.warp",
        "state",
        "whole.warp",
        "whole-state",
        "first",
        "second",
    }
    assert leftovers == set()


@pytest.mark.parametrize("kills", [KILLS, pytest.param(SOAK_KILLS, marks=pytest.mark.soak)])
@pytest.mark.timeout(1800)
def test_a_killed_append_resumes_and_keeps_the_earlier_snapshot(
    place: Path, trees: tuple[Path, Path], kills: int
) -> None:
    base, archive, state = place / "base.warp", place / "b.warp", place / "base-state"
    base.unlink(missing_ok=True)
    shutil.rmtree(state, ignore_errors=True)
    # The version is swapped in place, so both snapshots have the same arguments.
    tree = place / "tree"
    trees[0].rename(tree)
    succeed(driver("create", base, tree, state))
    tree.rename(trees[0])
    trees[1].rename(tree)
    try:
        earlier = content(base)
        shutil.copyfile(base, archive)
        succeed(driver("append", archive, tree, place / "s0"))
        expected, start, end = content(archive), base.stat().st_size, archive.stat().st_size
        said: list[str] = []
        early = moments(kills + 1, kills // 4, start + 1, start + EARLY)
        late = moments(kills + 2, 10 * kills, start + LATE, end - (1 << 20))
        for at_bytes in early + late:
            if len(said) >= kills:
                break
            shutil.copyfile(base, archive)
            shutil.rmtree(place / "s1", ignore_errors=True)
            command = driver("append", archive, tree, place / "s1")
            if not killed_at(command, archive, at_bytes):
                continue
            kept = content(archive, recover=True)
            if kept == expected:
                continue  # the final commit was faster
            assert kept == earlier
            said.append(succeed(command))
            assert "problems 0" in said[-1]
            assert content(archive) == expected
            assert content(archive, snapshot=1) == earlier
        assert len(said) >= kills
        assert sum("resumed" in line for line in said) >= kills // 2
    finally:
        tree.rename(trees[1])


@pytest.mark.parametrize("kills", [KILLS, pytest.param(SOAK_KILLS, marks=pytest.mark.soak)])
@pytest.mark.timeout(1800)
def test_a_killed_extract_resumes_and_leaves_no_temporary_file(
    place: Path, trees: tuple[Path, Path], kills: int
) -> None:
    archive, target = place / "x.warp", place / "out"
    archive.unlink(missing_ok=True)
    succeed(driver("create", archive, trees[0], place / "x-state"))
    total = size_of(trees[0])
    counted = 0
    for at_bytes in moments(kills, 10 * kills, 1, total - (1 << 20)):
        if counted >= kills:
            break
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        command = driver("extract", archive, target, place / "x-state")
        if not killed_at(command, target, at_bytes):
            continue
        assert "problems 0" in succeed(command)
        assert differences(trees[0], target) == ""
        counted += 1
    assert counted >= kills
    with open_archive(archive, Unlock(archive_key=KEY)) as reader:
        assert extract(reader, target).problems == ()
