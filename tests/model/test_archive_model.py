"""Random operations on an archive, in any order and with kills between, against the model in `machine`.

`./dev test` runs the same few sequences every time, `./dev soak archive_model` new and longer ones.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import ArchiveMachine

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
SAMPLE = settings(
    max_examples=8, stateful_step_count=30, derandomize=True, database=None, deadline=None, suppress_health_check=QUIET
)
SOAK = settings(
    max_examples=400,
    stateful_step_count=60,
    database=None,
    deadline=None,
    print_blob=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=QUIET,
)


def test_the_archive_holds_what_the_model_holds() -> None:
    run_state_machine_as_test(ArchiveMachine, settings=SAMPLE)


@pytest.mark.soak
def test_the_archive_holds_what_the_model_holds_in_thousands_of_steps() -> None:
    run_state_machine_as_test(ArchiveMachine, settings=SOAK)
