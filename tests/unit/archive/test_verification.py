"""What verification finds, and what it calls it."""

import struct
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, grow

from warp_portal.archive import metadata
from warp_portal.archive.limits import KIND_FRAGMENT, KIND_LOCATOR, KIND_TABLE
from warp_portal.archive.options import Source
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.verification import Level, VerifyProgress, VerifyReport, merged, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import DamagedTailError, IntegrityError, KeyRequiredError


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = tmp_path / "tree"
    grow(tree, 200, 40_000)
    monkeypatch.chdir(tree)
    path = tmp_path / "a.warp"
    create(path, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    (tree / "d1" / "new").write_bytes(b"new" * 9999)
    append(path, Source.of(["."]), OFTEN, unlock=UNLOCK)
    return path


def flip(path: Path, offset: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 4
    path.write_bytes(raw)


@pytest.mark.parametrize("level", list(Level))
def test_a_whole_archive_passes_every_level(archive: Path, level: Level) -> None:
    seen: list[VerifyProgress] = []
    report = verify(archive, level, unlock=UNLOCK, progress=seen.append)
    assert report.ok
    assert report.keyed
    assert (report.snapshot, report.snapshots) == (2, 2)
    with open_archive(archive) as reader:
        whole = (reader.commit.chunks, reader.commit.stored_bytes)
        assert report.commit_hash == reader.commit_hash
    assert (report.chunks, report.bytes) == (whole if level >= Level.DATA else (0, 0))
    if level >= Level.DATA:
        assert (seen[-1].chunks, seen[-1].total_chunks, seen[-1].bytes, seen[-1].total_bytes) == (
            whole[0],
            *whole,
            whole[1],
        )


def test_without_a_key_all_but_the_deepest_level_works(archive: Path) -> None:
    for level in (Level.QUICK, Level.INDEX, Level.DATA):
        report = verify(archive, level)
        assert report.ok
        assert not report.keyed
    with pytest.raises(KeyRequiredError):
        verify(archive, Level.DEEP)


def test_a_plain_archive_needs_no_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    create(tmp_path / "p.warp", Source.of([tmp_path / "file"]))
    assert verify(tmp_path / "p.warp", Level.DEEP).ok


def test_a_damaged_chunk_is_placed_and_its_files_named(archive: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        (first, _) = reader.index.chunk_fragments(5)
        victims = {entry.path for entry in reader for start, count in entry.runs if start <= first < start + count}
    report = verify(archive, Level.DATA)
    place = chunk_place(archive, 5)
    flip(archive, place[0] + place[1] // 2)
    for report in (
        verify(archive, Level.DATA),
        verify(archive, Level.DATA, unlock=UNLOCK),
        verify(archive, Level.DEEP, unlock=UNLOCK),
    ):
        assert not report.ok
        (chunk,) = report.damaged_chunks
        assert (chunk.ordinal, chunk.offset, chunk.stored_bytes) == (5, *place)
        assert chunk.reason
        assert set(report.damaged_files) == (victims if report.keyed else set())
    assert verify(archive, Level.INDEX, unlock=UNLOCK).ok


def test_files_of_earlier_snapshots_and_hard_links_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    grow(tree, 40, 40_000)
    (tree / "a").write_bytes(b"gone " * 5000)
    (tree / "z").hardlink_to(tree / "a")
    monkeypatch.chdir(tree)
    path = tmp_path / "a.warp"
    create(path, Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
    with open_archive(path, UNLOCK) as reader:
        entry = reader.find("a")
        assert entry is not None
        fragment = next(iter(entry.runs))[0]
        chunks = range(reader.commit.chunks)
        chunk = next(one for one in chunks if fragment in range(*reader.index.chunk_fragments(one)))
    (tree / "a").unlink()
    (tree / "z").unlink()
    append(path, Source.of(["."]), OFTEN, unlock=UNLOCK)
    flip(path, chunk_place(path, chunk)[0] + 30)
    for snapshot in (1, 2):
        report = verify(path, Level.DEEP, unlock=UNLOCK, snapshot=snapshot)
        assert [damaged.ordinal for damaged in report.damaged_chunks] == [chunk]
        assert report.damaged_files == (b"a", b"z")


def chunk_place(archive: Path, chunk: int) -> tuple[int, int]:
    """Offset and stored length, from the first locator page."""
    with open_archive(archive) as reader:
        ref = next(ref for ref in reader.opened.toc.clear.pages if ref.kind == KIND_LOCATOR)
        raw = reader.file.read(ref.offset, ref.stored_bytes, "page")[20 + 16 :]
    return (
        struct.unpack_from("<Q", raw, 8 * chunk)[0],
        struct.unpack_from("<I", raw, 8 * ref.records + 4 * chunk)[0],
    )


@pytest.mark.parametrize("kind", [KIND_LOCATOR, KIND_FRAGMENT, KIND_TABLE])
def test_a_damaged_page_is_named(archive: Path, kind: int) -> None:
    with open_archive(archive) as reader:
        ref = next(ref for ref in reader.opened.toc.clear.pages if ref.kind == kind)
    flip(archive, ref.offset + ref.stored_bytes // 2)
    for level in (Level.INDEX, Level.DATA, Level.DEEP):
        report = verify(archive, level, unlock=UNLOCK)
        assert any(f"page at {ref.offset}" in damage for damage in report.metadata_damage)
    assert any(f"page at {ref.offset}" in damage for damage in verify(archive, Level.INDEX).metadata_damage)
    assert verify(archive, Level.QUICK, unlock=UNLOCK).ok


def test_damage_in_an_earlier_snapshot_is_found_too(archive: Path) -> None:
    with open_archive(archive, UNLOCK, snapshot=1) as reader:
        commit = reader.commit
    flip(archive, commit.toc_offset + 20)
    report = verify(archive, Level.INDEX, unlock=UNLOCK)
    assert any(f"commit {commit.sequence}" in damage for damage in report.metadata_damage)


def test_no_byte_is_outside(archive: Path) -> None:
    with open_archive(archive) as reader:
        commit, header = reader.commit, reader.header
    flip(archive, commit.toc_offset + commit.toc_bytes + 3)
    assert "padding" in damage_of(archive)
    flip(archive, commit.toc_offset + commit.toc_bytes + 3)
    flip(archive, 256 + header.slot_copy_bytes + 9)
    assert "unused copy" in damage_of(archive)


def damage_of(archive: Path) -> str:
    return " ".join(verify(archive, Level.DATA).metadata_damage)


def test_a_chunk_swapped_for_another_is_found(archive: Path) -> None:
    raw = bytearray(archive.read_bytes())
    (one, length), (other, other_length) = chunk_place(archive, 3), chunk_place(archive, 8)
    size = min(length, other_length)
    raw[one : one + size], raw[other : other + size] = raw[other : other + size], raw[one : one + size]
    archive.write_bytes(raw)
    report = verify(archive, Level.DATA)
    assert {chunk.ordinal for chunk in report.damaged_chunks} == {3, 8}
    with open_archive(archive, UNLOCK) as reader, pytest.raises(IntegrityError):
        _read_all(reader)


def _read_all(reader: ArchiveReader) -> None:
    for entry in reader:
        if entry.kind == 0:
            reader.open_file(entry.path).read()


def test_a_cut_archive_cannot_be_opened(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-5000])
    with pytest.raises(DamagedTailError):
        verify(archive, Level.QUICK)


def test_an_earlier_snapshot_can_be_verified(archive: Path) -> None:
    report = verify(archive, Level.DEEP, unlock=UNLOCK, snapshot=1)
    assert report.ok
    assert report.snapshot == 1
    assert isinstance(report, VerifyReport)


def test_ranges_merge_where_they_touch() -> None:
    assert merged([]) == []
    assert merged([(0, 3), (3, 5), (9, 10)]) == [(0, 5), (9, 10)]


def test_so_many_pieces_of_damage_are_told_one_by_one(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_archive(archive) as reader:
        pages = reader.opened.toc.clear.pages
    assert len(pages) > 3
    for page in pages:
        flip(archive, page.offset + page.stored_bytes // 2)
    every = verify(archive, Level.INDEX, unlock=UNLOCK).metadata_damage
    monkeypatch.setattr(metadata, "MAX_NOTES", 2)
    some = verify(archive, Level.INDEX, unlock=UNLOCK).metadata_damage
    assert some[:2] == every[:2]
    assert some[2] == "more than 2 pieces are damaged"
    assert len(every) >= len(pages)
