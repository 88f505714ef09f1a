"""How near `warp` comes to the host's own limit: create and extract on one core and on all, the limit measured in each round.

Clocks drift by a tenth within minutes, so a run is divided by the limit measured right beside it, and the median is taken
of the quotients.
"""

import json
import os
import shutil
import statistics
import subprocess
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benches import limit
from benches.harness import Table, measure

STEPS = ("create", "extract")


class Efficiency:
    """Measures `eta` round by round for one tree."""

    def __init__(self, warp: str, source: Path, scratch: Path, key: tuple[str, ...]) -> None:
        self._source = source  # holds `tree`
        self._archive = scratch / "eta.warp"
        self._target = scratch / "eta"
        self._create = [warp, "create", str(self._archive), "-C", str(source), "tree", *key]
        self._extract = [warp, "extract", str(self._archive), "-C", str(self._target), *key]
        # In a process of its own: what this one holds would count as the peak memory of the commands it starts later.
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        self._work = self._totals()
        self._limits: list[limit.Limit] = []
        self.etas: dict[tuple[str, int], list[float]] = {}

    def _totals(self) -> limit.Work:
        """What there is to do, from a run that is not timed."""
        self._archive.unlink(missing_ok=True)
        out = subprocess.run([*self._create, "--json"], check=True, capture_output=True, text=True).stdout
        self._archive.unlink()
        totals = next(json.loads(line)["totals"] for line in out.splitlines() if '"summary"' in line)
        names = ("bytes_read", "bytes_raw", "bytes_stored")
        return limit.Work(*(totals[name] for name in names))

    def round(self, table: Table) -> None:
        """Each step on one core and on all, and the limit."""
        found = self._pool.submit(limit.measure, self._source / "tree", self._work).result()
        self._limits.append(found)
        for cores in sorted({1, len(os.sched_getaffinity(0))}):
            pinned = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if cores == 1 else []
            self._archive.unlink(missing_ok=True)
            shutil.rmtree(self._target, ignore_errors=True)
            for step, command in zip(STEPS, (self._create, self._extract), strict=True):
                name = f"{step}, {cores} core{'s' * (cores > 1)}"
                run = table.time("warp", name, partial(measure, [*pinned, *command, "-j", str(cores)]))
                if run is None:
                    break  # without an archive there is nothing to extract
                cpu_s = sum(getattr(found, step).values())
                self.etas.setdefault((step, cores), []).append(cpu_s / (cores * run.wall_s))
        shutil.rmtree(self._target, ignore_errors=True)
        self._archive.unlink(missing_ok=True)

    def close(self) -> None:
        """End the other process."""
        self._pool.shutdown()

    def lines(self) -> list[str]:
        """The limits and medians of eta, for people."""
        middle = {step: self._middle(step) for step in STEPS}
        out = [limit.line(step, parts) for step, parts in middle.items()]
        for (step, cores), etas in self.etas.items():
            median = statistics.median(etas)
            out.append(f"eta of {step} on {cores} core(s): {median:.2f} ({min(etas):.2f}–{max(etas):.2f})")
        return out

    def as_json(self) -> dict[str, object]:
        """All that was measured."""
        etas = {f"{step}, {cores} core(s)": values for (step, cores), values in self.etas.items()}
        return {"limits_cpu_s": {step: self._middle(step) for step in STEPS}, "etas": etas}

    def _middle(self, step: str) -> dict[str, float]:
        """Medians of the parts of a limit."""
        found = [getattr(each, step) for each in self._limits]
        return {name: statistics.median(parts[name] for parts in found) for name in found[0]}
