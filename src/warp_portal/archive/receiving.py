"""An archive that comes from another machine as it is stored (docs/transfer-protocol.md §7): checked, written, complete.

    bytes ─▶ Chain ─▶ MetadataPlaces ─▶ WantedMetadata ─┐
    locator pages ──▶ WantedChunks ─────────────────────┼─▶ asked for ─▶ PartFile ─▶ the archive
    chunks are written by the native core, which is told their pages

Who talks to the other machine calls the methods, hands what `ask` gives to it, and calls `finish` when it is `complete`.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from warp_portal._native import blake3
from warp_portal.archive.chain import Chain, Known, Links, Piece
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import read_stored
from warp_portal.archive.limits import KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.opening import Opened, read_toc
from warp_portal.archive.pages import MAX_LOCATOR_BYTES
from warp_portal.archive.partfile import PartFile
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.storage import AnyPath, ArchiveFile
from warp_portal.archive.toc import PageRef
from warp_portal.archive.trust import NOTHING_EXPECTED, Expectation, SignatureState, check_state
from warp_portal.archive.wanted import Bounds, MetadataPlaces, Spans, WantedChunks, WantedMetadata, WantedPage
from warp_portal.errors import FormatError, IntegrityError, ProtocolError, RollbackError

# As many locator pages may overtake the TOCs on their way.
MAX_EARLY_PAGES: Final = 256
# Of the locator pages of which all chunks are here, so many are looked through before something else is done.
PAGES_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Target:
    """Where an archive goes; `records` is a directory of this session alone, for what lets it go on."""

    path: AnyPath
    records: Path
    expectation: Expectation = NOTHING_EXPECTED
    state: StateStore | None = None


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """Chunks of a locator page to be asked for, and that page as it is stored."""

    page: int
    spans: Spans
    stored: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """What became of it: chunks that are in the archive, and pieces that could not be had."""

    chunks: int
    missing: int
    signature: SignatureState


class Receiving:
    """One archive on its way to a target; a context manager. What is here is left for another try unless it is complete."""

    def __init__(self, target: Target, commit: bytes, offset: int) -> None:
        """Begin, or go on, with the commit that is offered and its place.

        Raises what `PartFile` does, and FormatError, IntegrityError for an offer that is none.
        """
        self.commit = Commit.parse(commit)
        if self.commit.offset != offset or not self.commit.snapshot:
            raise FormatError("what is offered is no snapshot, or belongs elsewhere")
        self._target = target
        self._part = PartFile(target.path, target.records, self.commit)
        try:
            links = Links(self._part.known, target.expectation, self._remembered)
            self._chain = Chain(self._part.name, self.commit, links, self._list_pages)
        except BaseException:
            self._part.close()
            raise
        base = self._part.known
        self._bounds = Bounds(base.commit.end if base else 0, self.commit.offset, base.commit.chunks if base else 0)
        self._places = MetadataPlaces(self._bounds)
        self._chunks: WantedChunks | None = None
        self._metadata: WantedMetadata | None = None
        self._kept: dict[int, Spans] = {}
        self._early = dict[int, bytes]()  # locator pages that came before the TOCs
        self._here = list[int]()  # and those of an earlier try, of which nothing is asked for yet
        self._missing = 0
        self.listed = 0
        """Metadata pages that the TOCs which came list, in all."""

    @property
    def known(self) -> Known | None:
        """What is here of it, to be told when it is accepted."""
        return self._part.known

    @property
    def needs_chunks(self) -> bool:
        """Whether the native core has something to do: not if the target has all that is offered."""
        return self._part.file is not None

    @property
    def fd(self) -> int:
        """A descriptor of the file that chunks are written to."""
        return self._file.fd

    @property
    def journal(self) -> tuple[int, bytes]:
        """A descriptor of the journal, and the 16 bytes that name it."""
        return self._part.journal_fd, self._part.journal_id

    def resume(self, kept: dict[int, Spans]) -> None:
        """What the journal says is durable. To be told before anything is taken."""
        self._kept = kept

    def look_for_locators(self) -> tuple[int, ...]:
        """Numbers of the locator pages that an earlier try has left here whole, of the same commit; they need not come."""
        if not self.needs_chunks or self._part.fresh or self._part.earlier is not None:
            return ()
        try:
            refs = read_toc(self._file, self.commit).clear.of_kind(KIND_LOCATOR)
        except (IntegrityError, FormatError):
            return ()  # it had not come
        first = self._bounds.chunks // PAGE_RECORDS
        self._here = [number for number in range(first, len(refs)) if self._has(refs[number])]
        return tuple(self._here)

    def _has(self, ref: PageRef) -> bool:
        is_in_part = self._bounds.start <= ref.offset <= self.commit.offset - ref.stored_bytes
        try:
            return is_in_part and bool(read_stored(self._file, ref))
        except IntegrityError:
            return False

    # What comes

    def take(self, offset: int, data: bytes) -> None:
        """Bytes that are no chunk. Raises ProtocolError, IntegrityError, VersionError, OSError."""
        if self._metadata is not None:
            self._write(self._metadata.take(offset, data))
            return
        self._write(self._chain.take(offset, data))
        self._go_on()

    def locators(self, number: int, stored: bytes) -> None:
        """A locator page as it is stored. Raises ProtocolError, IntegrityError, OSError."""
        if self._chunks is not None:
            self._write(self._chunks.locators(number, stored))
            return
        if number in self._early or len(self._early) >= MAX_EARLY_PAGES or len(stored) > MAX_LOCATOR_BYTES:
            raise ProtocolError("locator pages of which the TOC does not come")
        self._early[number] = stored

    def lost(self, number: int) -> None:
        """A metadata page that was asked for can't be had. Raises ProtocolError."""
        if self._metadata is None:
            raise ProtocolError("a page is lost that was not asked for")
        self._metadata.lose(number)
        self._missing += 1

    def lost_chunks(self, page: int, spans: Spans) -> None:
        """Chunks that were asked for can't be had; the native core has seen that they were."""
        self._asked().lose(page, spans, self._stored_locator)

    def broken(self, number: int) -> None:
        """Older TOCs can't be had, of which the first would list pages from this number on. Raises ProtocolError."""
        if self._metadata is not None:
            raise ProtocolError("a TOC came that was said to be lost")
        self._chain.break_off(number)
        self._go_on()

    def again(self, page: int, spans: Spans) -> None:
        """Chunks came damaged."""
        self._asked().again(page, spans)

    def keep(self, kept: dict[int, Spans]) -> None:
        """Chunks are durable."""
        self._asked().keep(kept)

    def _asked(self) -> WantedChunks:
        if self._chunks is None:
            raise ProtocolError("chunks came before they were asked for")
        return self._chunks

    def _write(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            self._part.write(piece)

    def _list_pages(self, opened: Opened) -> None:
        self._places.add(opened)
        self.listed += len(opened.toc.clear.pages)

    def _go_on(self) -> None:
        """When the chain is complete, all that was here before and all that came must fit, and the rest is asked for."""
        if not self._chain.complete or self._metadata is not None:
            return
        if not self.needs_chunks:
            self._metadata = WantedMetadata(self._places, lambda _: True)
            return
        self._check_past()
        self._places.close()
        for ref in self._places.here:
            read_stored(self._file, ref)
        self._metadata = WantedMetadata(self._places, self._is_here)
        locators = self._chain.opened.toc.clear.of_kind(KIND_LOCATOR)
        self._chunks = WantedChunks(self._bounds, locators, self._places)
        self._chunks.resume(self._kept)
        for number in sorted(self._early):
            self._write(self._chunks.locators(number, self._early.pop(number)))
        # What is lacking is asked for first.
        self._here.sort(key=lambda number: self._is_whole(locators[number], number))
        self.look_through(sum(not self._is_whole(locators[number], number) for number in self._here))

    def _is_whole(self, ref: PageRef, number: int) -> bool:
        """Whether the journal has all chunks of a page."""
        return sum(end - start for start, end in self._kept.get(number, [])) >= ref.records

    def look_through(self, pages: int = PAGES_AT_ONCE) -> None:
        """Take the next locator pages that an earlier try has left here. Raises as `locators`."""
        if self._chunks is None:
            return
        now, self._here = self._here[:pages], self._here[pages:]
        refs = self._chain.opened.toc.clear.of_kind(KIND_LOCATOR)
        for number in now:
            self._chunks.locators(number, read_stored(self._file, refs[number]))

    def _remembered(self, uuid: bytes) -> Remembered | None:
        return self._target.state.remembered(uuid) if self._target.state else None

    def _check_past(self) -> None:
        """What was remembered of the archive, and what was offered before, must be in its past."""
        opened = self._chain.opened
        check_state(self._file, opened, None, self._remembered(opened.header.uuid))
        earlier = self._part.earlier
        if earlier is None:
            return
        if earlier.digest() not in self._chain.digests:
            raise RollbackError(
                f"{self._part.name}: what is offered now does not follow what was offered before: discard the session"
            )
        self._part.grown()

    @property
    def _file(self) -> ArchiveFile:
        assert self._part.file is not None
        return self._part.file

    def _is_here(self, page: WantedPage) -> bool:
        if self._part.fresh or self._file.size() < page.offset + page.length:
            return False
        return blake3(self._file.read(page.offset, page.length, "a page")) == page.digest

    def _stored_locator(self, ref: PageRef) -> bytes:
        return read_stored(self._file, ref)

    # What is asked for, and the end

    def ask_metadata(self, room: int) -> list[int]:
        """Numbers of metadata pages to be asked for, so that about `room` bytes are on the way."""
        return list(self._metadata.ask(room)) if self._metadata else []

    def ask_chunks(self, room: int, received: int) -> list[ChunkRequest]:
        """Chunks to be asked for, likewise; `received` bytes of chunks came in all since this began."""
        if self._chunks is None:
            return []
        return [ChunkRequest(*each) for each in self._chunks.ask(room, received, self._stored_locator)]

    @property
    def waits_for_sync(self) -> bool:
        """Whether all chunks came, or are on the way: then what is written need not wait for its epoch."""
        return self._chunks is not None and self._chunks.all_asked and not self._chunks.done

    @property
    def complete(self) -> bool:
        """Whether all is here that can be had."""
        if not self.needs_chunks:
            return self._metadata is not None
        chunks, metadata = self._chunks, self._metadata
        return chunks is not None and metadata is not None and chunks.all_came and chunks.done and metadata.done

    def finish(self) -> Received:
        """Make it durable and give it its name. Raises as `PartFile.finish`."""
        self._part.finish()
        lost = self._chunks.lost if self._chunks else 0
        missing = self._missing + lost + self._chain.broken
        return Received(self.commit.chunks - lost, missing, self._chain.signature)

    def close(self) -> None:
        """Close the files; idempotent."""
        self._part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
