"""Records in the state directory that cannot be written or read: who needs one is told which and why, the others once."""

import os
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, UUID, grow

from warp_portal._native import blake3
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.state import MAX_RECORD, Remembered, StateStore, Unfinished
from warp_portal.archive.writer import append, create
from warp_portal.errors import StorageFullError, WarpPortalError

SEEN = Remembered(7, b"d" * 32, b"")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    grow(tmp_path / "tree", 5, 3000)
    monkeypatch.chdir(tmp_path / "tree")
    return tmp_path / "tree"


def record_of(home: Path, archive: Path) -> Path:
    return home / "unfinished" / blake3(os.fsencode(os.path.realpath(archive)))[:16].hex()


def unusable(tmp_path: Path) -> StateStore:
    """Below a regular file, so that it cannot be made."""
    (tmp_path / "file").touch()
    return StateStore(tmp_path / "file" / "state")


def test_a_full_state_directory_is_not_taken_for_a_full_archive(tree: Path, archive: Path, tmp_path: Path) -> None:
    record = record_of(tmp_path / "state", archive)
    record.parent.mkdir(parents=True)
    record.with_name(f"{record.name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageFullError, match=rf"^{record}: no room left in the state directory.*WARP_STATE_DIR"):
        create(archive, Source.of(["."]), OFTEN, state=StateStore(tmp_path / "state"))
    assert not archive.exists()


def test_a_state_directory_that_cannot_be_made_is_named(tree: Path, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(WarpPortalError, match=rf"state directory {tmp_path}/file/state .*WARP_STATE_DIR"):
        create(archive, Source.of(["."]), OFTEN, state=unusable(tmp_path))
    assert not archive.exists()


def test_what_cannot_be_noted_is_said_once_a_run(
    tree: Path, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create(archive, Source.of(["."]), OFTEN)
    append(archive, Source.of(["."]), OFTEN, state=unusable(tmp_path))
    (said,) = caplog.messages
    assert f"{tmp_path}/file/state" in said
    assert "WARP_STATE_DIR" in said
    assert "rollback" in said
    assert "stopped run" in said


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["fifo", "directory", "device", "large"])
def test_a_record_that_is_no_small_file_counts_as_none_and_is_said(
    tree: Path, archive: Path, state: StateStore, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    create(archive, Source.of(["."]), OFTEN, uuid=UUID, state=state)
    record = tmp_path / "state" / "archives" / UUID.hex()
    record.unlink()
    if kind == "fifo":
        os.mkfifo(record)
    elif kind == "directory":
        record.mkdir()
    elif kind == "device":
        record.symlink_to("/dev/zero")
    else:
        record.touch()
        os.truncate(record, MAX_RECORD + 1)
    fresh = StateStore(tmp_path / "state")
    with open_archive(archive, state=fresh) as reader:
        assert reader.snapshot.number == 1
    (said,) = caplog.messages
    assert str(record) in said
    assert "counts as nothing" in said
    assert append(archive, Source.of(["."]), OFTEN, state=fresh).snapshot == 2


def test_a_record_of_as_many_arguments_as_an_archive_takes_is_read(state: StateStore) -> None:
    arguments: dict[str, object] = {"excludes": ["x" * 60_000] * 130}
    state.begin(b"/some/where", Unfinished(UUID, b"", arguments, (), b""))
    found = state.unfinished(b"/some/where")
    assert found is not None
    assert found.arguments == arguments


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_record_that_may_not_be_read_counts_as_none(
    state: StateStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state.remember(UUID, SEEN)
    (tmp_path / "state" / "archives" / UUID.hex()).chmod(0)
    assert state.remembered(UUID) is None
    assert "counts as nothing" in caplog.text
