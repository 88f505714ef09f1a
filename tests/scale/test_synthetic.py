"""Archives of many chunks, with offsets beyond 2^40: opened, listed, read at their far end, appended to and verified."""

import hashlib
from pathlib import Path

import pytest

from tests.scale.synthetic import FRAGMENTS, KEY, Shape, build, content
from warp_portal.archive import ArchiveReader, Level, PackOptions, Source, Unlock, append, open_archive, verify
from warp_portal.archive.limits import KIND_CHUNK
from warp_portal.errors import FormatError

UNLOCK = Unlock(archive_key=KEY)
# 12,288 chunks, 256 MiB apart: the last one lies beyond 2^41.
FAR = Shape(12_288, "bulk", gap=256 << 20)
MEMORY = 16 << 20


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("scale")
    (home / "small").write_bytes(b"a file of the first snapshot")
    build(home / "a.warp", FAR, home / "small")
    return home / "a.warp"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_chunks_beyond_a_tebibyte_are_read_back(archive: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        assert reader.commit.offset > 1 << 41
        read_real_files(reader)


def test_files_are_read_by_the_parts_of_the_index_that_they_need(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an archive so large that its whole index is never read."""
    monkeypatch.setattr("warp_portal.archive.reader.WHOLE_PAGES", 0)
    monkeypatch.setattr(ArchiveReader, "chunk_index", None)
    with open_archive(archive, UNLOCK) as reader:
        read_real_files(reader)


def test_the_parts_of_an_index_locate_as_the_whole_does(archive: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        parts, fragments = reader.index_parts(), reader.index.fragments
        at_seams = [(4096 * FRAGMENTS - 3, 9), (2 * 4096 * FRAGMENTS, 1), (0, fragments), (fragments - 1, 1)]
        for first, count in [*at_seams, (5, 0), (4095, 3), (4097 * FRAGMENTS, 4096 * FRAGMENTS)]:
            assert parts.locate(first, count) == reader.index.locate(first, count)
        with pytest.raises(FormatError):
            parts.locate(fragments, 1)


def test_parts_that_belong_to_other_chunks_are_found(archive: Path) -> None:
    """Two chunk pages exchanged: each is whole, but lies where the other should."""
    with open_archive(archive, UNLOCK) as reader:
        listed = reader.content.pages[KIND_CHUNK]
        listed[0], listed[1] = listed[1], listed[0]
        with pytest.raises(FormatError):
            reader.index_parts().check()


def read_real_files(reader: ArchiveReader) -> None:
    """Each must have the content that the builder gave it."""
    for number, chunk in enumerate(FAR.real()):
        with reader.open_file(f"real/{number}") as file:
            assert digest(file.read()) == digest(content(FAR, chunk))


def test_a_far_archive_takes_a_file_and_knows_its_fragments(archive: Path, tmp_path: Path) -> None:
    """What lies beyond 2^41 already is not stored again, however little memory the index has."""
    (tmp_path / "known").write_bytes(content(FAR, FAR.chunks - 1)[: FAR.raw // FRAGMENTS])
    (tmp_path / "new").write_bytes(b"new")
    source = Source.of([tmp_path / "known", tmp_path / "new"])
    report = append(archive, source, PackOptions(memory=MEMORY), unlock=UNLOCK)
    assert report.progress.bytes_raw == len(b"new")
    with open_archive(archive, UNLOCK) as reader, reader.open_file(f"{str(tmp_path).strip('/')}/new") as file:
        assert file.read() == b"new"


def test_the_index_of_a_far_archive_is_verified(archive: Path) -> None:
    report = verify(archive, Level.INDEX, unlock=UNLOCK)
    assert report.ok
    assert report.sequence >= 2
