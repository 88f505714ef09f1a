"""The file that takes an archive's place: its access rights, a full disk, damaged metadata, and what stopped runs left."""

import errno
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.trees import IS_ROOT
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, check_contents, dies_at, essence, grow, killed, read

from warp_portal.archive import replacement
from warp_portal.archive.commit import Commit
from warp_portal.archive.compaction import Compaction, CompactRequest, compact
from warp_portal.archive.limits import KIND_TABLE
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.retention import Selection
from warp_portal.archive.state import StateStore
from warp_portal.archive.states import snapshot_commits
from warp_portal.archive.storage import ArchiveFile, FileOutput
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import BusyError, IntegrityError, StorageFullError, WarpPortalError

SECOND_ONLY = CompactRequest(Selection(forgotten=frozenset({1})))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    grow(tmp_path / "tree", 40, 30_000)
    monkeypatch.chdir(tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture
def archive(tmp_path: Path, tree: Path) -> Path:
    path = tmp_path / "here" / "a.warp"
    path.parent.mkdir()
    create(path, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    next(tree.rglob("f0003")).unlink()
    append(path, Source.of(["."]), OFTEN, unlock=UNLOCK)
    return path


def alone(archive: Path) -> bool:
    return [path.name for path in archive.parent.iterdir()] == [archive.name]


def test_mode_and_owner_stay(archive: Path) -> None:
    archive.chmod(0o640)
    if IS_ROOT:
        os.chown(archive, 1234, 4321)
    before = archive.stat()
    compact(archive, SECOND_ONLY, unlock=UNLOCK)
    after = archive.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.skipif(not IS_ROOT, reason="needs root to give the archive to others")
def test_another_group_gets_no_rights_that_were_not_its_own(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not the owner")

    archive.chmod(0o664)
    os.chown(archive, -1, 4321)
    monkeypatch.setattr(os, "fchown", refuse)
    compact(archive, SECOND_ONLY, unlock=UNLOCK)
    assert archive.stat().st_mode & 0o777 == 0o604


def test_no_room_for_the_first_byte_is_a_full_disk_too(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> ArchiveFile:
        raise OSError(errno.ENOSPC, "no space", "a name")

    monkeypatch.setattr(replacement, "ArchiveFile", full)
    with pytest.raises(StorageFullError, match="make room and run the command again"):
        compact(archive, SECOND_ONLY, unlock=UNLOCK)
    assert alone(archive)


def test_a_name_that_is_not_durable_is_told_with_what_is_in_place(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(replacement, "sync_directory", fail)
    with pytest.raises(OSError, match="written anew, but a loss of power may bring the old file back") as raised:
        compact(archive, SECOND_ONLY, unlock=UNLOCK)
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, str(archive))
    assert verify(archive, Level.DEEP, unlock=UNLOCK).snapshots == 1
    assert alone(archive)


def test_a_disk_that_fills_up_leaves_the_archive(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emit, before = FileOutput.emit, archive.read_bytes()

    def full(output: FileOutput, blob: bytes) -> int:
        if output.offset > 100_000:
            raise OSError(errno.ENOSPC, "no space")
        return emit(output, blob)

    monkeypatch.setattr(FileOutput, "emit", full)
    with pytest.raises(StorageFullError, match="make room and run the command again"):
        compact(archive, SECOND_ONLY, unlock=UNLOCK)
    assert archive.read_bytes() == before
    assert alone(archive)


def test_an_archive_that_is_moved_away_meanwhile_is_left_alone(archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()

    def exchange(_: object) -> None:
        if not (tmp_path / "moved").exists():
            archive.rename(tmp_path / "moved")
            archive.write_bytes(b"somebody else's")

    with pytest.raises(BusyError, match="moved or replaced"):
        compact(archive, SECOND_ONLY, unlock=UNLOCK, progress=exchange)
    assert archive.read_bytes() == b"somebody else's"
    assert (tmp_path / "moved").read_bytes() == before
    assert alone(archive)


def test_a_damaged_file_table_is_refused(archive: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        ref = reader.content.pages[KIND_TABLE][0].ref
    raw = bytearray(archive.read_bytes())
    raw[ref.offset + ref.stored_bytes // 2] ^= 1
    archive.write_bytes(raw)
    with pytest.raises(IntegrityError, match="file-table page"):
        compact(archive, SECOND_ONLY, unlock=UNLOCK)
    assert archive.read_bytes() == raw
    assert alone(archive)


def test_a_leftover_is_removed_even_if_there_is_nothing_to_do(archive: Path) -> None:
    leftover = archive.with_name("a.warp.compact-00c0ffee")
    leftover.write_bytes(b"half of an archive")
    compact(archive, replace(SECOND_ONLY, dry_run=True), unlock=UNLOCK)
    assert leftover.exists()
    assert not compact(archive, unlock=UNLOCK).changed
    assert alone(archive)


def test_a_file_that_is_being_written_is_no_leftover(archive: Path) -> None:
    """It is a run's that has the archive under another name."""
    written = archive.with_name("a.warp.compact-00c0ffee")
    written.write_bytes(b"half of an archive")
    with ArchiveFile(written, os.O_RDWR) as file:
        file.lock()
        compact(archive, SECOND_ONLY, unlock=UNLOCK)
        assert written.read_bytes() == b"half of an archive"
    compact(archive, unlock=UNLOCK)
    assert alone(archive)


def damage_a_page(file: ArchiveFile) -> None:
    """One bit of the last file-table page."""
    with open_archive(file.path, UNLOCK) as reader:
        ref = reader.content.pages[KIND_TABLE][-1].ref
    offset = ref.offset + ref.stored_bytes // 2
    os.pwrite(file.fd, bytes([os.pread(file.fd, 1, offset)[0] ^ 1]), offset)


def cut_the_last_snapshot(file: ArchiveFile) -> None:
    """What is left is a whole archive, of the snapshot before."""
    with open_archive(file.path, UNLOCK) as reader:
        before = snapshot_commits(reader.file, reader.newest)[0]
    os.ftruncate(file.fd, before.end)


def cut_the_last_byte(file: ArchiveFile) -> None:
    os.ftruncate(file.fd, file.size() - 1)


def three_snapshots(archive: Path, tree: Path) -> None:
    (tree / "third").write_bytes(b"something new")
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)


def on_a_bad_disk(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[ArchiveFile], object]) -> None:
    """The new file is spoiled as soon as it is written."""
    write = Compaction.write

    def badly(plan: Compaction, file: ArchiveFile, *arguments: Any) -> Commit:
        commit = write(plan, file, *arguments)
        spoil(file)
        return commit

    monkeypatch.setattr(Compaction, "write", badly)


def fails_and_changes_nothing(
    archive: Path, error: type[WarpPortalError] = WarpPortalError, says: str | None = None
) -> None:
    before = archive.read_bytes()
    with pytest.raises(error, match=says):
        compact(archive, SECOND_ONLY, unlock=UNLOCK)
    assert archive.read_bytes() == before
    assert alone(archive)


@pytest.mark.parametrize("spoil", [damage_a_page, cut_the_last_snapshot, cut_the_last_byte])
def test_a_new_file_that_is_not_what_was_written_never_takes_over(
    archive: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[ArchiveFile], None]
) -> None:
    three_snapshots(archive, tree)
    on_a_bad_disk(monkeypatch, spoil)
    fails_and_changes_nothing(archive)


def test_another_whole_archive_in_the_new_file_never_takes_over(
    archive: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many snapshots as were to be kept, under the same key."""
    other = archive.read_bytes()
    three_snapshots(archive, tree)

    def exchange(file: ArchiveFile) -> None:
        os.ftruncate(file.fd, 0)
        os.pwrite(file.fd, other, 0)

    on_a_bad_disk(monkeypatch, exchange)
    fails_and_changes_nothing(archive)


def test_a_new_file_without_a_kept_snapshot_never_takes_over(
    archive: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_snapshots(archive, tree)
    write, contents = Compaction.write, Compaction._contents

    def forgetful(plan: Compaction, *arguments: Any) -> Commit:
        monkeypatch.setattr(Compaction, "_contents", lambda plan: list(contents(plan))[1:])
        return write(plan, *arguments)

    monkeypatch.setattr(Compaction, "write", forgetful)
    fails_and_changes_nothing(archive, IntegrityError, r"left as it is.*its snapshots are not all there")


def test_chunks_of_a_stopped_run_go_if_nothing_used_them_in_the_end(tmp_path: Path, tree: Path) -> None:
    path, state = tmp_path / "b.warp", StateStore(tmp_path / "state")
    options = replace(OFTEN, checkpoint_bytes=100_000)
    create(path, Source.of(["."]), options)
    grow(tree / "new", 60, 40_000, seed=4)
    whole = path.read_bytes()

    def run() -> object:
        return append(path, Source.of(["."]), options, state=state, progress=dies_at(1))

    killed(run, lambda: path.write_bytes(whole))
    for file in (tree / "new").rglob("f*"):
        file.write_bytes(b"other now")
    assert append(path, Source.of(["."]), options, state=state).resumed
    report = compact(path)
    assert report.changed
    assert report.forgotten == 0
    assert report.bytes < report.bytes_before
    assert compact(path).changed is False
    check_contents(read(path, None), tree)
    found = verify(path, Level.DEEP)
    assert found.ok
    assert found.snapshots == 2


def test_any_changed_byte_is_refused_or_left_behind(archive: Path) -> None:
    """What is written anew is never wrong: the change was in what is left out, or the archive is as it was."""
    whole, rng = archive.read_bytes(), random.Random(8)
    compact(archive, SECOND_ONLY, unlock=UNLOCK)
    expected, refused = essence(read(archive)), 0
    for offset in [
        *range(0, len(whole), len(whole) // 60),
        *(rng.randrange(len(whole) - 9000, len(whole)) for _ in range(60)),
    ]:
        raw = bytearray(whole)
        raw[offset] ^= 1 << rng.randrange(8)
        archive.write_bytes(raw)
        try:
            compact(archive, SECOND_ONLY, unlock=UNLOCK)
        except WarpPortalError:
            refused += 1
            assert archive.read_bytes() == raw
        else:
            assert essence(read(archive)) == expected
        assert alone(archive)
    assert refused > 60
