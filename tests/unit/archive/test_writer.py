"""Creating and appending, as the oracle sees the result."""

import os
import tempfile
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
    check_contents,
    essence,
    read,
)

from warp_portal.archive import toc
from warp_portal.archive.options import PackOptions, Source, Stream
from warp_portal.archive.packing import spill_directory
from warp_portal.archive.state import StateStore
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.unlock import Lock, Unlock
from warp_portal.archive.writer import append, create
from warp_portal.errors import BusyError, NotFoundError, UsageError
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity
from warp_portal.keys.signers import SigningKey


def test_a_plain_archive_holds_the_tree(tree: Path, archive: Path) -> None:
    report = create(archive, Source.of(["."]), OFTEN)
    assert report.problems == ()
    assert (report.files, report.entries) == (700, 709)
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


def test_create_never_overwrites(tree: Path, archive: Path, state: StateStore) -> None:
    archive.write_bytes(b"something else")
    with pytest.raises(UsageError, match="exists"):
        create(archive, Source.of(["."]), OFTEN, state=state)
    assert archive.read_bytes() == b"something else"
    archive.write_bytes(b"")
    create(archive, Source.of(["."]), OFTEN, state=state)
    with pytest.raises(UsageError, match="finished"):
        create(archive, Source.of(["."]), OFTEN, state=state)


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


def test_what_exceeds_the_memory_lies_beside_the_archive_if_it_may(tmp_path: Path) -> None:
    assert spill_directory(os.fsencode(tmp_path / "a.warp")) == os.fsencode(tmp_path)
    for no_place in (None, os.fsencode(tmp_path / "gone" / "a.warp")):
        assert spill_directory(no_place) == os.fsencode(tempfile.gettempdir())


def test_a_toc_that_no_reader_takes_is_not_written(
    tree: Path, archive: Path, state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(toc, "most_pages", lambda _offset: 4)
        with pytest.raises(UsageError, match="no reader takes: TOC: more pages"):
            create(archive, Source.of(["."]), PackOptions(threads=2, cutting=TINY), state=state)
    assert b"WCOMMIT1" not in archive.read_bytes()
    create(archive, Source.of(["."]), OFTEN, state=state)
    check_contents(read(archive, None), tree)
