"""One stored file as a file object: random access through its recipe, with the chunks last used kept decoded."""

import io
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from typing_extensions import Buffer

from warp_portal._native import ChunkIndex, ScopeKeys
from warp_portal.archive.filetable import FLAG_SPARSE, Entry, decode_runs
from warp_portal.archive.indexparts import IndexParts
from warp_portal.errors import FormatError

CACHED_BYTES: Final = 32 * 1024 * 1024
MARKED_RUNS: Final = 1024
# Fragments of a long run that are looked up at a time.
LOCATED_FRAGMENTS: Final = 1 << 14
# A step forward that is not worth a look for the mark.
NEAR_BYTES: Final = 1024 * 1024

# Position in the file's data, length, chunk, offset in the chunk.
Piece = tuple[int, int, int, int]


class ChunkCache:
    """Decoded chunks of an archive, the least recently used of them dropped first."""

    def __init__(self, fd: int, index: ChunkIndex | IndexParts, keys: ScopeKeys) -> None:
        self._fd = fd
        self._index = index
        self._keys = keys
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def chunk(self, ordinal: int) -> bytes:
        """The raw bytes of a chunk, verified; raises IntegrityError."""
        if ordinal in self._chunks:
            self._chunks.move_to_end(ordinal)
            return self._chunks[ordinal]
        self._shrink()  # before the next is decoded: a chunk may have 64 MiB
        raw = self._index.read(self._fd, self._keys, ordinal)
        self._chunks[ordinal] = raw
        self._bytes += len(raw)
        return raw

    def _shrink(self) -> None:
        while self._bytes > CACHED_BYTES:
            self._bytes -= len(self._chunks.popitem(last=False)[1])


class StoredFile(io.RawIOBase):
    """A file's content, read-only and seekable.

    Its data is found by marks: one in so many runs, with the bytes of data before it. Only the pieces from there to the
    position are made, as a recipe may have millions.
    """

    def __init__(self, entry: Entry, index: ChunkIndex | IndexParts, cache: ChunkCache) -> None:
        """Raises FormatError if the recipe does not fit the file."""
        self._index = index
        self._cache = cache
        self._size = entry.size
        self._position = 0
        extents = entry.extents if entry.flags & FLAG_SPARSE else ((0, entry.size),) if entry.size else ()
        self._starts = [offset for offset, _ in extents]
        self._data_starts = list(accumulate((length for _, length in extents), initial=0))
        self._recipe = entry.runs.encoded
        self._marks, data_bytes = index.marks(self._recipe, MARKED_RUNS)
        if data_bytes != self._data_starts[-1] or any(offset + length > entry.size for offset, length in extents):
            length = "longer" if data_bytes > self._data_starts[-1] else "shorter"
            raise FormatError(f"a file's recipe is {length} than the file")
        self._pieces: Iterator[Piece] = iter(())
        self._piece: Piece = (0, 0, 0, 0)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, also past the end; the new position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill `buffer` from one piece or hole; 0 at the end."""
        if self._position >= self._size:
            return 0
        target = memoryview(buffer).cast("B")
        extent = bisect_right(self._starts, self._position) - 1
        data = self._data_starts[extent] + self._position - self._starts[extent] if extent >= 0 else 0
        if extent >= 0 and data < self._data_starts[extent + 1]:
            count = self._copy(data, target[: self._data_starts[extent + 1] - data])
        else:
            end = self._starts[extent + 1] if extent + 1 < len(self._starts) else self._size
            count = min(len(target), end - self._position)
            target[:count] = bytes(count)
        self._position += count
        return count

    def _copy(self, data: int, target: memoryview) -> int:
        """Copy what one piece has from the byte `data` of the file's data on."""
        start, length, chunk, chunk_offset = self._find(data)
        count = min(len(target), start + length - data)
        first = chunk_offset + data - start
        target[:count] = memoryview(self._cache.chunk(chunk))[first : first + count]
        return count

    def _find(self, data: int) -> Piece:
        """The piece that holds the byte `data` of the file's data: mostly the one at hand or the next."""
        start, length, _, _ = self._piece
        if not length or not start <= data < start + length + NEAR_BYTES:
            mark = bisect_right(self._marks, data, key=lambda mark: mark[2]) - 1
            self._pieces = self._pieces_from(*self._marks[mark])
            self._piece = next(self._pieces)
        while data >= self._piece[0] + self._piece[1]:
            self._piece = next(self._pieces)
        return self._piece

    def _pieces_from(self, start: int, end: int, position: int) -> Iterator[Piece]:
        for first, count in decode_runs(self._recipe, start, end):
            for lower in range(first, first + count, LOCATED_FRAGMENTS):
                part = min(LOCATED_FRAGMENTS, first + count - lower)
                for chunk, chunk_offset, length in self._index.locate(lower, part):
                    yield position, length, chunk, chunk_offset
                    position += length
