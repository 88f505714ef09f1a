"""An archive that goes somewhere."""

from pathlib import Path

import pytest
from tests.unit.transport.archive_place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
