"""Which snapshots keep rules keep: examples by hand, then what must hold for any times and rules."""

import doctest
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.archive import retention
from warp_portal.archive.retention import KeepRules, Selection, kept_by
from warp_portal.clock import VirtualClock
from warp_portal.errors import NotFoundError, UsageError

DAY_S = 86_400
TIMES = st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=40)
COUNTS = st.integers(0, 12)
RULES = st.builds(KeepRules, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.integers(0, 400 * DAY_S))


def every(seconds: float, count: int, start: str = "2026-01-01T12:00:00+00:00") -> list[int]:
    """Times of snapshots made at a steady pace, by a clock that is moved on."""
    clock = VirtualClock(round(datetime.fromisoformat(start).timestamp()) * 10**9)
    times = []
    for _ in range(count):
        times.append(clock.now_ns())
        clock.advance(seconds)
    return times


def numbers(times_ns: list[int], **rules: int) -> list[int]:
    return list(kept_by(times_ns, KeepRules(**rules), UTC))


def test_the_example_runs() -> None:
    assert doctest.testmod(retention).failed == 0


def test_each_calendar_rule_keeps_the_newest_of_its_period() -> None:
    times = every(DAY_S / 2, 20)  # at noon and at midnight, which begins a day
    assert numbers(times, daily=3) == [17, 19, 20]
    assert numbers(every(DAY_S, 30), weekly=3) == [18, 25, 30]  # Sundays 18 and 25 January, then Friday 30
    assert numbers(every(DAY_S, 80), monthly=2) == [59, 80]
    assert numbers(every(30 * DAY_S, 30), yearly=5) == [13, 25, 30]


def test_days_without_a_snapshot_do_not_count() -> None:
    assert numbers([*every(DAY_S, 2), *every(DAY_S, 1, "2026-06-01T00:00:00+00:00")], daily=2) == [2, 3]


def test_a_span_is_measured_from_the_newest() -> None:
    times = every(DAY_S, 10)
    assert numbers(times, within_s=3 * DAY_S) == [7, 8, 9, 10]
    assert numbers([time + 5000 * DAY_S * 10**9 for time in times], within_s=3 * DAY_S) == [7, 8, 9, 10]


def test_days_are_those_of_the_time_zone() -> None:
    times = every(DAY_S / 2, 3, "2026-01-01T00:30:00+00:00")
    east = timezone(timedelta(hours=-1))
    assert list(kept_by(times, KeepRules(daily=9), UTC)) == [2, 3]
    assert list(kept_by(times, KeepRules(daily=9), east)) == [1, 3]


def test_every_rule_that_keeps_a_snapshot_is_named() -> None:
    assert kept_by(every(DAY_S, 3), KeepRules(last=1, daily=2), UTC) == {2: ("daily",), 3: ("last", "daily")}


def test_named_snapshots_go_whatever_the_rules_say() -> None:
    times = every(DAY_S, 5)
    assert list(Selection(forgotten=frozenset({2, 4})).kept(times)) == [1, 3, 5]
    assert list(Selection(KeepRules(last=3), frozenset({4})).kept(times)) == [3, 5]


def test_what_cannot_be_forgotten_is_refused() -> None:
    times = every(DAY_S, 3)
    with pytest.raises(UsageError, match="newest"):
        Selection(forgotten=frozenset({3})).kept(times)
    for number in (0, 4):
        with pytest.raises(NotFoundError, match="1 to 3"):
            Selection(forgotten=frozenset({number})).kept(times)


@given(TIMES, RULES)
def test_the_newest_is_always_kept_and_all_kept_exist(times: list[int], rules: KeepRules) -> None:
    kept = kept_by(times, rules, UTC)
    assert len(times) in kept
    assert set(kept) <= set(range(1, len(times) + 1))
    assert list(kept) == sorted(kept)
    assert all(kept.values())


@given(TIMES, st.integers(1, 50))
def test_keep_last_keeps_exactly_the_last(times: list[int], last: int) -> None:
    assert numbers(times, last=last) == list(range(max(1, len(times) - last + 1), len(times) + 1))


@given(TIMES, RULES, st.sampled_from(["last", "daily", "weekly", "monthly", "yearly"]))
def test_a_wider_rule_keeps_no_less(times: list[int], rules: KeepRules, name: str) -> None:
    wider = replace(rules, **{name: getattr(rules, name) + 1})
    assert set(kept_by(times, rules, UTC)) <= set(kept_by(times, wider, UTC))


@given(TIMES, RULES)
def test_forgetting_by_the_same_rules_again_forgets_nothing(times: list[int], rules: KeepRules) -> None:
    left = [times[number - 1] for number in kept_by(times, rules, UTC)]
    assert len(kept_by(left, rules, UTC)) == len(left)


