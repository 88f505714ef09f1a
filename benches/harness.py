"""Run commands of several tools side by side, several times, and tell medians.

A run is one process tree: wall seconds, CPU seconds (user + system of all its descendants) and the peak resident size of
its largest process, from `wait4`. Rounds interleave the tools, so that a noisy minute hits all of them. A command that fails
is noted with the end of what it said, and the others go on.
"""

import contextlib
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

MOST_SECONDS: Final = 1800.0  # a tool that hangs must not hold up the others for ever
TAIL: Final = 2000  # characters of a failed command's errors that are kept


@dataclass(frozen=True, slots=True)
class Run:
    """One measured command."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(slots=True)
class Series:
    """All runs of one step of one tool."""

    tool: str
    step: str
    runs: list[Run] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def median(self, value: str) -> float:
        """Median of `wall_s`, `cpu_s` or `peak_bytes`."""
        return float(statistics.median(getattr(run, value) for run in self.runs))


class CommandFailedError(Exception):
    """A measured command did not exit with 0, or not within MOST_SECONDS."""


def measure(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Run `command` to its end; its output goes to /dev/null, its errors are shown if it fails."""
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as process:
        assert process.stderr is not None
        limit = threading.Timer(MOST_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        try:
            errors = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            # In a group of its own it does not hear Ctrl-C.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            raise
        finally:
            limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode != 0:
        tail = errors.decode(errors="replace")[-TAIL:]
        raise CommandFailedError(f"exit {process.returncode} of {' '.join(command)}\n{tail}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def shell(line: str, *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """A pipeline; every part of it must succeed."""
    return measure(["bash", "-o", "pipefail", "-c", line], cwd=cwd, env=env)


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that a tool could not do."""

    tool: str
    step: str
    error: str


class Table:
    """The results of a bench, by tool and step in order of first use."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}
        self.failures: list[Failure] = []

    def add(self, tool: str, step: str, run: Run, **sizes: int) -> None:
        """Note a run; sizes (bytes) are those of the last one."""
        series = self.series.setdefault((tool, step), Series(tool, step))
        series.runs.append(run)
        series.sizes.update(sizes)

    def time(
        self, tool: str, step: str, command: Callable[[], Run], size: Callable[[], int] | None = None
    ) -> Run | None:
        """Run and note; `size` is taken after the run. None if the command failed: that is noted too."""
        print(f"  {tool:24} {step:18}", end="", file=sys.stderr, flush=True)
        try:
            run = command()
        except CommandFailedError as error:
            self.fail(tool, step, str(error))
            return None
        print(f"{run.wall_s:8.2f} s", file=sys.stderr, flush=True)
        self.add(tool, step, run, **({"stored_bytes": size()} if size else {}))
        return run

    def fail(self, tool: str, step: str, error: str) -> None:
        """Note that a step failed."""
        print(f"  FAILED: {error}", file=sys.stderr, flush=True)
        self.failures.append(Failure(tool, step, error))

    def lines(self) -> list[str]:
        """A table for people: medians, with the range of the wall time; then what failed."""
        head = f"{'tool':24} {'step':18} {'wall s':>7} {'range':>13} {'CPU s':>7} {'peak MB':>8} {'stored MB':>10}"
        failed = [f"FAILED: {each.tool}, {each.step}: {each.error}" for each in self.failures]
        return [head, "-" * len(head), *(self._line(series) for series in self.series.values()), *failed]

    @staticmethod
    def _line(series: Series) -> str:
        walls = [run.wall_s for run in series.runs]
        stored = series.sizes.get("stored_bytes")
        return (
            f"{series.tool:24} {series.step:18} {series.median('wall_s'):7.2f} {min(walls):6.2f}–{max(walls):<6.2f}"
            f" {series.median('cpu_s'):7.2f} {series.median('peak_bytes') / 1e6:8.0f}"
            f" {'' if stored is None else format(stored / 1e6, '.1f'):>10}"
        )

    def ratio(self, ours: tuple[str, str], theirs: tuple[str, str]) -> float | None:
        """How many times faster `ours` is than `theirs`, or None if one was not run."""
        if ours not in self.series or theirs not in self.series:
            return None
        return self.series[theirs].median("wall_s") / self.series[ours].median("wall_s")

    def as_json(self) -> list[dict[str, object]]:
        """One object per series, with every run."""
        return [asdict(series) for series in self.series.values()]


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def own_peak_bytes() -> int:
    """The peak resident size of this process. No command that it starts is seen to take less: Linux hands it on through exec."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_json(path: Path, results: Mapping[str, object]) -> None:
    """Write the results beside the machine they come from; a run that is killed here leaves the file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")
    new.replace(path)
    print(f"written: {path}", file=sys.stderr)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def tree_bytes(path: Path) -> int:
    """Bytes of the regular files below `path`, or of the file itself."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat(follow_symlinks=False).st_size for f in path.rglob("*") if f.is_file() and not f.is_symlink())
