"""Standard input as something to send: it is read once, whole, before anybody gets it."""

import os
from pathlib import Path

import pytest

from warp_portal.errors import UsageError
from warp_portal.transport.stream_sending import StreamCargo

DATA = os.urandom(3_000_000)


@pytest.fixture
def fd(tmp_path: Path) -> int:
    (tmp_path / "input").write_bytes(DATA)
    return os.open(tmp_path / "input", os.O_RDONLY)


def test_it_is_read_once(tmp_path: Path, fd: int) -> None:
    told = list[int]()
    StreamCargo(fd, "dump", told.append).stow(tmp_path, resumed=False)
    os.close(fd)
    assert (tmp_path / "stream").read_bytes() == DATA
    assert (tmp_path / "stream").stat().st_mode & 0o777 == 0o600
    assert told == sorted(told)
    assert told[-1] == len(DATA)
    again = StreamCargo(None, "dump")
    again.stow(tmp_path, resumed=True)
    with again:
        assert again.title == "dump"
    assert not (tmp_path / "stream.part").exists()


def test_what_was_not_read_to_its_end_is_never_sent(tmp_path: Path, fd: int) -> None:
    (tmp_path / "stream.part").write_bytes(DATA[:100])
    with pytest.raises(UsageError, match="not read to its end"):
        StreamCargo(fd, "dump").stow(tmp_path, resumed=True)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    os.close(fd)


def test_a_terminal_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="redirect a file or pipe"):
        StreamCargo(None, "dump").stow(tmp_path, resumed=False)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name"):
        StreamCargo(0, name)
