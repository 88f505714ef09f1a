"""Records in the state directory that cannot be written or read: who needs one is told which and why, the others once."""

import errno
import os
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, UUID, grow

from warp_portal._native import blake3
from warp_portal.archive import state as state_module
from warp_portal.archive.compaction import compact
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.state import MAX_RECORD, Remembered, StateStore, Unfinished
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.config import read_regular
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
    with pytest.raises(
        StorageFullError, match=rf"^{tmp_path}/state: no room left in the state directory.*WARP_STATE_DIR"
    ):
        create(archive, Source.of(["."]), OFTEN, state=StateStore(tmp_path / "state"))
    assert not archive.exists()


def test_a_state_directory_that_cannot_be_made_is_named(tree: Path, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(WarpPortalError, match=rf"^the state directory {tmp_path}/file/state .*WARP_STATE_DIR"):
        create(archive, Source.of(["."]), OFTEN, state=unusable(tmp_path))
    assert not archive.exists()


def test_what_cannot_be_noted_is_said_once_a_run(
    tree: Path, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create(archive, Source.of(["."]), OFTEN)
    append(archive, Source.of(["."]), OFTEN, state=unusable(tmp_path))
    (said,) = caplog.messages
    assert f": {tmp_path}/file/state: Not a directory: " in said
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


def unreadable(monkeypatch: pytest.MonkeyPatch, record: Path, code: int) -> None:
    """That record alone cannot be read, not by root either."""

    def read(path: str, what: str, limit: int) -> bytes:
        if path == str(record):
            raise OSError(code, os.strerror(code), path)
        return read_regular(path, what, limit)

    monkeypatch.setattr(state_module, "read_regular", read)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EIO])
def test_what_was_seen_and_cannot_be_read_refuses_each_use_and_stays(
    tree: Path, archive: Path, state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    create(archive, Source.of(["."]), OFTEN, uuid=UUID, state=state)
    record = tmp_path / "state" / "archives" / UUID.hex()
    before, packed = record.read_bytes(), archive.read_bytes()
    unreadable(monkeypatch, record, code)
    refused = rf"^{record}: .*cannot be read.*make it readable, or remove it.*WARP_STATE_DIR"
    for use in (
        lambda: open_archive(archive, state=state),
        lambda: verify(archive, Level.INDEX, state=state),
        lambda: append(archive, Source.of(["."]), OFTEN, state=state),
        lambda: append(archive, Source.of(["."]), OFTEN, state=state, recover=True),
        lambda: compact(archive, state=state),
    ):
        with pytest.raises(WarpPortalError, match=refused):
            use()
    state.remember(UUID, SEEN)
    assert (record.read_bytes(), archive.read_bytes()) == (before, packed)


def test_who_names_the_commit_reads_past_an_unreadable_record(
    tree: Path, archive: Path, state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(archive, Source.of(["."]), OFTEN, uuid=UUID, state=state)
    unreadable(monkeypatch, tmp_path / "state" / "archives" / UUID.hex(), errno.EACCES)
    with open_archive(archive, expect_commit=made.commit_hash, state=state) as reader:
        assert reader.snapshot.number == 1


def test_a_create_names_the_record_that_it_cannot_read_and_not_the_archive(
    tree: Path, archive: Path, state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_bytes(b"begun")
    record = record_of(tmp_path / "state", archive)
    unreadable(monkeypatch, record, errno.EACCES)
    with pytest.raises(WarpPortalError, match=rf"^{record}: .*cannot be read"):
        create(archive, Source.of(["."]), OFTEN, state=state)
    assert archive.read_bytes() == b"begun"


def test_a_malformed_record_is_said_and_written_anew(
    state: StateStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state.remember(UUID, SEEN)
    record = tmp_path / "state" / "archives" / UUID.hex()
    record.write_bytes(record.read_bytes()[:-1])
    assert state.remembered(UUID) is None
    assert f"{record}: malformed" in caplog.text
    state.remember(UUID, SEEN)
    assert state.remembered(UUID) == SEEN
