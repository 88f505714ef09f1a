"""The parts of a chunk index against each other: what only their sequence shows, for each part is whole by itself.

An archive of 8,202 chunks in three parts, plain, in memory but for its index pages: a chunk is one fragment of 16 bytes.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from warp_portal._native import OBJECT_PAGE, ScopeKeys, blake3
from warp_portal.archive.commit import SNAPSHOT, Commit
from warp_portal.archive.content import Content, Page
from warp_portal.archive.indexparts import IndexParts
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR, PAGE_RECORDS, ZERO_DIGEST
from warp_portal.archive.pages import IndexPage, store_payload, widths
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.toc import PageRef, SealedTOC
from warp_portal.errors import FormatError
from warp_portal.primitives.compression import STORE

KEYS = ScopeKeys(None, 0)
RAW, STORED, START = 16, 36, 256
LAST = 10
CHUNKS = 2 * PAGE_RECORDS + LAST
END = START + STORED * CHUNKS


@dataclass
class Pages:
    """Index pages to be, by kind, and what the commit and the sealed TOC say of them."""

    of_kind: dict[int, list[IndexPage]]
    firsts: list[int] = field(default_factory=lambda: [0, PAGE_RECORDS, 2 * PAGE_RECORDS])
    chunks: int = CHUNKS
    fragments: int = CHUNKS

    def parts(self, file: ArchiveFile) -> IndexParts:
        """The pages written to a file, and the index of them."""
        sealed = SealedTOC(self.fragments, 0, 0, (), tuple(self.firsts), (), b"", 1)
        commit = Commit(1, 0, 1 << 20, END, 1, ZERO_DIGEST, self.chunks, b"r" * 32, STORED * self.chunks, SNAPSHOT, 1)
        firsts = {KIND_CHUNK: self.firsts}
        listed = {
            kind: [
                written(file, kind, page, first)
                for page, first in zip(of_kind, firsts.get(kind, [0] * len(of_kind)), strict=True)
            ]
            for kind, of_kind in self.of_kind.items()
        }
        return IndexParts(file, KEYS, Content(commit, sealed, listed), 1 << 20)


def written(file: ArchiveFile, kind: int, page: IndexPage, first: int) -> Page:
    """A page at the end of the file."""
    raw = page.serialize(widths(kind, False))
    stored, dp = (store_payload(raw), b"") if kind == KIND_LOCATOR else KEYS.seal(OBJECT_PAGE, raw, STORE, 0)
    offset = file.size()
    with open(file.fd, "r+b", closefd=False) as output:
        output.seek(offset)
        output.write(stored)
    records = page.count(widths(kind, False))
    return Page(PageRef(kind, records, offset, len(stored), blake3(stored), b""), dp, first)


def locators(first: int, offsets: list[int]) -> IndexPage:
    count = len(offsets)
    return IndexPage(first, (struct.pack(f"<{count}Q", *offsets), struct.pack("<I", STORED) * count, bytes(32 * count)))


def chunks(first: int, count: int) -> IndexPage:
    return IndexPage(first, (struct.pack("<I", RAW) * count, struct.pack("<I", 1) * count, bytes(count)))


def fragments(first: int, count: int) -> IndexPage:
    return IndexPage(first, (struct.pack("<I", RAW) * count, bytes(24 * count)))


def numbered() -> Iterator[tuple[int, int]]:
    """The first record of each part, and how many it has."""
    yield from ((0, PAGE_RECORDS), (PAGE_RECORDS, PAGE_RECORDS), (2 * PAGE_RECORDS, LAST))


def offsets(first: int, count: int) -> list[int]:
    return [START + STORED * number for number in range(first, first + count)]


@pytest.fixture
def pages() -> Pages:
    return Pages(
        {
            KIND_LOCATOR: [locators(first, offsets(first, count)) for first, count in numbered()],
            KIND_CHUNK: [chunks(first, count) for first, count in numbered()],
            KIND_FRAGMENT: [fragments(first, count) for first, count in numbered()],
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ArchiveFile]:
    (tmp_path / "pages").touch()
    with ArchiveFile(tmp_path / "pages", 2) as opened:
        yield opened


def test_parts_that_follow_each_other_are_accepted(pages: Pages, file: ArchiveFile) -> None:
    parts = pages.parts(file)
    parts.check()
    assert parts.locate(PAGE_RECORDS - 1, 2) == [(PAGE_RECORDS - 1, 0, RAW), (PAGE_RECORDS, 0, RAW)]
    assert parts.locate(CHUNKS - 1, 1) == [(CHUNKS - 1, 0, RAW)]


@pytest.mark.parametrize("back", [1, STORED, STORED * PAGE_RECORDS])
def test_a_part_whose_chunks_begin_in_those_before_is_refused(pages: Pages, file: ArchiveFile, back: int) -> None:
    moved = [offset - back for offset in offsets(PAGE_RECORDS, PAGE_RECORDS)]
    pages.of_kind[KIND_LOCATOR][1] = locators(PAGE_RECORDS, moved)
    with pytest.raises(FormatError, match="page 1 do not follow"):
        pages.parts(file).check()


def test_a_first_part_that_does_not_begin_with_the_first_fragment_is_refused(pages: Pages, file: ArchiveFile) -> None:
    pages.of_kind[KIND_FRAGMENT][2] = fragments(2 * PAGE_RECORDS, LAST + 1)
    later = replace(pages, firsts=[first + 1 for first in pages.firsts], fragments=CHUNKS + 1)
    with pytest.raises(FormatError, match="page 0 do not follow"):
        later.parts(file).check()
    with pytest.raises(FormatError, match="a fragment that there is not"):
        later.parts(file).locate(1, 1)


@pytest.mark.parametrize(("chunks_more", "fragments_more"), [(1, 0), (-1, 0), (0, 1), (PAGE_RECORDS, 0)])
def test_another_number_than_commit_and_toc_say_is_refused(
    pages: Pages, file: ArchiveFile, chunks_more: int, fragments_more: int
) -> None:
    told = replace(pages, chunks=CHUNKS + chunks_more, fragments=CHUNKS + fragments_more)
    with pytest.raises(FormatError, match="another number of chunks or fragments"):
        told.parts(file).check()


@pytest.mark.parametrize("kind", [KIND_LOCATOR, KIND_CHUNK, KIND_FRAGMENT])
@pytest.mark.parametrize("use", [IndexParts.check, lambda parts: parts.locate(PAGE_RECORDS, 1)])
def test_a_page_with_the_numbers_of_another_is_refused(
    pages: Pages, file: ArchiveFile, kind: int, use: Callable[[IndexParts], object]
) -> None:
    of_kind = pages.of_kind[kind]
    of_kind[1] = replace(of_kind[1], first=0)
    with pytest.raises(FormatError, match="is out of place"):
        use(pages.parts(file))


@pytest.mark.parametrize("first", [CHUNKS, CHUNKS + 1])
def test_a_fragment_that_only_the_toc_counts_is_refused(pages: Pages, file: ArchiveFile, first: int) -> None:
    """The sealed TOC says that there are two more than the pages have."""
    with pytest.raises(FormatError, match="leave a gap"):
        replace(pages, fragments=CHUNKS + 2).parts(file).locate(first, 1)


@pytest.mark.parametrize("first", [CHUNKS - 1, PAGE_RECORDS, 0])
def test_a_run_that_goes_beyond_the_last_part_is_refused(pages: Pages, file: ArchiveFile, first: int) -> None:
    with pytest.raises(FormatError):
        replace(pages, fragments=CHUNKS + 2).parts(file).locate(first, CHUNKS + 2 - first)


def test_fragments_without_a_chunk_page_are_refused(pages: Pages, file: ArchiveFile) -> None:
    none = {**pages.of_kind, KIND_CHUNK: []}
    with pytest.raises(FormatError):
        replace(pages, of_kind=none, firsts=[]).parts(file).locate(0, 1)


def test_parts_that_begin_before_those_they_follow_are_refused(pages: Pages, file: ArchiveFile) -> None:
    backwards = replace(pages, firsts=[0, 2 * PAGE_RECORDS, PAGE_RECORDS])
    with pytest.raises(FormatError):
        backwards.parts(file).check()
    with pytest.raises(FormatError):
        backwards.parts(file).locate(0, CHUNKS)
