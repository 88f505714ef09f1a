"""Names the slowest of the stages that a transfer goes through, and puts what is to be done in order."""

from collections.abc import Sequence
from dataclasses import dataclass

from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.units import format_rate


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
        """Bytes a second that this machine can send."""
        return min((stage.rate for stage in self.stages if stage.sends), default=None)

    @property
    def receives(self) -> float | None:
        """Bytes a second that it can receive."""
        return min((stage.rate for stage in self.stages if stage.receives), default=None)

    @property
    def says(self) -> str:
        """For people."""
        if not self.stages:
            return "nothing could be measured"
        slowest, *others = self.stages
        beside = ", ".join(f"{stage.says} {format_rate(stage.rate)}" for stage in others)
        return f"bottleneck: {slowest.part.value}: {slowest.says} {format_rate(slowest.rate)}" + (
            f"; {beside}" if beside else ""
        )


def conclude(checks: Sequence[Check], stages: Sequence[Stage]) -> Verdict:
    """From all that was found. Checks of the bottleneck's part come first, then what else to mend, then what is worth to know."""
    ordered = tuple(sorted(stages, key=lambda stage: stage.rate))
    slowest = ordered[0] if ordered else None
    part = slowest.part if slowest else None
    mends = [check for check in checks if check.grade is Grade.MEND and check.advice]
    notes = [check for check in checks if check.grade is Grade.NOTE and check.advice]
    first = [check for check in mends if check.part == part]
    lines = [f"{check.says}: {check.advice}" for check in (*first, *(each for each in mends if each not in first))]
    # What mends a part makes it faster too: there is nothing else to say of it then.
    if slowest is not None and slowest.advice and not first:
        lines.append(f"{slowest.says} {format_rate(slowest.rate)}: {slowest.advice}")
    lines += [f"{check.says}: {check.advice}" for check in notes]
    return Verdict(ordered, tuple(lines), sum(check.grade is Grade.FAILED for check in checks))
