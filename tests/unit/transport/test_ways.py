"""How the sides of a session find each other again: what is kept comes back, and nothing else is believed."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.transport.common import ADDRESSES, MACHINE

from warp_portal.errors import FormatError
from warp_portal.transport.ways import NAME, Way

WHOLE: dict[str, object] = {"ticket": None, "port": 0, "peer": None, "addresses": []}
SECRET = "warp-ticket:agtacwban"


@pytest.mark.parametrize("way", [Way(), Way(SECRET, 4433), Way(SECRET), Way(None, 0, MACHINE, ADDRESSES)], ids=str)
def test_a_way_comes_back(tmp_path: Path, way: Way) -> None:
    way.save(tmp_path)
    assert Way.load(tmp_path) == way
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert SECRET not in repr(way)


def test_who_was_killed_before_has_none(tmp_path: Path) -> None:
    assert Way.load(tmp_path) == Way()


@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3))
            for name in WHOLE
        },
    )
    .map(lambda change: json.dumps(change).encode())
    .filter(lambda content: content != b"{}")
)
@example(b"[" * 60_000)
@example(json.dumps({**WHOLE, "port": 65536}).encode())
@example(json.dumps({**WHOLE, "port": True}).encode())
@example(json.dumps({**WHOLE, "ticket": 7}).encode())
@example(json.dumps({**WHOLE, "ticket": "x" * 10_000}).encode())
@example(json.dumps({**WHOLE, "peer": "nobody"}).encode())
@example(json.dumps({**WHOLE, "addresses": ["nowhere"]}).encode())
def test_what_is_no_way_is_a_typed_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("session")
    (directory / NAME).write_bytes(content)
    (directory / NAME).chmod(0o600)
    try:
        way = Way.load(directory)
    except FormatError:
        return
    assert set(json.loads(content)) >= set(WHOLE)
    assert 0 <= way.port < 2**16
