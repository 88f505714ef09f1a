"""Progress of commands that work: bytes, rate, time left, ratios; as a bar, as plain lines, or as JSON.

Nothing is shown in the first half second, and rich is imported only then, so that short runs pay nothing. Progress never
goes backwards, and a time left is given only once the total is known.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

from warp_portal.cli.output import Output
from warp_portal.cli.text import path_fields, printable
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from rich.console import Group

# A shorter run is over before anyone has read a line.
SHOW_AFTER_S: Final = 0.5
BAR_EVERY_S: Final = 0.1
JSON_EVERY_S: Final = 1.0
# Lines end up in logs: enough to see that it goes on.
LINE_EVERY_S: Final = 10.0
# The rate shown follows changes within a few seconds without jumping about.
SMOOTHING_S: Final = 5.0
BAR_WIDTH: Final = 24

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """A moment of the work: bytes done, and in all if that is known; `note` is for people, `fields` for programs."""

    done: int
    total: int | None
    note: str = ""
    current: bytes = b""
    fields: dict[str, int] = field(default_factory=dict)


class Meter:
    """Bytes a second, as an exponentially weighted mean over the last seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._time = clock.monotonic_s()
        self._done = 0
        self.rate = 0.0

    def update(self, done: int) -> None:
        """Take in how much is done now."""
        now = self._clock.monotonic_s()
        passed = now - self._time
        if passed < BAR_EVERY_S / 2:
            return
        rate = max(0, done - self._done) / passed
        weight = 1.0 if self.rate == 0 else 1 - math.exp(-passed / SMOOTHING_S)
        self.rate += weight * (rate - self.rate)
        self._time, self._done = now, done

    def left_s(self, done: int, total: int | None) -> float | None:
        """Seconds until all is done at this rate; None while that cannot be known."""
        if total is None or self.rate < 1:
            return None
        return max(0, total - done) / self.rate


class Display(Protocol):
    """One way of showing a step."""

    every_s: float

    def show(self, step: Step, meter: Meter) -> None:
        """Show it."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Reporter:
    """Takes steps from the work and shows them, not too often. Use it as a context manager."""

    def __init__(self, output: Output, title: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._output, self._clock = output, clock
        self._display: Display | None = None
        self._begin(title)

    def _begin(self, title: str) -> None:
        if self._display is not None:
            self._display.close()
        self._title = title
        self._start = self._shown = self._clock.monotonic_s()
        self._meter = Meter(self._clock)
        self._display = None
        self._most = 0

    def following(self, describe: Callable[[T], Step], title: str | None = None) -> Callable[[T], None]:
        """A callback for the work, whose own progress is turned into steps by `describe`.

        With another `title` than that of the work before it begins from zero: what follows one after the other is counted apart.
        """

        def follow(progress: T) -> None:
            if title not in (None, self._title):
                self._begin(title)
            self.step(describe(progress))

        return follow

    def step(self, step: Step) -> None:
        """Take in a step; shows it if it is time."""
        self._most = max(self._most, step.done if step.total is None else min(step.done, step.total))
        self._meter.update(self._most)
        now = self._clock.monotonic_s()
        if now - self._start < SHOW_AFTER_S:
            return
        if self._display is None:
            self._display = _display_for(self._output, self._title)
        if now - self._shown >= self._display.every_s:
            self._shown = now
            shown = Step(self._most, step.total, step.note, step.current, step.fields)
            self._display.show(shown, self._meter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.close()


def _display_for(output: Output, title: str) -> Display:
    if output.json_lines:
        return _Records(output)
    if output.quiet:
        return _Nothing()
    return _Bar(output, title) if output.stderr.isatty() else _Lines(output, title)


class _Nothing:
    every_s = math.inf

    def show(self, step: Step, meter: Meter) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to leave."""


class _Records(_Nothing):
    """JSON lines on stdout."""

    every_s = JSON_EVERY_S

    def __init__(self, output: Output) -> None:
        self._output = output

    def show(self, step: Step, meter: Meter) -> None:
        left = meter.left_s(step.done, step.total)
        self._output.record(
            "progress",
            bytes_done=step.done,
            bytes_total=step.total,
            bytes_per_s=round(meter.rate),
            seconds_left=None if left is None else round(left, 1),
            **step.fields,
            **path_fields(step.current, "current"),
        )
        self._output.flush()


class _Lines(_Nothing):
    """A plain line now and then on stderr."""

    every_s = LINE_EVERY_S

    def __init__(self, output: Output, title: str) -> None:
        self._output, self._title = output, title

    def show(self, step: Step, meter: Meter) -> None:
        self._output.remark(f"{self._title}: {amounts(step, meter)}{'; ' + step.note if step.note else ''}")


class _Bar(_Nothing):
    """A bar on the terminal, with the ratios and the path at work below it."""

    every_s = BAR_EVERY_S

    def __init__(self, output: Output, title: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title = title
        console = Console(file=output.stderr, highlight=False)
        self._live = Live(console=console, transient=True, auto_refresh=False)
        self._live.start()

    def show(self, step: Step, meter: Meter) -> None:
        self._live.update(self._frame(step, meter), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _frame(self, step: Step, meter: Meter) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar = ProgressBar(total=step.total, completed=step.done, width=BAR_WIDTH, pulse=step.total is None)
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(self._title), bar, Text(amounts(step, meter), no_wrap=True))
        below = "  ".join(filter(None, (step.note, printable(step.current))))
        return Group(row, Text(below, style="dim", no_wrap=True, overflow="ellipsis"))


def amounts(step: Step, meter: Meter) -> str:
    """`1.20 GB of 4.50 GB, 640 MB/s, 5.2 s left`."""
    of = "" if step.total is None else f" of {format_bytes(step.total)}"
    left = meter.left_s(step.done, step.total)
    return f"{format_bytes(step.done)}{of}, {format_rate(meter.rate)}{'' if left is None else f', {format_duration(left)} left'}"
