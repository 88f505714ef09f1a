"""One stored file as a file object: random access through its recipe, with the chunks last used kept decoded."""

import io
from bisect import bisect_right
from collections import OrderedDict
from typing import Final

from typing_extensions import Buffer

from warp_portal._native import ChunkIndex, ScopeKeys
from warp_portal.archive.filetable import FLAG_SPARSE, Entry
from warp_portal.archive.indexparts import IndexParts
from warp_portal.errors import FormatError

CACHED_BYTES: Final = 32 * 1024 * 1024


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
    """A file's content, read-only and seekable.

    The content is a list of pieces in order: (offset in the file, length, chunk or None for a hole, offset in the chunk).
    """

    def __init__(self, entry: Entry, index: ChunkIndex | IndexParts, cache: ChunkCache) -> None:
        self._cache = cache
        self._size = entry.size
        self._position = 0
        self._pieces = _pieces(entry, index)
        self._starts = [piece[0] for piece in self._pieces]

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
        start, length, chunk, chunk_offset = self._pieces[bisect_right(self._starts, self._position) - 1]
        inside = self._position - start
        target = memoryview(buffer).cast("B")
        count = min(len(target), length - inside)
        if chunk is None:
            target[:count] = bytes(count)
        else:
            first = chunk_offset + inside
            target[:count] = memoryview(self._cache.chunk(chunk))[first : first + count]
        self._position += count
        return count


Piece = tuple[int, int, int | None, int]


def _pieces(entry: Entry, index: ChunkIndex | IndexParts) -> list[Piece]:
    """Data pieces of the recipe, laid into the file's extents with holes between them; raises FormatError."""
    located = [piece for first, count in entry.runs for piece in index.locate(first, count)]
    located.reverse()
    pieces: list[Piece] = []
    end = 0
    for offset, length in entry.extents if entry.flags & FLAG_SPARSE else ((0, entry.size),):
        if offset > end:
            pieces.append((end, offset - end, None, 0))
        end = offset + length
        pieces += _take(located, offset, length)
    if entry.size > end:
        pieces.append((end, entry.size - end, None, 0))
    if located or end > entry.size:
        raise FormatError("a file's recipe is longer than the file")
    return pieces


def _take(located: list[tuple[int, int, int]], offset: int, length: int) -> list[Piece]:
    """Pieces for `length` bytes of data at `offset`, taken from the end of the reversed list."""
    pieces: list[Piece] = []
    while length:
        if not located:
            raise FormatError("a file's recipe is shorter than the file")
        chunk, chunk_offset, available = located.pop()
        taken = min(available, length)
        if available > taken:
            located.append((chunk, chunk_offset + taken, available - taken))
        pieces.append((offset, taken, chunk, chunk_offset))
        offset, length = offset + taken, length - taken
    return pieces
