"""The whole chunk index of a snapshot, in memory; where pages of it are damaged, what the others tell.

What lies in chunks that a damaged page tells of is lost; every other fragment is found, since the table of contents says how
many records each page has, and how many fragments lie before each page of chunks.
"""

from itertools import pairwise
from typing import Final

from warp_portal._native import ChunkIndex, ScopeKeys
from warp_portal.archive.content import Content, Page, read_raw
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR
from warp_portal.archive.storage import ArchiveFile
from warp_portal.errors import DamagedPageError, FormatError

# Records of pages that are not there take memory, and nothing else vouches for them: a file of lies may not take much.
MOST_MISSING: Final = 256


class IndexReading:
    """One reading of a snapshot's chunk index."""

    def __init__(self, file: ArchiveFile, keys: ScopeKeys, content: Content, chunk_max: int) -> None:
        self._file, self._keys, self._content = file, keys, content
        self._index = ChunkIndex(bool(keys.suite), chunk_max)
        self._missing = 0

    def run(self, *, keep_ids: bool = False, tolerant: bool = False) -> ChunkIndex:
        """Read it; `tolerant` fills in for damaged pages. Raises IntegrityError."""
        index, pages = self._index, self._content.pages
        bounds = [*(page.first_fragment for page in pages[KIND_CHUNK]), self._content.sealed.fragments]
        most = MOST_MISSING if tolerant else 0
        for page in pages[KIND_LOCATOR]:
            raw = self._raw(page, most)
            index.add_missing_locators(page.ref.records) if raw is None else index.add_locators(raw)
        for page, (first, end) in zip(pages[KIND_CHUNK], pairwise(bounds), strict=True):
            raw = self._raw(page, most)
            index.add_missing_chunks(page.ref.records, end - first) if raw is None else index.add_chunks(raw)
        for page in pages[KIND_FRAGMENT]:
            raw = self._raw(page, most)
            if raw is None:
                index.add_missing_fragments(page.ref.records, keep_ids)
            else:
                index.add_fragments(raw, keep_ids)
        self._finish()
        return index

    def _raw(self, page: Page, most_missing: int) -> bytes | None:
        """A page's content; None if it is damaged and may be."""
        try:
            return read_raw(self._file, self._keys, page)
        except DamagedPageError:
            self._missing += 1
            if self._missing > most_missing:
                raise
            return None

    def _finish(self) -> None:
        index, commit = self._index, self._content.commit
        index.finish(commit.toc_offset)
        if (index.chunks, index.fragments) != (commit.chunks, self._content.sealed.fragments):
            raise FormatError(f"commit {commit.sequence}: its index has another number of chunks or fragments")
