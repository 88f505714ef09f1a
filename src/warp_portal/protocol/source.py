"""The source of a tree, from OFFER to CLOSE, without I/O (docs/transfer-protocol.md §5, §6).

    OFFER ─▶ ACCEPT ─▶ (pages leave: `page`)  WANT, KEPT, CANCEL ─▶ `catalogue_done`: FINISH ─▶ DONE ─▶ CLOSE

A data engine walks, sends pages and fragments, and tells what it did by calling the methods; outputs tell it what to do.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from warp_portal.errors import ProtocolError, UsageError
from warp_portal.protocol.ending import Catalogue, Finish, signed_part
from warp_portal.protocol.exchange import MAX_PAGES, MAX_TREE_FRAGMENTS, Lost, Same, Want
from warp_portal.protocol.offers import Accept, Mode, Offer, PagesHere, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.source_side import Answer, KeptNow, Revoke, SourceSide, Turn
from warp_portal.protocol.tree import CatalogueEnd, check_within_tree

__all__ = ["Answer", "KeptNow", "Revoke", "Sign", "Source", "Start"]

Sign = Callable[[bytes], bytes]
"""The Ed25519 signature (64 bytes) of the source's key."""


@dataclass(frozen=True, slots=True)
class Start(Output):
    """The sink takes it: walk, and send pages of which at most so many raw bytes are unanswered. `pages`: what it has of them."""

    mode: Mode
    window_bytes: int
    pages: PagesHere | None = None


class Source(SourceSide):
    """One session of a tree that this side has."""

    def __init__(self, offer: Offer, sign: Sign) -> None:
        """Raises UsageError for the offer of an archive."""
        super().__init__(offer)
        if not isinstance(offer.what, TreeOffer):
            raise UsageError("this source is one of trees")
        self._sign = sign
        self._mode = Mode.WANTED
        self._pages = 0  # that were sent, or spared
        self._here = self._same = 0  # that the sink says it has, and that were spared
        self._unanswered = _Counts()

    def page(self, fragments: int) -> None:
        """The next page is about to leave, with so many new fragments. To be told before it leaves, for WANT comes soon."""
        self._expect(Turn.SENDING)
        if not 0 <= fragments <= MAX_TREE_FRAGMENTS or self._pages == MAX_PAGES:
            raise UsageError("a page with too many fragments, or too many pages")
        self._pages += 1
        self._records += fragments
        if self._mode == Mode.WANTED:
            self._unanswered.push(fragments)

    def same(self, pages: int, fragments: int) -> Outputs:
        """The first pages are those that the sink has, and are not sent: so many, with so many new fragments in all.

        They are answered by that; what the sink lacks of them it wants as it would want it again.
        """
        self._expect(Turn.SENDING)
        if self._over:
            return ()
        if not self._same < pages <= self._here or self._same != self._pages:
            raise UsageError("pages are spared before any is sent, and no more than the sink has")
        self._pages = self._same = pages
        self._records = fragments
        return self._say(Same(pages))

    def lost(self, page: int, ranges: Ranges) -> Outputs:
        """Fragments that were wanted can't be read any more."""
        self._expect(Turn.SENDING, Turn.FINISHED)
        if page >= self._answered and not self._over:
            raise UsageError(f"page {page} was not wanted yet, so nothing of it is missed")
        self._partial = True
        return self._say(Lost(page, ranges))

    def catalogue_done(self, end: CatalogueEnd, unread: int) -> Outputs:
        """The walk has ended, and `unread` entries could not be read."""
        self._expect(Turn.SENDING)
        if end.pages != self._pages and not self._over:
            raise UsageError(f"{end.pages} pages are said to be all, and {self._pages} were sent")
        self._turn = Turn.FINISHED
        self._partial |= unread > 0
        self._digest = end.digest
        signature = self._sign(signed_part(self._offer.session, end.digest))
        return self._say(Finish(end.pages, end.digest, Catalogue(end.entries, end.size_bytes, signature)))

    @property
    def _answered(self) -> int:
        """Pages that were answered; in mode EVERYTHING all that were sent."""
        return self._pages - len(self._unanswered)

    @property
    def _most_empty(self) -> int:
        return self._pages  # each is answered once, and each further WANT names something

    @property
    def _unasked(self) -> int:
        return self._records if self._mode == Mode.EVERYTHING else 0

    def _accepted(self, accept: Accept) -> Outputs:
        if accept.known_commit is not None:
            raise ProtocolError("ACCEPT: a commit, where a tree was offered")
        if accept.locators is not None:
            raise ProtocolError("ACCEPT: locator pages, where a tree was offered")
        if accept.pages is not None:
            if accept.mode == Mode.EVERYTHING:
                raise ProtocolError("ACCEPT: everything, though pages are there")
            self._here = accept.pages.count
        self._turn, self._mode = Turn.SENDING, accept.mode
        return (Start(accept.mode, accept.window_bytes, accept.pages),)

    def _check_want(self, want: Want) -> int:
        count = check_within_tree("WANT", {want.page: want.ranges}, self._pages)
        if self._mode == Mode.WANTED:
            self._check_order(want)
        return count

    def _check_order(self, want: Want) -> None:
        """Pages are answered in their order; then any of them may be wanted again, but not for nothing."""
        answered = self._answered
        if want.page > answered:
            raise ProtocolError(f"WANT: page {want.page} before page {answered}")
        if want.page < answered and not want.ranges:
            raise ProtocolError("WANT: nothing of a page that was answered before")
        if want.page == answered and want.ranges.end > self._unanswered.pop():
            raise ProtocolError("WANT: more fragments than the page has")

    def _check_kept(self, pages: Mapping[int, Ranges]) -> int:
        return check_within_tree("KEPT", pages, self._answered)

    def _check_done(self) -> None:
        if self._unanswered:
            raise ProtocolError(f"DONE: {len(self._unanswered)} pages were not answered")


class _Counts:
    """A queue of counts, as runs: pages without new fragments take no window, so there may be any number of them."""

    def __init__(self) -> None:
        self._runs = deque[list[int]]()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, count: int) -> None:
        """Put one at the end."""
        self._length += 1
        if self._runs and self._runs[-1][0] == count:
            self._runs[-1][1] += 1
        else:
            self._runs.append([count, 1])

    def pop(self) -> int:
        """Take the first."""
        self._length -= 1
        first = self._runs[0]
        first[1] -= 1
        if not first[1]:
            self._runs.popleft()
        return first[0]
