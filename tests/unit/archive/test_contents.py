"""Single files as file objects, however many pieces they have."""

import random
import tracemalloc
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK

from warp_portal.archive.contents import ChunkCache, StoredFile
from warp_portal.archive.filetable import FLAG_SPARSE, Entry, Kind, Recipe
from warp_portal.archive.options import Source
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.writer import create
from warp_portal.errors import FormatError

BLOCK = 4096
BLOCKS = 8
CONTENT = random.Random(5).randbytes(BLOCKS * BLOCK)


@pytest.fixture
def reader(tmp_path: Path) -> ArchiveReader:
    """An archive of one file of eight fragments, each a chunk."""
    (tmp_path / "file").write_bytes(CONTENT)
    create(tmp_path / "a.warp", Source.of([tmp_path / "file"]), OFTEN, lock=LOCK, archive_key=KEY)
    return open_archive(tmp_path / "a.warp", UNLOCK)


def stored(reader: ArchiveReader, entry: Entry) -> StoredFile:
    return StoredFile(entry, reader.index, ChunkCache(reader.file.fd, reader.index, reader.keys))


def a_file(size: int, **fields: object) -> Entry:
    return Entry(b"file", Kind.FILE, 0o644, size=size, **fields)  # type: ignore[arg-type]  # fields vary by test


def test_a_recipe_of_many_pieces_takes_few_bytes_for_each(reader: ArchiveReader) -> None:
    runs = Recipe.of([(0, 1), (3, 2)] * 60_000)
    index = reader.index
    entry = a_file(180_000 * BLOCK, runs=runs)
    tracemalloc.start()
    try:
        file = StoredFile(entry, index, ChunkCache(reader.file.fd, index, reader.keys))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    file.seek(179_997 * BLOCK - 1)
    assert file.read(1) + file.read(BLOCK) == CONTENT[5 * BLOCK - 1 : 5 * BLOCK] + CONTENT[:BLOCK]


def test_seeks_over_many_runs_find_the_run(reader: ArchiveReader) -> None:
    """Far back and forth: the pieces are looked up from a mark in so many runs."""
    rng = random.Random(6)
    runs = [(rng.randrange(BLOCKS), 1) for _ in range(20_000)]
    file = stored(reader, a_file(len(runs) * BLOCK, runs=Recipe.of(runs)))
    for number in [0, len(runs) - 1, *(rng.randrange(len(runs)) for _ in range(200))]:
        inside, (block, _) = rng.randrange(BLOCK), runs[number]
        file.seek(number * BLOCK + inside)
        assert file.read(64) == CONTENT[block * BLOCK :][:BLOCK][inside : inside + 64]


def test_parts_of_an_index_give_the_same_marks_as_the_whole(reader: ArchiveReader) -> None:
    recipe = Recipe.of([(number * 5 % BLOCKS, 1) for number in range(3_000)] + [(0, BLOCKS)]).encoded
    assert reader.index_parts().marks(recipe, 1024) == reader.index.marks(recipe, 1024)


def test_holes_lie_between_the_extents_and_behind_them(reader: ArchiveReader) -> None:
    far = 1 << 41
    extents = ((100, 5000), (far, BLOCKS * BLOCK - 5000))
    file = stored(reader, a_file(far + (1 << 20), flags=FLAG_SPARSE, extents=extents, runs=Recipe.of([(0, BLOCKS)])))

    def at(offset: int, length: int) -> bytes:
        file.seek(offset)
        parts = bytearray()
        while len(parts) < length and (part := file.read(length - len(parts))):
            parts += part
        return bytes(parts)

    assert at(0, 5200) == bytes(100) + CONTENT[:5000] + bytes(100)
    assert at(far - 10, 20) == bytes(10) + CONTENT[5000:5010]
    end = far + len(CONTENT) - 5000
    assert at(end - 7, 20) == CONTENT[-7:] + bytes(13)
    assert at(far + (1 << 20) - 5, 10) == bytes(5)


@pytest.mark.parametrize("size", [BLOCKS * BLOCK - 1, BLOCKS * BLOCK + 1, 7 * BLOCK, 0])
def test_a_recipe_of_another_length_than_the_file_is_refused(reader: ArchiveReader, size: int) -> None:
    with pytest.raises(FormatError, match=r"recipe is (longer|shorter)"):
        stored(reader, a_file(size, runs=Recipe.of([(0, BLOCKS)])))
