"""Runs that were killed, stopped or cut short: what the next one goes on from, and what it refuses to lose."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.oracles.warp_reader import WarpReader
from tests.unit.archive.common import (
    KEY,
    LOCK,
    OFTEN,
    UNLOCK,
    UUID,
    check_contents,
    dies_at,
    essence,
    grow,
    grow_large,
    in_child,
    killed,
    read,
)

from warp_portal.archive.options import PackOptions, PackProgress, Source
from warp_portal.archive.packing import Packing
from warp_portal.archive.reader import open_archive
from warp_portal.archive.state import StateStore
from warp_portal.archive.unlock import Lock
from warp_portal.archive.writer import append, create
from warp_portal.errors import DamagedTailError, RollbackError, UsageError
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity
from warp_portal.primitives.compression import AUTO, policy


def test_a_killed_create_goes_on_from_its_last_checkpoint(
    tree: Path, archive: Path, state: StateStore, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.warp"
    create(whole, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY, uuid=UUID)

    def run(checkpoint: int) -> None:
        create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY, state=state, progress=dies_at(checkpoint))

    def twice() -> None:
        if in_child(lambda: run(1)) == 9:
            run(2)

    killed(twice, archive.unlink)
    assert archive.stat().st_size < whole.stat().st_size
    report = create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY, state=state)
    assert report.resumed
    assert essence(read(archive)) == essence(read(whole))
    assert state.unfinished(bytes(archive)) is None


def test_a_create_that_died_before_its_first_checkpoint_begins_anew(
    tree: Path, archive: Path, state: StateStore
) -> None:
    def run() -> None:
        create(archive, Source.of(["."]), PackOptions(), lock=LOCK, archive_key=KEY, state=state, progress=dies_at(0))

    killed(run, archive.unlink)
    assert archive.stat().st_size > 0
    report = create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY, state=state)
    assert not report.resumed
    check_contents(read(archive), tree)


@pytest.mark.parametrize("other", [b"a small note", b"x" * 300])
def test_a_record_gives_no_leave_to_overwrite_another_file(
    archive: Path, state: StateStore, tmp_path: Path, other: bytes
) -> None:
    def begin() -> None:
        create(archive, Source.of([tmp_path]), PackOptions(), state=state, progress=dies_at(0))

    killed(begin, archive.unlink)
    begun = archive.read_bytes()
    archive.write_bytes(other)
    with pytest.raises(UsageError, match="exists"):
        create(archive, Source.of([tmp_path]), PackOptions(), state=state)
    assert archive.read_bytes() == other
    archive.write_bytes(begun[:100])
    create(archive, Source.of([tmp_path]), PackOptions(), state=state)


def test_what_cannot_be_resumed_is_refused(tree: Path, archive: Path, state: StateStore) -> None:
    def run() -> None:
        create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY, state=state, progress=dies_at(1))

    killed(run, archive.unlink)
    with pytest.raises(UsageError, match="other arguments"):
        create(archive, Source.of(["d1"]), OFTEN, lock=LOCK, state=state)
    with pytest.raises(UsageError, match="other arguments"):
        create(archive, Source.of(["."]), PackOptions(), lock=LOCK, state=state)
    with pytest.raises(UsageError, match="key was not kept"):
        create(archive, Source.of(["."]), OFTEN, lock=Lock(recipients=(Identity.generate().recipient,)))
    with pytest.raises(UsageError, match="never finished"):
        append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)


def test_a_run_begun_under_another_version_of_the_policy_is_resumed(
    tree: Path, archive: Path, state: StateStore
) -> None:
    before = replace(OFTEN, policy=replace(AUTO, version=AUTO.version - 1, rows=policy("lz4").rows))

    def stopped_create() -> None:
        create(archive, Source.of(["."]), before, state=state, progress=dies_at(1))

    def stopped_append() -> None:
        append(archive, Source.of(["."]), before, state=state, progress=dies_at(1))

    def reset() -> None:
        archive.write_bytes(finished)

    killed(stopped_create, archive.unlink)
    with pytest.raises(UsageError, match="other arguments"):
        create(archive, Source.of(["."]), replace(OFTEN, policy=policy("zstd:5")), state=state)
    assert create(archive, Source.of(["."]), OFTEN, state=state).resumed
    finished = archive.read_bytes()
    grow_large(tree / "more", seed=9)
    killed(stopped_append, reset)
    assert append(archive, Source.of(["."]), OFTEN, state=state).resumed
    with open_archive(archive) as reader:
        assert reader.summary.arguments["policy"] == AUTO.version
    check_contents(read(archive, None), tree)


def test_a_passphrase_resumes_without_a_state_record(tree: Path, archive: Path) -> None:
    lock = Lock(("geheim",), cost=Argon2Cost(passes=2))
    killed(lambda: create(archive, Source.of(["."]), OFTEN, lock=lock, progress=dies_at(1)), archive.unlink)
    assert create(archive, Source.of(["."]), OFTEN, lock=lock).resumed
    check_contents(WarpReader(archive.read_bytes(), passphrase="geheim"), tree)


def test_a_record_left_at_the_very_end_is_dropped(
    archive: Path, tmp_path: Path, state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(StateStore, "finish", lambda *_: None)
        create(archive, Source.of([tmp_path]), OFTEN, state=state)
    assert state.unfinished(bytes(archive)) is not None
    with pytest.raises(UsageError, match="finished"):
        create(archive, Source.of([tmp_path]), OFTEN, state=state)
    assert state.unfinished(bytes(archive)) is None


def test_a_killed_append_goes_on_or_is_cut_back(tree: Path, archive: Path, tmp_path: Path) -> None:
    state, other = StateStore(tmp_path / "state"), StateStore(tmp_path / "other")
    create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    open_archive(archive, UNLOCK, state=other).close()
    finished = archive.read_bytes()
    grow(tree / "more", 300, 30_000, seed=2)
    grow_large(tree / "most", 48 << 20, seed=5)
    killed(
        lambda: append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, state=state, progress=dies_at(2)),
        lambda: archive.write_bytes(finished),
    )
    stopped = archive.read_bytes()
    assert stopped.startswith(finished)
    assert append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK).resumed
    check_contents(read(archive), tree)

    archive.write_bytes(stopped + b"rest")
    for stranger in (None, other):  # the other machine has seen it, and appended nothing
        with pytest.raises(DamagedTailError, match="perhaps a newer snapshot"):
            append(archive, Source.of(["d1"]), OFTEN, unlock=UNLOCK, state=stranger)
    assert archive.read_bytes() == stopped + b"rest"
    assert not append(archive, Source.of(["d1"]), OFTEN, unlock=UNLOCK, state=state).resumed
    assert archive.stat().st_size < len(stopped)
    assert {entry["path"].split(b"/")[0] for entry in read(archive).entries} == {b"d1"}

    done = archive.read_bytes()
    archive.write_bytes(done + b"rest")
    with pytest.raises(DamagedTailError, match="perhaps a newer snapshot"):  # no append of ours is unfinished now
        append(archive, Source.of(["d1"]), OFTEN, unlock=UNLOCK, state=state)


def test_an_append_that_left_nothing_excuses_nothing(
    tree: Path, archive: Path, state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(archive, Source.of(["d1"]), OFTEN, state=state)
    with monkeypatch.context() as patches:
        patches.setattr(Packing, "run", raises)
        with pytest.raises(KeyboardInterrupt):
            append(archive, Source.of(["d2"]), OFTEN, state=state)
    archive.write_bytes(archive.read_bytes() + b"a newer snapshot, cut short")
    with pytest.raises(DamagedTailError, match="perhaps a newer snapshot"):
        append(archive, Source.of(["d2"]), OFTEN, state=state)


def raises(_: Packing) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_keeps_what_is_done(tree: Path, archive: Path, state: StateStore) -> None:
    def interrupt(progress: PackProgress) -> None:
        if progress.chunks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(archive, Source.of(["."]), replace(OFTEN, checkpoint_bytes=1 << 40), state=state, progress=interrupt)
    assert create(archive, Source.of(["."]), OFTEN, state=state).resumed
    check_contents(read(archive, None), tree)


def test_the_signal_waits_for_a_moment_that_suits(tree: Path, archive: Path, state: StateStore) -> None:
    def interrupt(progress: PackProgress) -> None:
        if progress.chunks:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        create(archive, Source.of(["."]), replace(OFTEN, checkpoint_bytes=1 << 40), state=state, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert create(archive, Source.of(["."]), OFTEN, state=state).resumed
    check_contents(read(archive, None), tree)


def test_a_writer_refuses_a_damaged_newest_commit_and_an_older_state(
    tree: Path, archive: Path, state: StateStore
) -> None:
    create(archive, Source.of(["."]), OFTEN, state=state)
    first = archive.read_bytes()
    append(archive, Source.of(["d1"]), OFTEN, state=state)
    second = bytearray(archive.read_bytes())
    archive.write_bytes(first)
    with pytest.raises(RollbackError):
        append(archive, Source.of(["."]), OFTEN, state=state)
    second[-100] ^= 1
    archive.write_bytes(second)
    with pytest.raises(DamagedTailError, match="newest commit is damaged"):
        append(archive, Source.of(["."]), OFTEN)
    assert archive.read_bytes() == second


def test_a_snapshot_that_was_cut_short_is_not_cut_off(tree: Path, archive: Path, state: StateStore) -> None:
    create(archive, Source.of(["d1"]), OFTEN)
    first = archive.read_bytes()
    append(archive, Source.of(["d2"]), OFTEN)
    cut = archive.read_bytes()[:-100]
    archive.write_bytes(cut)
    with pytest.raises(DamagedTailError, match="fetch the archive again"):
        append(archive, Source.of(["d1"]), OFTEN, state=state)
    assert archive.read_bytes() == cut
    append(archive, Source.of(["d1"]), OFTEN, state=state, recover=True)
    assert archive.read_bytes().startswith(first)
    assert {entry["path"].split(b"/")[0] for entry in read(archive, None).entries} == {b"d1"}


def test_an_append_knows_what_a_stopped_one_left(tree: Path, archive: Path, state: StateStore) -> None:
    create(archive, Source.of(["d1"]), OFTEN)
    created = archive.read_bytes()
    killed(
        lambda: append(archive, Source.of(["."]), PackOptions(), state=state, progress=dies_at(0)),
        lambda: archive.write_bytes(created),
    )
    with open(archive, "ab") as file:
        file.write(b"rest")
    append(archive, Source.of(["d2"]), OFTEN, state=state)
    assert {entry["path"].split(b"/")[0] for entry in read(archive, None).entries} == {b"d2"}


def test_recovering_goes_behind_a_damaged_newest_snapshot(tree: Path, archive: Path, state: StateStore) -> None:
    create(archive, Source.of(["d1"]), OFTEN, state=state)
    append(archive, Source.of(["d2"]), OFTEN, state=state)
    with open_archive(archive) as reader:
        toc_offset = reader.commit.toc_offset
    raw = bytearray(archive.read_bytes())
    raw[toc_offset + 9] ^= 1
    archive.write_bytes(raw + b"rest")
    for source in ("d1", "d2"):
        with pytest.raises(DamagedTailError, match="newest commit is damaged"):
            append(archive, Source.of([source]), OFTEN)
    append(archive, Source.of(["d2"]), OFTEN, state=state, recover=True)
    with open_archive(archive, state=state) as reader:
        assert len(reader.snapshots()) == 2
