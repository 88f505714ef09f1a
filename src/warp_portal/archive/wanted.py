"""What an archive that comes from another machine still lacks: metadata pages, then chunks, as much as may be on the way.

    TOCs ─▶ places of metadata ─┐
    locator pages ──────────────┴▶ no two things lie on each other ─▶ what is not here ─▶ asked for ─▶ here, or lost

Memory: 52 bytes for each metadata page, of which there may be a million, and 60 for each locator page.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, pairwise
from operator import neg
from typing import Final

from warp_portal._native import blake3
from warp_portal.archive import pages
from warp_portal.archive.chain import Piece
from warp_portal.archive.limits import DIGEST_BYTES, KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.opening import Opened
from warp_portal.archive.toc import PageRef
from warp_portal.errors import FormatError, IntegrityError, ProtocolError

Spans = list[tuple[int, int]]
"""Chunks of a locator page: first, and the one behind the last; ascending."""

# An archive of a billion files has so many.
MAX_METADATA: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where what is lacking lies: from the end of what is here, or of the key slots, to the offered commit; `chunks` are here."""

    start: int
    end: int
    chunks: int = 0


class MetadataPlaces:
    """Metadata that is to come: pages by number, and what lies between them."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._numbers, self._offsets, self._lengths = array("Q"), array("Q"), array("Q")
        self._digests = bytearray()
        self._newest: dict[int, PageRef] = {}
        self._listed = 0
        self._taken = array("Q")  # offset and end of TOCs with their commits, in turn
        self._starts, self._ends = array("Q"), array("Q")
        self.here: list[PageRef] = []
        """Pages of the newest TOC that lie in what is here."""

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, opened: Opened) -> None:
        """The pages of the newest TOC, then those of each older one that lie in its own segment. Raises IntegrityError."""
        commit, refs = opened.commit, opened.toc.clear.pages
        newest = not self._taken
        if newest:
            self._newest = {ref.offset: ref for ref in refs}
        floor = opened.header.first_segment if newest or not commit.previous else commit.previous
        for number, ref in enumerate(refs, self._listed):
            if ref.offset < opened.header.first_segment or ref.offset + ref.stored_bytes > commit.toc_offset:
                raise FormatError(f"the page at {ref.offset} lies outside the archive")
            if self._newest.get(ref.offset, ref) != ref:
                raise FormatError(f"two commits disagree about the page at {ref.offset}")
            if newest or (ref.offset >= floor and ref.offset not in self._newest):
                self._place(number, ref)
        self._listed += len(refs)
        self._taken.extend((commit.toc_offset, commit.end))

    def _place(self, number: int, ref: PageRef) -> None:
        if ref.offset < self._bounds.start:
            self.here.append(ref)
            return
        if ref.kind == KIND_LOCATOR and ref.offset in self._newest:
            self._taken.extend((ref.offset, ref.offset + ref.stored_bytes))  # it comes unasked
            return
        if len(self._numbers) == MAX_METADATA:
            raise FormatError("more pages of metadata than are taken: copy the file")
        self._numbers.append(number)
        self._offsets.append(ref.offset)
        self._lengths.append(ref.stored_bytes)
        self._digests += ref.digest

    def close(self) -> None:
        """All TOCs came. Raises FormatError if two pieces lie on each other."""
        taken = chain(
            zip(self._taken[::2], self._taken[1::2], strict=True),
            ((offset, offset + length) for offset, length in zip(self._offsets, self._lengths, strict=True)),
        )
        places = sorted(taken)
        if any(before[1] > after[0] for before, after in pairwise(places)):
            raise FormatError("pieces of metadata lie on each other")
        self._starts = array("Q", (start for start, _ in places))
        self._ends = array("Q", (end for _, end in places))
        self._newest, self._taken = {}, array("Q")

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Start and end of each piece that touches what is between two offsets."""
        for at in range(bisect_right(self._ends, start), bisect_left(self._starts, end)):
            yield self._starts[at], self._ends[at]

    def page(self, at: int) -> "WantedPage":
        """The page that is the so manieth to come."""
        digest = bytes(self._digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES])
        return WantedPage(self._numbers[at], self._offsets[at], self._lengths[at], digest)


@dataclass(slots=True)
class WantedPage:
    """A metadata page that was asked for, and what came of it."""

    number: int
    offset: int
    length: int
    digest: bytes
    pieces: dict[int, bytes] = field(default_factory=dict)
    got: int = 0
    again: bool = False


