"""Run `warp` as its own process: its output, its CPU time and the peak of its resident memory.

The kernel counts what a parent held into the peak of the child that it begins, so that a small process stands between.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

# Where large trees and archives are made; the tests themselves see no variable of the outside.
SCALE_DIR: Final = os.environ.get("WARP_SCALE_DIR")
# Begins the command in argv[2:] and writes what the kernel tells of it into the file argv[1].
_BETWEEN: Final = """
import os, sys
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as report:
    print(usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime, file=report)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


class Usage(NamedTuple):
    """Peak resident bytes and CPU seconds of one command."""

    peak_bytes: int
    cpu_s: float


def run_warp(
    arguments: list[str | Path], source: IO[bytes] | None = None, drain: Callable[[IO[bytes]], object] | None = None
) -> Usage:
    """Run a command, with `source` as its input (closed here) and its output given to `drain`; it must succeed."""
    command = [sys.executable, "-m", "warp_portal", *map(str, arguments)]
    with measured(command) as (between, usage):
        sink = subprocess.PIPE if drain else subprocess.DEVNULL
        with subprocess.Popen(between, stdin=source or subprocess.DEVNULL, stdout=sink) as process:
            if source:
                source.close()  # so that who writes into it notices if the command ends early
            if drain and process.stdout:
                drain(process.stdout)
        assert process.returncode == 0, arguments
        return usage()


@contextmanager
def measured(command: Sequence[str]) -> Iterator[tuple[list[str], Callable[[], Usage]]]:
    """What to run in the place of a command, and what tells of its use when it has ended; its exit code is the command's."""
    with tempfile.NamedTemporaryFile("r") as report:

        def usage() -> Usage:
            peak, cpu_s = report.read().split()
            return Usage(int(peak), float(cpu_s))

        yield [sys.executable, "-S", "-c", _BETWEEN, report.name, *command], usage


def warp(*arguments: str | Path) -> tuple[list[str], int]:
    """Lines of the output, and peak resident bytes."""
    output: list[bytes] = []
    usage = run_warp(list(arguments), drain=lambda pipe: output.append(pipe.read()))
    return output[0].decode().splitlines(), usage.peak_bytes
