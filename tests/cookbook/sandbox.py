"""Where a page's commands run: a home of their own, with `warp` on the PATH, disks under /mnt, and a machine to `ssh` to.

In commands `/mnt/` and `/tmp/` mean the sandbox's; in what they print its `/mnt/` is `/mnt/` again. `ssh HOST COMMAND` runs the command in another
home, without the settings and keys of the first, so that `rsync HOST:` works too. `mountpoint /mnt/DISK` finds a disk unless there is a DISK.unmounted
beside it.
"""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

SCENES: Final = Path(__file__).with_name("scenes")
_ROOT: Final = Path(__file__).resolve().parents[2]
# Longer than any block takes, even on a machine that is busy with other things.
TIMEOUT_S: Final = 120
# How a scene ends that needs what is not here (as of automake).
CANNOT: Final = 77
_WARP: Final = """#!/bin/sh
exec {python} -m warp_portal "$@"
"""
_PYTHON: Final = """#!/bin/sh
exec {python} "$@"
"""
_SSH: Final = """#!/bin/sh
shift
cd {box} && exec env -i HOME={box} PATH="$PATH" PYTHONPATH="$PYTHONPATH" TZ=UTC LANG=C.UTF-8 bash -c "$*"
"""
_MOUNTPOINT: Final = """#!/bin/sh
for disk in "$@"; do :; done
[ -d "$disk" ] && [ ! -e "$disk.unmounted" ]
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a block ended, and what it printed on both streams."""

    code: int
    output: str


class Sandbox:
    """A machine that one section of a page has for itself."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.home = root / "home"
        for name in ("home", "mnt", "tmp", "bin", "box"):
            (root / name).mkdir()
        self._tool("warp", _WARP.format(python=sys.executable))
        self._tool("python3", _PYTHON.format(python=sys.executable))
        self._tool("mountpoint", _MOUNTPOINT)
        self._tool("ssh", _SSH.format(box=root / "box"))
        # A session of a person knows these two; the runner of the tests may have other ones.
        self._environment = {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}",
            "TZ": "UTC",
        }

    def _tool(self, name: str, script: str) -> None:
        path = self._root / "bin" / name
        path.write_text(script)
        path.chmod(0o755)

    def run(self, commands: str) -> Ran:
        """Run them in the home, as a careful script would."""
        mnt, commands = f"{self._root}/mnt/", commands.replace("/tmp/", f"{self._root}/tmp/")
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", commands.replace("/mnt/", mnt)],
            cwd=self.home, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            # Of a block that failed something may still wait, as for a machine that does not come.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return Ran(process.returncode, output.replace(mnt, "/mnt/"))

    def set_up(self, page: str, section: str) -> None:
        """What the section finds: what every section of its page does, then what it alone does."""
        for scene in (SCENES / f"{page}.sh", SCENES / page / f"{section}.sh"):
            if scene.exists():
                ran = self.run(f"{(SCENES / 'functions.sh').read_text()}\n{scene.read_text()}")
                if ran.code == CANNOT:
                    pytest.skip(f"{scene.name}: this machine or user cannot set it up")
                assert ran.code == 0, f"{scene.name}: {ran.output}"

    def tear_down(self) -> None:
        """Take down what was mounted."""
        for mounted in (path for path in self.home.iterdir() if path.is_mount()):
            subprocess.run(["umount", str(mounted)], check=True)
