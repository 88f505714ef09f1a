"""Run `warp` as its own process: its output, and the peak of its resident memory."""

import os
import subprocess
import sys
from pathlib import Path


def warp(*arguments: str | Path) -> tuple[list[str], int]:
    """Lines of the output, and peak resident bytes; the command must succeed."""
    command = [sys.executable, "-m", "warp_portal", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = process.stdout.read().decode().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return lines, usage.ru_maxrss * 1024
