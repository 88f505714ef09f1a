"""What the transfer bench is held to: ratios between two tools of one run, from its results alone."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from benches.shipping import SECOND, SEND
from benches.transfer_lineup import ON_ETHERNET

Sets = Mapping[str, Mapping[str, Any]]
QUIC, TCP = "warp-quic", "warp-tcp"


class Measure(Enum):
    """What is compared, as the name of a figure; of time the other tool's is divided by ours, of bytes ours by the other's."""

    WHOLE = "wall_s"  # seconds of the whole commands
    TRANSPORT = "told_s"  # seconds of the connection, by the tools' own word
    NETWORK = "wire_bytes"


@dataclass(frozen=True, slots=True)
class Bar:
    """`bound`: the least ratio of times, or the largest of bytes."""

    load: str
    step: str
    ours: str
    theirs: str
    measure: Measure
    bound: float

    def ratio(self, sets: Sets) -> float | None:
        """How it was in these results; None if one of both was not measured."""
        ours, theirs = (self._median(sets, tool) for tool in (self.ours, self.theirs))
        if not ours or not theirs:
            return None
        return ours / theirs if self.measure is Measure.NETWORK else theirs / ours

    def met(self, ratio: float) -> bool:
        """Whether this ratio is good enough."""
        return ratio <= self.bound if self.measure is Measure.NETWORK else ratio >= self.bound

    def _median(self, sets: Sets, tool: str) -> float | None:
        for row in sets.get(self.load, {}).get("rows", ()):
            if (row["tool"], row["step"]) == (tool, self.step):
                figures = [run[self.measure.value] for run in row["runs"]]
                return None if None in figures else float(statistics.median(figures))
        return None


def _whole(load: str, step: str, bounds: Mapping[str, float]) -> Iterator[Bar]:
    for theirs, bound in bounds.items():
        for ours in (QUIC, TCP):
            yield Bar(load, step, ours, theirs, Measure.WHOLE, bound)


BARS: Final = (
    Bar("archive", SEND, ON_ETHERNET, "quinn", Measure.TRANSPORT, 0.80),
    Bar("file", SEND, ON_ETHERNET, "quinn", Measure.TRANSPORT, 0.65),
    Bar("archive", SEND, TCP, "iperf3", Measure.TRANSPORT, 0.40),
    Bar("file", SEND, TCP, "iperf3", Measure.TRANSPORT, 0.30),
    *_whole("file", SEND, {"magic-wormhole": 3, "sendme": 4, "croc": 8, "rsync": 1}),
    *_whole("tree", SEND, {"rsync": 2, "sendme": 10}),
    *_whole("text", SEND, {"croc": 3, "magic-wormhole": 3}),
    *(Bar("tree", SECOND, ours, "rsync -z", Measure.NETWORK, 5) for ours in (QUIC, TCP)),
    *_whole("tree", SECOND, {"rsync -z": 1}),
)


class Verdict(NamedTuple):
    """A bar and what was found."""

    bar: Bar
    ratio: float
    met: bool


def verdicts(sets: Sets) -> list[Verdict]:
    """Of all bars both of whose tools were measured."""
    found = ((bar, bar.ratio(sets)) for bar in BARS)
    return [Verdict(bar, ratio, bar.met(ratio)) for bar, ratio in found if ratio is not None]
