"""The sink of an archive, from OFFER to CLOSE, without I/O (docs/transfer-protocol.md §5, §7).

    OFFER ─▶ `accept`: ACCEPT ─▶ `want`: WANT, `durable`: KEPT, LOST ─▶ FINISH ─▶ `complete`: DONE ─▶ CLOSE

A data engine checks and writes what comes, and tells what it did by calling the methods; outputs tell it what the source said.
"""

from dataclasses import dataclass

from warp_portal.errors import IntegrityError, ProtocolError, UsageError
from warp_portal.protocol.ending import Done, Finish
from warp_portal.protocol.exchange import METADATA_PAGES, Lost
from warp_portal.protocol.offers import Accept, ArchiveOffer, Mode
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.sink_side import Missing, SinkSide, Turn


@dataclass(frozen=True, slots=True)
class Broken(Output):
    """Of the metadata pages that TOCs list, from the newest back, those from this number on can't be had, nor their TOCs.

    It may come before the TOCs that list those before.
    """

    number: int


@dataclass(frozen=True, slots=True)
class AllPushed(Output):
    """All that leaves without being asked for is on its way, or here."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the offered commit says of the archive: its chunks and its own digest."""

    chunks: int
    digest: bytes


class ArchiveSink(SinkSide):
    """One session of an archive that this side takes."""

    def __init__(self, session: bytes | None = None) -> None:
        """`session`: the one that must be offered, as a ticket names it."""
        super().__init__(session)
        self._listed = 0
        self._broken = False

    def accept(
        self, window_bytes: int, expected: Expected, known_commit: bytes | None = None, locators: Ranges | None = None
    ) -> Outputs:
        """Take it; all up to the commit with this digest is here, and these locator pages. Raises UsageError for a tree."""
        self._expect(Turn.OFFERED)
        if not self._over and not isinstance(self._offer.what, ArchiveOffer):
            raise UsageError("this sink takes archives alone")
        self._turn, self._expected = Turn.TAKING, expected
        return self._say(Accept(Mode.WANTED, window_bytes, known_commit, locators=locators or None))

    def listed(self, pages: int) -> None:
        """The next TOC came, and lists so many pages."""
        self._listed += pages

    def want(self, page: int, ranges: Ranges) -> Outputs:
        """Ask for chunks of a locator page, or for a metadata page. WANTs count from 1."""
        self._expect(Turn.TAKING, Turn.FINISHED)
        if not ranges or page >= METADATA_PAGES + self._listed:
            raise UsageError(f"page {page} is not there, or nothing of it is wanted")
        return self._ask(page, ranges)

    def complete(self, digest: bytes, chunks: int, missing: int) -> Outputs:
        """The file has its name, so many chunks, and lacks so many pieces. Raises IntegrityError, for `close`, if it is another's."""
        self._expect(Turn.FINISHED)
        if not self._over and digest != self._expected.digest:
            raise IntegrityError("what came is not the archive that was offered")
        self._turn = Turn.DONE
        self._counts = chunks, missing
        return self._say(Done(digest, chunks, missing))

    def _missing(self, lost: Lost) -> Outputs:
        number = lost.page - METADATA_PAGES
        if number >= self._listed:
            if self._broken:
                raise ProtocolError("LOST: older TOCs, twice")
            self._broken = True
            return (Broken(number),)
        self._lost += lost.ranges.count
        if self._lost > self._wanted:
            raise ProtocolError("LOST: more than was wanted")
        return (Missing(lost.page, lost.ranges),)

    def _finish(self, finish: Finish) -> Outputs:
        if finish.catalogue or (finish.count, finish.digest) != (self._expected.chunks, self._expected.digest):
            raise ProtocolError("FINISH: not of this archive")
        self._turn = Turn.FINISHED
        return (AllPushed(),)
