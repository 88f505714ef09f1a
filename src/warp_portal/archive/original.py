"""An archive that is about to be written anew: locked, believed, with its snapshots and the columns of its index."""

import os
from collections.abc import Iterator, Sequence
from typing import Final, Self

from warp_portal._native import ScopeKeys
from warp_portal.archive.base import INDEX_KINDS
from warp_portal.archive.content import Content, Page, open_content, read_index_page
from warp_portal.archive.header import Header
from warp_portal.archive.indexparts import IndexParts
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR, PAGE_RECORDS, SUITE_PLAIN, ZERO_DIGEST
from warp_portal.archive.opening import Opened, history, open_earlier
from warp_portal.archive.pages import IndexPage
from warp_portal.archive.proofs import check_extends
from warp_portal.archive.resuming import check_finished, newest_for_writer, writable_header
from warp_portal.archive.state import StateStore
from warp_portal.archive.states import key_changes
from warp_portal.archive.storage import AnyPath, ArchiveFile
from warp_portal.archive.trust import check_earlier_signature, check_signature, check_state
from warp_portal.archive.unlock import Unlock, check_header_mac, find_archive_key
from warp_portal.errors import FormatError, IntegrityError, SignerError, UsageError
from warp_portal.keys.signers import Signer

# Columns of u32, by the kind of their pages and their place there (docs/format.md §6).
STORED_LENGTHS: Final = (KIND_LOCATOR, 1)
RAW_LENGTHS: Final = (KIND_CHUNK, 0)
CHUNK_FRAGMENTS: Final = (KIND_CHUNK, 1)
FRAGMENT_LENGTHS: Final = (KIND_FRAGMENT, 0)


class Original:
    """The archive, its lock held until `close`; a context manager."""

    def __init__(self, path: AnyPath, unlock: Unlock, state: StateStore | None) -> None:
        """Raises as a writer does, and DamagedTailError for one whose last change is unfinished."""
        self.file = ArchiveFile(path, os.O_RDWR)
        try:
            self.file.lock()
            self._open(unlock, state)
        except BaseException:
            self.file.close()
            raise

    def _open(self, unlock: Unlock, state: StateStore | None) -> None:
        self.header: Header = writable_header(self.file)
        self.newest: Opened = newest_for_writer(self.file, self.header)
        check_finished(self.file, self.newest)
        self.archive_key = self._find_key(unlock)
        self.keys = ScopeKeys(self.archive_key, self.header.suite if self.archive_key else SUITE_PLAIN)
        check_header_mac(self.header, self.keys)
        self._seen = state.remembered(self.header.uuid) if state else None
        check_state(self.file, self.newest, self.keys, self._seen)
        public = open_content(self.newest, self.keys).sealed.signer
        check_signature(self.file, self.newest, public, self._seen, None)
        self.snapshots: tuple[Opened, ...] = tuple(self._chain())[::-1]
        self.index = IndexColumns(self.file, self.keys, self._whole_index())

    def _find_key(self, unlock: Unlock) -> bytes | None:
        slots = self.newest.slots
        if slots is None:
            return None
        archive_key = find_archive_key(self.header, slots, unlock)
        slots.check_mac(ScopeKeys(archive_key, self.header.suite))
        return archive_key

    def _chain(self) -> Iterator[Opened]:
        """The snapshots, the newest first, each commit checked by the digest that its successor names."""
        digest = self.newest.commit.digest()
        for commit in history(self.file, self.newest.commit):
            if commit.digest() != digest:
                raise IntegrityError(
                    f"{self.file.name}: commit {commit.sequence} is not the one that its successor names"
                )
            commit.check_mac(self.keys)
            opened = open_earlier(self.file, self.newest, commit)
            if commit.snapshot:
                yield opened
            digest = opened.toc.clear.previous_digest
        if digest != ZERO_DIGEST:
            raise IntegrityError(f"{self.file.name}: its first commit names one before it")

    def _whole_index(self) -> Content:
        """The newest snapshot's content, its index checked as readers do."""
        content = open_content(self.newest, self.keys)
        IndexParts(self.file, self.keys, content, self.header.cutting.chunk.maximum).check()
        return content

    def content(self, opened: Opened, starts: Sequence[int]) -> Content:
        """A snapshot's content; `starts` are the first fragments of all chunks, and their end.

        Raises:
            IntegrityError: it is no earlier state of the newest one.
        """
        content, commit = open_content(opened, self.keys), opened.commit
        check_extends(self.file, self.newest, commit)
        if content.sealed.fragments != starts[commit.chunks]:
            raise FormatError(
                f"{self.file.name}: commit {commit.sequence} has another number of fragments than its chunks"
            )
        return content

    def key_changes(self) -> frozenset[int]:
        """Numbers of the snapshots that a change of keys made."""
        commits = [opened.commit for opened in self.snapshots]
        return key_changes(self.file, self.newest, commits, self.keys)

    def check_signature(self, opened: Opened) -> Signer | None:
        """Who signed a snapshot, with the signature checked; raises SignatureError, UnsignedError."""
        public = open_content(opened, self.keys).sealed.signer
        check_earlier_signature(self.file, opened, public, self._seen, None)
        return Signer(public) if opened.commit.signed else None

    def check_signer(self, opened: Opened, own: Signer | None) -> None:
        """Raises UsageError, SignerError unless `own` may sign in place of the snapshot's signature, if it has one."""
        signer = self.check_signature(opened)
        if signer is None:
            return
        if own is None:
            raise UsageError(
                f"{self.file.name} is signed: give its key (--sign), for the new file needs new signatures"
            )
        if signer != own:
            raise SignerError(
                f"{self.file.name}: the snapshot of commit {opened.commit.sequence} is signed by {signer}, and the key given "
                "is another: sign with that one, or forget the snapshot"
            )

    def close(self) -> None:
        """Close the file and end the lock; idempotent."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class IndexColumns:
    """The records of an index by ordinal; of each kind, the page last used is kept."""

    def __init__(self, file: ArchiveFile, keys: ScopeKeys, content: Content) -> None:
        self._file = file
        self._keys = keys
        self._pages = {kind: content.pages[kind] for kind in INDEX_KINDS}
        self._last: dict[int, tuple[int, IndexPage]] = {}
        self.chunks = content.commit.chunks
        self.fragments = content.sealed.fragments

    def records(self, kind: int, first: int, end: int) -> tuple[bytes, ...]:
        """The columns of the records `first` … `end`, of which there is at least one."""
        numbers = range(first // PAGE_RECORDS, (end - 1) // PAGE_RECORDS + 1)
        parts = [self._part(kind, number, first, end) for number in numbers]
        return tuple(map(b"".join, zip(*parts, strict=True)))

    def column(self, kind: int, column: int) -> Iterator[memoryview]:
        """One column of u32, page by page."""
        for number in range(len(self._pages[kind])):
            yield memoryview(self._page(kind, number).columns[column]).cast("I")

    def _part(self, kind: int, number: int, first: int, end: int) -> list[bytes]:
        page, start = self._page(kind, number), number * PAGE_RECORDS
        count = self._pages[kind][number].ref.records
        lower, upper = max(first - start, 0), min(end - start, count)
        return [column[lower * len(column) // count : upper * len(column) // count] for column in page.columns]

    def _page(self, kind: int, number: int) -> IndexPage:
        if kind not in self._last or self._last[kind][0] != number:
            page: Page = self._pages[kind][number]
            self._last[kind] = number, read_index_page(self._file, self._keys, page)
        return self._last[kind][1]
