"""The pages of a commit joined with what the sealed TOC says of them, and how one is read."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from warp_portal._native import OBJECT_PAGE, OBJECT_TOC, EntryTable, ScopeKeys, blake3
from warp_portal.archive import filetable, pages
from warp_portal.archive.commit import Commit
from warp_portal.archive.limits import (
    KIND_CHUNK,
    KIND_FRAGMENT,
    KIND_LOCATOR,
    KIND_NAMES,
    KIND_TABLE,
    MAX_PAGE_RAW,
    MAX_TOC,
)
from warp_portal.archive.opening import Opened
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.toc import PageRef, SealedTOC
from warp_portal.errors import DamagedPageError, FormatError, SignatureError, UnsignedError
from warp_portal.keys.signers import Signer

ZERO_TAG: Final = bytes(16)
LOCATOR_RECORD_BYTES: Final = sum(pages.LOCATOR_WIDTHS)


class Page(NamedTuple):
    """A page with its `dp` (none for locators); `first_fragment` for chunk pages, `first_path` for file-table pages."""

    ref: PageRef
    dp: bytes = b""
    first_fragment: int = 0
    first_path: bytes = b""


@dataclass(frozen=True, slots=True)
class Content:
    """A commit's sealed TOC and its pages by kind."""

    commit: Commit
    sealed: SealedTOC
    pages: dict[int, list[Page]]


def open_content(opened: Opened, keys: ScopeKeys) -> Content:
    """Open the sealed part of a TOC; raises FormatError, IntegrityError."""
    toc = opened.toc
    count = len(toc.clear.pages)
    sealed = SealedTOC.parse(keys.open(OBJECT_TOC, toc.sealed, toc.dp, MAX_TOC), count)
    sealed.check_against(toc.clear)
    _check_signer(opened.commit, sealed)
    dps, fragments, paths = iter(sealed.dps), iter(sealed.first_fragments), iter(sealed.first_paths)
    by_kind: dict[int, list[Page]] = {KIND_LOCATOR: [], KIND_CHUNK: [], KIND_FRAGMENT: [], KIND_TABLE: []}
    for ref in toc.clear.pages:
        page = Page(
            ref,
            next(dps) if ref.kind != KIND_LOCATOR else b"",
            next(fragments) if ref.kind == KIND_CHUNK else 0,
            next(paths) if ref.kind == KIND_TABLE else b"",
        )
        by_kind[ref.kind].append(page)
    return Content(opened.commit, sealed, by_kind)


State = tuple[tuple[PageRef, ...], int, bytes]


def state_of(opened: Opened, keys: ScopeKeys) -> State:
    """What a change of keys alone leaves as it was: the pages, the time of the scan, and whose signature it bears.

    A snapshot that is signed where the one before it is not, or by another key, holds more than that one: the signature.
    """
    sealed = open_content(opened, keys).sealed
    return opened.toc.clear.pages, sealed.time_ns, sealed.signer


def _check_signer(commit: Commit, sealed: SealedTOC) -> None:
    """The sealed signer is the one that the commit names: else an attacker could leave out whose signature is to be checked."""
    if sealed.signer and not commit.signed:
        raise UnsignedError(f"commit {commit.sequence} is not signed, but its TOC names a signer")
    tag = Signer(sealed.signer).tag if sealed.signer else ZERO_TAG
    if commit.signer_tag != tag:
        raise SignatureError(f"commit {commit.sequence} and its TOC name different signers")


def read_stored(file: ArchiveFile, ref: PageRef) -> bytes:
    """The stored bytes of a page, checked by its digest."""
    what = f"the {KIND_NAMES[ref.kind]} page at {ref.offset}"
    stored = file.read(ref.offset, ref.stored_bytes, what)
    if blake3(stored) != ref.digest:
        raise DamagedPageError(
            f"{file.name}: {what} is damaged: fetch the archive again; extract restores what does without it, and --recover (cat, "
            "extract, info, list) reads the last whole snapshot, if there is one"
        )
    return stored


def read_raw(file: ArchiveFile, keys: ScopeKeys, page: Page) -> bytes:
    """The raw content of a page; raises FormatError, IntegrityError."""
    stored = read_stored(file, page.ref)
    if page.ref.kind == KIND_LOCATOR:
        return pages.open_store_payload(stored)
    return keys.open(OBJECT_PAGE, stored, page.dp, MAX_PAGE_RAW)


def read_index_page(file: ArchiveFile, keys: ScopeKeys, page: Page) -> pages.IndexPage:
    """An index page's columns."""
    column_widths = pages.widths(page.ref.kind, bool(keys.suite))
    parsed = pages.IndexPage.parse(read_raw(file, keys, page), column_widths)
    if parsed.count(column_widths) != page.ref.records:
        raise FormatError(f"the {KIND_NAMES[page.ref.kind]} page at {page.ref.offset} has another number of records")
    return parsed


def read_table(file: ArchiveFile, keys: ScopeKeys, page: Page) -> EntryTable:
    """A file-table page."""
    return checked_table(read_raw(file, keys, page), page)


def checked_table(raw: bytes, page: Page) -> EntryTable:
    """The table in a raw file-table page, checked against what the TOC says of it."""
    table = filetable.decode(raw)
    if len(table) != page.ref.records or table.path(0) != page.first_path:
        raise FormatError(f"the file-table page at {page.ref.offset} is not the one that the TOC describes")
    return table
