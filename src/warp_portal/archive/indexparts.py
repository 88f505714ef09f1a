"""The chunk index of an archive in parts of one chunk page, for archives whose whole index is more than memory should hold.

    chunk page k ─▶ locator page k, fragments first(k) … first(k+1)      each part a `ChunkIndex` of its own

Where a chunk page's fragments begin is in the TOC, so a part needs no other. What a `ChunkIndex` checks of all columns holds
for a part's; that parts agree with their neighbours is checked here.
"""

import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from warp_portal._native import ChunkIndex, ScopeKeys
from warp_portal.archive.content import Content, Page, read_index_page
from warp_portal.archive.filetable import decode_runs, encode_runs
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.pages import FRAGMENT_WIDTHS, LOCATOR_WIDTHS, IndexPage, widths
from warp_portal.archive.storage import ArchiveFile
from warp_portal.errors import FormatError

# Up to here (1,048,576 chunks) the whole index is read at once: at most 89 MB and 4 bytes a fragment.
WHOLE_PAGES: Final = 256
CACHED_PARTS: Final = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk page's chunks, numbered from 0 in `index`; `start` … `end` is where they lie in the file."""

    index: ChunkIndex
    start: int
    end: int


class IndexParts:
    """Where the chunks and fragments of a snapshot lie, read part by part; the last used parts are kept."""

    def __init__(self, file: ArchiveFile, keys: ScopeKeys, content: Content, chunk_max: int) -> None:
        self._file = file
        self._keys = keys
        self._content = content
        self._chunk_max = chunk_max
        self._firsts = [page.first_fragment for page in content.pages[KIND_CHUNK]]
        self._parts: OrderedDict[int, Part] = OrderedDict()
        self._fragments: tuple[int, IndexPage] | None = None

    def check(self) -> None:
        """Read all parts, in order, and check them against each other; raises FormatError, IntegrityError."""
        content = self._content
        chunks = fragments = end = 0
        for number in range(len(self._firsts)):
            part = self._read(number)
            if self._firsts[number] != fragments or part.start < end:
                raise FormatError(f"index: the chunks of page {number} do not follow those of the page before")
            chunks, fragments, end = chunks + part.index.chunks, fragments + part.index.fragments, part.end
        if (chunks, fragments) != (content.commit.chunks, content.sealed.fragments):
            raise FormatError(f"commit {content.commit.sequence}: its index has another number of chunks or fragments")

    def locate(self, first: int, count: int) -> list[tuple[int, int, int]]:
        """As `ChunkIndex.locate`: the run as (chunk, offset in its raw bytes, length); raises FormatError, IntegrityError."""
        end = first + count
        if end > self._content.sealed.fragments or (self._firsts and self._firsts[0]):
            raise FormatError("recipe: a fragment that there is not")
        pieces: list[tuple[int, int, int]] = []
        number = max(bisect_right(self._firsts, first) - 1, 0)
        while first < end:
            index = self._part(number).index
            start = self._firsts[number]
            stop = min(end, start + index.fragments)
            if stop <= first:
                raise FormatError("index: the parts of the chunk index leave a gap")
            chunk = number * PAGE_RECORDS
            pieces += ((chunk + at, inside, length) for at, inside, length in index.locate(first - start, stop - first))
            first, number = stop, number + 1
        return pieces

    def marks(self, recipe: bytes, every: int) -> tuple[list[tuple[int, int, int]], int]:
        """As `ChunkIndex.marks`: places in an encoded recipe, one in so many runs, and the bytes of data that it gives."""
        marks, at, behind, position = [], 0, 0, 0
        for number, (first, count) in enumerate(decode_runs(recipe)):
            if number % every == 0:
                marks.append((at, behind, position))
            at += len(encode_runs([(first - behind, count)]))
            behind = first + count
            for start in range(first, behind, PAGE_RECORDS):
                pieces = self.locate(start, min(PAGE_RECORDS, behind - start))
                position += sum(length for _, _, length in pieces)
        return marks, position

    def read(self, fd: int, keys: ScopeKeys, chunk: int) -> bytes:
        """As `ChunkIndex.read`: the raw bytes of a chunk, verified; raises IntegrityError."""
        number, inside = divmod(chunk, PAGE_RECORDS)
        return self._part(number).index.read(fd, keys, inside)

    def _part(self, number: int) -> Part:
        if number not in self._parts:
            self._parts[number] = self._read(number)
            if len(self._parts) > CACHED_PARTS:
                self._parts.popitem(last=False)
        self._parts.move_to_end(number)
        return self._parts[number]

    def _read(self, number: int) -> Part:
        content = self._content
        of_kind = content.pages
        if number >= min(len(of_kind[KIND_LOCATOR]), len(self._firsts)):
            raise FormatError("index: pages disagree on how much there is")
        locators, chunks = (self._page(of_kind[kind][number], number) for kind in (KIND_LOCATOR, KIND_CHUNK))
        index = ChunkIndex(bool(self._keys.suite), self._chunk_max)
        index.add_locators(_from_zero(locators, KIND_LOCATOR, self._keys))
        index.add_chunks(_from_zero(chunks, KIND_CHUNK, self._keys))
        end = (*self._firsts, content.sealed.fragments)[number + 1]
        for page in self._fragment_pages(self._firsts[number], end):
            index.add_fragments(page.serialize(FRAGMENT_WIDTHS), False)
        index.finish(content.commit.toc_offset)
        return Part(index, *_extent(locators))

    def _page(self, page: Page, number: int) -> IndexPage:
        parsed = read_index_page(self._file, self._keys, page)
        if parsed.first != number * PAGE_RECORDS:
            raise FormatError(f"index: the page at {page.ref.offset} is out of place")
        return parsed

    def _fragment_pages(self, first: int, end: int) -> Iterator[IndexPage]:
        """The fragments `first` … `end`, cut into pages and numbered from 0."""
        lengths, ids = bytearray(), bytearray()
        position = 0
        for number in range(first // PAGE_RECORDS, -(-end // PAGE_RECORDS)):
            page = self._fragment_page(number)
            lower, upper = max(first - page.first, 0), end - page.first
            lengths += page.columns[0][4 * lower : 4 * upper]
            ids += page.columns[1][24 * lower : 24 * upper]
            whole = len(lengths) // 4 // PAGE_RECORDS * PAGE_RECORDS
            if whole:
                yield IndexPage(position, (bytes(lengths[: 4 * whole]), bytes(ids[: 24 * whole])))
                del lengths[: 4 * whole], ids[: 24 * whole]
                position += whole
        if lengths:
            yield IndexPage(position, (bytes(lengths), bytes(ids)))

    def _fragment_page(self, number: int) -> IndexPage:
        """A fragment page; the last one is kept, for the next part begins in it."""
        if self._fragments is None or self._fragments[0] != number:
            listed = self._content.pages[KIND_FRAGMENT]
            if number >= len(listed):
                raise FormatError("index: pages disagree on how much there is")
            self._fragments = number, self._page(listed[number], number)
        return self._fragments[1]


def _from_zero(page: IndexPage, kind: int, keys: ScopeKeys) -> bytes:
    """The page as if it were the first."""
    return IndexPage(0, page.columns).serialize(widths(kind, bool(keys.suite)))


def _extent(locators: IndexPage) -> tuple[int, int]:
    """Where the first chunk of a locator page starts and the last one ends."""
    offsets, lengths = locators.columns[:2]
    last = locators.count(LOCATOR_WIDTHS) - 1
    (start,) = struct.unpack_from("<Q", offsets)
    (offset,), (length,) = struct.unpack_from("<Q", offsets, 8 * last), struct.unpack_from("<I", lengths, 4 * last)
    return start, offset + length
