"""The index as it grows: records of written chunks become pages, full ones at once, partial ones at commits.

A page log knows three lists: what a snapshot lists (all pages), what a checkpoint lists (those since the commit before), and
the records that do not fill a page yet.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from warp_portal._native import OBJECT_PAGE, Frontier, ScopeKeys, blake3, merkle_leaves
from warp_portal.archive.base import INDEX_KINDS, Base
from warp_portal.archive.content import Page
from warp_portal.archive.limits import KIND_CHUNK, KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.pages import IndexPage, locator_root, store_payload, widths
from warp_portal.archive.toc import PageRef
from warp_portal.primitives.compression import ZSTD

Emit = Callable[[bytes], int]
Place = Callable[[IndexPage], Page]
PAGE_LEVEL: Final = 3  # zstd: pages are small beside chunks, and read by every open


class Written(Protocol):
    """Records of written chunks and their fragments, as columns; `PackEvents` are such."""

    @property
    def chunks(self) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes]:
        """Offset u64, stored u32, cid 32, raw u32, fragments u32, codec u8, dp 32."""
        ...

    @property
    def fragments(self) -> tuple[bytes, bytes]:
        """Length u32, id 24."""
        ...


class PageLog:
    """The pages of one kind of index."""

    def __init__(self, column_widths: tuple[int, ...]) -> None:
        self._widths = column_widths
        self._full: list[Page] = []
        self._partial: Page | None = None
        self._columns = [bytearray() for _ in column_widths]
        self._listed_full = 0
        self._listed_partial: Page | None = None

    def load(self, index_pages: list[Page], read: Callable[[Page], IndexPage]) -> None:
        """Go on from earlier pages: the records of a last, partial one will be written again, fuller."""
        self._full = list(index_pages)
        if index_pages and index_pages[-1].ref.records < PAGE_RECORDS:
            self._partial = self._full.pop()
            self._columns = [bytearray(column) for column in read(self._partial).columns]
        self.listed()

    def extend(self, columns: tuple[bytes, ...], place: Place) -> None:
        """Add records; places pages as they fill."""
        for mine, new in zip(self._columns, columns, strict=True):
            mine.extend(new)
        while len(self._columns[0]) >= PAGE_RECORDS * self._widths[0]:
            self._full.append(place(self._take_page()))
            self._partial = None

    def _take_page(self) -> IndexPage:
        page = self._head()
        for column, width in zip(self._columns, self._widths, strict=True):
            del column[: PAGE_RECORDS * width]
        return page

    def _head(self) -> IndexPage:
        columns = (
            bytes(column[: PAGE_RECORDS * width]) for column, width in zip(self._columns, self._widths, strict=True)
        )
        return IndexPage(len(self._full) * PAGE_RECORDS, tuple(columns))

    def flush(self, place: Place) -> None:
        """Place the records that fill no page, unless that was done with the same ones."""
        records = len(self._columns[0]) // self._widths[0]
        if records and (self._partial is None or self._partial.ref.records != records):
            self._partial = place(self._head())

    def all(self) -> list[Page]:
        """Every page, for a snapshot."""
        return self._full + ([self._partial] if self._partial else [])

    def news(self) -> list[Page]:
        """The pages since the last `listed`, for a checkpoint."""
        changed = self._partial is not None and self._partial is not self._listed_partial
        return self._full[self._listed_full :] + ([self._partial] if changed and self._partial else [])

    def listed(self) -> None:
        """A commit lists all that there is now."""
        self._listed_full, self._listed_partial = len(self._full), self._partial


class IndexLog:
    """The three page logs and the Merkle frontier of an archive that is being written."""

    def __init__(self, keys: ScopeKeys, emit: Emit, base: Base, read: Callable[[Page], IndexPage]) -> None:
        self._keys = keys
        self._emit = emit
        self._encrypted = bool(keys.suite)
        self.frontier = Frontier(base.chunks, base.frontier)
        self.fragments = base.fragments
        self.stored_bytes = base.stored_bytes
        self._paged_fragments = 0  # fragments of the chunks in full chunk pages
        self._logs = {kind: PageLog(widths(kind, self._encrypted)) for kind in INDEX_KINDS}
        for kind, log in self._logs.items():
            log.load(base.index[kind], read)
        self._paged_fragments = self._fragments_in_full_pages(base)

    @staticmethod
    def _fragments_in_full_pages(base: Base) -> int:
        last = base.index[KIND_CHUNK][-1:]
        partial = [page for page in last if page.ref.records < PAGE_RECORDS]
        return partial[0].first_fragment if partial else base.fragments

    def add(self, events: Written) -> None:
        """The records of newly written chunks."""
        offsets, stored, cids, raws, fragments, codecs, dps = events.chunks
        if not offsets:
            return
        self.frontier.append(merkle_leaves(cids, stored))
        self.stored_bytes += sum(memoryview(stored).cast("I"))
        lengths, ids = events.fragments
        self.fragments += len(lengths) // 4
        sealed_columns = (raws, fragments, codecs, dps) if self._encrypted else (raws, fragments, codecs)
        for kind, columns in zip(INDEX_KINDS, ((offsets, stored, cids), sealed_columns, (lengths, ids)), strict=True):
            self._logs[kind].extend(columns, partial(self._place, kind))

    def flush(self) -> None:
        """Place the partial pages."""
        for kind, log in self._logs.items():
            log.flush(partial(self._place, kind))

    def pages(self, news: bool) -> list[Page]:
        """The pages that a checkpoint (`news`) or a snapshot lists, by kind and position."""
        return [page for log in self._logs.values() for page in (log.news() if news else log.all())]

    def listed(self) -> None:
        """A commit lists all that there is now."""
        for log in self._logs.values():
            log.listed()

    def _place(self, kind: int, page: IndexPage) -> Page:
        """Seal and append a page."""
        column_widths = widths(kind, self._encrypted)
        raw, records = page.serialize(column_widths), page.count(column_widths)
        first_fragment = self._first_fragment(page, records) if kind == KIND_CHUNK else 0
        if kind == KIND_LOCATOR:
            stored, dp, root = store_payload(raw), b"", locator_root(page)
        else:
            stored, dp = self._keys.seal(OBJECT_PAGE, raw, ZSTD, PAGE_LEVEL)
            root = b""
        ref = PageRef(kind, records, self._emit(stored), len(stored), blake3(stored), root)
        return Page(ref, dp, first_fragment)

    def _first_fragment(self, page: IndexPage, records: int) -> int:
        first = self._paged_fragments
        if records == PAGE_RECORDS:
            self._paged_fragments += sum(memoryview(page.columns[1]).cast("I"))
        return first