class WantedMetadata:
    """Metadata pages: asked for in order, and checked when all of one is here."""

    def __init__(self, places: MetadataPlaces, is_here: Callable[[WantedPage], bool]) -> None:
        self._places = places
        self._is_here = is_here
        self._next = 0
        self._waiting = dict[int, WantedPage]()  # by offset
        self._offsets = list[int]()
        self._again = list[WantedPage]()
        self.outstanding = 0
        """Bytes that are on the way."""

    @property
    def done(self) -> bool:
        """Whether all of it is here, or lost."""
        return self._next == len(self._places) and not self._waiting

    def ask(self, room: int) -> Iterator[int]:
        """Numbers of pages to be asked for now: within so many bytes, or one if none is on the way."""
        for page in self._again:
            yield page.number
        self._again.clear()
        while self._next < len(self._places):
            page = self._places.page(self._next)
            if self._is_here(page):
                self._next += 1
                continue
            if self.outstanding and self.outstanding + page.length > room:
                return
            self._next += 1
            self._waiting[page.offset] = page
            insort(self._offsets, page.offset)
            self.outstanding += page.length
            yield page.number

    def take(self, offset: int, data: bytes) -> list[Piece]:
        """A piece of a page; what can be written. Raises ProtocolError, or IntegrityError for a page that is damaged twice."""
        at = bisect_right(self._offsets, offset) - 1
        page = self._waiting[self._offsets[at]] if at >= 0 else None
        if page is None or not data or offset + len(data) > page.offset + page.length or offset in page.pieces:
            raise ProtocolError(f"bytes at {offset}, which were not asked for")
        page.pieces[offset] = data
        page.got += len(data)
        if page.got < page.length:
            return []
        whole = b"".join(data for _, data in sorted(page.pieces.items()))
        if blake3(whole) != page.digest or len(whole) != page.length:
            self._ask_again(page)
            return []
        self._drop(page)
        return [(page.offset, whole)]

    def _ask_again(self, page: WantedPage) -> None:
        if page.again:
            raise IntegrityError(f"the metadata page at {page.offset} came damaged, twice")
        page.again, page.got, page.pieces = True, 0, {}
        self._again.append(page)

    def lose(self, number: int) -> None:
        """A page can't be had. Raises ProtocolError if it was not asked for."""
        page = next((page for page in self._waiting.values() if page.number == number), None)
        if page is None:
            raise ProtocolError(f"metadata page {number} is lost, which was not asked for")
        self._drop(page)

    def _drop(self, page: WantedPage) -> None:
        del self._waiting[page.offset]
        self._offsets.remove(page.offset)
        self.outstanding -= page.length


