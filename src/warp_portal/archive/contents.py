"""One stored file as a file object: random access through its recipe, with the chunks last used kept decoded."""

import io
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from typing_extensions import Buffer

from warp_portal._native import ChunkIndex, ScopeKeys
from warp_portal.archive.filetable import FLAG_SPARSE, Entry
from warp_portal.archive.indexparts import IndexParts
from warp_portal.errors import FormatError

CACHED_BYTES: Final = 32 * 1024 * 1024
LOCATED_FRAGMENTS: Final = 1 << 14
_HOLE: Final = -1
_NOTHING: Final = (_HOLE, 0, 0)


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
        raw = self._index.read(self._fd, self._keys, ordinal)
        self._chunks[ordinal] = raw
        self._bytes += len(raw)
        while self._bytes > CACHED_BYTES and len(self._chunks) > 1:
            self._bytes -= len(self._chunks.popitem(last=False)[1])
        return raw


class StoredFile(io.RawIOBase):
    """A file's content, read-only and seekable."""

    def __init__(self, entry: Entry, index: ChunkIndex | IndexParts, cache: ChunkCache) -> None:
        self._cache = cache
        self._size = entry.size
        self._position = 0
        self._layout = _laid_out(entry, index)

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
        """Fill `buffer` from one piece; 0 at the end."""
        if self._position >= self._size:
            return 0
        start, end, chunk, chunk_offset = self._layout.piece_at(self._position, self._size)
        target = memoryview(buffer).cast("B")
        count = min(len(target), end - self._position)
        if chunk == _HOLE:
            target[:count] = bytes(count)
        else:
            first = chunk_offset + self._position - start
            target[:count] = memoryview(self._cache.chunk(chunk))[first : first + count]
        self._position += count
        return count


class _Layout:
    """The pieces of a file in order, each from where it starts to where the next one does.

    Columns, for a stream of 1 TiB has a million pieces and more: as tuples they would be 300 MB.
    """

    def __init__(self) -> None:
        self.starts = array("Q")
        self.chunks = array("q")
        self.offsets = array("Q")

    def add(self, start: int, chunk: int, offset: int) -> None:
        """The next piece: where it starts in the file, its chunk (or _HOLE), and where it starts there."""
        self.starts.append(start)
        self.chunks.append(chunk)
        self.offsets.append(offset)

    def piece_at(self, position: int, size: int) -> tuple[int, int, int, int]:
        """The piece that holds a position within the file: start, end, chunk, offset in the chunk."""
        number = bisect_right(self.starts, position) - 1
        end = self.starts[number + 1] if number + 1 < len(self.starts) else size
        return self.starts[number], end, self.chunks[number], self.offsets[number]


def _laid_out(entry: Entry, index: ChunkIndex | IndexParts) -> _Layout:
    """Data pieces of the recipe, laid into the file's extents with holes between them; raises FormatError."""
    located, layout = _located(entry, index), _Layout()
    chunk = offset = left = end = 0
    for start, length in entry.extents if entry.flags & FLAG_SPARSE else ((0, entry.size),):
        if start > end:
            layout.add(end, _HOLE, 0)
        end = start + length
        while start < end:
            if not left:
                chunk, offset, left = next(located, _NOTHING)
            if not left:
                raise FormatError("a file's recipe is shorter than the file")
            layout.add(start, chunk, offset)
            taken = min(left, end - start)
            start, offset, left = start + taken, offset + taken, left - taken
    if entry.size > end:
        layout.add(end, _HOLE, 0)
    if left or next(located, None) or end > entry.size:
        raise FormatError("a file's recipe is longer than the file")
    return layout


def _located(entry: Entry, index: ChunkIndex | IndexParts) -> Iterator[tuple[int, int, int]]:
    """The data as (chunk, offset in it, length), looked up in runs of bounded length."""
    for first, count in entry.runs:
        for start in range(first, first + count, LOCATED_FRAGMENTS):
            yield from index.locate(start, min(LOCATED_FRAGMENTS, first + count - start))
