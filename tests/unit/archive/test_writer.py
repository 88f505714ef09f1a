"""Creating, resuming and appending, as the oracle sees the result."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.oracles.warp_reader import WarpReader
from tests.unit.archive.common import (
    KEY,
    LOCK,
    OFTEN,
    TINY,
    UNLOCK,
    UUID,
    dies_at,
    essence,
    grow,
    in_child,
    killed,
    read,
)

from warp_portal.archive.options import PackOptions, PackProgress, Source, Stream
from warp_portal.archive.reader import open_archive
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.unlock import Lock, Unlock
from warp_portal.archive.writer import append, create
from warp_portal.errors import BusyError, DamagedTailError, NotFoundError, RollbackError, UsageError
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity
from warp_portal.keys.signers import SigningKey


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 699, 12_000)
    grow(root / "large", 1, 32 << 20, seed=7)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "a.warp"


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state")


def check_contents(reader: WarpReader, tree: Path) -> None:
    files = {os.fsencode(path.relative_to(tree)): path for path in tree.rglob("*") if path.is_file()}
    found = {entry["path"]: reader.content(entry) for entry in reader.entries if entry["kind"] == 0}
    assert found == {name: path.read_bytes() for name, path in files.items()}


def test_a_plain_archive_holds_the_tree(tree: Path, archive: Path) -> None:
    report = create(archive, Source.of(["."]), OFTEN)
    assert report.problems == ()
    assert (report.files, report.entries) == (700, 710)
    check_contents(read(archive, None), tree)


def test_an_encrypted_signed_archive_opens_with_each_of_its_keys(tree: Path, archive: Path) -> None:
    identity = Identity.generate("x25519")
    lock = Lock(("geheim",), (identity.recipient,), cost=Argon2Cost(passes=2))
    create(archive, Source.of(["."]), replace(OFTEN, signing_key=SigningKey.generate()), lock=lock)
    raw = archive.read_bytes()
    check_contents(WarpReader(raw, passphrase="geheim"), tree)
    check_contents(WarpReader(raw, identity=identity.seed), tree)


def test_threads_do_not_show_in_the_content(tree: Path, tmp_path: Path) -> None:
    found = []
    for threads in (1, 2, 5):
        path = tmp_path / f"{threads}.warp"
        create(path, Source.of(["."]), replace(OFTEN, threads=threads), lock=LOCK, archive_key=KEY)
        found.append(essence(read(path)))
    assert found[0] == found[1] == found[2]


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


def test_a_passphrase_resumes_without_a_state_record(tree: Path, archive: Path) -> None:
    lock = Lock(("geheim",), cost=Argon2Cost(passes=2))
    killed(lambda: create(archive, Source.of(["."]), OFTEN, lock=lock, progress=dies_at(1)), archive.unlink)
    assert create(archive, Source.of(["."]), OFTEN, lock=lock).resumed
    check_contents(WarpReader(archive.read_bytes(), passphrase="geheim"), tree)


def test_create_never_overwrites(tree: Path, archive: Path, state: StateStore) -> None:
    archive.write_bytes(b"something else")
    with pytest.raises(UsageError, match="exists"):
        create(archive, Source.of(["."]), OFTEN, state=state)
    assert archive.read_bytes() == b"something else"
    archive.write_bytes(b"")
    create(archive, Source.of(["."]), OFTEN, state=state)
    with pytest.raises(UsageError, match="finished"):
        create(archive, Source.of(["."]), OFTEN, state=state)


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


def test_a_failed_create_leaves_what_was_there(archive: Path, tmp_path: Path) -> None:
    archive.touch()
    with pytest.raises(UsageError, match="nobody could open it"):
        create(archive, Source.of([tmp_path]), OFTEN, lock=Lock())
    assert archive.read_bytes() == b""


def test_a_file_that_lost_its_name_is_not_written(archive: Path) -> None:
    archive.touch()
    with ArchiveFile(archive, os.O_RDWR) as gone:
        archive.unlink()
        with pytest.raises(BusyError, match="removed or replaced"):
            gone.lock()
        archive.touch()
        with pytest.raises(BusyError, match="removed or replaced"):
            gone.lock()


def test_a_second_writer_is_told_to_wait(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]), OFTEN)
    with ArchiveFile(archive, os.O_RDWR) as other:
        other.lock()
        assert ArchiveFile(archive).being_written()
        with pytest.raises(BusyError):
            append(archive, Source.of(["."]), OFTEN)
    append(archive, Source.of(["."]), OFTEN)


def test_an_unchanged_tree_is_not_read_and_adds_one_commit(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, ns=(10**18, 10**18))
    size = archive.stat().st_size
    # ctime is now: the next append reads everything again, finds it, and the one after that reads nothing.
    second = append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
    assert second.progress.chunks == 0
    assert second.progress.bytes_duplicate == second.progress.bytes_read > 0
    assert archive.stat().st_size < size + 200_000


def test_settled_files_are_not_read_again(archive: Path, tmp_path: Path) -> None:
    settled = Path(os.__file__).parent / "json"
    create(archive, Source.of([settled]), OFTEN, lock=LOCK, archive_key=KEY)
    size = archive.stat().st_size
    again = append(archive, Source.of([settled]), OFTEN, unlock=UNLOCK)
    assert again.progress.bytes_read == 0
    assert again.progress.bytes_reused > 0
    assert archive.stat().st_size <= size + 2 * 4096
    first, second = read(archive), WarpReader(archive.read_bytes()[:size], archive_key=KEY)
    assert essence(first) == essence(second)


def test_a_changed_tree_adds_what_is_new(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    before = read(archive)
    (tree / "d1" / "f0001").write_bytes(os.urandom(30_000))
    (tree / "d2" / "f0002").unlink()
    (tree / "d9").mkdir()
    (tree / "d9" / "copy").write_bytes((tree / "d3" / "f0003").read_bytes())
    report = append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
    after = read(archive)
    assert report.sequence == before.sequence + 1
    assert report.progress.bytes_raw == 30_000
    assert [chunk["cid"] for chunk in after.chunks][: len(before.chunks)] == [chunk["cid"] for chunk in before.chunks]
    check_contents(after, tree)


def test_a_killed_append_goes_on_or_is_cut_back(tree: Path, archive: Path, tmp_path: Path) -> None:
    create(archive, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    finished = archive.read_bytes()
    grow(tree / "more", 300, 30_000, seed=2)
    grow(tree / "most", 1, 48 << 20, seed=5)
    killed(
        lambda: append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, progress=dies_at(2)),
        lambda: archive.write_bytes(finished),
    )
    stopped = archive.read_bytes()
    assert stopped.startswith(finished)
    assert append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK).resumed
    check_contents(read(archive), tree)

    archive.write_bytes(stopped + b"rest")
    with pytest.raises(DamagedTailError, match="perhaps a newer snapshot"):
        append(archive, Source.of(["d1"]), OFTEN, unlock=UNLOCK)
    state = StateStore(tmp_path / "state")
    with open_archive(archive, UNLOCK, recover=True) as reader:
        state.remember(reader.uuid, Remembered(reader.commit.sequence, reader.commit_hash, b""))
    assert not append(archive, Source.of(["d1"]), OFTEN, unlock=UNLOCK, state=state).resumed
    assert archive.stat().st_size < len(stopped)
    assert {entry["path"].split(b"/")[0] for entry in read(archive).entries} == {b"d1"}


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


def test_an_archive_goes_into_a_pipe(tree: Path) -> None:
    received: list[bytes] = []
    out, into = os.pipe()
    with open(out, "rb") as pipe:
        reader = threading.Thread(target=lambda: received.append(pipe.read()))
        reader.start()
        create(into, Source.of(["."]), replace(OFTEN, cutting=TINY), lock=LOCK, archive_key=KEY)
        os.close(into)
        reader.join()
    check_contents(WarpReader(received[0], archive_key=KEY), tree)


def test_a_stream_becomes_one_file(archive: Path) -> None:
    content = os.urandom(3_000_000)
    out, into = os.pipe()
    writer = threading.Thread(target=_send, args=(into, content))
    writer.start()
    create(archive, Stream(b"dump/db.sql", out), OFTEN, lock=LOCK, archive_key=KEY)
    writer.join()
    os.close(out)
    (entry,) = read(archive).entries
    assert (entry["path"], entry["size"]) == (b"dump/db.sql", len(content))
    assert read(archive).content(entry) == content


def _send(into: int, content: bytes) -> None:
    with open(into, "wb") as pipe:
        pipe.write(content)


def test_an_empty_tree_is_an_archive(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    create(archive, Source.of([tmp_path / "empty"]), OFTEN)
    assert [entry["kind"] for entry in read(archive, None).entries] == [1]
    append(archive, Source.of([tmp_path / "empty"]), OFTEN)


def test_a_signed_archive_stays_signed(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]), replace(OFTEN, signing_key=SigningKey.generate()))
    with pytest.raises(UsageError, match="sign what you append"):
        append(archive, Source.of(["."]), OFTEN)


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


def test_a_lock_without_keys_is_refused(tree: Path, archive: Path) -> None:
    with pytest.raises(UsageError, match="nobody could open it"):
        create(archive, Source.of(["."]), OFTEN, lock=Lock())
    with pytest.raises(UsageError, match="at most 8"):
        create(archive, Source.of(["."]), OFTEN, lock=Lock(tuple("abcdefghi")))
    assert not archive.exists()


def test_nothing_to_append_to(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        append(tmp_path / "none.warp", Source.of([tmp_path]), OFTEN, unlock=Unlock())


@pytest.mark.parametrize(
    ("paths", "stored"),
    [
        (["."], [b""]),
        (["a/b/", "./c"], [b"a/b", b"c"]),
        (["../elsewhere"], [b"elsewhere"]),
    ],
)
def test_stored_paths_follow_the_paths_given(
    paths: list[str], stored: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "a" / "b").mkdir(parents=True)
    (tmp_path / "here" / "c").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert [root[0] for root in Source.of(paths).roots] == stored


def test_clashing_sources_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for paths in (["a", "a/b"], ["a", "./a"], [".", "a"]):
        with pytest.raises(UsageError, match="inside another"):
            Source.of(paths)
    with pytest.raises(UsageError, match="nothing to pack"):
        Source.of([])
    with pytest.raises(NotFoundError):
        Source.of(["missing"])


@pytest.mark.parametrize("name", [b"", b"/abs", b"a//b", b"a/../b", b"./a", b"nul\0"])
def test_names_of_streams_are_stored_paths(name: bytes) -> None:
    with pytest.raises(UsageError):
        Stream(name)
