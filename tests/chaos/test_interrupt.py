"""Ctrl-C at any moment of create: the archive stays sound, and the same command goes on to the same content."""

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.chaos.driver import KEY
from tests.chaos.kill import driver, size_of, succeed
from warp_portal.archive import Level, Unlock, open_archive, verify
from warp_portal.errors import WarpPortalError

INTERRUPTS = 25


def content(archive: Path) -> tuple[object, ...]:
    with open_archive(archive, Unlock(archive_key=KEY)) as reader:
        entries = [(entry.path, entry.size, entry.runs) for entry in reader]
        return reader.commit.root, reader.index.chunks, reader.index.fragments, entries


def is_finished(archive: Path) -> bool:
    """Whether it has its snapshot, which comes last: the signal may have met a process that was only about to end."""
    try:
        content(archive)
    except WarpPortalError:
        return False
    return True


def interrupted_at(command: list[str], archive: Path, at_bytes: int) -> bool:
    """SIGINT once the archive has so many bytes; whether that stopped it."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and size_of(archive) < at_bytes:
            time.sleep(0.0005)
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=60) != 0


def test_an_interrupted_create_resumes_to_the_same_content(tmp_path: Path) -> None:
    rng, tree = random.Random(5), tmp_path / "tree"
    for number in range(300):
        (tree / f"d{number % 9}").mkdir(parents=True, exist_ok=True)
        (tree / f"d{number % 9}" / f"f{number}").write_bytes(rng.randbytes(rng.randrange(200_000)))
    whole, archive, state = tmp_path / "whole.warp", tmp_path / "a.warp", tmp_path / "state"
    succeed(driver("create", whole, tree, tmp_path / "whole-state"))
    expected, last = content(whole), whole.stat().st_size
    stopped = 0
    for _ in range(INTERRUPTS):
        archive.unlink(missing_ok=True)
        shutil.rmtree(state, ignore_errors=True)
        command = list(driver("create", archive, tree, state))
        if interrupted_at(command, archive, rng.randrange(1, last - (1 << 20))) and not is_finished(archive):
            stopped += 1
            succeed(command)
        assert content(archive) == expected
    assert stopped >= INTERRUPTS // 2
    assert verify(archive, Level.DEEP, unlock=Unlock(archive_key=KEY)).ok
