"""Every command on archives whose author chose every byte: a typed error or a right answer, in bounded memory and time.

The program runs as a process of its own, and `wait4` tells its peak memory. Around the target lies a canary tree that
must stay as it is.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.hostile import cases, index_cases, slot_cases
from tests.hostile.forging import base
from tests.scale.commands import measured
from tests.unit.archive.common import in_child

CASES: Final = cases.CASES | index_cases.CASES | slot_cases.CASES
SLOW: Final = {"a_million_hard_links"}  # to make, and to restore
PEAK_BYTES: Final = 256 << 20
SOURCES: Final = Path(__file__).resolve().parents[2] / "src"
LIMIT_S: Final = 300  # the longest, reading a file of 25 million pieces, takes 85 s
OUTPUT_BYTES: Final = 64 << 20  # a hole of 8 EiB is read for as long as somebody listens
# What scripts rely on (docs/command-line.md), without 1, which is a fault of the program; 141: nobody listened any more.
KNOWN_EXITS: Final = {0, 2, 3, 4, 10, 13, 14, 16, 17, 18, 141}
NO_KEY_OPENS: Final = 12
DAMAGED: Final = 13
DEEP: Final = ["verify", "A", "--level", "deep"]
SOME: Final = (DEEP, ["extract", "A", "-C", "out/target"])
OTHERS: Final = (
    ["list", "A"],
    ["list", "A", "--json"],
    ["info", "A"],
    ["verify", "A", "--level", "quick"],
    ["verify", "A", "--level", "index"],
    ["verify", "A", "--level", "data"],
    ["extract", "A", "-C", "out/target", "--overwrite", "always"],
    ["cat", "A", "a"],
    ["diff", "A", "--tree", "tree"],
    ["append", "A", "tree"],
    ["compact", "A"],
)


def run(home: Path, arguments: Sequence[str], keys: Mapping[str, str]) -> tuple[int, int, str]:
    """Exit code, peak memory in bytes and messages of one command."""
    own = {"PYTHONPATH": SOURCES, "XDG_STATE_HOME": home / "state", "XDG_CONFIG_HOME": home / "config"}
    environment = {**os.environ, **{name: str(path) for name, path in own.items()}, **keys}
    command = [sys.executable, "-m", "warp_portal", *("a.warp" if word == "A" else word for word in arguments)]
    limited = ["timeout", "--signal=ABRT", str(LIMIT_S), *command]
    with (home / "stderr").open("wb") as errors, measured(limited) as (between, usage):
        with subprocess.Popen(
            between, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL
        ) as process:
            taken = 0
            while taken < OUTPUT_BYTES and (data := process.stdout.read(1 << 20) if process.stdout else b""):
                taken += len(data)
        return process.returncode, usage().peak_bytes, (home / "stderr").read_text(errors="replace")


def prepare(home: Path) -> None:
    for name, content in (("out/canary/kept", "kept"), ("canary/kept", "kept"), ("tree/a", "other")):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)


def surroundings(home: Path) -> list[tuple[str, int, str]]:
    """All that lies around the target."""
    found = [
        *(home / "out" / "canary").rglob("*"),
        *(home / "canary").rglob("*"),
        *home.glob("*"),
        *(home / "out").glob("*"),
    ]
    state = {"state", "config", "stderr", "a.warp", "target", "out", slot_cases.IDENTITY_FILE}
    kept = [path for path in found if path.name not in state]
    return sorted(
        (str(path), path.lstat().st_mode, path.read_text() if path.is_file() else "")
        for path in kept
        if path.name != "seed"
    )


def check(home: Path, name: str, commands: Sequence[Sequence[str]]) -> None:
    prepare(home)
    # In another process: what is forged may be large.
    assert in_child(lambda: CASES[name](home / "a.warp")) == 0
    (home / "seed").unlink()
    before = surroundings(home)
    try:
        check_all(home, name, before, commands)
    finally:  # `rmtree` ends where a tree has more levels than Python's stack
        subprocess.run(["rm", "-rf", str(home / "out")], check=True)


def check_all(home: Path, name: str, before: object, commands: Sequence[Sequence[str]]) -> None:
    keys = slot_cases.ENVIRONMENT if name in slot_cases.CASES else {}
    for arguments in commands:
        code, peak, messages = run(home, arguments, keys)
        told = f"{name}: {' '.join(arguments)}: exit {code}, peak {peak >> 20} MiB\n{messages[-2000:]}"
        assert code in KNOWN_EXITS or (code == NO_KEY_OPENS and name in slot_cases.CASES), told
        assert code == DAMAGED or arguments != DEEP or name not in index_cases.CASES, told
        assert "Traceback" not in messages, told
        assert code in (0, 4, 141) or messages.strip(), told
        assert peak < PEAK_BYTES, told
        assert surroundings(home) == before, told


@pytest.mark.parametrize("name", sorted(CASES.keys() - SLOW))
def test_a_hostile_archive_does_no_harm(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, SOME)


@pytest.mark.soak
@pytest.mark.parametrize("name", CASES)
def test_soak_hostile_archives_with_every_command(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, [*SOME, *OTHERS])


def test_what_the_cases_are_made_of_is_a_whole_archive(tmp_path: Path) -> None:
    prepare(tmp_path)
    base(tmp_path / "a.warp")
    assert [run(tmp_path, arguments, {})[0] for arguments in SOME] == [0, 0]
