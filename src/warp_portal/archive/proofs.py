"""Proofs about an archive's chunks, made from its clear pages: that one is in it, that a snapshot extends an earlier one.

    commit: (chunks, root)  ◀─ roots of the locator pages, in the TOC ◀─ at most two pages' leaves, where a proof ends in them

Both need no key, and `primitives.merkle` checks them against nothing but commits: O(log n) hashes for n chunks.
"""

from warp_portal.archive import pages
from warp_portal.archive.base import check_full_pages
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import Page, read_stored
from warp_portal.archive.limits import KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.opening import Opened
from warp_portal.archive.storage import ArchiveFile
from warp_portal.errors import FormatError
from warp_portal.primitives import merkle


def inclusion_proof(file: ArchiveFile, opened: Opened, chunk: int) -> bytes:
    """That `chunk` (an ordinal) is in a snapshot's tree; raises UsageError, IntegrityError."""
    return merkle.inclusion_proof(chunk, opened.commit.chunks, _range_roots(file, opened))


def consistency_proof(file: ArchiveFile, opened: Opened, earlier: Commit) -> bytes:
    """That a snapshot's tree extends that of an earlier, not empty one; raises UsageError, IntegrityError."""
    return merkle.consistency_proof(earlier.chunks, opened.commit.chunks, _range_roots(file, opened))


def check_extends(file: ArchiveFile, opened: Opened, earlier: Commit) -> None:
    """Raises IntegrityError unless the first chunks of a snapshot are those of an earlier one."""
    if earlier.chunks:
        proof = consistency_proof(file, opened, earlier) if earlier.chunks <= opened.commit.chunks else b""
        now = opened.commit
        merkle.verify_consistency(earlier.chunks, earlier.root, now.chunks, now.root, proof)


def _range_roots(file: ArchiveFile, opened: Opened) -> merkle.RangeRoot:
    locators = [ref for ref in opened.toc.clear.pages if ref.kind == KIND_LOCATOR]
    check_full_pages([Page(ref) for ref in locators], opened.commit.chunks)

    def leaves(page: int) -> bytes:
        raw = pages.open_store_payload(read_stored(file, locators[page]))
        parsed = pages.IndexPage.parse(raw, pages.LOCATOR_WIDTHS)
        if parsed.count(pages.LOCATOR_WIDTHS) != locators[page].records:
            raise FormatError(f"the locator page at {locators[page].offset} has another number of records")
        return pages.locator_leaves(parsed)

    roots = b"".join(ref.root for ref in locators)
    return merkle.paged_range_roots(roots, PAGE_RECORDS, opened.commit.chunks, leaves)
