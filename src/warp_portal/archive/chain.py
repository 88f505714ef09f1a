"""The beginning and the commits of an archive that comes from another machine, checked as they come (docs/transfer-protocol.md §7).

    the offered commit ─▶ header, key slots ─▶ its TOC ─▶ the commit before, which that TOC names ─▶ its TOC ─▶ … ─▶ known here

Nothing is believed that a digest before it doesn't vouch for. No I/O: bytes come in, and go out once they are checked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from warp_portal._native import ScopeKeys, merkle_root
from warp_portal.archive.commit import COMMIT_BYTES, Commit
from warp_portal.archive.content import open_content
from warp_portal.archive.header import HEADER_BYTES, Header
from warp_portal.archive.limits import KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.offering import MAX_CHUNK, MAX_SENT_TOC
from warp_portal.archive.opening import Opened, open_commit, read_toc, slot_copy_offset
from warp_portal.archive.state import Remembered
from warp_portal.archive.toc import TOC
from warp_portal.archive.trust import NOTHING_EXPECTED, Expectation, SignatureState, check_signature
from warp_portal.errors import (
    ExistsError,
    FormatError,
    IntegrityError,
    PolicyError,
    ProtocolError,
    RollbackError,
    UnsignedError,
)

Piece = tuple[int, bytes]
"""Bytes, and their offset in the file."""

# Pieces may come in another order than they left: lanes are not in step. Each is a frame, mostly of 1 MiB.
MAX_EARLY: Final = 256 * 1024 * 1024
# A writer that commits every five seconds makes so many in two months.
MAX_COMMITS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Known:
    """What is here of an archive: the commit of its newest snapshot."""

    uuid: bytes
    commit: Commit


@dataclass(frozen=True, slots=True)
class Links:
    """What of the past must be met: commits by digest, the signer asked for, what was seen before of its uuid."""

    known: Known | None = None
    expectation: Expectation = NOTHING_EXPECTED
    remembered: Callable[[bytes], Remembered | None] = lambda _: None


ListPages = Callable[[Opened], None]
"""Takes the commit and TOC of each step back, the newest first; raises IntegrityError."""


class Chain:
    """The commits of one archive, from the offered one back. `take` its bytes until it is `complete`."""

    def __init__(self, name: str, commit: Commit, links: Links, list_pages: ListPages) -> None:
        """`name` is the file's in messages."""
        self._held = _Held(name)
        self._newest = self._commit = commit
        self._links = links
        self._list_pages = list_pages
        self._header: Header | None = None
        self._opened: Opened | None = None
        self._early = dict[int, bytes]()
        self._early_bytes = 0
        self._gathered = bytearray()
        self._wanted: tuple[int, int] | None = (
            0,
            0,
        )  # offset and length of what comes next; 0: a frame, whatever it holds
        self._read: Callable[[bytes], list[Piece]] = self._read_beginning
        self._listed = 0
        self._broken: int | None = None
        self.signature = SignatureState.UNSIGNED
        self.digests = {commit.digest()}
        """Of the commits that were met."""

    @property
    def complete(self) -> bool:
        """Whether all commits came back to the one that is known, or as far as they can be had."""
        return self._wanted is None

    @property
    def broken(self) -> bool:
        """Whether older commits can't be had."""
        return self._broken is not None

    @property
    def opened(self) -> Opened:
        """The offered commit with its TOC, once that came."""
        assert self._opened is not None
        return self._opened

    @property
    def header(self) -> Header:
        """The header, once it came."""
        assert self._header is not None
        return self._header

    @property
    def begun(self) -> bool:
        """Whether header and newest TOC are here."""
        return self._opened is not None

    def take(self, offset: int, data: bytes) -> list[Piece]:
        """What can be written now. Raises ProtocolError for bytes that nobody awaits, and what the format's parsers do."""
        if self._wanted is None or offset in self._early or not data:
            raise ProtocolError(f"bytes at {offset}, which were not awaited")
        self._early[offset] = data
        self._early_bytes += len(data)
        if self._early_bytes > MAX_EARLY:
            raise ProtocolError("bytes of an archive whose beginning does not come")
        out = list[Piece]()
        while piece := self._next_piece():
            out += self._add(piece)
        if self._wanted is None and self._early:
            raise ProtocolError("bytes of an archive beyond what was awaited")
        return out

    def _next_piece(self) -> bytes | None:
        if self._wanted is None:
            return None
        piece = self._early.pop(self._wanted[0] + len(self._gathered), None)
        self._early_bytes -= len(piece or b"")
        return piece

    def break_off(self, number: int) -> None:
        """Commits whose TOCs would list pages from this number on can't be had. Raises ProtocolError for a number that can't be."""
        self._broken = number
        self._check_broken()

    def _check_broken(self) -> None:
        if self._broken is None or (self._wanted and (not self.begun or self._listed < self._broken)):
            return
        if self._wanted is None or self._listed > self._broken or self._gathered or self._read == self._read_toc:
            raise ProtocolError("a TOC came that was said to be lost")
        self._wanted = None

    def _add(self, piece: bytes) -> list[Piece]:
        assert self._wanted is not None
        offset, length = self._wanted
        if length and len(self._gathered) + len(piece) > length:
            raise ProtocolError(f"bytes at {offset}: more than was awaited")
        self._gathered += piece
        if len(self._gathered) < length:
            return []
        raw, self._gathered = bytes(self._gathered), bytearray()
        return self._read(raw)

    def _read_beginning(self, raw: bytes) -> list[Piece]:
        header = Header.parse(raw[:HEADER_BYTES])
        if len(raw) != header.first_segment or self._newest.toc_offset < header.first_segment:
            raise FormatError("the beginning is not as long as the header says")
        if header.cutting.chunk.maximum > MAX_CHUNK:
            raise PolicyError("its chunks are larger than are sent")
        known = self._links.known
        if known and known.uuid != header.uuid:
            raise ExistsError(f"{self._held.name} is another archive than the one that is offered: name another target")
        self._header = header
        self._held.put(0, raw)
        if known and known.commit == self._newest:
            self._wanted = None
            return []  # all of it is here
        self._expect_toc()
        return []

    def _expect_toc(self) -> None:
        if self._commit.toc_bytes > MAX_SENT_TOC:
            raise FormatError(f"the TOC of commit {self._commit.sequence} is longer than is sent")
        self._wanted = self._commit.toc_offset, self._commit.toc_bytes
        self._read = self._read_toc

    def _read_toc(self, raw: bytes) -> list[Piece]:
        commit, pieces = self._commit, [(self._commit.toc_offset, raw)]
        self._held.put(commit.toc_offset, raw)
        if self._opened is None:
            pieces += self._open(commit)
        else:
            toc = read_toc(self._held, commit)
            _check_pair(commit, toc)
            self._list_pages(Opened(self.header, commit, toc, None))
            pieces.append((commit.offset, commit.serialize()))
            self._follow(toc)
        self._held.drop(commit.toc_offset)
        return pieces

    def _open(self, commit: Commit) -> list[Piece]:
        """The newest commit vouches for the beginning."""
        opened = open_commit(self._held, self.header, commit)
        toc, header = opened.toc, self.header
        _check_roots(commit, toc)
        beginning = self._held.read(0, header.first_segment, "the beginning")
        unused = slot_copy_offset(header, 1 - toc.clear.active_copy)
        if any(beginning[unused : unused + header.slot_copy_bytes]):
            raise FormatError("the key slots that are not in use are not zero")
        self._opened = opened
        self._check_signature()
        self._list_pages(opened)
        self._follow(toc)
        return [(0, beginning)]

    def _follow(self, toc: TOC) -> None:
        """Go on to the commit before, which a TOC names."""
        self._listed += len(toc.clear.pages)
        commit, known, previous = self._commit, self._links.known, toc.clear.previous_digest
        if known and previous == known.commit.digest():
            _check_step(commit, known.commit)
            self._check_unsigned(known.commit)
            self._wanted = None
        elif not commit.previous:
            if known:
                raise self._forked()
            self._wanted = None
        else:
            if known and commit.sequence - 1 <= known.commit.sequence:
                raise self._forked()
            self._previous_digest = previous
            self._wanted, self._read = (commit.previous, COMMIT_BYTES), self._read_commit
        self._check_broken()

    def _forked(self) -> RollbackError:
        return RollbackError(
            f"{self._held.name} is no earlier state of what is offered: both were appended to, or one was exchanged; name another "
            "target"
        )

    def _read_commit(self, raw: bytes) -> list[Piece]:
        before = Commit.parse(raw)
        if before.digest() != self._previous_digest or before.offset != self._commit.previous:
            raise IntegrityError(f"commit {before.sequence} is not the one that its successor names")
        _check_step(self._commit, before)
        self._check_unsigned(before)
        self.digests.add(before.digest())
        if len(self.digests) > MAX_COMMITS:
            raise FormatError("more commits than are taken: copy the file")
        self._commit = before
        self._expect_toc()
        return []

    # Signatures

    def _check_signature(self) -> None:
        opened, links = self.opened, self._links
        seen = links.remembered(opened.header.uuid)
        # The sealed part of a plain archive is sealed with a key that all know.
        public = None if opened.header.encrypted else open_content(opened, ScopeKeys(None, 0)).sealed.signer
        expected = links.expectation.signer
        if opened.commit.signed:
            self.signature = check_signature(self._held, opened, public, seen, expected)
        elif expected or (seen and seen.signer):
            raise UnsignedError(f"{self._held.name}: commit {opened.commit.sequence} is not signed, and should be")
        commit_hash = links.expectation.commit_hash
        if commit_hash is not None and not opened.commit.digest().startswith(commit_hash):
            raise RollbackError(f"{self._held.name}: what is offered is not the expected commit {commit_hash.hex()}")

    def _check_unsigned(self, earlier: Commit) -> None:
        if earlier.signed and not self._newest.signed:
            raise UnsignedError(f"{self._held.name}: the newest commit is not signed, but an earlier one is")


