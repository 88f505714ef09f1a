"""Archives of many chunks, with offsets beyond 2^40: opened, listed, read at their far end, appended to and verified."""

import hashlib
from pathlib import Path

import pytest

from tests.scale.synthetic import FRAGMENTS, KEY, Shape, build, content
from warp_portal.archive import Level, PackOptions, Source, Unlock, append, open_archive, verify

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
