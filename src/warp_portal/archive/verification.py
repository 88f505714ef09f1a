"""Checking an archive, in four levels; each includes those before it.

    quick   header, newest commit, its TOC, key slots, MACs, signature, and what is remembered or expected
    index   every page of every commit by its digest; with a key each opened, and its columns checked against each other
    data    every chunk by its cid, the Merkle root, and that no byte of the file is outside all this; needs no key
    deep    every chunk opened and decoded, every fragment by its id; needs a key

What can be located is reported: chunks with the files of this and earlier snapshots that use them, pages with the path where they begin.
"""

import builtins
import enum
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from warp_portal._native import ChunkIndex, ChunkVerifier
from warp_portal.archive.affected import AffectedFiles
from warp_portal.archive.coverage import check_coverage
from warp_portal.archive.metadata import MetadataCheck
from warp_portal.archive.options import thread_count
from warp_portal.archive.reader import ArchiveReader, Choice
from warp_portal.archive.state import StateStore
from warp_portal.archive.storage import AnyPath
from warp_portal.archive.trust import Expectation, SignatureState
from warp_portal.archive.unlock import NO_KEY, Unlock
from warp_portal.errors import IntegrityError, KeyRequiredError
from warp_portal.keys.signers import Signer

POLL_S: Final = 0.1


class Level(enum.IntEnum):
    """How much is checked."""

    QUICK = 0
    INDEX = 1
    DATA = 2
    DEEP = 3


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far the check of the chunks is; bytes are stored bytes."""

    chunks: int
    total_chunks: int
    bytes: int
    total_bytes: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class DamagedChunk:
    """A chunk whose stored bytes are not what they must be, and where they lie."""

    ordinal: int
    offset: int
    stored_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked and what is damaged. `keyed`: the sealed parts were opened too. `bytes` are stored bytes of chunks."""

    level: Level
    keyed: bool
    snapshot: int
    sequence: int
    commit_hash: "builtins.bytes"
    signature: SignatureState
    snapshots: int
    chunks: int
    bytes: int
    metadata_damage: tuple[str, ...] = ()
    damaged_chunks: tuple[DamagedChunk, ...] = ()
    damaged_files: "tuple[builtins.bytes, ...]" = ()

    @property
    def ok(self) -> bool:
        """Nothing is damaged."""
        return not (self.metadata_damage or self.damaged_chunks or self.damaged_files)


ProgressCallback = Callable[[VerifyProgress], None]


def verify(  # noqa: PLR0913 - one call of the API, mostly by keyword
    path: AnyPath,
    level: Level,
    *,
    unlock: Unlock = NO_KEY,
    signer: Signer | None = None,
    expect_commit: bytes | None = None,
    snapshot: int | None = None,
    state: StateStore | None = None,
    threads: int = 0,
    progress: ProgressCallback | None = None,
) -> VerifyReport:
    """Check an archive; what is damaged is in the report.

    Raises:
        KeyRequiredError: `DEEP` without a key.
        As `open_archive` does, for what keeps the archive from being opened, and SignatureError, UnsignedError for `signer`.
    """
    choice = Choice(snapshot, expectation=Expectation(signer, expect_commit))
    with ArchiveReader.open(path, unlock, choice, state) as reader:
        if level == Level.DEEP and not reader.keyed:
            raise KeyRequiredError("a deep check opens every chunk: give a passphrase or an identity")
        return Verification(reader, level, thread_count(threads), progress).run()


class Verification:
    """One check of an open archive."""

    def __init__(self, reader: ArchiveReader, level: Level, threads: int, progress: ProgressCallback | None) -> None:
        self._reader = reader
        self._level = level
        self._threads = threads
        self._callback = progress
        self._start_s = time.monotonic()
        self._damage: list[str] = []
        self._chunks: list[DamagedChunk] = []
        self._checked = (0, 0)

    def run(self) -> VerifyReport:
        """Check as far as the level says."""
        reader = self._reader
        snapshots = 0
        if self._level >= Level.INDEX:
            check = MetadataCheck(reader)
            check.run()
            self._damage += check.damage
            snapshots = check.snapshots
            if self._level >= Level.DATA:
                self._check_chunks(check)
        damaged_files = self._files()  # may note damage
        chunks, stored_bytes = self._checked
        return VerifyReport(
            level=self._level,
            keyed=reader.keyed,
            snapshot=reader.snapshot.number,
            sequence=reader.commit.sequence,
            commit_hash=reader.commit_hash,
            signature=reader.signature,
            snapshots=snapshots or len(reader.snapshots()),
            chunks=chunks,
            bytes=stored_bytes,
            metadata_damage=tuple(self._damage),
            damaged_chunks=tuple(self._chunks),
            damaged_files=damaged_files,
        )

    def _check_chunks(self, check: MetadataCheck) -> None:
        """Every chunk by its cid or, in a deep check whose index is whole, by its content too."""
        deep = self._level == Level.DEEP
        index = self._full_index() if deep else None
        clear_index = index or check.clear_index()
        if clear_index is None:
            return  # the reason is in the damage already
        verifier = ChunkVerifier(self._reader.file.fd, clear_index, self._reader.keys if index else None, self._threads)
        try:
            self._follow(verifier, check)
        finally:
            verifier.abort()
        if self._reader.commit == self._reader.newest:
            self._damage += check_coverage(self._reader, check)

    def _full_index(self) -> ChunkIndex | None:
        try:
            return self._reader.chunk_index(keep_ids=True)
        except IntegrityError as error:
            self._follows(error)
            return None

    def _follow(self, verifier: ChunkVerifier, check: MetadataCheck) -> None:
        commit, done = self._reader.commit, False
        while not done:
            chunks, stored_bytes, done = verifier.poll(POLL_S)
            self._checked = (chunks, stored_bytes)
            self._chunks += (
                DamagedChunk(ordinal, *check.place(ordinal), reason) for ordinal, reason in verifier.damaged()
            )
            if self._callback:
                elapsed_s = time.monotonic() - self._start_s
                self._callback(VerifyProgress(chunks, commit.chunks, stored_bytes, commit.stored_bytes, elapsed_s))
        self._chunks.sort(key=lambda chunk: chunk.ordinal)

    def _follows(self, error: IntegrityError) -> None:
        """Note that the index is damaged, unless that is the consequence of what was found in its pages."""
        if not self._damage:
            self._note(str(error))

    def _note(self, damage: str) -> None:
        if damage not in self._damage:
            self._damage.append(damage)

    def _files(self) -> tuple[builtins.bytes, ...]:
        """Paths of the files that use a damaged chunk, in this snapshot or one before it."""
        if not self._chunks or not self._reader.keyed:
            return ()
        try:
            index = self._reader.chunk_index()
        except IntegrityError as error:
            self._follows(error)
            return ()
        ranges = merged([index.chunk_fragments(chunk.ordinal) for chunk in self._chunks])
        return AffectedFiles(self._reader, ranges, self._note).paths()


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted ranges with those that touch joined.

    >>> merged([(0, 3), (3, 5), (9, 10)])
    [(0, 5), (9, 10)]
    """
    out: list[tuple[int, int]] = []
    for first, end in (key for key, _ in groupby(ranges)):
        if out and out[-1][1] == first:
            out[-1] = (out[-1][0], end)
        else:
            out.append((first, end))
    return out