class _Held:
    """The few pieces that are looked at, as if they were a file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._pieces = dict[int, bytes]()

    def put(self, offset: int, data: bytes) -> None:
        self._pieces[offset] = data

    def drop(self, offset: int) -> None:
        self._pieces.pop(offset, None)

    def read(self, offset: int, length: int, what: str) -> bytes:
        """As `ArchiveFile.read`."""
        for start, data in self._pieces.items():
            if start <= offset and offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        raise IntegrityError(f"{self.name}: {what} did not come")


def _check_pair(commit: Commit, toc: TOC) -> None:
    if toc.clear.chunks != commit.chunks or any(toc.clear.previous_digest) != (commit.previous > 0):
        raise FormatError(f"commit {commit.sequence} and its TOC contradict each other")


def _check_step(commit: Commit, before: Commit) -> None:
    """Whether a commit may follow another: numbers, places, and what only grows."""
    if before.offset != commit.previous or before.sequence != commit.sequence - 1:
        raise IntegrityError(f"commit {before.sequence} does not precede commit {commit.sequence}")
    if before.chunks > commit.chunks or before.stored_bytes > commit.stored_bytes:
        raise IntegrityError(f"commit {commit.sequence} has fewer chunks than the one before it")


def _check_roots(commit: Commit, toc: TOC) -> None:
    """That the locator pages hold all chunks, and their roots make up the commit's: pages are subtrees of 4,096 leaves."""
    locators = toc.clear.of_kind(KIND_LOCATOR)
    counts = [ref.records for ref in locators]
    if sum(counts) != commit.chunks or any(count != PAGE_RECORDS for count in counts[:-1]):
        raise FormatError("the locator pages of a commit do not hold all its chunks")
    if merkle_root(b"".join(ref.root for ref in locators)) != commit.root:
        raise IntegrityError("the Merkle tree of the chunks has another root than the commit says")
