"""A tree that fills several pages, and places for its archive and what is remembered of it."""

from pathlib import Path

import pytest
from tests.unit.archive.common import grow, grow_large

from warp_portal.archive.state import StateStore


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 699, 12_000)
    grow_large(root / "large", 32 << 20, seed=7)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "a.warp"


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state")
