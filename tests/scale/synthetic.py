"""Writes archives of any size with the project's own serializers; `python -m tests.scale.synthetic PATH CHUNKS PROFILE`.

    first snapshot (a real, small run) │ real chunk │ holes … │ real chunk │ holes … │ real chunk │ pages │ TOC │ commit

Every chunk has records in all index pages. Real ones can be read; the others have random cids and lie in holes of a sparse
file, so nothing but reading their payload tells the difference. Each file of `data/` has `FILE_CHUNKS` chunks, `real/N`
has the fragments of one real chunk.
"""

import os
import random
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from warp_portal._native import OBJECT_CHUNK, OBJECT_PAGE, ScopeKeys, blake3
from warp_portal.archive import Lock, PackOptions, Source, create
from warp_portal.archive.base import load_base
from warp_portal.archive.commit import Commit
from warp_portal.archive.committing import CommitChain, Facts
from warp_portal.archive.content import Page, read_index_page
from warp_portal.archive.filetable import Entry, Kind, Recipe, encode, table_of
from warp_portal.archive.indexlog import IndexLog
from warp_portal.archive.limits import ID_BYTES, KIND_TABLE
from warp_portal.archive.opening import newest, read_header
from warp_portal.archive.storage import ArchiveFile, FileOutput
from warp_portal.archive.toc import PageRef
from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.primitives.compression import STORE, ZSTD
from warp_portal.primitives.cutting import PROFILES

KEY: Final = bytes(range(32))
PASSPHRASE: Final = "scale"
FILE_CHUNKS: Final = 1024
TABLE_ENTRIES: Final = 4096
BATCH: Final = 4 * 4096
OVERHEAD: Final = 20 + 52  # of a payload, and of sealing it
SEED: Final = 17


