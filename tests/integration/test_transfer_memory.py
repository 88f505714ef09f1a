"""A transfer costs no more memory than is promised, on either side, whatever the tree is like."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.transfers import Pair, Record, Warp

MOST_BYTES = 300 << 20
SMALL_FILES = 100_000
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


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_small_files(tmp_path: Path) -> None:
    for number in range(SMALL_FILES):
        directory = tmp_path / "tree" / f"d{number // 500}"
        if number % 500 == 0:
            directory.mkdir(parents=True)
        (directory / f"file-{number}").write_bytes(b"%d of many" % number)
    sender, receiver, received = peaks(Pair.at(tmp_path), tmp_path / "tree", tmp_path / "out")
    assert received["files"] == SMALL_FILES
    assert (sender < MOST_BYTES, receiver < MOST_BYTES) == (True, True), (sender, receiver)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_file_of_two_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree" / "large", "wb") as file:
        file.writelines(os.urandom(1 << 24) for _ in range(LARGE_BYTES >> 24))
    sender, receiver, received = peaks(Pair.at(tmp_path), tmp_path / "tree", tmp_path / "out")
    assert received["bytes"] == LARGE_BYTES
    assert (sender < MOST_BYTES, receiver < MOST_BYTES) == (True, True), (sender, receiver)