class WantedChunks:
    """The chunks of an archive behind those that are here, page by page."""

    def __init__(self, bounds: Bounds, locators: tuple[PageRef, ...], places: MetadataPlaces) -> None:
        self._bounds = bounds
        self._locators = locators
        self._places = places
        self._first = bounds.chunks // PAGE_RECORDS
        self._ready = list[int]()  # pages that came and are not all asked for, the last first
        self._came = set[int]()
        self._edges = dict[int, tuple[int, int]]()  # of each page, where its first chunk begins and its last one ends
        self._rest: dict[int, Spans] = {}
        self._again = dict[int, Spans]()
        self._at_hand: tuple[int, bytes, memoryview[int]] | None = None
        self._asked_bytes = self._lost_bytes = 0
        self._kept = dict[int, Spans]()
        self._open = sum(ref.records for ref in locators) - bounds.chunks
        self.lost = 0

    def resume(self, kept: Mapping[int, Spans]) -> None:
        """These are durable, by the journal. To be told before the first page comes."""
        for number, spans in kept.items():
            self._kept[number] = _joined(spans)

    @property
    def done(self) -> bool:
        """Whether all are durable, or lost."""
        return self._open == 0

    @property
    def all_came(self) -> bool:
        """Whether all locator pages that are needed are here."""
        return len(self._came) == len(self._locators) - self._first

    @property
    def all_asked(self) -> bool:
        """Whether nothing more is to be asked for."""
        return self.all_came and not self._ready and not self._again

    def locators(self, number: int, stored: bytes) -> list[Piece]:
        """A locator page as it is stored; what can be written. Raises ProtocolError, IntegrityError."""
        if not self._first <= number < len(self._locators) or number in self._came:
            raise ProtocolError(f"locator page {number}, which was not awaited")
        ref = self._locators[number]
        if len(stored) != ref.stored_bytes or blake3(stored) != ref.digest:
            raise IntegrityError(f"locator page {number} is not the one that the TOC names")
        page = _parsed(stored, ref, number)
        self._check_places(number, page)
        self._came.add(number)
        missing = _without(
            [(max(0, self._bounds.chunks - number * PAGE_RECORDS), ref.records)], self._kept.pop(number, [])
        )
        self._open -= ref.records - max(0, self._bounds.chunks - number * PAGE_RECORDS) - _count(missing)
        if missing:
            self._rest[number] = missing
            insort(self._ready, number, key=neg)
        return [(ref.offset, stored)] if ref.offset >= self._bounds.start else []

    def _check_places(self, number: int, page: pages.IndexPage) -> None:
        """That its chunks follow those of the page before, and none lies on metadata."""
        offsets, lengths = memoryview(page.columns[0]).cast("Q"), memoryview(page.columns[1]).cast("I")
        if any(end > start for end, start in zip(map(int.__add__, offsets, lengths), offsets[1:], strict=False)):
            raise FormatError(f"locator page {number}: its chunks lie on each other")
        begin, end = offsets[0], offsets[-1] + lengths[-1]
        before, after = self._edges.get(number - 1), self._edges.get(number + 1)
        if (before and before[1] > begin) or (after and after[0] < end) or end > self._bounds.end:
            raise FormatError(f"locator page {number}: its chunks lie on those of another, or outside the archive")
        for start, stop in self._places.within(begin, end):
            at = bisect_left(offsets, stop) - 1
            if at >= 0 and offsets[at] + lengths[at] > start:
                raise FormatError(f"locator page {number}: a chunk lies on metadata")
        here = self._bounds.chunks - number * PAGE_RECORDS
        if here < len(offsets) and offsets[max(0, here)] < self._bounds.start:
            raise FormatError(f"locator page {number}: a new chunk lies in what is here")
        self._edges[number] = begin, end

    def ask(self, room: int, received: int, read: Callable[[PageRef], bytes]) -> Iterator[tuple[int, Spans, bytes]]:
        """Page, chunks to be asked for now, and the page as it is stored; `received` bytes of chunks came in all."""
        while self._again:
            number, spans = self._again.popitem()
            yield number, spans, read(self._locators[number])
        # In batches, of half of what may be on the way.
        if self._asked_bytes - self._lost_bytes - received > room // 2:
            return
        while self._ready and (left := room - (self._asked_bytes - self._lost_bytes - received)) > 0:
            number = self._ready[-1]
            stored, lengths = self._lengths(number, read)
            spans, self._rest[number] = _cut(self._rest[number], lengths, left)
            self._asked_bytes += _sum(lengths, spans)
            if not self._rest[number]:
                del self._rest[number]
                self._ready.pop()
            yield number, spans, stored

    def _lengths(self, number: int, read: Callable[[PageRef], bytes]) -> tuple[bytes, "memoryview[int]"]:
        """A locator page as it is stored, and its chunks' lengths."""
        if self._at_hand is None or self._at_hand[0] != number:
            stored = read(self._locators[number])
            page = _parsed(stored, self._locators[number], number)
            self._at_hand = number, stored, memoryview(page.columns[1]).cast("I")
        return self._at_hand[1:]

    def again(self, number: int, spans: Spans) -> None:
        """Chunks that came damaged are asked for once more."""
        self._again[number] = _joined(self._again.get(number, []) + spans)

    def keep(self, kept: Mapping[int, Spans]) -> None:
        """Chunks are durable."""
        self._open -= sum(map(_count, kept.values()))

    def lose(self, number: int, spans: Spans, read: Callable[[PageRef], bytes]) -> None:
        """Chunks can't be had."""
        self._lost_bytes += _sum(self._lengths(number, read)[1], spans)
        self._open -= _count(spans)
        self.lost += _count(spans)


def _parsed(stored: bytes, ref: PageRef, number: int) -> pages.IndexPage:
    page = pages.IndexPage.parse(pages.open_store_payload(stored), pages.LOCATOR_WIDTHS)
    if page.first != number * PAGE_RECORDS or page.count(pages.LOCATOR_WIDTHS) != ref.records:
        raise FormatError(f"locator page {number}: its place or its number of records")
    if pages.locator_root(page) != ref.root:
        raise IntegrityError(f"locator page {number} has another Merkle root than the TOC says")
    return page


def _count(spans: Spans) -> int:
    return sum(end - start for start, end in spans)


def _sum(lengths: "memoryview[int]", spans: Spans) -> int:
    return sum(sum(lengths[start:end]) for start, end in spans)


def _joined(spans: Spans) -> Spans:
    """Ascending, none touching the next."""
    out: Spans = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out


def _without(spans: Spans, others: Spans) -> Spans:
    """What of `spans` is not in `others`, which are joined."""
    out: Spans = []
    for start, end in spans:
        for begin, stop in others:
            if start < min(begin, end):
                out.append((start, min(begin, end)))
            start = max(start, stop)
        if start < end:
            out.append((start, end))
    return out


def _cut(spans: Spans, lengths: "memoryview[int]", room: int) -> tuple[Spans, Spans]:
    """The first chunks of `spans` that fit into so many bytes, one at least, and the rest."""
    taken: Spans = []
    for at, (start, end) in enumerate(spans):
        for chunk in range(start, end):
            if room <= 0:
                return taken + ([(start, chunk)] if chunk > start else []), [(chunk, end), *spans[at + 1 :]]
            room -= lengths[chunk]
        taken.append((start, end))
    return taken, []
