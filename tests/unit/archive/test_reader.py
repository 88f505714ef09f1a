"""Opening, listing and reading single files."""

import io
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, dies_at, grow, grow_large, killed

from warp_portal.archive.filetable import Entry, Kind
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.trust import SignatureState
from warp_portal.archive.unlock import Lock, Unlock
from warp_portal.archive.writer import append, create
from warp_portal.errors import (
    BusyError,
    DamagedTailError,
    FormatError,
    KeyRequiredError,
    NotFoundError,
    UsageError,
    WrongKeyError,
)
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity
from warp_portal.keys.signers import SigningKey


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 60, 30_000)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def archive(tree: Path, tmp_path: Path) -> Path:
    path = tmp_path / "a.warp"
    create(path, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    return path


def test_entries_come_in_order_and_by_pattern_and_prefix(archive: Path, tree: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        everything = [entry.path for entry in reader]
        assert len(everything) == 1 + 7 + 60
        assert everything == sorted(everything, key=lambda path: path.split(b"/"))
        assert {entry.path for entry in reader.entries(["*3"])} >= {b"d3", b"d3/f0003", b"d3/f0010"}
        assert [entry.path for entry in reader.entries(["f0003"])] == [b"d3/f0003"]
        below = [entry.path for entry in reader.entries(prefix=b"d2")]
        assert below == [path for path in everything if path == b"d2" or path.startswith(b"d2/")]
        assert reader.summary.entries == 68
        assert reader.summary.bytes == sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


def test_an_entry_is_what_the_file_was(archive: Path, tree: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        entry = reader.find("d1/f0001")
        status = (tree / "d1" / "f0001").stat()
        assert entry is not None
        assert (entry.kind, entry.st_mode, entry.uid, entry.size) == (
            Kind.FILE,
            status.st_mode,
            status.st_uid,
            status.st_size,
        )
        assert (entry.mtime_ns, entry.ctime_ns, entry.inode) == (status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        assert reader.find("d1/none") is None
        assert reader.find(b"zzz") is None
        assert Entry(b"not-\xff", Kind.FILE, 0o644).name == "not-\\xff"


def test_the_pages_of_a_directory_are_enough_to_list_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9000):
        (tmp_path / "many" / f"{number % 30:02}" / f"{number}").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "many")
    create(tmp_path / "m.warp", Source.of(["."]))
    with open_archive(tmp_path / "m.warp") as reader:
        assert len(reader.table_pages()) >= 3
        assert len(reader.table_pages(b"17")) <= 2
        found = {entry.path for entry in reader.entries(prefix=b"17")}
        assert found == {b"17"} | {b"17/%d" % number for number in range(17, 9000, 30)}
        assert reader.find("29/8999") is not None


def test_a_file_is_read_at_random(archive: Path, tree: Path) -> None:
    content = (tree / "d1" / "f0001").read_bytes()
    rng = random.Random(3)
    with open_archive(archive, UNLOCK) as reader, reader.open_file("d1/f0001") as file:
        assert file.read() == content
        for _ in range(50):
            at, length = rng.randrange(len(content) + 100), rng.randrange(9000)
            file.seek(at)
            assert file.read(length) == content[at : at + length]
        assert file.seek(-5, io.SEEK_END) == len(content) - 5
        assert file.read() == content[-5:]
        file.seek(0)
        assert file.seek(3, io.SEEK_CUR) == 3
        with pytest.raises(ValueError, match="before the start"):
            file.raw.seek(-1, io.SEEK_SET)
        assert file.readable()
        assert file.seekable()


def test_holes_and_hard_links_read_as_files(tree: Path, tmp_path: Path) -> None:
    with (tree / "sparse").open("wb") as file:
        file.truncate(9 << 20)
        file.seek(3 << 20)
        file.write(b"in the middle")
    with (tree / "hollow").open("wb") as file:
        file.truncate(1 << 20)
    os.link(tree / "sparse", tree / "zlink")
    (tree / "pointer").symlink_to("sparse")
    create(tmp_path / "b.warp", Source.of(["."]), OFTEN)
    with open_archive(tmp_path / "b.warp") as reader:
        for name in ("sparse", "hollow", "zlink"):
            assert reader.open_file(name).read() == (tree / name).read_bytes()
        for name in ("pointer", "d1"):
            with pytest.raises(UsageError, match="is no file"):
                reader.open_file(name)
        with pytest.raises(NotFoundError):
            reader.open_file("missing")


def test_earlier_snapshots_stay_readable(archive: Path, tree: Path) -> None:
    old = (tree / "d1" / "f0001").read_bytes()
    (tree / "d1" / "f0001").write_bytes(b"new")
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
    with open_archive(archive, UNLOCK) as reader:
        first, second = reader.snapshots()
        assert (first.number, second.number) == (1, 2)
        assert reader.snapshot == second
        assert reader.open_file("d1/f0001").read() == b"new"
    with open_archive(archive, UNLOCK, snapshot=1) as reader:
        assert reader.snapshot == first
        assert reader.open_file("d1/f0001").read() == old
    for missing in (0, 3):
        with pytest.raises(NotFoundError, match="snapshots 1 to 2"):
            open_archive(archive, UNLOCK, snapshot=missing)


def test_each_key_opens_and_others_do_not(tree: Path, tmp_path: Path) -> None:
    classical, hybrid = Identity.generate("x25519"), Identity.generate("xwing")
    lock = Lock(("one", "two"), (classical.recipient, hybrid.recipient), cost=Argon2Cost(passes=2))
    create(tmp_path / "k.warp", Source.of(["."]), lock=lock)
    for unlock in (
        Unlock(("two",)),
        Unlock(("wrong", "one")),
        Unlock((), (classical,)),
        Unlock((), (Identity.generate(), hybrid)),
    ):
        with open_archive(tmp_path / "k.warp", unlock) as reader:
            assert reader.find("d1/f0001") is not None
    for unlock in (
        Unlock(("three",)),
        Unlock((), (Identity.generate("xwing"), Identity.generate("x25519"))),
        Unlock(archive_key=KEY),
    ):
        with pytest.raises(WrongKeyError):
            open_archive(tmp_path / "k.warp", unlock)
    assert "one" not in repr(lock) + repr(Unlock(("one",)))


def test_without_a_key_only_the_frame_shows(archive: Path) -> None:
    with open_archive(archive) as reader:
        assert not reader.keyed
        assert reader.encrypted
        assert len(reader.snapshots()) == 1
        assert reader.slots() == ()
        with pytest.raises(KeyRequiredError):
            list(reader)


def test_signatures_are_told_apart(tree: Path, tmp_path: Path) -> None:
    key = SigningKey.generate()
    create(tmp_path / "s.warp", Source.of(["."]), replace(OFTEN, signing_key=key), lock=LOCK, archive_key=KEY)
    with open_archive(tmp_path / "s.warp", UNLOCK) as reader:
        assert reader.signature == SignatureState.UNKNOWN_SIGNER
        assert reader.snapshot.signer == key.public.raw
    with open_archive(tmp_path / "s.warp") as reader:
        assert reader.signature == SignatureState.UNCHECKED
        assert reader.snapshot.signer is None


def test_a_damaged_end_needs_recover(archive: Path) -> None:
    whole = archive.read_bytes()
    append(archive, Source.of(["d1"]), OFTEN, unlock=UNLOCK)
    longer = archive.read_bytes()
    for damaged in (longer[:-1], longer[:-4000], whole + b"rubbish", whole + bytes(4096), longer[:-100] + b"?" * 100):
        archive.write_bytes(damaged)
        with pytest.raises(DamagedTailError, match="--recover"):
            open_archive(archive, UNLOCK)
        with open_archive(archive, UNLOCK, recover=True) as reader:
            assert reader.commit.end == len(whole)
            assert reader.damaged_tail == len(damaged) - len(whole)
            assert reader.find("d2/f0002") is not None


def test_beside_a_writer_the_newest_snapshot_is_read(archive: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole + b"being written")
    with ArchiveFile(archive, os.O_RDWR) as writer:
        writer.lock()
        with open_archive(archive, UNLOCK) as reader:
            assert reader.commit.end == len(whole)


def test_an_unfinished_append_says_how_to_go_on(archive: Path, tree: Path) -> None:
    whole = archive.read_bytes()
    grow_large(tree / "more", 64 << 20, seed=9)

    def run() -> None:
        append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, progress=dies_at(1))

    killed(run, lambda: archive.write_bytes(whole))
    with pytest.raises(DamagedTailError, match="resume"):
        open_archive(archive, UNLOCK)
    with open_archive(archive, UNLOCK, recover=True) as reader:
        assert reader.commit.end == len(whole)


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    for content in (b"", b"short", bytes(5000)):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(FormatError, match="no Warp archive"):
            open_archive(tmp_path / "x")
    with pytest.raises(NotFoundError):
        open_archive(tmp_path / "none")
    with pytest.raises(UsageError):
        open_archive(tmp_path)


def test_an_archive_of_nothing_opens(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    create(tmp_path / "e.warp", Source.of([tmp_path / "empty"]), PackOptions())
    with open_archive(tmp_path / "e.warp") as reader:
        assert [entry.kind for entry in reader] == [Kind.DIRECTORY]
        assert reader.index.chunks == 0


def test_an_archive_that_is_being_created_is_busy_not_damaged(archive: Path) -> None:
    cut = archive.read_bytes()[:8192]
    archive.write_bytes(cut)
    with ArchiveFile(archive, os.O_RDWR) as writer:
        writer.lock()
        with pytest.raises(BusyError, match="no snapshot yet"):
            open_archive(archive, UNLOCK)
    with pytest.raises(DamagedTailError):
        open_archive(archive, UNLOCK)
