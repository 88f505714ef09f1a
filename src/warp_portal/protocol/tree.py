"""What source and sink of a tree have in common: the values that both tell, and how far a session counts (docs/transfer-protocol.md §6).

A session keeps no record of single pages, for there may be 2^32 of them: it knows how many were sent and answered, and sums of
fragments. That suffices to refuse what cannot be; whether ranges lie within an old page only the data engine can tell, which has
the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from warp_portal.errors import ProtocolError
from warp_portal.protocol.exchange import MAX_TREE_FRAGMENTS
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output


@dataclass(frozen=True, slots=True)
class CatalogueEnd(Output):
    """All pages of a tree: how many, the digest of their digests, and what they list."""

    pages: int
    digest: bytes
    entries: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Finished(Output):
    """All is done. `partial`: the source could not read something; the other two count entries at the sink."""

    partial: bool
    restored: int
    failed: int


def check_within_tree(what: str, pages: Mapping[int, Ranges], end: int) -> int:
    """How many fragments these are. Raises ProtocolError unless all pages are below `end`, and no page is longer than one can be."""
    if max(pages) >= end:
        raise ProtocolError(f"{what}: page {max(pages)}, where {end} can be spoken of")
    if any(ranges.end > MAX_TREE_FRAGMENTS for ranges in pages.values()):
        raise ProtocolError(f"{what}: more fragments than a page has")
    return sum(ranges.count for ranges in pages.values())