@dataclass(frozen=True, slots=True)
class Shape:
    """How large an archive is to be. Its chunks are stored `gap` bytes apart, or side by side."""

    chunks: int
    profile: str = "general"
    gap: int = 0

    @property
    def raw(self) -> int:
        """Raw bytes of a chunk."""
        return PROFILES[self.profile].chunk.mean

    @property
    def fragments(self) -> int:
        """Fragments of a chunk, each of the mean size."""
        return self.raw // PROFILES[self.profile].fragment.mean

    def real(self) -> list[int]:
        """Which chunks can be read: the first, those around the middle, and the last."""
        return sorted({0, self.chunks // 2, self.chunks // 2 + 1, self.chunks - 1})


@dataclass(frozen=True, slots=True)
class Records:
    """Records of chunks as `IndexLog` takes them."""

    chunks: tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes]
    fragments: tuple[bytes, bytes]


def content(shape: Shape, chunk: int) -> bytes:
    """The raw bytes of a real chunk."""
    return blake3(chunk.to_bytes(8, "little"), length=shape.raw)


def build(path: Path, shape: Shape, small: Path) -> Commit:
    """Write the archive, with the tree `small` as its first snapshot; the last commit."""
    options = PackOptions(cutting=PROFILES[shape.profile])
    create(path, Source.of([small]), options, lock=Lock((PASSPHRASE,)), archive_key=KEY)
    with ArchiveFile(path, os.O_RDWR) as file:
        return _Builder(file, shape).run()


class _Builder:
    """The second snapshot of an archive."""

    def __init__(self, file: ArchiveFile, shape: Shape) -> None:
        header = read_header(file)
        opened = newest(file, header)
        self._keys = ScopeKeys(KEY, header.suite)
        self._file = file
        self._shape = shape
        self._base = load_base(file, opened, self._keys)
        self._random = random.Random(SEED)
        self._real = set(shape.real())
        self._chain = CommitChain(header, self._keys, self._base, SYSTEM_CLOCK)
        self._start = opened.commit.end

    def run(self) -> Commit:
        """Chunks first, then all pages behind them."""
        end = self._start + self._shape.chunks * self._step
        output = FileOutput(self._file.fd, end, durable=True)
        index = IndexLog(
            self._keys, output.emit, self._base, lambda page: read_index_page(self._file, self._keys, page)
        )
        for first in range(0, self._shape.chunks, BATCH):
            index.add(self._records(first, min(first + BATCH, self._shape.chunks)))
        index.flush()
        entries = list(self._entries())
        tables = [self._table(entries[at : at + TABLE_ENTRIES], output) for at in range(0, len(entries), TABLE_ENTRIES)]
        size = sum(entry.size for entry in entries)
        facts = Facts(index.fragments, len(entries), size, index.stored_bytes, SYSTEM_CLOCK.now_ns())
        return self._chain.snapshot(output, index.pages(news=False) + tables, facts, index.frontier, None)

    @property
    def _stored(self) -> int:
        return self._shape.raw + OVERHEAD

    @property
    def _step(self) -> int:
        return self._stored + self._shape.gap

    def _records(self, first: int, end: int) -> Records:
        """Records of chunks; writes the payloads of real ones."""
        count, fragments, fragment = end - first, self._shape.fragments, PROFILES[self._shape.profile].fragment.mean
        offsets = array("Q", range(self._start + first * self._step, self._start + end * self._step, self._step))
        cids, dps = (bytearray(self._random.randbytes(32 * count)) for _ in range(2))
        ids = bytearray(self._random.randbytes(ID_BYTES * fragments * count))
        for chunk in (chunk for chunk in self._real if first <= chunk < end):
            at, raw = chunk - first, content(self._shape, chunk)
            stored, dps[32 * at : 32 * at + 32] = self._keys.seal(OBJECT_CHUNK, raw, STORE, 0)
            cids[32 * at : 32 * at + 32] = blake3(stored)
            width = ID_BYTES * fragments
            ids[width * at : width * at + width] = b"".join(
                fragment_id(raw[cut : cut + fragment]) for cut in range(0, len(raw), fragment)
            )
            assert os.pwrite(self._file.fd, stored, offsets[at]) == len(stored) == self._stored
        columns = (offsets, *(array("I", [number]) * count for number in (self._stored, self._shape.raw, fragments)))
        offset, stored_length, raw_length, counts = (column.tobytes() for column in columns)
        lengths = (array("I", [fragment]) * (fragments * count)).tobytes()
        return Records(
            (offset, stored_length, bytes(cids), raw_length, counts, bytes(count), bytes(dps)), (lengths, bytes(ids))
        )

    def _entries(self) -> Iterator[Entry]:
        shape, base, fragments = self._shape, self._base.fragments, self._shape.fragments
        yield Entry(b"data", Kind.DIRECTORY, 0o755)
        for number, first in enumerate(range(0, shape.chunks, FILE_CHUNKS)):
            count = min(FILE_CHUNKS, shape.chunks - first)
            run = (base + first * fragments, count * fragments)
            yield Entry(b"data/%08d" % number, Kind.FILE, 0o644, size=count * shape.raw, runs=Recipe.of([run]))
        yield Entry(b"real", Kind.DIRECTORY, 0o755)
        for number, chunk in enumerate(shape.real()):
            run = (base + chunk * fragments, fragments)
            yield Entry(b"real/%d" % number, Kind.FILE, 0o644, size=shape.raw, runs=Recipe.of([run]))

    def _table(self, entries: list[Entry], output: FileOutput) -> Page:
        stored, dp = self._keys.seal(OBJECT_PAGE, encode(table_of(entries)), ZSTD, 3)
        ref = PageRef(KIND_TABLE, len(entries), output.emit(stored), len(stored), blake3(stored), b"")
        return Page(ref, dp, first_path=entries[0].path)


def fragment_id(data: bytes) -> bytes:
    """The id of a fragment of these archives (docs/format.md §4, §6)."""
    scope = blake3(KEY, context="warp-portal 2026-11 archive scope v1")
    key = blake3(scope, context="warp-portal 2026-11 fragment id v1")
    return blake3(data, key=key)[:ID_BYTES]


if __name__ == "__main__":
    target, chunks, profile = sys.argv[1:4]
    print(build(Path(target), Shape(int(chunks), profile), Path(__file__)))
