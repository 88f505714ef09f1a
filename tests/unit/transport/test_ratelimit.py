"""Limits by the time of day and the day of the week."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warp_portal.errors import UsageError
from warp_portal.transport.ratelimit import MAX_TEXT, RateLimit

MIB = 1 << 20
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONDAY = datetime(2026, 11, 23)  # noqa: DTZ001  # the clock on the wall
WEEK = timedelta(days=7)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
RATES = st.sampled_from(["off", "5MiB/s", "80Mbit", "1MB", "20M"])
VALUES = {"off": None, "5MiB/s": 5 * MIB, "80Mbit": 10_000_000, "1MB": 1_000_000, "20M": 20 * MIB}


def at(day: str, time: str) -> datetime:
    hours, minutes = map(int, time.split(":"))
    return MONDAY + timedelta(days=DAYS.index(day), hours=hours, minutes=minutes)


Entry = tuple[tuple[int, int] | None, tuple[int, int] | None, str]


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    days = draw(st.none() | st.tuples(st.integers(0, 6), st.integers(0, 6)))
    start = draw(st.integers(0, 1439))
    end = draw(st.integers(0, 1440).filter(lambda end: end != start))
    return days, None if days and draw(st.booleans()) else (start, end), draw(RATES)


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def written(entry: Entry) -> str:
    days, times, rate = entry
    parts = []
    if days:
        parts.append(DAYS[days[0]] if days[0] == days[1] else f"{DAYS[days[0]]}-{DAYS[days[1]]}")
    if times:
        parts.append(f"{clock(times[0])}-{clock(times[1])}")
    return f"{' '.join(parts)}={rate}"


def fits(entry: Entry, moment: datetime) -> bool:
    """The definition, word by word: a day on which it begins, and a time from then on."""
    days, times, _ = entry
    start, end = times or (0, 1440)
    for back in (0, 1):
        day = (moment - timedelta(days=back)).weekday()
        of_the_days = days is None or (day - days[0]) % 7 <= (days[1] - days[0]) % 7
        minute = moment.hour * 60 + moment.minute + 1440 * back
        if of_the_days and start <= minute < (end if end > start else end + 1440):
            return True
    return False


@given(st.lists(entries(), max_size=4), st.none() | RATES, MOMENTS)
def test_the_first_entry_that_fits_holds_and_else_the_rest(
    listed: list[Entry], rest: str | None, moment: datetime
) -> None:
    if not listed and rest is None:
        rest = "off"
    text = ",".join([*map(written, listed), *([rest] if rest else [])])
    fitting = [rate for entry in listed if fits(entry, moment) for rate in [entry[2]]]
    expected = VALUES[[*fitting, rest or "off"][0]]
    assert RateLimit.parse(text).limit_at(moment) == expected


@settings(max_examples=50)
@given(st.lists(entries(), min_size=1, max_size=3), RATES, MOMENTS)
def test_the_next_change_is_the_first_moment_with_another_limit(
    listed: list[Entry], rest: str, moment: datetime
) -> None:
    limit = RateLimit.parse(",".join([*map(written, listed), rest]))
    now, change = limit.limit_at(moment), limit.next_change(moment)
    minute = moment.replace(second=0, microsecond=0)
    later = (minute + timedelta(minutes=n) for n in range(1, 7 * 1440 + 1))
    assert change == next((each for each in later if limit.limit_at(each) != now), None)


@given(st.text(max_size=60))
def test_any_text_is_a_limit_or_refused(text: str) -> None:
    try:
        limit = RateLimit.parse(text)
    except UsageError:
        return
    assert limit.limit_at(MONDAY) is None or limit.limit_at(MONDAY) >= 1000  # type: ignore[operator]  # None is the other case


@pytest.mark.parametrize("text", ["10MiB/s", " 10MiB/s ", "10M", "00:00-24:00=10M", "mon-sun=10M", "mon-sun=10M,off"])
def test_one_rate_never_changes(text: str) -> None:
    limit = RateLimit.parse(text)
    assert limit.limit_at(MONDAY) == 10 * MIB
    assert limit.next_change(MONDAY) is None


def test_a_timetable_of_the_day() -> None:
    limit = RateLimit.parse("08:00-18:00=5MiB/s,18:00-23:00=20MiB/s,off")
    for day in DAYS:
        found = [limit.limit_at(at(day, time)) for time in ("07:59", "08:00", "17:59", "18:00", "22:59", "23:00")]
        assert found == [None, 5 * MIB, 5 * MIB, 20 * MIB, 20 * MIB, None]
    assert limit.next_change(at("sun", "23:00")) == at("mon", "08:00") + WEEK
    assert limit.next_change(at("mon", "08:00") + timedelta(seconds=1)) == at("mon", "18:00")


def test_a_timetable_of_the_week() -> None:
    limit = RateLimit.parse("Mon-Fri 8:00-18:00=80Mbit, SAT-SUN=off, 20MiB/s")
    found = [limit.limit_at(at(day, time)) for day, time in (("mon", "07:59"), ("mon", "08:00"), ("fri", "18:00"), ("sat", "09:00"), ("sun", "23:59"))]  # fmt: skip
    assert found == [20 * MIB, 10_000_000, 20 * MIB, None, None]
    assert limit.next_change(at("fri", "19:00")) == at("sat", "00:00")
    assert limit.next_change(at("sat", "00:00")) == MONDAY + WEEK


def test_hours_after_midnight_belong_to_the_day_on_which_they_began() -> None:
    limit = RateLimit.parse("sun 22:00-06:00=1MB,off")
    assert limit.limit_at(at("sun", "21:59")) is None
    assert limit.limit_at(at("sun", "22:00")) == 1_000_000
    assert limit.limit_at(MONDAY) == 1_000_000
    assert limit.limit_at(at("mon", "06:00")) is None
    assert limit.limit_at(at("mon", "23:00")) is None


def test_days_go_over_the_end_of_the_week() -> None:
    limit = RateLimit.parse("sat-mon=1MB,off")
    assert [limit.limit_at(at(day, "12:00")) is None for day in DAYS] == [False, True, True, True, True, False, False]


def test_the_time_zone_of_the_moment_is_that_of_the_change() -> None:
    zone = ZoneInfo("Europe/Vienna")
    limit = RateLimit.parse("08:00-18:00=1MB,off")
    moment = datetime(2026, 3, 28, 20, tzinfo=zone)  # clocks go forward in the night
    change = limit.next_change(moment)
    assert change == datetime(2026, 3, 29, 8, tzinfo=zone)
    assert change is not None
    assert limit.limit_at(change) == 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "10M,", ",10M", "10M,20M", "10M,08:00-18:00=5M", "08:00=5M,off", "08:00-18:00=,off", "08:00-18:00,off", "=5M", "08:00-08:00=5M",
        "24:00-08:00=5M", "25:00-26:00=5M", "08:60-09:00=5M", "00:00-24:01=5M", "mon-=5M", "montag=5M", "mon08:00-09:00=5M", "08:00-09:00 mon=5M",
        "5M=5M", "off=off", "0", "999", "-5M", "5M/h", "5Mb/s", "mon=mon=5M", "x" * (MAX_TEXT + 1), "mon=1M," * 200,
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        RateLimit.parse(text)
