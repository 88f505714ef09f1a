"""Mounting the faulty file system for a test, and taking it down whatever happens."""

import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tests.faults.filesystem import Fault, Operation

MOUNT_S = 10.0


def reason_to_skip() -> str:
    """Why nothing can be mounted here; empty if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no access to /dev/fuse"
    if not (shutil.which("fusermount3") or shutil.which("fusermount")):
        return "fusermount is not installed (apt-get install fuse3)"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        return f"no FUSE library: {error} (apt-get install fuse3)"
    return ""


class FaultyMount:
    """A mounted directory. `plan` sets the next faults and tells what happened under the plan before."""

    def __init__(self, backing: Path, path: Path) -> None:
        self.backing, self.path = backing, path
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        from tests.faults.filesystem import serve

        self._process = context.Process(target=serve, args=(str(backing), str(path), theirs), daemon=True)

    def plan(self, *faults: "Fault") -> "tuple[dict[str, int], list[Operation], int]":
        """Counts, log and number of failures since the last plan."""
        self._control.send(faults)
        counts, log, failed = self._control.recv()
        return counts, log, failed

    def __enter__(self) -> Self:
        before = os.stat(self.path).st_dev
        self._process.start()
        end = time.monotonic() + MOUNT_S
        while os.stat(self.path).st_dev == before:
            assert self._process.is_alive(), "the file system did not mount"
            assert time.monotonic() < end, "the file system took too long to mount"
            self._process.join(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        tool = shutil.which("fusermount3") or "fusermount"
        subprocess.run([tool, "-u", "-z", str(self.path)], check=False, capture_output=True)
        self._process.join(MOUNT_S)
        if self._process.is_alive():
            self._process.kill()


@contextmanager
def faulty(directory: Path) -> Iterator[FaultyMount]:
    """A faulty view at `directory/mount` of `directory/backing`."""
    backing, path = directory / "backing", directory / "mount"
    backing.mkdir(parents=True)
    path.mkdir()
    with FaultyMount(backing, path) as mount:
        yield mount
