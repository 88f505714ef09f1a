import io
import json

import pytest

from warp_portal.cli.output import Output
from warp_portal.cli.progress import Meter, Reporter, Step, amounts
from warp_portal.clock import VirtualClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(output: Output, seconds: int, steps_a_second: int = 10, total: int | None = 10**9) -> None:
    clock = VirtualClock()
    with Reporter(output, "create", clock) as reporter:
        for number in range(seconds * steps_a_second):
            clock.advance(1 / steps_a_second)
            reporter.step(Step(number * 1_000_000, total, "dedup 1.50×", b"a/\x1bb", {"chunks": number}))


def test_json_progress_comes_at_most_once_a_second_and_never_goes_back() -> None:
    stdout = io.StringIO()
    run(Output(json_lines=True, stdout=stdout, stderr=io.StringIO()), seconds=10)
    records = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert 8 <= len(records) <= 10
    assert {record["type"] for record in records} == {"progress"}
    done = [record["bytes_done"] for record in records]
    assert done == sorted(done)
    assert records[-1]["bytes_per_s"] == pytest.approx(10_000_000, rel=0.2)
    assert records[-1]["seconds_left"] == pytest.approx(90, rel=0.25)
    assert records[-1]["current"] == "a/\x1bb"


def test_a_short_run_shows_nothing() -> None:
    stdout, stderr = io.StringIO(), Terminal()
    clock = VirtualClock()
    with Reporter(Output(json_lines=False, stdout=stdout, stderr=stderr), "create", clock) as reporter:
        clock.advance(0.4)
        reporter.step(Step(1, 2))
    assert stdout.getvalue() + stderr.getvalue() == ""


def test_plain_lines_are_for_logs() -> None:
    stderr = io.StringIO()
    run(Output(json_lines=False, stdout=io.StringIO(), stderr=stderr), seconds=35)
    lines = stderr.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("create: ")
    assert "of 1.00 GB" in lines[0]
    assert lines[0].endswith("; dedup 1.50×")


def test_quiet_is_quiet() -> None:
    stderr = Terminal()
    output = Output(json_lines=False, stdout=io.StringIO(), stderr=stderr)
    output.quiet = True
    run(output, seconds=30)
    assert stderr.getvalue() == ""


def test_a_terminal_gets_a_bar_without_raw_names() -> None:
    stderr = Terminal()
    run(Output(json_lines=False, stdout=io.StringIO(), stderr=stderr), seconds=3)
    text = stderr.getvalue()
    assert "create" in text
    assert "a/\x1bb" not in text


def test_progress_never_goes_back_when_the_total_shrinks() -> None:
    stdout = io.StringIO()
    clock = VirtualClock()
    with Reporter(Output(json_lines=True, stdout=stdout, stderr=io.StringIO()), "x", clock) as reporter:
        for done, total in ((500, None), (400, 1000), (2000, 1000)):
            clock.advance(2)
            reporter.step(Step(done, total))
    shown = [json.loads(line)["bytes_done"] for line in stdout.getvalue().splitlines()]
    assert shown == [500, 500, 1000]


def test_the_time_left_is_known_only_with_a_total_and_a_rate() -> None:
    clock = VirtualClock()
    meter = Meter(clock)
    assert meter.left_s(0, 100) is None
    clock.advance(1)
    meter.update(50_000_000)
    assert meter.left_s(50_000_000, None) is None
    assert meter.left_s(50_000_000, 150_000_000) == pytest.approx(2)
    assert amounts(Step(50_000_000, 150_000_000), meter) == "50.0 MB of 150 MB, 50.0 MB/s, 2.0 s left"
    assert amounts(Step(50_000_000, None), meter) == "50.0 MB, 50.0 MB/s"


def of_1000(done: int) -> Step:
    return Step(done, 1000)


def of_500(done: int) -> Step:
    return Step(done, 500)


def of_nobody_knows(done: int) -> Step:
    return Step(done, None)


def test_what_follows_one_after_the_other_is_counted_apart() -> None:
    stdout = io.StringIO()
    clock = VirtualClock()
    with Reporter(Output(json_lines=True, stdout=stdout, stderr=io.StringIO()), "receive", clock) as reporter:
        receive, pack = reporter.following(of_1000, "receive"), reporter.following(of_500, "pack")
        for follow, done in ((receive, 900), (receive, 1000), (pack, 10), (pack, 500)):
            clock.advance(2)
            follow(done)
            clock.advance(2)
            follow(done)
    shown = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert [(step["bytes_done"], step["bytes_total"]) for step in shown] == [
        (900, 1000), (900, 1000), (1000, 1000), (1000, 1000), (10, 500), (500, 500), (500, 500),
    ]  # fmt: skip
    assert shown[4]["bytes_per_s"] < 10


def test_each_part_of_the_work_has_its_own_title() -> None:
    stderr = io.StringIO()
    clock = VirtualClock()
    with Reporter(Output(json_lines=False, stdout=io.StringIO(), stderr=stderr), "send", clock) as reporter:
        for title in (None, "read", "send"):
            follow = reporter.following(of_nobody_knows, title)
            for _ in range(2):
                clock.advance(11)
                follow(1)
    assert [line.partition(":")[0] for line in stderr.getvalue().splitlines()] == ["send", "send", "read", "send"]


def test_a_bar_is_closed_before_the_next_begins() -> None:
    stderr = Terminal()
    clock = VirtualClock()
    with Reporter(Output(json_lines=False, stdout=io.StringIO(), stderr=stderr), "send", clock) as reporter:
        for title in ("read", "send"):
            follow = reporter.following(of_nobody_knows, title)
            for _ in range(3):
                clock.advance(1)
                follow(1)
    assert stderr.getvalue().count("\x1b[?25l") == stderr.getvalue().count("\x1b[?25h") == 2
