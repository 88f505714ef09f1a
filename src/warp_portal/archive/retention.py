"""Which snapshots are kept: rules over their times, without a look at any file or clock.

    last N            the N newest
    daily … yearly N  the newest of each of the last N days, ISO weeks, months or years that have one
    within            all that are at most so much older than the newest

A snapshot is kept if any rule keeps it, and the newest always is. What a change of keys made holds nothing of its own, so rules
pass over it. Spans are measured from the newest snapshot, not from now:
where backups have stopped, time alone forgets nothing.

>>> times = [day * 86_400 * 10**9 for day in range(5)]
>>> kept_by(times, KeepRules(last=1, within_s=86_400), UTC)
{4: ('within',), 5: ('last', 'within')}
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from warp_portal.errors import NotFoundError, UsageError

_NS: Final = 10**9
# What two snapshots have in common that are of one day, week, month or year.
_PERIODS: Final[dict[str, Callable[[datetime], tuple[int, ...]]]] = {
    "daily": lambda time: (time.year, time.month, time.day),
    "weekly": lambda time: time.isocalendar()[:2],
    "monthly": lambda time: (time.year, time.month),
    "yearly": lambda time: (time.year,),
}


@dataclass(frozen=True, slots=True)
class KeepRules:
    """How many to keep by each rule; 0 = the rule was not given."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within_s: int = 0

    def __bool__(self) -> bool:
        return any((self.last, self.daily, self.weekly, self.monthly, self.yearly, self.within_s))


@dataclass(frozen=True, slots=True)
class Selection:
    """What shall be kept: by rules (all, if there are none), less the snapshots that are named by number."""

    rules: KeepRules = KeepRules()
    forgotten: frozenset[int] = frozenset()

    def kept(
        self, times_ns: Sequence[int], zone: tzinfo | None = None, *, passed_over: AbstractSet[int] = frozenset()
    ) -> dict[int, tuple[str, ...]]:
        """Numbers of the snapshots to keep, each with the rules that keep it.

        Those in `passed_over` hold what the one before them holds: no rule sees them. Where that one is forgotten by number, what
        keeps it keeps the first of them that is not.

        Raises:
            NotFoundError: a snapshot named does not exist.
            UsageError: it is the newest, which is always kept.
        """
        newest = len(times_ns)
        if unknown := sorted(number for number in self.forgotten if not 1 <= number <= newest):
            raise NotFoundError(f"there are snapshots 1 to {newest}, and no {unknown[0]}: see `warp info`")
        if newest in self.forgotten:
            raise UsageError(f"snapshot {newest} is the newest, which is always kept: name another")
        by_rule: dict[int, tuple[str, ...]] = dict.fromkeys(range(1, newest + 1), ())
        if self.rules:
            repeats = passed_over - {1}  # nothing is before the first
            by_rule = self._passed_on(kept_by(times_ns, self.rules, zone, passed_over=repeats), repeats)
        return {number: rules for number, rules in by_rule.items() if number not in self.forgotten}

    def _passed_on(self, by_rule: dict[int, tuple[str, ...]], repeats: AbstractSet[int]) -> dict[int, tuple[str, ...]]:
        """The same, with what keeps a snapshot that is forgotten by number passed on to one that repeats it.

        This comes after the rules: did they see the repeat, one state would take two places, one of them at the time of the repeat.
        """
        heirs: dict[int, tuple[str, ...]] = {}
        for number, rules in by_rule.items():
            heirs.setdefault(self._heir(number, repeats), rules)  # the newest may be there, kept by what was passed on
        return heirs

    def _heir(self, number: int, repeats: AbstractSet[int]) -> int:
        """The first of a snapshot and its repeats that is not forgotten by number, or the last of them."""
        while number in self.forgotten and number + 1 in repeats:
            number += 1
        return number


EVERYTHING: Final = Selection()


def kept_by(
    times_ns: Sequence[int],
    rules: KeepRules,
    zone: tzinfo | None = None,
    *,
    passed_over: AbstractSet[int] = frozenset(),
) -> dict[int, tuple[str, ...]]:
    """As `Selection.kept`, by rules alone. Times are in archive order; days begin at midnight in `zone` (None = this machine's)."""
    reasons: dict[int, list[str]] = {}
    seen = [number for number in range(len(times_ns), 0, -1) if number not in passed_over]
    for name, numbers in _by_rule(times_ns, seen, rules, zone):
        for number in numbers:
            reasons.setdefault(number, []).append(name)
    if times_ns:
        reasons.setdefault(len(times_ns), ["newest"])
    return {number: tuple(reasons[number]) for number in sorted(reasons)}


def _by_rule(
    times_ns: Sequence[int], numbers: list[int], rules: KeepRules, zone: tzinfo | None
) -> Iterable[tuple[str, list[int]]]:
    """What each rule keeps of the snapshots `numbers`, the newest first."""
    yield "last", numbers[: rules.last]
    times = [datetime.fromtimestamp(time_ns // _NS, UTC).astimezone(zone) for time_ns in times_ns]
    for name, period in _PERIODS.items():
        yield name, _newest_of_each([(number, period(times[number - 1])) for number in numbers], getattr(rules, name))
    if rules.within_s and numbers:
        since_ns = times_ns[numbers[0] - 1] - rules.within_s * _NS
        yield "within", [number for number in numbers if times_ns[number - 1] >= since_ns]


def _newest_of_each(periods: list[tuple[int, tuple[int, ...]]], count: int) -> list[int]:
    """Of snapshots with their periods, the newest first: the first one of each of the first `count` periods."""
    first_of: dict[tuple[int, ...], int] = {}
    for number, period in periods:
        if period not in first_of and len(first_of) < count:
            first_of[period] = number
    return list(first_of.values())
