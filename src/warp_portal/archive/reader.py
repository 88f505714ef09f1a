"""Reading an archive: the snapshot at hand, its entries, single files, and what else it holds.

Opening reads the header, the last commit and its TOC; the file table and the chunk index are read when they are needed, the
table only in the pages that a question touches.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Final, Self

from warp_portal._native import ChunkIndex, EntryTable, Matcher, ScopeKeys
from warp_portal.archive.about import SlotInfo, Snapshot, Summary, slot_infos
from warp_portal.archive.chunkindex import IndexReading
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import Content, Page, open_content, read_table
from warp_portal.archive.contents import ChunkCache, StoredFile
from warp_portal.archive.fallback import newest_whole
from warp_portal.archive.filetable import Entry, Kind
from warp_portal.archive.header import Header
from warp_portal.archive.indexparts import WHOLE_PAGES, IndexParts
from warp_portal.archive.limits import KIND_LOCATOR, KIND_TABLE
from warp_portal.archive.opening import Opened, newest, open_earlier, read_header
from warp_portal.archive.options import checked_patterns
from warp_portal.archive.reach import pages_below, pages_matching
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.states import key_changes, snapshot_commits, states
from warp_portal.archive.storage import AnyPath, ArchiveFile
from warp_portal.archive.trust import (
    NOTHING_EXPECTED,
    Expectation,
    SignatureState,
    check_earlier_signature,
    check_expected_commit,
    check_signature,
    check_state,
    named_commit,
)
from warp_portal.archive.unlock import NO_KEY, Unlock, open_keys
from warp_portal.errors import DamagedPageError, NotFoundError, UsageError
from warp_portal.keys.signers import Signer


@dataclass(frozen=True, slots=True)
class Choice:
    """Which state of an archive to read, and what it must be."""

    snapshot: int | None = None
    recover: bool = False
    expectation: Expectation = NOTHING_EXPECTED


NEWEST: Final = Choice()


class ArchiveReader:
    """An open snapshot. A context manager; iterate it for its entries.

    `keys` is None when an encrypted archive was opened without a key: then only `snapshots`, `slots` and `commit` answer.
    """

    def __init__(self, file: ArchiveFile, opened: Opened, keys: ScopeKeys | None) -> None:
        self._file = file
        self._opened = opened
        self._keys = keys
        self._seen: Remembered | None = None
        self.newest = opened.commit
        self.newest_copy = opened.toc.clear.active_copy
        self.signature = SignatureState.UNSIGNED
        self.damaged_tail = 0  # bytes that --recover passes over,
        self.damaged_snapshots = 0  # and snapshots;
        self.none_whole = False  # whether it found no whole one

    @classmethod
    def open(
        cls, path: AnyPath, unlock: Unlock = NO_KEY, choice: Choice = NEWEST, state: StateStore | None = None
    ) -> Self:
        """Open the newest snapshot, or the one chosen. Raises as `open_archive`."""
        file = ArchiveFile(path)
        try:
            header = read_header(file)
            # After a damaged end the remembered commit may be the one that is lost, and who names a commit by its hash
            # wants that one, even if it is an old copy: the user has chosen.
            if choice.recover or choice.expectation.commit_hash is not None:
                state = None
            seen = state.remembered(header.uuid) if state else None
            opened = newest(file, header, recover=choice.recover)
            needs_key = header.encrypted and not unlock
            keys = None if needs_key else open_keys(header, opened.slots, unlock)
            reader = cls(file, opened, keys)
            if choice.recover and not file.being_written():
                reader.damaged_tail = max(0, file.size() - opened.commit.end)
            reader._check(choice, seen)
            if state and keys:
                reader._remember(state)
            if choice.recover and choice.snapshot is None and choice.expectation.commit_hash is None:
                choice = reader._last_whole(choice)
            if choice.snapshot is not None:
                reader._go_back(choice, seen)
        except BaseException:
            file.close()
            raise
        return reader

    def _check(self, choice: Choice, seen: Remembered | None) -> None:
        """Whether this is the archive it should be, by what was `seen` before it was opened."""
        self._seen = seen
        check_state(self._file, self._opened, self._keys, seen)
        check_expected_commit(self._file, self._opened.commit, choice.expectation.commit_hash)
        public = self.content.sealed.signer if self._keys else None
        self.signature = check_signature(self._file, self._opened, public, seen, choice.expectation.signer)

    def _go_back(self, choice: Choice, seen: Remembered | None) -> None:
        """Go to the snapshot chosen, and check its own signature too: the newest one's may be by another."""
        self._opened = self._earlier(choice.snapshot or 0)
        self.__dict__.pop("content", None)
        if self.commit != self.newest:
            public = self.content.sealed.signer if self._keys else None
            expected = choice.expectation.signer
            self.signature = check_earlier_signature(self._file, self._opened, public, seen, expected)

    def _last_whole(self, choice: Choice) -> Choice:
        """The choice that recovery makes: the newest snapshot, unless pages of it are damaged and an earlier one is whole."""
        whole = newest_whole(self._file, self._opened)
        self.none_whole = whole is None
        if whole is None or whole == self.newest:
            return choice
        number = len(snapshot_commits(self._file, whole))
        self.damaged_snapshots = len(snapshot_commits(self._file, self.newest)) - number
        return replace(choice, snapshot=number)

    def _remember(self, state: StateStore) -> None:
        now = Remembered(self.commit.sequence, self.commit.digest(), self.content.sealed.signer)
        if now != self._seen:
            state.remember(self.uuid, now)

    def at(self, number: int) -> Self:
        """Another snapshot of the archive, checked as if opened by itself; it shares the file, and closing either closes both."""
        other = copy(self)
        for cached in ("index", "_lookup", "_cache"):
            other.__dict__.pop(cached, None)
        other._go_back(Choice(number), self._seen)
        return other

    def _earlier(self, number: int) -> Opened:
        commits = snapshot_commits(self._file, self.newest)
        if not 1 <= number <= len(commits):
            raise NotFoundError(f"{self._file.name} has snapshots 1 to {len(commits)}, and no {number}")
        commit = named_commit(self._file, self.newest, commits[number - 1].sequence)
        if self._keys:
            commit.check_mac(self._keys)
        return open_earlier(self._file, self._opened, commit)

    # The snapshot

    @property
    def uuid(self) -> bytes:
        """16 bytes that name the archive."""
        return self._opened.header.uuid

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed to read it."""
        return self._opened.header.encrypted

    @property
    def header(self) -> Header:
        """How the archive was made."""
        return self._opened.header

    @property
    def opened(self) -> Opened:
        """Header, commit, TOC and slots."""
        return self._opened

    @property
    def commit(self) -> Commit:
        """The commit of the open snapshot."""
        return self._opened.commit

    @property
    def commit_hash(self) -> bytes:
        """What names that commit: remember it to recognize the archive later."""
        return self.commit.digest()

    @property
    def snapshot(self) -> Snapshot:
        """The open snapshot."""
        number = len(snapshot_commits(self._file, self.commit))
        return Snapshot.of(number, self.commit, self._signer(self.commit))

    def _signer(self, commit: Commit) -> bytes | None:
        """Who signed a commit, from its sealed TOC."""
        if not commit.signed or self._keys is None:
            return None
        return open_content(open_earlier(self._file, self._opened, commit), self._keys).sealed.signer

    @property
    def file(self) -> ArchiveFile:
        """The archive's file."""
        return self._file

    @property
    def keys(self) -> ScopeKeys:
        """The archive's keys; raises KeyRequiredError if it was opened without."""
        if self._keys is None:
            self._keys = open_keys(self._opened.header, self._opened.slots, NO_KEY)  # raises
        return self._keys

    @property
    def keyed(self) -> bool:
        """Whether the sealed parts can be read."""
        return self._keys is not None

    def snapshots(self) -> tuple[Snapshot, ...]:
        """All snapshots, the newest last. Raises IntegrityError."""
        commits = snapshot_commits(self._file, self.newest)
        if self._keys:
            for commit in commits:
                commit.check_mac(self._keys)
        return tuple(Snapshot.of(number, commit, self._signer(commit)) for number, commit in enumerate(commits, 1))

    def key_changes(self) -> frozenset[int]:
        """Numbers of the snapshots that a change of keys made, as far as that can be read; raises KeyRequiredError."""
        return key_changes(self._file, self._opened, snapshot_commits(self._file, self.newest), self.keys)

    def states(self) -> Iterator[int]:
        """Numbers of the other snapshots, the newest first: it reads on only as far as it is asked. Raises KeyRequiredError."""
        return states(self._file, self._opened, snapshot_commits(self._file, self.newest), self.keys)

    def slots(self) -> tuple[SlotInfo, ...]:
        """The key slots."""
        return slot_infos(self._opened.slots)

    @cached_property
    def content(self) -> Content:
        """The opened TOC of the snapshot."""
        return open_content(self._opened, self.keys)

    @property
    def summary(self) -> Summary:
        """Totals, arguments and owners of the snapshot."""
        sealed, commit = self.content.sealed, self.commit
        return Summary(
            sealed.entries,
            sealed.logical_bytes,
            sealed.fragments,
            commit.chunks,
            commit.stored_bytes,
            sealed.time_ns,
            sealed.arguments,
            sealed.owners,
        )

    # Entries

    def table_pages(self, prefix: bytes = b"") -> list[Page]:
        """The file-table pages that hold `prefix` and what is below it."""
        table_pages = self.content.pages[KIND_TABLE]
        return [table_pages[number] for number in pages_below(table_pages, prefix)] if prefix else table_pages

    def tables(
        self, prefix: bytes = b"", patterns: Sequence[str] = (), damaged: Callable[[Page], None] | None = None
    ) -> Iterator[EntryTable]:
        """The file table, page by page; only the pages that may hold `prefix` and what is below it, or matches of `patterns`.

        With `damaged`, which takes them, damaged pages are passed over.
        """
        found = self.table_pages(prefix)
        for page in pages_matching(found, patterns) if patterns else found:
            try:
                table = read_table(self._file, self.keys, page)
            except DamagedPageError:
                if damaged is None:
                    raise
                damaged(page)
            else:
                yield table

    def matching(self, patterns: Iterable[str] = (), prefix: bytes = b"") -> Iterator[tuple[EntryTable, Sequence[int]]]:
        """As `tables`, with the indices of the entries that gitignore-style `patterns` match."""
        chosen = checked_patterns(patterns)
        matcher = Matcher(chosen) if chosen else None
        for table in self.tables(prefix, chosen):
            yield table, table.matching(matcher) if matcher else range(len(table))

    def entries(self, patterns: Iterable[str] = (), prefix: bytes = b"") -> Iterator[Entry]:
        """Entries in archive order: those that gitignore-style `patterns` match, at or below `prefix`."""
        below = prefix + b"/"
        for table, indices in self.matching(patterns, prefix):
            for index in indices:
                entry = Entry.of(table, index)
                if not prefix or entry.path == prefix or entry.path.startswith(below):
                    yield entry

    def __iter__(self) -> Iterator[Entry]:
        return self.entries()

    def find(self, path: str | bytes) -> Entry | None:
        """The entry with exactly this stored path."""
        raw = os.fsencode(path).strip(b"/")
        for page in self.table_pages(raw)[:1]:
            table = read_table(self._file, self.keys, page)
            index = table.find(raw)
            if index is not None:
                return Entry.of(table, index)
        return None

    # Content

    @cached_property
    def index(self) -> ChunkIndex:
        """Where all chunks and fragments of the snapshot lie, less those whose places are lost with a damaged page."""
        return self._read_index(tolerant=True)

    def index_parts(self) -> IndexParts:
        """The chunk index, read part by part."""
        return IndexParts(self._file, self.keys, self.content, self._opened.header.cutting.chunk.maximum)

    @cached_property
    def _lookup(self) -> ChunkIndex | IndexParts:
        """What single files are found by: the whole index, unless it is large."""
        large = len(self.content.pages[KIND_LOCATOR]) > WHOLE_PAGES and "index" not in self.__dict__
        return self.index_parts() if large else self.index

    def chunk_index(self, keep_ids: bool = False) -> ChunkIndex:
        """A new chunk index, with fragment ids for deep verification. Raises IntegrityError."""
        return self._read_index(keep_ids=keep_ids)

    def _read_index(self, *, keep_ids: bool = False, tolerant: bool = False) -> ChunkIndex:
        reading = IndexReading(self._file, self.keys, self.content, self._opened.header.cutting.chunk.maximum)
        return reading.run(keep_ids=keep_ids, tolerant=tolerant)

    @cached_property
    def _cache(self) -> ChunkCache:
        return ChunkCache(self._file.fd, self._lookup, self.keys)

    def open_file(self, path: str | bytes) -> io.BufferedReader:
        """The content of a stored file, seekable; hard links lead to their file.

        Raises:
            NotFoundError: no such entry.
            UsageError: it is no file.
        """
        entry = self.find(path)
        if entry is not None and entry.kind == Kind.HARDLINK:
            entry = self.find(entry.link)
        if entry is None:
            raise NotFoundError(
                f"no {os.fsdecode(path)!r} in snapshot {self.snapshot.number}: give a whole path, as `warp list` shows it"
            )
        if entry.kind != Kind.FILE:
            raise UsageError(f"{entry.name!r} is no file but a {entry.kind.name.lower()}")
        return io.BufferedReader(StoredFile(entry, self._lookup, self._cache), 256 * 1024)

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_archive(  # noqa: PLR0913 - one call of the API, mostly by keyword
    path: AnyPath,
    unlock: Unlock = NO_KEY,
    *,
    snapshot: int | None = None,
    recover: bool = False,
    expect_commit: bytes | None = None,
    signer: Signer | None = None,
    state: StateStore | None = None,
) -> ArchiveReader:
    """Open an archive for reading; of an encrypted one a key opens the content. With `signer` it must be signed by that key.

    Raises:
        NotFoundError: no such file or snapshot.
        WrongKeyError: no key slot fits.
        FormatError, VersionError: no archive, or one for a newer program.
        DamagedTailError: its end is damaged or unfinished: `recover` reads the state before.
        RollbackError, UnsignedError, SignatureError: it is older than expected or remembered, or not signed as it was.
        IntegrityError: anything else is not what it must be.
        WarpPortalError: what is remembered of it cannot be read, and neither `recover` nor `expect_commit` is given.
    """
    choice = Choice(snapshot, recover, Expectation(signer, expect_commit))
    return ArchiveReader.open(path, unlock, choice, state)


__all__ = ["ArchiveReader", "Choice", "Expectation", "open_archive"]
