"""Names the slowest of the stages that a transfer goes through, and puts what is to be done in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.units import format_rate

_NAMES: Final = {
    Part.CPU: "the processor",
    Part.DISK: "the disk",
    Part.BUFFERS: "the socket buffers",
    Part.NETWORK: "the network",
    Part.PATH: "the path",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`stages` are those of the carrier that is taken, the slowest first; `advice` is what to do, the most useful first."""

    stages: tuple[Stage, ...]
    advice: tuple[str, ...]
    failed: int

    @property
    def bottleneck(self) -> Part | None:
        """What holds transfers up; None if nothing could be measured."""
        return self.stages[0].part if self.stages else None

    @property
    def sends(self) -> float | None:
        """Bytes a second that this machine can send, about."""
        return min((stage.rate for stage in self.stages if stage.sends), default=None)

    @property
    def receives(self) -> float | None:
        """Bytes a second that it can receive, about."""
        return min((stage.rate for stage in self.stages if stage.receives), default=None)

    @property
    def says(self) -> str:
        """For people."""
        if not self.stages:
            return "nothing could be measured"
        slowest, *others = (f"{stage.says} {format_rate(stage.rate)}" for stage in self.stages)
        beside = f"; {', '.join(others)}" if others else ""
        return f"the slowest is {_NAMES[self.stages[0].part]}: {slowest}{beside}"


def conclude(checks: Sequence[Check], stages: Sequence[Stage]) -> Verdict:
    """From all that was found. What helps the slowest stage comes first, then what else to mend, then what is worth to know."""
    ordered = tuple(sorted(stages, key=lambda stage: stage.rate))
    part = ordered[0].part if ordered else None
    mends = [check for check in checks if check.grade is Grade.MEND]
    lines = [
        *(_line(check) for check in mends if check.part == part),
        *(f"{stage.says} {format_rate(stage.rate)}: {stage.advice}" for stage in ordered[:1] if stage.advice),
        *(_line(check) for check in mends if check.part != part),
        *(_line(check) for check in checks if check.grade is Grade.NOTE and check.advice),
    ]
    return Verdict(ordered, tuple(lines), sum(check.grade is Grade.FAILED for check in checks))


def _line(check: Check) -> str:
    return f"{check.says}: {check.advice}"
