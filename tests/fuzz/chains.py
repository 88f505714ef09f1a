"""Target: an archive as another machine sends it, whose commit and TOC vouch for whatever the bytes are.

Parts: header and key slots, the newest TOC, then locator pages. Digests, roots and places are made right, so that
what is behind them is reached.
"""

from dataclasses import replace
from itertools import pairwise

from tests.fuzz import sections
from warp_portal._native import blake3, merkle_root
from warp_portal.archive.chain import Chain, Links, Piece
from warp_portal.archive.commit import SNAPSHOT, Commit
from warp_portal.archive.limits import ALIGNMENT, KIND_LOCATOR, ZERO_DIGEST
from warp_portal.archive.pages import LOCATOR_WIDTHS, IndexPage, locator_root, open_store_payload
from warp_portal.archive.toc import TOC, ClearTOC, PageRef
from warp_portal.archive.wanted import Bounds, MetadataPlaces, WantedChunks
from warp_portal.errors import WarpPortalError

TOC_OFFSET = 1 << 24


def arrival(data: bytes) -> None:
    """What comes is refused, or written within the archive and nowhere twice."""
    beginning, toc, *stored = [*sections.split(data), b"", b""]
    try:
        _arrive(beginning, toc, stored)
    except WarpPortalError:
        return


def _arrive(beginning: bytes, sent: bytes, stored: list[bytes]) -> None:
    toc = TOC.parse(sent, TOC_OFFSET)
    toc = replace(toc, clear=_vouched(toc.clear, beginning, stored))
    raw = toc.serialize()
    commit = _commit(toc.clear, raw)
    places = MetadataPlaces(Bounds(0, commit.offset))
    chain = Chain("fuzz", commit, Links(), places.add)
    out = chain.take(0, beginning) + chain.take(TOC_OFFSET, raw)
    assert chain.complete
    places.close()
    locators = toc.clear.of_kind(KIND_LOCATOR)
    chunks = WantedChunks(Bounds(0, commit.offset), locators, places)
    for number, page in enumerate(stored[: len(locators)]):
        out += chunks.locators(number, page)
    _check(out, commit)
    pages = dict(zip(locators, stored, strict=False))
    for _, spans, _ in chunks.ask(1 << 20, 0, pages.__getitem__):
        assert all(start < end for start, end in spans)


def _check(out: list[Piece], commit: Commit) -> None:
    ends = sorted((offset, offset + len(data)) for offset, data in out)
    assert all(end <= commit.offset for _, end in ends)
    assert all(before[1] <= after[0] for before, after in pairwise(ends))


def _vouched(clear: ClearTOC, beginning: bytes, stored: list[bytes]) -> ClearTOC:
    """The same, but for digests and roots, which are those of what comes."""
    pages, locators = [], iter(stored)
    for ref in clear.pages:
        page = next(locators, b"") if ref.kind == KIND_LOCATOR else b""
        pages.append(_of(ref, page) if page else ref)
    head = blake3(beginning[:256])
    return replace(clear, pages=tuple(pages), header_digest=head, slots_digest=ZERO_DIGEST, previous_digest=ZERO_DIGEST)


def _of(ref: PageRef, stored: bytes) -> PageRef:
    try:
        root = locator_root(IndexPage.parse(open_store_payload(stored), LOCATOR_WIDTHS))
    except WarpPortalError:
        root = ref.root
    return ref._replace(digest=blake3(stored), stored_bytes=len(stored), root=root)


def _commit(clear: ClearTOC, raw: bytes) -> Commit:
    end = TOC_OFFSET + len(raw)
    return Commit(
        sequence=1,
        previous=0,
        offset=end + -end % ALIGNMENT,
        toc_offset=TOC_OFFSET,
        toc_bytes=len(raw),
        toc_digest=blake3(raw),
        chunks=clear.chunks,
        root=merkle_root(b"".join(ref.root for ref in clear.of_kind(KIND_LOCATOR))),
        stored_bytes=0,
        flags=SNAPSHOT,
        time_ns=0,
    )
