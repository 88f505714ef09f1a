"""The account at the end of `receive`, for people."""

import io

import pytest

from warp_portal.archive.problems import ProblemList
from warp_portal.cli import arriving
from warp_portal.cli.output import Output
from warp_portal.transport.destinations import IntoStdout
from warp_portal.transport.receiving import Outcome
from warp_portal.transport.taking import ReceiveReport


def account(**more: object) -> str:
    """What is said of 3 entries, of which 30 MB were written."""
    values: dict[str, object] = {"skipped": {}, "size_bytes": 30_000_000, **more}
    outcome = Outcome(False, 3, 0, 2, 30_000_000, 0, 0, ProblemList(), **values)  # type: ignore[arg-type]  # as given
    err = io.StringIO()
    output = Output(json_lines=False, stdout=io.StringIO(), stderr=err)
    assert arriving.conclude(output, IntoStdout(lambda _: None), ReceiveReport("a", True, 3, 0, outcome), 1.0) == 0
    return err.getvalue()


def test_that_less_is_written_than_was_offered_is_explained() -> None:
    assert "2 files, 30.0 MB, in" in account()
    assert "2 files, 30.0 MB of 230 MB (holes, further names" in account(size_bytes=230_000_000)


@pytest.mark.parametrize(("name", "says"), [("setuid", "--setuid"), ("owner", "needs root"), ("exists", "--overwrite")])
def test_what_was_left_out_by_rule_is_said(name: str, says: str) -> None:
    assert says not in account(skipped={name: 0})
    (line,) = [line for line in account(skipped={name: 1}).splitlines() if says in line]
    assert line.startswith("note: ")
    assert "1 entry" in line
