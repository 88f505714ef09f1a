"""The metadata of an archive, all of it: the chain of commits, and every page that any of them lists."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from warp_portal._native import ChunkIndex, Frontier
from warp_portal.archive import pages
from warp_portal.archive.base import INDEX_KINDS, check_full_pages
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import Content, Page, checked_table, open_content, read_raw, read_stored
from warp_portal.archive.limits import KIND_LOCATOR, KIND_NAMES, KIND_TABLE, PAGE_RECORDS, ZERO_DIGEST
from warp_portal.archive.opening import Opened, history, open_earlier
from warp_portal.archive.proofs import check_extends
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.toc import TOC, PageRef, most_pages
from warp_portal.errors import DamagedPageError, FormatError, IntegrityError

MAX_NOTES: Final = 10_000  # pieces of damage that are told one by one


class MetadataCheck:
    """Gathers what is damaged, and what the check of the chunks needs.

    Each piece of damage is noted once and the rest is checked all the same.
    """

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._keys = reader.keys if reader.keyed else None
        self.damage: list[str] = []
        self._noted: set[str] = set()
        self.snapshots = 0
        self.commits: list[Commit] = []
        self.refs: dict[int, PageRef] = {}
        self.locators = Locators(reader)
        self._seen: set[int] = set()
        self._most_pages = most_pages(reader.file.size())
        self._damaged: set[int] = set()  # offsets of pages
        self._table_bytes: dict[int, int] = {}  # logical bytes by offset of the file-table page

    def run(self) -> None:
        """Check everything."""
        for opened in self._chain():
            self.snapshots += opened.commit.snapshot
            if opened.commit.sequence > self._reader.commit.sequence:
                continue  # what only later snapshots use is not asked about
            self.commits.append(opened.commit)
            try:
                self._check_pages(opened)
            except IntegrityError as error:
                self._note(error)
        self._check_tree()
        if not self.damage:
            self._check_growth()
        if self._keys:
            self._check_columns()

    def _note(self, error: IntegrityError) -> None:
        text = str(error)
        if text in self._noted or len(self.damage) > MAX_NOTES:
            return
        self._noted.add(text)
        self.damage.append(text if len(self.damage) < MAX_NOTES else f"more than {MAX_NOTES:,} pieces are damaged")

    # Commits

    def _chain(self) -> Iterator[Opened]:
        """The commits from the newest back, as far as they can be followed, each checked by its successor's TOC.

        One at a time: together their TOCs may take many times what is stored.
        """
        reader = self._reader
        digest = reader.newest.digest()
        try:
            for commit in history(reader.file, reader.newest):
                if commit.digest() != digest:
                    raise IntegrityError(f"commit {commit.sequence} is not the one that its successor names")
                if self._keys:
                    commit.check_mac(self._keys)
                opened = open_earlier(reader.file, reader.opened, commit)
                digest = opened.toc.clear.previous_digest
                yield opened
            if digest != ZERO_DIGEST:
                raise IntegrityError("the first commit names one before it")
        except IntegrityError as error:
            self._note(error)

    # Pages

    def _check_pages(self, opened: Opened) -> None:
        """The pages of one commit that were not seen yet."""
        content = open_content(opened, self._keys) if self._keys else None
        by_kind = content.pages if content else _clear_pages(opened.toc)
        if content and opened.commit.snapshot:
            self._check_counts(opened.commit, content)
        for page in (page for of_kind in by_kind.values() for page in of_kind):
            if self.refs.setdefault(page.ref.offset, page.ref) != page.ref:
                raise FormatError(f"two commits disagree about the page at {page.ref.offset}")
            if len(self.refs) > self._most_pages:
                raise FormatError("more pages than the file can hold")
            if page.ref.offset not in self._seen:
                self._check_page(page)
        if content and opened.commit.snapshot:
            self._check_bytes(opened.commit, content)

    def _check_page(self, page: Page) -> None:
        self._seen.add(page.ref.offset)
        try:
            if page.ref.kind == KIND_LOCATOR:
                self._check_locator(page)
            elif self._keys is None:
                read_stored(self._reader.file, page.ref)
            else:
                self._check_sealed(page)
        except IntegrityError as error:
            self._note(_located(error, page))
            self._damaged.add(page.ref.offset)

    def _check_locator(self, page: Page) -> None:
        raw = pages.open_store_payload(read_stored(self._reader.file, page.ref))
        parsed = pages.IndexPage.parse(raw, pages.LOCATOR_WIDTHS)
        if pages.locator_root(parsed) != page.ref.root or parsed.count(pages.LOCATOR_WIDTHS) != page.ref.records:
            raise IntegrityError(f"the locator page at {page.ref.offset} has another Merkle root than the TOC says")

    def _check_sealed(self, page: Page) -> None:
        assert self._keys is not None
        raw = read_raw(self._reader.file, self._keys, page)
        if page.ref.kind == KIND_TABLE:
            table = checked_table(raw, page)  # which is in canonical form, or refused
            self._table_bytes[page.ref.offset] = table.totals()[1]
        else:
            pages.IndexPage.parse(raw, pages.widths(page.ref.kind, bool(self._keys.suite)))

    @staticmethod
    def _check_counts(commit: Commit, content: Content) -> None:
        totals = dict.fromkeys(INDEX_KINDS, commit.chunks)
        totals[INDEX_KINDS[-1]] = content.sealed.fragments
        for kind in INDEX_KINDS:
            check_full_pages(content.pages[kind], totals[kind])
        if content.sealed.position:
            raise FormatError(f"snapshot {commit.sequence} has a position, as only checkpoints do")
        if sum(page.ref.records for page in content.pages[KIND_TABLE]) != content.sealed.entries:
            raise FormatError(f"snapshot {commit.sequence} has another number of entries than its TOC says")

    def _check_bytes(self, commit: Commit, content: Content) -> None:
        found = [self._table_bytes.get(page.ref.offset) for page in content.pages[KIND_TABLE]]
        whole = [size for size in found if size is not None]  # a damaged page was noted
        if len(whole) == len(found) and sum(whole) != content.sealed.logical_bytes:
            raise FormatError(f"snapshot {commit.sequence} has another logical size than its TOC says")

    # Across pages

    def _check_tree(self) -> None:
        """The Merkle root, frontier and stored bytes of the snapshot, from its locator pages."""
        if not self._locators_whole:
            return
        commit, clear = self._reader.commit, self._reader.opened.toc.clear
        frontier = Frontier()
        stored_bytes = 0
        try:
            for number, page in enumerate(self.locators):
                if page.first != number * PAGE_RECORDS:
                    raise FormatError("the locator pages are out of order")
                frontier.append(pages.locator_leaves(page))
                stored_bytes += sum(memoryview(page.columns[1]).cast("I"))
        except IntegrityError as error:
            self._note(error)
            return
        if (frontier.size, frontier.root(), frontier.nodes()) != (commit.chunks, commit.root, clear.frontier):
            self._note(IntegrityError("the Merkle tree of the chunks has another root than the commit says"))
        if stored_bytes != commit.stored_bytes:
            self._note(IntegrityError("the chunks have another stored length than the commit says"))

    @property
    def _locators_whole(self) -> bool:
        return not any(ref.offset in self._damaged for ref in self.locators.refs)

    def _check_growth(self) -> None:
        """That every snapshot only added chunks to those of the one before."""
        reader = self._reader
        for later, earlier in pairwise(commit for commit in self.commits if commit.snapshot):
            try:
                check_extends(reader.file, open_earlier(reader.file, reader.opened, later), earlier)
            except IntegrityError as error:
                sequence = later.sequence
                self._note(IntegrityError(f"snapshot {sequence} does not hold the chunks of the one before: {error}"))

    def _check_columns(self) -> None:
        """That the index pages describe the same chunks and fragments."""
        try:
            self._reader.index_parts().check()
        except IntegrityError as error:
            if not self.damage:  # else it is a consequence of what was found
                self._note(error)

    # For the check of the chunks

    def clear_index(self) -> ChunkIndex | None:
        """An index of the clear columns alone, or None if they are damaged."""
        if not self._locators_whole:
            return None
        index = ChunkIndex(self._reader.encrypted, self._reader.header.cutting.chunk.maximum)
        try:
            for page in self.locators:
                index.add_locators(page.serialize(pages.LOCATOR_WIDTHS))
            index.finish(self._reader.commit.toc_offset)
        except IntegrityError as error:
            self._note(error)
            return None
        return index

    def place(self, chunk: int) -> tuple[int, int]:
        """Offset and stored length of a chunk."""
        page, inside = divmod(chunk, PAGE_RECORDS)
        columns = self.locators.page(page).columns
        (offset,) = struct.unpack_from("<Q", columns[0], inside * 8)
        (stored_bytes,) = struct.unpack_from("<I", columns[1], inside * 4)
        return offset, stored_bytes


class Locators:
    """The locator pages of the open snapshot, of which the last one is kept: together they are 44 bytes a chunk."""

    def __init__(self, reader: ArchiveReader) -> None:
        self._file = reader.file
        self.refs = reader.opened.toc.clear.of_kind(KIND_LOCATOR)
        self._last: tuple[int, pages.IndexPage] | None = None

    def page(self, number: int) -> pages.IndexPage:
        """One of them; raises IntegrityError."""
        if self._last is None or self._last[0] != number:
            raw = pages.open_store_payload(read_stored(self._file, self.refs[number]))
            self._last = number, pages.IndexPage.parse(raw, pages.LOCATOR_WIDTHS)
        return self._last[1]

    def __iter__(self) -> Iterator[pages.IndexPage]:
        return map(self.page, range(len(self.refs)))


def _clear_pages(toc: TOC) -> dict[int, list[Page]]:
    """The pages of a TOC whose sealed part is closed to us."""
    by_kind: dict[int, list[Page]] = {}
    for ref in toc.clear.pages:
        by_kind.setdefault(ref.kind, []).append(Page(ref))
    return by_kind


def _located(error: IntegrityError, page: Page) -> IntegrityError:
    """The error with the page's place, and for a file table the path where it begins."""
    what = f"{KIND_NAMES[page.ref.kind]} page at {page.ref.offset}"
    if page.ref.kind == KIND_TABLE and page.first_path:
        name = page.first_path.decode("utf-8", "backslashreplace")
        what += f" ({page.ref.records} entries from {name!r} on)"
    return IntegrityError(
        f"{what}: {'its bytes are not those of its digest' if isinstance(error, DamagedPageError) else error}"
    )
