"""The rounds of the archive bench over one data set.

A round: from a cold page cache each tool packs version 1; then each packs version 1, adds version 2 in its place, adds it
again unchanged, checks all and restores. Before that all is read, for each tool anew: borg has the kernel forget what it reads. Each tool's output is deleted before the next one
starts, and each round begins with another tool. What each tool restored first is compared with the tree.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from benches.harness import CommandFailedError, Run, Table
from benches.places import Place, differences, drop_caches, empty, warm
from benches.tools import Checker, Tool

COLD, CREATE, SECOND, UNCHANGED, VERIFY, EXTRACT = (
    "create, cold",
    "create",
    "second version",
    "unchanged",
    "verify deep",
    "extract",
)
STEPS = (COLD, CREATE, SECOND, UNCHANGED, VERIFY, EXTRACT)
SHOWN_DIFFERENCES = 20


class Rounds:
    """All rounds of one data set; `restored` says per tool in how many paths its tree differed, with the first of them."""

    def __init__(self, place: Place, tools: Sequence[Tool], *, cold: bool, warm: bool = True) -> None:
        self.place, self.tools, self.cold, self.warm = place, tools, cold, warm
        self.table = Table()
        self.restored: dict[str, tuple[int, list[str]]] = {}

    def run(self, number: int) -> None:
        """Round `number`, from 0."""
        first = number % len(self.tools)
        order = [*self.tools[first:], *self.tools[:first]]
        if self.cold:
            for tool in order:
                self._alone(tool, self._cold)
        if self.warm:
            for tool in order:
                self._alone(tool, self._steps)

    def _alone(self, tool: Tool, part: Callable[[Tool], None]) -> None:
        """A tool with an empty scratch space before and after."""
        tool.clean()
        try:
            tool.prepare()
            part(tool)
        except CommandFailedError as error:
            self.table.fail(tool.name, "prepare", str(error))
        finally:
            tool.clean()

    def _cold(self, tool: Tool) -> None:
        with self.place.version(0):
            drop_caches()
            self.table.time(tool.name, COLD, partial(tool.pack, 1))

    def _steps(self, tool: Tool) -> None:
        warm(self.place.versions)
        newest = self._pack(tool)
        if newest is None:
            return
        if isinstance(tool, Checker):
            self.table.time(tool.name, VERIFY, tool.verify)
        with empty(self.place.scratch / "restored") as target:
            extracted = self.table.time(tool.name, EXTRACT, partial(tool.extract, target))
            if extracted and tool.name not in self.restored:
                found = differences(self.place.versions[newest] / "tree", target / "tree")
                self.restored[tool.name] = len(found), found[:SHOWN_DIFFERENCES]
                if found:
                    print(f"  {tool.name}: the restored tree differs in {len(found)} paths", file=sys.stderr)

    def _pack(self, tool: Tool) -> int | None:
        """The version that was packed last, or None if none was."""
        last = len(self.place.versions) - 1 if tool.appends else 0
        if self._add(tool, 0, CREATE, 1) is None:
            return None
        if not tool.appends:
            return 0
        if last and self._add(tool, last, SECOND, 2) is None:
            return 0
        self._add(tool, last, UNCHANGED, 3)
        return last

    def _add(self, tool: Tool, version: int, step: str, number: int) -> Run | None:
        with self.place.version(version):
            return self.table.time(tool.name, step, partial(tool.pack, number), tool.stored_bytes)
