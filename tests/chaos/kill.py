"""Kill a process at a chosen amount of output, and look at what it left."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def driver(verb: str, archive: Path, directory: Path, state: Path) -> list[str]:
    """The command line of `tests.chaos.driver`."""
    return [sys.executable, "-m", "tests.chaos.driver", verb, str(archive), str(directory), str(state)]


def succeed(command: Sequence[str]) -> str:
    """A command that must exit with 0; its standard output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def killed_at(command: Sequence[str], watched: Path, at_bytes: int) -> bool:
    """SIGKILL the command as soon as `watched` (a file or a tree) holds `at_bytes`; False if it ended before."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while process.poll() is None:
            if size_of(watched) >= at_bytes:
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.0005)
        return process.wait() == -signal.SIGKILL


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory; 0 if it is not there."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    return sum(map(_entry_size, _files(path)))


def _entry_size(entry: os.DirEntry[str]) -> int:
    """Size of a file that may have been renamed meanwhile."""
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _files(path: Path) -> Iterator[os.DirEntry[str]]:
    pending = [os.fspath(path)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif not entry.is_symlink():
                        yield entry
        except FileNotFoundError:
            continue


def moments(seed: int, count: int, first: int, last: int) -> list[int]:
    """Sizes at which to kill, spread over `first` … `last`; others for each seed."""
    rng = random.Random(seed)
    return [rng.randrange(first, last) for _ in range(count)]
