"""How fast a transfer may be, and when: one rate, or a timetable of the week.

    10MiB/s                                             always
    08:00-18:00=5MiB/s,18:00-23:00=20MiB/s,off          by the time of day, and without a limit else
    mon-fri 08:00-18:00=80Mbit,sat-sun=off,20MiB/s      by the day of the week too

    limit = rest | entry {"," entry} ["," rest]         entry = [days] [" " times] "=" rate      rest = rate
    days  = day ["-" day], day one of mon … sun         times = HH:MM "-" HH:MM, to 24:00        rate = "off" | units.parse_rate

Of several entries the first that fits holds, and where none does, the rest, or no limit. `fri-mon` and `22:00-06:00` go over
the end of the week and of the day: the hours after midnight belong to the day on which they began. Times are those of
this machine's clock on the wall. (As rclone's --bwlimit, but each entry says when it ends.)
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from warp_portal.errors import UsageError
from warp_portal.units import parse_rate

# Less lets no transfer end; and a number alone is bytes, where most likely more was meant.
LEAST: Final = 1000
MAX_TEXT: Final = 1024
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES
_DAY: Final = "|".join(_DAYS)
_TIME: Final = "[0-9]{1,2}:[0-9]{2}"
_WHEN: Final = re.compile(rf"(?:({_DAY})(?:-({_DAY}))?)?(?:(?:^|\s+)({_TIME})-({_TIME}))?")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`changes` are (minute of the week from Monday, bytes a second from then on, or None); the last one holds into the next week."""

    changes: tuple[tuple[int, int | None], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what a person wrote; raises UsageError."""
        if len(text) > MAX_TEXT:
            raise UsageError(f"a limit has at most {MAX_TEXT} characters")
        *entries, last = [part.strip() for part in text.split(",")]
        rest = None if "=" in last else _rate(last)
        week = [rest] * _WEEK_MINUTES
        for entry in reversed([*entries, last] if "=" in last else entries):
            _paint(week, entry)
        changes = tuple((minute, week[minute]) for minute in range(_WEEK_MINUTES) if week[minute] != week[minute - 1])
        return cls(changes or ((0, week[0]),))

    def limit_at(self, moment: datetime) -> int | None:
        """Bytes a second that are allowed at a moment; None is without a limit."""
        return self.changes[self._index(_minute(moment))][1]

    def next_change(self, moment: datetime) -> datetime | None:
        """When the limit becomes another one after `moment`, in its time zone and on its clock; None if never.

        Where clocks are put forward or back meanwhile the moment is an hour off: ask again when it has come.
        """
        if len(self.changes) == 1:
            return None
        minute = _minute(moment)
        following = self.changes[(self._index(minute) + 1) % len(self.changes)][0]
        whole = moment.replace(second=0, microsecond=0)
        return whole + timedelta(minutes=(following - minute - 1) % _WEEK_MINUTES + 1)

    def _index(self, minute: int) -> int:
        """Of the change that holds; before the first one in the week it is the last of the week before."""
        return bisect_right(self.changes, minute, key=lambda change: change[0]) - 1


def _minute(moment: datetime) -> int:
    return moment.weekday() * _DAY_MINUTES + moment.hour * 60 + moment.minute


def _paint(week: list[int | None], entry: str) -> None:
    """Set the minutes of an entry, whatever they were."""
    when, _, rate = entry.partition("=")
    match = _WHEN.fullmatch(when.strip().lower())
    if match is None or not any(match.groups()):
        raise UsageError(
            f"{entry!r} is no entry of a timetable: write 08:00-18:00=5MiB/s, mon-fri 08:00-18:00=5MiB/s or sat-sun=off, and what "
            "holds else at the end"
        )
    limit = _rate(rate.strip())
    start, end = _span(match[3], match[4], entry)
    for day in _days(match[1], match[2]):
        for minute in range(start, end):
            week[(day * _DAY_MINUTES + minute) % _WEEK_MINUTES] = limit


def _days(first: str | None, last: str | None) -> list[int]:
    if first is None:
        return list(range(7))
    start = _DAYS.index(first)
    count = (_DAYS.index(last or first) - start) % 7 + 1
    return [(start + day) % 7 for day in range(count)]


def _span(first: str | None, last: str | None, entry: str) -> tuple[int, int]:
    """From and to in minutes of the day on which it begins, the end excluded."""
    if first is None or last is None:
        return 0, _DAY_MINUTES
    start, end = _time(first), _time(last)
    if start in (end, _DAY_MINUTES):
        raise UsageError(f"{entry!r}: it begins where it ends: for the whole day write 00:00-24:00")
    return start, end if end > start else end + _DAY_MINUTES


def _time(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > _DAY_MINUTES:
        raise UsageError(f"{text!r} is no time of day: write 00:00 to 24:00")
    return hours * 60 + minutes


def _rate(text: str) -> int | None:
    if text.lower() == "off":
        return None
    rate = parse_rate(text)
    if rate < LEAST:
        raise UsageError(f"{text!r}: expected 1kB/s or more, for a number alone is bytes; without a limit is `off`")
    return rate
