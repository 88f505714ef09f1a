"""`./dev soak fuzz`: every target under its engine, ten minutes each, or as long as --fuzz-seconds says."""

import pytest

from tests.fuzz import engine
from tests.fuzz.targets import PYTHON, RUST

SECONDS = 600


@pytest.mark.soak
@pytest.mark.parametrize("name", [*PYTHON, *RUST])
def test_fuzz_finds_nothing(name: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = request.config.getoption("--fuzz-seconds")
    try:
        outcome = engine.fuzz(name, SECONDS if seconds is None else seconds)
    except engine.EngineMissingError as missing:
        pytest.skip(str(missing))
    with capsys.disabled():
        print(
            f"\n{name}: {outcome.executions:,} executions, {outcome.per_second:,}/s, coverage {outcome.coverage:,}, "
            f"corpus {outcome.corpus:,}",
            end=" ",
        )
    if outcome.found is not None:
        pytest.fail(f"{outcome.log[-6000:]}\nrun it again: {engine.again(name, outcome.found)}", pytrace=False)
    assert outcome.executions > 0, outcome.log[-6000:]
