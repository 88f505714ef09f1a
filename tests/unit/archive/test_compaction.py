"""Writing an archive anew: what is kept is as before, what is not is gone, and whatever fails leaves it as it was."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.oracles.warp_reader import WarpReader
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, check_contents, grow, in_child

from warp_portal._native import ChunkIndex
from warp_portal.archive import compaction, replacement
from warp_portal.archive.compaction import CompactReport, CompactRequest, compact
from warp_portal.archive.filetable import Recipe
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.retention import Selection
from warp_portal.archive.rewriting import CompactProgress
from warp_portal.archive.state import StateStore
from warp_portal.archive.unlock import NO_KEY, Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.clock import VirtualClock
from warp_portal.errors import (
    BusyError,
    DamagedTailError,
    IntegrityError,
    RollbackError,
    SignerError,
    StorageFullError,
    UsageError,
)
from warp_portal.keys.signers import SigningKey
from warp_portal.primitives.cutting import PROFILES

Content = tuple[object, ...]
THIRD_ONLY = CompactRequest(Selection(forgotten=frozenset({1, 2})))
WITHOUT_SECOND = CompactRequest(Selection(forgotten=frozenset({2})))
BARE = replace(LOCK, passphrases=())


@pytest.fixture(params=["plain", "encrypted"])
def unlock(request: pytest.FixtureRequest) -> Unlock:
    return UNLOCK if request.param == "encrypted" else NO_KEY


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree that has three states; see `archive`."""
    grow(tmp_path / "tree", 60, 60_000)
    (tmp_path / "tree" / "sparse").touch()
    os.truncate(tmp_path / "tree" / "sparse", 1 << 20)
    monkeypatch.chdir(tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture
def archive(tmp_path: Path, tree: Path, unlock: Unlock) -> Path:
    """Three snapshots: the second adds what the third loses again, and the third has a part of the first."""
    return three_snapshots(tmp_path / "a.warp", tree, unlock)


def three_snapshots(path: Path, tree: Path, unlock: Unlock, key: SigningKey | None = None) -> Path:
    options = replace(OFTEN, signing_key=key)
    create(path, Source.of(["."]), options, lock=BARE if unlock else None, archive_key=KEY if unlock else None)
    grow(tree / "passing", 20, 50_000, seed=2)
    append(path, Source.of(["."]), options, unlock=unlock)
    shutil.rmtree(tree / "passing")
    shutil.rmtree(tree / "d3")
    grow(tree / "last", 9, 30_000, seed=3)
    # Packed as if the files were old by then: only such are known to be unchanged.
    append(path, Source.of(["."]), options, unlock=unlock, clock=VirtualClock(time.time_ns() + 10**10))
    return path


def contents(archive: Path, unlock: Unlock, snapshot: int) -> Content:
    """Everything that must stay: entries but for the ordinals, contents, time, and arguments but for the origin."""
    with open_archive(archive, unlock, snapshot=snapshot) as reader:
        entries = [replace(entry, runs=Recipe()) for entry in reader]
        files = [reader.open_file(entry.path).read() for entry in entries if entry.kind == 0]
        arguments = {name: value for name, value in reader.summary.arguments.items() if name != "compacted"}
        summary = replace(reader.summary, arguments=arguments, fragments=0, chunks=0, stored_bytes=0)
        return entries, files, summary, reader.commit.time_ns


def check_sound(archive: Path, unlock: Unlock, snapshots: int) -> None:
    report = verify(archive, Level.DEEP, unlock=unlock)
    assert report.ok, report.metadata_damage
    assert report.snapshots == snapshots


def beside(archive: Path) -> set[str]:
    return {path.name for path in archive.parent.iterdir()} - {archive.name, "tree", "state"}


@pytest.mark.parametrize("request_", [THIRD_ONLY, WITHOUT_SECOND], ids=["only the newest", "first and newest"])
def test_every_kept_snapshot_is_what_it_was(
    archive: Path, tree: Path, unlock: Unlock, request_: CompactRequest
) -> None:
    before = {number: contents(archive, unlock, number) for number in (1, 2, 3)}
    size, mode = archive.stat().st_size, archive.stat().st_mode
    report = compact(archive, replace(request_, drop_slots=True), unlock=unlock)
    becomes = {fate.becomes: fate.number for fate in report.snapshots if fate.becomes}
    assert list(becomes) == list(range(1, len(becomes) + 1))
    assert report.forgotten == 3 - len(becomes)
    for now, was in becomes.items():
        assert contents(archive, unlock, now) == before[was]
    check_sound(archive, unlock, len(becomes))
    check_contents(WarpReader(archive.read_bytes(), archive_key=KEY if unlock else None), tree)
    assert report.changed
    assert (report.file_bytes, report.file_bytes_before) == (archive.stat().st_size, size)
    assert report.chunks < report.chunks_before
    assert report.bytes < report.bytes_before
    assert archive.stat().st_mode == mode
    assert beside(archive) == set()


def test_chunks_are_copied_as_they_are_stored(archive: Path, unlock: Unlock) -> None:
    key = KEY if unlock else None
    before = WarpReader(archive.read_bytes(), archive_key=key)
    compact(archive, THIRD_ONLY, unlock=unlock)
    after = WarpReader(archive.read_bytes(), archive_key=key)
    kept = [chunk["cid"] for chunk in after.chunks]
    assert kept == [chunk["cid"] for chunk in before.chunks if chunk["cid"] in set(kept)]
    assert 0 < len(kept) < len(before.chunks)


def test_the_new_archive_names_the_one_before(archive: Path, unlock: Unlock) -> None:
    with open_archive(archive, unlock) as reader:
        origin = [reader.uuid, reader.commit_hash]
    report = compact(archive, THIRD_ONLY, unlock=unlock)
    with open_archive(archive, unlock) as reader:
        assert reader.uuid == report.uuid != report.uuid_before == origin[0]
        assert reader.summary.arguments["compacted"] == origin


def test_a_next_append_reads_nothing_that_did_not_change(archive: Path, tree: Path, unlock: Unlock) -> None:
    compact(archive, THIRD_ONLY, unlock=unlock)
    (tree / "more").write_bytes(b"more" * 999)
    report = append(archive, Source.of(["."]), OFTEN, unlock=unlock)
    assert (report.progress.bytes_read, report.progress.bytes_raw) == (4 * 999, 4 * 999)
    check_sound(archive, unlock, 2)
    check_contents(WarpReader(archive.read_bytes(), archive_key=KEY if unlock else None), tree)


def test_nothing_to_leave_out_changes_nothing(archive: Path, unlock: Unlock) -> None:
    compact(archive, THIRD_ONLY, unlock=unlock)
    before = archive.read_bytes()
    report = compact(archive, unlock=unlock)
    assert not report.changed
    assert report.forgotten == 0
    assert archive.read_bytes() == before


def test_a_dry_run_tells_the_same_and_changes_nothing(archive: Path, unlock: Unlock) -> None:
    before = archive.read_bytes()
    dry = compact(archive, replace(THIRD_ONLY, dry_run=True), unlock=unlock)
    assert archive.read_bytes() == before
    assert beside(archive) == set()
    done = compact(archive, THIRD_ONLY, unlock=unlock)
    assert not dry.changed
    assert replace(dry, changed=True, uuid=done.uuid, file_bytes=0) == replace(done, file_bytes=0)


def test_unused_data_in_live_chunks_is_counted(tmp_path: Path, tree: Path) -> None:
    """With whole chunks of many files: one small file of them keeps its chunk."""
    options = replace(OFTEN, cutting=PROFILES["general"])
    create(tmp_path / "c.warp", Source.of(["."]), options)
    total = sum(path.stat().st_size for path in tree.rglob("f*"))
    for path in sorted(tree.rglob("f*"))[1:]:
        path.unlink()
    append(tmp_path / "c.warp", Source.of(["."]), options)
    report = compact(tmp_path / "c.warp", CompactRequest(Selection(forgotten=frozenset({1}))))
    assert 0 < report.unused_bytes < total
    with open_archive(tmp_path / "c.warp") as reader:
        raw = sum(raw_bytes(reader.index, chunk) for chunk in range(reader.index.chunks))
        used = sum(entry.size for entry in reader if entry.runs)
        assert report.unused_bytes == raw - used


def raw_bytes(index: ChunkIndex, chunk: int) -> int:
    first, end = index.chunk_fragments(chunk)
    return sum(length for _, _, length in index.locate(first, end - first))


def test_progress_ends_with_all_live_chunks(archive: Path, unlock: Unlock) -> None:
    told: list[CompactProgress] = []
    report = compact(archive, THIRD_ONLY, unlock=unlock, progress=told.append)
    assert told[-1] == CompactProgress(report.chunks, report.chunks, report.bytes, report.bytes)
    assert [step.chunks for step in told] == list(range(1, report.chunks + 1))


def test_the_new_state_is_remembered(archive: Path, unlock: Unlock, tmp_path: Path) -> None:
    state = StateStore(tmp_path / "state")
    report = compact(archive, THIRD_ONLY, unlock=unlock, state=state)
    seen = state.remembered(report.uuid)
    with open_archive(archive, unlock, state=state) as reader:
        assert seen is not None
        assert (seen.sequence, seen.commit_digest) == (1, reader.commit_hash)
    grown = archive.read_bytes()
    append(archive, Source.of(["."]), OFTEN, unlock=unlock, state=state)
    archive.write_bytes(grown)
    with pytest.raises(RollbackError):
        open_archive(archive, unlock, state=state)


def test_a_link_stays_and_what_it_leads_to_is_replaced(archive: Path, unlock: Unlock, tmp_path: Path) -> None:
    (tmp_path / "tree" / "link.warp").symlink_to(archive)
    compact(tmp_path / "tree" / "link.warp", THIRD_ONLY, unlock=unlock)
    assert (tmp_path / "tree" / "link.warp").is_symlink()
    check_sound(archive, unlock, 1)


def test_who_has_the_old_file_open_reads_on(archive: Path, unlock: Unlock) -> None:
    before = contents(archive, unlock, 1)
    with open_archive(archive, unlock, snapshot=1) as reader:
        compact(archive, THIRD_ONLY, unlock=unlock)
        assert [replace(entry, runs=Recipe()) for entry in reader] == before[0]
        files = [reader.open_file(entry.path).read() for entry in reader if entry.kind == 0]
        assert files == before[1]


# Refusals


def test_a_damaged_chunk_that_is_kept_is_refused(archive: Path, unlock: Unlock) -> None:
    with open_archive(archive, unlock) as reader:
        first = next(next(iter(entry.runs))[0] for entry in reader if entry.runs)
        chunk = reader.index.locate(first, 1)[0][0]
    where = WarpReader(archive.read_bytes(), archive_key=KEY if unlock else None).chunks[chunk]
    raw = bytearray(archive.read_bytes())
    raw[where["at"] + where["length"] // 2] ^= 4
    archive.write_bytes(raw)
    with pytest.raises(IntegrityError, match=f"chunk {chunk} is damaged, so nothing was changed"):
        compact(archive, THIRD_ONLY, unlock=unlock)
    assert archive.read_bytes() == raw
    assert beside(archive) == set()


def test_damage_in_what_is_left_out_is_left_behind(archive: Path, unlock: Unlock) -> None:
    live = set(kept_cids(archive, unlock))
    dead = next(chunk for chunk in read(archive, unlock).chunks if chunk["cid"] not in live)
    raw = bytearray(archive.read_bytes())
    raw[dead["at"]] ^= 4
    archive.write_bytes(raw)
    assert not verify(archive, Level.DATA).ok
    compact(archive, THIRD_ONLY, unlock=unlock)
    check_sound(archive, unlock, 1)


def read(archive: Path, unlock: Unlock) -> WarpReader:
    return WarpReader(archive.read_bytes(), archive_key=KEY if unlock else None)


def kept_cids(archive: Path, unlock: Unlock) -> list[bytes]:
    copy = archive.with_suffix(".copy")
    shutil.copyfile(archive, copy)
    compact(copy, THIRD_ONLY, unlock=unlock)
    cids = [chunk["cid"] for chunk in read(copy, unlock).chunks]
    copy.unlink()
    return cids


def test_an_unfinished_change_is_refused(archive: Path, unlock: Unlock) -> None:
    with archive.open("ab") as file:
        file.write(b"the beginning of something")
    with pytest.raises(DamagedTailError):
        compact(archive, THIRD_ONLY, unlock=unlock)


def test_an_archive_that_is_written_is_busy(archive: Path, unlock: Unlock) -> None:
    from warp_portal.archive.storage import ArchiveFile

    with ArchiveFile(archive, os.O_RDWR) as file:
        file.lock()
        with pytest.raises(BusyError):
            compact(archive, THIRD_ONLY, unlock=unlock)


def test_room_is_looked_for_before_anything_is_written(
    archive: Path, unlock: Unlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.statvfs(archive)
    full = os.statvfs_result([*status[:4], 1, *status[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(StorageFullError, match="are free"):
        compact(archive, THIRD_ONLY, unlock=unlock)
    assert beside(archive) == set()
    assert "are free" in compact(archive, replace(THIRD_ONLY, dry_run=True), unlock=unlock).obstacle


# Signatures


def test_a_signed_archive_is_signed_again_by_the_same_key(tmp_path: Path, tree: Path, unlock: Unlock) -> None:
    key, path, state = SigningKey.generate(), tmp_path / "s.warp", StateStore(tmp_path / "state")
    three_snapshots(path, tree, unlock, key)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="--sign"):
        compact(path, WITHOUT_SECOND, unlock=unlock)
    with pytest.raises(SignerError):
        compact(path, replace(WITHOUT_SECOND, signing_key=SigningKey.generate()), unlock=unlock)
    assert path.read_bytes() == before
    compact(path, replace(WITHOUT_SECOND, signing_key=key), unlock=unlock, state=state)
    with open_archive(path, unlock, state=state) as reader:
        assert [snapshot.signer for snapshot in reader.snapshots()] == [key.public.raw] * 2
    assert verify(path, Level.DEEP, unlock=unlock, signer=key.public, snapshot=1).ok
    read(path, unlock)


def test_an_unsigned_snapshot_gets_no_signature(archive: Path, unlock: Unlock) -> None:
    key = SigningKey.generate()
    append(archive, Source.of(["."]), replace(OFTEN, signing_key=key), unlock=unlock)
    compact(archive, replace(THIRD_ONLY, signing_key=key), unlock=unlock)
    with open_archive(archive, unlock) as reader:
        assert [snapshot.signed for snapshot in reader.snapshots()] == [False, True]


# Kills


def stop(*_: object) -> None:
    os._exit(9)


def kill_after_chunks(monkeypatch: pytest.MonkeyPatch, run: Callable[..., CompactReport]) -> None:
    run(progress=lambda step: os._exit(9) if step.chunks > 5 else None)


def kill_before(name: str) -> Callable[[pytest.MonkeyPatch, Callable[..., CompactReport]], None]:
    def kill(monkeypatch: pytest.MonkeyPatch, run: Callable[..., CompactReport]) -> None:
        where: object = compaction.Compaction if name == "verify" else replacement.Replacement
        monkeypatch.setattr(where, name, stop)
        run()

    return kill


def kill_after_rename(monkeypatch: pytest.MonkeyPatch, run: Callable[..., CompactReport]) -> None:
    monkeypatch.setattr(replacement, "sync_directory", stop)
    run()


KILLS = {
    "while chunks are copied": kill_after_chunks,
    "before it is verified": kill_before("verify"),
    "before it takes over": kill_before("take_over"),
    "after the rename": kill_after_rename,
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_kill_leaves_the_old_archive_or_the_new_one(
    archive: Path, unlock: Unlock, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, before, third = StateStore(tmp_path / "state"), archive.read_bytes(), contents(archive, unlock, 3)

    def run(progress: Callable[[CompactProgress], object] | None = None) -> CompactReport:
        return compact(archive, THIRD_ONLY, unlock=unlock, state=state, progress=progress)  # type: ignore[arg-type]  # ends the process

    assert in_child(lambda: KILLS[moment](monkeypatch, run)) == 9
    if moment == "after the rename":
        assert beside(archive) == set()
    else:
        assert archive.read_bytes() == before
        assert len(beside(archive)) == 1
        assert (archive.parent / beside(archive).pop()).stat().st_mode & 0o777 == 0o600
        compact(archive, THIRD_ONLY, unlock=unlock, state=state)
    assert beside(archive) == set()
    check_sound(archive, unlock, 1)
    with open_archive(archive, unlock, state=state) as reader:
        assert len(reader.snapshots()) == 1
    assert contents(archive, unlock, 1) == third


def test_ctrl_c_leaves_nothing_behind(archive: Path, unlock: Unlock) -> None:
    def interrupt(step: CompactProgress) -> None:
        raise KeyboardInterrupt

    before = archive.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        compact(archive, THIRD_ONLY, unlock=unlock, progress=interrupt)
    assert archive.read_bytes() == before
    assert beside(archive) == set()


def test_only_leftovers_of_this_archive_are_removed(archive: Path, unlock: Unlock) -> None:
    names = ("a.warp.compact-0123abcd", "a.warp.compact-notes", "b.warp.compact-0123abcd", "a.warp.compact-0123abcde")
    for name in names:
        (archive.parent / name).write_bytes(b"")
    compact(archive, THIRD_ONLY, unlock=unlock)
    assert beside(archive) == set(names[1:])
