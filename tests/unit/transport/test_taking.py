"""What is noted of a session that has arrived is believed only if it makes sense."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.transport.common import RECORD, SESSION

from warp_portal.errors import RecordsError
from warp_portal.transport.destinations import IntoDirectory
from warp_portal.transport.state import SessionStore
from warp_portal.transport.taking import ARRIVED, Taker, TakeRules


@pytest.mark.parametrize("content", ["", '{"x":', "[1]", "[1, null]", '{"a": 1, "b": 2}', "9" * 4000])
def test_a_damaged_note_of_what_arrived_says_what_to_do(tmp_path: Path, content: str) -> None:
    state, target = tmp_path / "state", tmp_path / "target"
    with SessionStore(state).begin(replace(RECORD, paths=(os.fsencode(target),))) as session:
        path = session.directory / ARRIVED
        path.touch(0o600)
        path.write_text(content)
    with (
        Taker(state, IntoDirectory(target), TakeRules(lambda *_: True)) as taker,
        pytest.raises(RecordsError, match="warp sessions discard"),
    ):
        taker.find(SESSION)


def test_what_arrived_is_finished_once(tmp_path: Path) -> None:
    state, target = tmp_path / "state", tmp_path / "target"
    with SessionStore(state).begin(replace(RECORD, paths=(os.fsencode(target),))) as session:
        path = session.directory / ARRIVED
        path.touch(0o600)
        path.write_text("[3, 1]")
    with Taker(state, IntoDirectory(target), TakeRules(lambda *_: True)) as taker:
        report = taker.find(SESSION)
        assert report is not None
        assert (report.restored, report.failed, report.outcome) == (3, 1, None)
        assert taker.find(SESSION) is None
