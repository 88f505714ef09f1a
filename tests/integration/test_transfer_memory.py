"""A transfer costs no more memory than is promised, on either side, whatever the tree is like."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scale import small_files
from tests.scale.commands import SCALE_DIR
from tests.transfers import Pair, Record, Warp
from tests.trees import differences

MOST_BYTES = 300 << 20
# Of ten million entries, whose pages' places both sides keep.
MOST_BYTES_OF_VERY_MANY = 1 << 30
FILES = 1_000_000
# More are made only where a person said so.
WITHOUT_A_PLACE = 2_000_000
LARGE_BYTES = 2 << 30


def peak_bytes(process: Warp) -> int:
    """The most that was resident until now (proc(5), VmHWM); 0 once it has ended."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.process.pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def peaks(pair: Pair, tree: Path, target: Path) -> tuple[int, int, Record]:
    """Send a tree, and look at both sides until they end; the summary of the receiver."""
    most = [0, 0]
    with pair.both(target, tree, "--compress", "none") as both:
        while all(process.alive for process in both):
            most = [max(known, peak_bytes(process)) for known, process in zip(most, both, strict=True)]
            time.sleep(0.05)
        received = both[1].succeeded()
        both[0].succeeded()
    return most[0], most[1], received


def room(place: Path, files: int) -> str:
    """Why so many files can't be there twice; empty if they can."""
    found = os.statvfs(place)
    if found.f_files and found.f_favail < 2.1 * files:
        return f"{place} has {found.f_favail:,} inodes to spare"
    if files > WITHOUT_A_PLACE and SCALE_DIR is None:
        return "WARP_SCALE_DIR names no file system for very many files (tests/scale/test_scale_files.py says of what kind)"
    return ""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where trees are made."""
    made = Path(SCALE_DIR or tmp_path) / "transfer"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
@pytest.mark.parametrize("directories", [100, 1_000, 10_000])
def test_very_many_small_files(place: Path, directories: int) -> None:
    files = directories * small_files.FILES
    if reason := room(place, files):
        pytest.skip(reason)
    small_files.make(place / "tree", 0, directories)
    sender, receiver, received = peaks(Pair.at(place), place / "tree", place / "out")
    assert received["files"] == files
    most = MOST_BYTES if files <= FILES else MOST_BYTES_OF_VERY_MANY
    assert (sender < most, receiver < most) == (True, True), (sender, receiver)


def reached(process: Warp, entries: int) -> None:
    """Wait until it has dealt with so many entries."""
    while not any(record.get("entries", 0) >= entries for record in process.records if record["type"] == "progress"):
        assert process.alive, process.stands()
        time.sleep(0.1)


@pytest.mark.soak
@pytest.mark.timeout(36_000)
def test_a_million_files_arrive_as_they_were_after_kills_of_both(place: Path) -> None:
    if reason := room(place, FILES):
        pytest.skip(reason)
    tree, out, pair = place / "tree", place / "out", Pair.at(place)
    small_files.make(tree, 0, FILES // small_files.FILES)
    with pair.source.send(tree) as killed, pair.sink.receive(killed.offer()["ticket"], out) as killed_too:
        ticket = killed.offer()["ticket"]
        reached(killed_too, FILES // 3)
        killed_too.kill()
        killed.kill()
    with pair.source.send(tree) as sender, pair.sink.receive(ticket, out) as receiver:
        reached(receiver, FILES // 2)
        while sender.alive or receiver.alive:
            time.sleep(0.1)
        assert receiver.succeeded()["files"] < FILES * 3 // 4
        sender.succeeded()
    assert differences(tree, out / "tree") == ""
    pair.assert_clean(out)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_file_of_two_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree" / "large", "wb") as file:
        file.writelines(os.urandom(1 << 24) for _ in range(LARGE_BYTES >> 24))
    sender, receiver, received = peaks(Pair.at(tmp_path), tmp_path / "tree", tmp_path / "out")
    assert received["bytes"] == LARGE_BYTES
    assert (sender < MOST_BYTES, receiver < MOST_BYTES) == (True, True), (sender, receiver)