@given(TIMES, st.integers(1, 12))
def test_daily_keeps_no_more_than_it_counts_and_no_day_twice(times: list[int], daily: int) -> None:
    kept = numbers(times, daily=daily)
    days = [datetime.fromtimestamp(times[number - 1] // 10**9, UTC).date() for number in kept]
    assert (
        len(set(days)) == len(days) == min(daily, len({datetime.fromtimestamp(t // 10**9, UTC).date() for t in times}))
    )


def test_what_is_passed_over_is_kept_only_as_the_newest() -> None:
    times = every(DAY_S, 6)
    kept = Selection(KeepRules(last=2, daily=3, within_s=DAY_S)).kept(times, UTC, passed_over={3, 5, 6})
    assert kept == {1: ("daily",), 2: ("last", "daily"), 4: ("last", "daily", "within"), 6: ("newest",)}
    assert Selection().kept(times, UTC, passed_over={3}) == dict.fromkeys(range(1, 7), ())


def test_a_named_snapshot_that_is_repeated_takes_no_place_from_another() -> None:
    times = every(DAY_S, 4)
    assert set(Selection(KeepRules(last=2)).kept(times, UTC, passed_over={4})) == {2, 3, 4}
    for rules, name in ((KeepRules(last=2), "last"), (KeepRules(daily=2), "daily")):
        kept = Selection(rules, frozenset({3})).kept(times, UTC, passed_over={4})
        assert kept == {2: (name,), 4: (name,)}


def test_what_repeats_a_named_snapshot_counts_by_the_time_of_that_one() -> None:
    times = [day * DAY_S * 10**9 for day in (0, 1, 10)]
    kept = Selection(KeepRules(within_s=2 * DAY_S), frozenset({2})).kept(times, UTC, passed_over={3})
    assert kept == {1: ("within",), 3: ("within",)}
    kept = Selection(KeepRules(daily=2), frozenset({2})).kept(times, UTC, passed_over={3})
    assert kept == {1: ("daily",), 3: ("daily",)}


def test_of_what_repeats_a_named_snapshot_the_first_that_is_not_named_stays() -> None:
    times = every(DAY_S, 6)
    named = [frozenset({2}), frozenset({2, 3}), frozenset({2, 3, 4}), frozenset({2, 3, 4, 5}), frozenset({3, 4})]
    kept = [set(Selection(KeepRules(last=3), each).kept(times, UTC, passed_over={3, 4, 5})) for each in named]
    assert kept == [{1, 3, 6}, {1, 4, 6}, {1, 5, 6}, {1, 6}, {1, 2, 6}]


@st.composite
def repeating(draw: st.DrawFn) -> tuple[list[int], frozenset[int], frozenset[int]]:
    """Times of snapshots, numbers of those that repeat the one before, and of those that are named, never the newest."""
    times = draw(TIMES)
    flags = st.lists(st.booleans(), min_size=len(times) - 1, max_size=len(times) - 1)
    repeats = frozenset(number for number, flag in enumerate(draw(flags), 2) if flag)
    return times, repeats, frozenset(number for number, flag in enumerate(draw(flags), 1) if flag)


@given(repeating(), RULES.filter(bool))
def test_of_the_states_that_rules_keep_only_those_are_lost_that_are_named_whole(
    snapshots: tuple[list[int], frozenset[int], frozenset[int]], rules: KeepRules
) -> None:
    times, repeats, named = snapshots
    states = list(accumulate(number not in repeats for number in range(1, len(times) + 1)))  # of snapshot 1, 2, …
    left = {state for number, state in enumerate(states, 1) if number not in named}
    before = Selection(rules).kept(times, UTC, passed_over=repeats)
    kept = Selection(rules, named).kept(times, UTC, passed_over=repeats)
    assert {states[number - 1] for number in kept} == {states[number - 1] for number in before} & left
    assert len(times) in kept
    assert not named & set(kept)
    assert list(kept) == sorted(kept)


@given(repeating(), RULES.filter(bool))
def test_a_state_is_kept_by_the_same_rules_whatever_is_named(
    snapshots: tuple[list[int], frozenset[int], frozenset[int]], rules: KeepRules
) -> None:
    times, repeats, named = snapshots
    before = Selection(rules).kept(times, UTC, passed_over=repeats)
    for number, by in Selection(rules, named).kept(times, UTC, passed_over=repeats).items():
        first = max(each for each in range(1, number + 1) if each not in repeats)
        assert by in (before[first], ("newest",))
