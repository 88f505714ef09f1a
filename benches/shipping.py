"""The rounds of the transfer bench over one load.

A round: each tool sends the load; where there is a next version, over what it sent; the load `resume` until its receiver is
killed half way, and then the rest. Each tool begins with two new machines and an empty directory, and each round with another
tool. What arrived is compared byte by byte with what was sent, the first time for each tool and step.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from benches.harness import CommandFailedError, Run, Table, measure
from benches.loads import Load
from benches.mover import Errand, Kind, Mover, Room, Trip, TwoSided
from benches.places import empty
from benches.sides import Transfer

SEND, SECOND, CUT, RESUME = "send", "second version", "until the kill", "resume"
SHOWN_DIFFERENCES: Final = 20
_READ: Final = 'find "$@" -type f -print0 | xargs -0 cat > /dev/null'


class Shipping:
    """All rounds of one load; `arrived` says per tool and step in how many paths its tree differed, with the first of them."""

    def __init__(self, room: Room, movers: Sequence[Mover], load: Load) -> None:
        self.movers = [mover for mover in movers if mover.resumes or not load.cut]
        self._room, self._load = room, load
        self.table = Table()
        self.arrived: dict[str, tuple[int, list[str]]] = {}

    def run(self, number: int) -> None:
        """Round `number`, from 0."""
        read([self._load.source, *([self._load.newer] if self._load.newer else [])])
        first = number % len(self.movers) if self.movers else 0
        for mover in [*self.movers[first:], *self.movers[:first]]:
            if not mover.files and self._load.source.is_dir():
                continue
            self._room.clean()
            try:
                with empty(self._room.scratch / "arrived") as target:
                    self._steps(mover, Errand(self._load.source, target))
            except CommandFailedError as error:
                self.table.fail(mover.name, "services", str(error))
            finally:
                self._room.clean()

    def _steps(self, mover: Mover, errand: Errand) -> None:
        if self._load.cut:
            assert isinstance(mover, TwoSided)
            self._resumed(mover, errand)
            return
        sent = self.table.time(mover.name, SEND, partial(mover.carry, errand))
        if not sent or not mover.files:
            return
        self._compare(mover, SEND, errand)
        if self._load.newer is not None and mover.updates:
            second = replace(errand, source=self._load.newer, kind=Kind.UPDATE)
            if self.table.time(mover.name, SECOND, partial(mover.carry, second)):
                self._compare(mover, SECOND, second)

    def _resumed(self, mover: TwoSided, errand: Errand) -> None:
        with mover.services(), Trip(mover, errand) as trip:
            cut = self.table.time(mover.name, CUT, partial(trip.cut, self._load.bytes))
            if cut and self.table.time(mover.name, RESUME, partial(self._again, mover, trip, cut)):
                self._compare(mover, RESUME, errand)

    def _again(self, mover: TwoSided, trip: Trip, cut: Run) -> Transfer:
        """The rest of a cut transfer, with the bytes that were sent in both parts beyond the load's own."""
        resumed = trip.resume()
        before = cut.wire_bytes if isinstance(cut, Transfer) else None
        if before is None or resumed.wire_bytes is None:
            return resumed
        sent = (before + resumed.wire_bytes) // mover.passes
        return replace(resumed, again_bytes=max(0, sent - self._load.bytes))

    def _compare(self, mover: Mover, step: str, errand: Errand) -> None:
        key = f"{mover.name}, {step}"
        if key in self.arrived:
            return
        found = differences(errand.source, errand.target / errand.source.name, more=errand.kind is Kind.UPDATE)
        self.arrived[key] = len(found), found[:SHOWN_DIFFERENCES]
        if found:
            print(f"  {key}: what arrived differs in {len(found)} paths", file=sys.stderr)


def read(paths: Sequence[Path]) -> None:
    """Read all of it once, so that input comes from memory."""
    measure(["bash", "-c", _READ, "read", *map(str, paths)])


def differences(source: Path, arrived: Path, *, more: bool = False) -> list[str]:
    """What diff finds between two files or trees: contents, links, what is missing. Times and modes are no matter here, nor,
    with `more`, what only the arrived tree has: an older version's files, which nobody was asked to delete.
    """
    compared = ["diff", "--brief", "--recursive", "--no-dereference", str(source), str(arrived)]
    ran = subprocess.run(compared, check=False, capture_output=True, text=True, errors="replace")
    ours = tuple(f"Only in {arrived}{end}" for end in (":", "/")) if more else ()
    return [line for line in (ran.stdout + ran.stderr).splitlines() if not (ours and line.startswith(ours))]
