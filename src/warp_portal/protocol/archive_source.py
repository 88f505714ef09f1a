"""The source of an archive, from OFFER to CLOSE, without I/O (docs/transfer-protocol.md §5, §7).

    OFFER ─▶ ACCEPT ─▶ (header, slots, TOCs leave: `listed`; locator pages: `page`)  WANT, KEPT ─▶ `pushed`: FINISH ─▶ DONE ─▶ CLOSE

A data engine sends what is pushed and what is wanted, and tells what it did by calling the methods; outputs tell it what to do.
Like that of a tree, a session keeps no record of single pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from warp_portal.errors import ProtocolError, UsageError
from warp_portal.protocol.ending import Finish
from warp_portal.protocol.exchange import MAX_PAGE_RECORDS, MAX_PAGES, METADATA_PAGES, Lost, Want
from warp_portal.protocol.offers import Accept, ArchiveOffer, Mode, Offer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.source_side import SourceSide, Turn


@dataclass(frozen=True, slots=True)
class StartArchive(Output):
    """The sink takes it, and has all up to a commit with this digest, if that is one of the archive's; so many bytes may be on the way.

    `locators`: numbers of locator pages that it has of those behind.
    """

    known_commit: bytes | None
    window_bytes: int
    locators: Ranges = Ranges()  # it is frozen


class ArchiveSource(SourceSide):
    """One session of an archive that this side has."""

    def __init__(self, offer: Offer, chunks: int, digest: bytes) -> None:
        """`chunks` and `digest` of the commit that is offered. Raises UsageError for the offer of a tree."""
        super().__init__(offer)
        if not isinstance(offer.what, ArchiveOffer):
            raise UsageError("this source is one of archives")
        self._chunks = chunks
        self._digest = digest
        self._first = 0  # locator page that is sent,
        self._pages = 0  # the one behind those that were,
        self._listed = 0  # and metadata pages that TOCs list which were sent

    def listed(self, pages: int) -> None:
        """The next TOC is about to leave, and lists so many pages. To be told before it leaves, for WANT comes soon."""
        self._expect(Turn.SENDING)
        if self._listed + pages > MAX_PAGES:
            raise UsageError("more metadata pages than have numbers")
        self._listed += pages
        self._records += pages

    def skip(self, pages: int) -> None:
        """The sink has all chunks of so many locator pages, the first ones, which are not sent."""
        self._expect(Turn.SENDING)
        if self._pages or self._chunks_of(pages) <= -MAX_PAGE_RECORDS:
            raise UsageError("pages are skipped before any is sent, and no more than there are")
        self._first = self._pages = pages

    def page(self) -> None:
        """The next locator page is about to leave, or is spared."""
        self._expect(Turn.SENDING)
        chunks = self._chunks_of(self._pages)
        if chunks <= 0:
            raise UsageError("more locator pages than there are chunks for")
        self._pages += 1
        self._records += chunks

    def lost(self, page: int, ranges: Ranges) -> Outputs:
        """What was wanted can't be read any more."""
        self._expect(Turn.SENDING, Turn.FINISHED)
        self._partial = True
        return self._say(Lost(page, ranges))

    def broken(self) -> Outputs:
        """The TOC that would be the next can't be read, so neither can what is before it."""
        self._expect(Turn.SENDING)
        return self.lost(METADATA_PAGES + self._listed, Ranges.whole(1))

    def pushed(self) -> Outputs:
        """All that leaves without being asked for is on its way."""
        self._expect(Turn.SENDING)
        if self._chunks_of(self._pages) > 0 and not self._over:
            raise UsageError(f"the chunks behind locator page {self._pages} were not told of")
        self._turn = Turn.FINISHED
        return self._say(Finish(self._chunks, self._digest))

    def _chunks_of(self, page: int) -> int:
        return min(MAX_PAGE_RECORDS, self._chunks - page * MAX_PAGE_RECORDS)

    @property
    def _most_empty(self) -> int:
        return 0

    @property
    def _unasked(self) -> int:
        return 0

    def _accepted(self, accept: Accept) -> Outputs:
        if accept.mode != Mode.WANTED:
            raise ProtocolError("ACCEPT: everything, where an archive was offered")
        if accept.pages is not None:
            raise ProtocolError("ACCEPT: pages of a tree, where an archive was offered")
        self._turn = Turn.SENDING
        return (StartArchive(accept.known_commit, accept.window_bytes, accept.locators or Ranges()),)

    def _check_want(self, want: Want) -> int:
        if not want.ranges:
            raise ProtocolError("WANT: nothing, of an archive")
        return self._check_within("WANT", {want.page: want.ranges})

    def _check_kept(self, pages: Mapping[int, Ranges]) -> int:
        return self._check_within("KEPT", pages)

    def _check_done(self) -> None:
        """What the sink had before is not counted, so there is nothing that must have been said."""

    def _check_within(self, what: str, pages: Mapping[int, Ranges]) -> int:
        for page, ranges in pages.items():
            if page >= METADATA_PAGES:
                is_there = page - METADATA_PAGES < self._listed
            else:
                is_there = self._first <= page < self._pages and ranges.end <= self._chunks_of(page)
            if not is_there:
                raise ProtocolError(f"{what}: page {page}, which was not sent or has no such chunks")
        return sum(ranges.count for ranges in pages.values())
