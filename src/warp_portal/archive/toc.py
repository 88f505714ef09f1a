"""The TOC of a commit (docs/format.md §8): a clear part that anyone can verify the file by, and a sealed part for readers.

u32 clear length │ clear part │ dp of the sealed part 32 │ sealed part
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple, Self

from warp_portal.archive import packed
from warp_portal.archive.limits import (
    DIGEST_BYTES,
    KIND_CHUNK,
    KIND_LOCATOR,
    KIND_TABLE,
    KINDS,
    MAX_ARGUMENT_ITEMS,
    MAX_ARGUMENTS,
    MAX_OWNERS,
    MAX_PAGES_BASE,
    MAX_PATH,
    MAX_TOC_ITEMS,
    PAGE_RECORDS,
    PAGE_SHARE,
)
from warp_portal.errors import FormatError, UsageError, VersionError
from warp_portal.primitives.signing import PUBLIC_BYTES

MAGIC: Final = b"WTOC"
VERSION: Final = 1
_LENGTH: Final = struct.Struct("<I")
_HEAD: Final = struct.Struct("<4sHH32s32s32sQII")
_PAGE: Final = struct.Struct("<BBHIQQ32s")
_LOCATOR: Final = struct.Struct("<BBHIQQ32s32s")


class PageRef(NamedTuple):
    """Where a page lies: `digest` is over the stored bytes, `root` over a locator page's Merkle leaves (else empty)."""

    kind: int
    records: int
    offset: int
    stored_bytes: int
    digest: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class ClearTOC:
    """What is readable without a key."""

    active_copy: int
    header_digest: bytes
    slots_digest: bytes
    previous_digest: bytes
    chunks: int
    frontier: bytes
    pages: tuple[PageRef, ...]

    def serialize(self) -> bytes:
        """The clear part."""
        nodes = len(self.frontier) // DIGEST_BYTES
        head = _HEAD.pack(
            MAGIC,
            VERSION,
            self.active_copy,
            self.header_digest,
            self.slots_digest,
            self.previous_digest,
            self.chunks,
            nodes,
            len(self.pages),
        )
        return b"".join([head, self.frontier, *map(_pack_page, self.pages)])

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read and check a clear part; raises FormatError, VersionError."""
        if len(raw) < _HEAD.size or raw[:4] != MAGIC:
            raise FormatError("TOC: no magic")
        _, version, active, header, slots, previous, chunks, nodes, count = _HEAD.unpack_from(raw)
        if version != VERSION:
            raise VersionError(f"the archive has TOC version {version}; this program reads {VERSION}: update it")
        if active > 1 or nodes != chunks.bit_count():
            raise FormatError("TOC: active slot copy or frontier")
        frontier_end = _HEAD.size + nodes * DIGEST_BYTES
        pages = _parse_pages(raw, frontier_end, count)
        return cls(active, header, slots, previous, chunks, raw[_HEAD.size : frontier_end], pages)

    def of_kind(self, kind: int) -> tuple[PageRef, ...]:
        """The pages of one kind, in order."""
        return tuple(page for page in self.pages if page.kind == kind)


def _pack_page(page: PageRef) -> bytes:
    fields = (page.kind, 0, 0, page.records, page.offset, page.stored_bytes, page.digest)
    return _LOCATOR.pack(*fields, page.root) if page.kind == KIND_LOCATOR else _PAGE.pack(*fields)


def _parse_pages(raw: bytes, start: int, count: int) -> tuple[PageRef, ...]:
    """The page list: locators first (they are longer), then the rest."""
    if start + count * _PAGE.size > len(raw):
        raise FormatError("TOC: its page list is cut short")
    locators_end = start
    while count and locators_end < len(raw) and raw[locators_end] == KIND_LOCATOR:
        locators_end += _LOCATOR.size
        count -= 1
    if locators_end + count * _PAGE.size != len(raw):
        raise FormatError("TOC: its page list has another length than its number of pages")
    pages = [
        *_page_refs(_LOCATOR.iter_unpack(memoryview(raw)[start:locators_end])),
        *_page_refs(_PAGE.iter_unpack(memoryview(raw)[locators_end:])),
    ]
    kinds = [page.kind for page in pages]
    if kinds != sorted(kinds) or not set(kinds) <= set(KINDS):
        raise FormatError("TOC: kinds of its pages")
    if any(not 1 <= page.records <= PAGE_RECORDS for page in pages):
        raise FormatError("TOC: number of records of a page")
    return tuple(pages)


def _page_refs(rows: Iterable[tuple[Any, ...]]) -> Iterator[PageRef]:
    for kind, zero, more_zero, records, offset, stored_bytes, digest, *root in rows:
        if zero or more_zero:
            raise FormatError("TOC: bytes that must be zero are not")
        yield PageRef(kind, records, offset, stored_bytes, digest, root[0] if root else b"")


@dataclass(frozen=True, slots=True)
class SealedTOC:
    """What needs the key: totals, and what the sealed pages hold and are opened with."""

    fragments: int
    entries: int
    logical_bytes: int
    dps: tuple[bytes, ...]
    first_fragments: tuple[int, ...]
    first_paths: tuple[bytes, ...]
    signer: bytes
    time_ns: int
    arguments: dict[str, object] = field(default_factory=dict)
    owners: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
    position: bytes = b""

    def serialize(self) -> bytes:
        """The raw content of the sealed part."""
        return packed.pack(
            {
                "fragments": self.fragments,
                "entries": self.entries,
                "bytes": self.logical_bytes,
                "dp": b"".join(self.dps),
                "first": list(self.first_fragments),
                "paths": list(self.first_paths),
                "signer": self.signer,
                "time": self.time_ns,
                "arguments": self.arguments,
                "owners": list(self.owners),
                "position": self.position,
            },
        )

    @classmethod
    def parse(cls, raw: bytes, page_count: int = 0) -> Self:
        """Read the sealed part of a TOC that lists so many pages; raises FormatError."""
        what = "sealed TOC"
        content = packed.unpack_map(raw, what, MAX_TOC_ITEMS + 2 * page_count)
        packed.expect_keys(content, _SEALED_KEYS, what)
        dp, signer = packed.binary(content, "dp", what), packed.binary(content, "signer", what)
        position, arguments = packed.binary(content, "position", what), content["arguments"]
        if len(dp) % DIGEST_BYTES or len(signer) not in (0, PUBLIC_BYTES) or len(position) > MAX_PATH:
            raise FormatError(f"{what}: length of dp, signer or position")
        if packed.integer(content, "time", what) >= 1 << 63:
            raise FormatError(f"{what}: time")
        if not isinstance(arguments, dict) or not all(isinstance(key, str) for key in arguments):
            raise FormatError(f"{what}: arguments")
        return cls(
            fragments=packed.integer(content, "fragments", what),
            entries=packed.integer(content, "entries", what),
            logical_bytes=packed.integer(content, "bytes", what),
            dps=tuple(dp[start : start + DIGEST_BYTES] for start in range(0, len(dp), DIGEST_BYTES)),
            first_fragments=packed.integers(content, "first", what),
            first_paths=packed.binaries(content, "paths", what),
            signer=signer,
            time_ns=packed.integer(content, "time", what),
            arguments=arguments,
            owners=_owners(content["owners"]),
            position=position,
        )

    def check_against(self, clear: ClearTOC) -> None:
        """Raises FormatError unless there is one dp, first fragment and path for each page that needs it."""
        kinds = [page.kind for page in clear.pages]
        wanted = (len(kinds) - kinds.count(KIND_LOCATOR), kinds.count(KIND_CHUNK), kinds.count(KIND_TABLE))
        if wanted != (len(self.dps), len(self.first_fragments), len(self.first_paths)):
            raise FormatError("sealed TOC: it does not fit the list of pages")
        if any(first > self.fragments for first in self.first_fragments):
            raise FormatError("sealed TOC: a page begins behind the last fragment")


_SEALED_KEYS: Final = (
    "fragments", "entries", "bytes", "dp", "first", "paths", "signer", "time", "arguments", "owners", "position",
)  # fmt: skip


def check_arguments(arguments: dict[str, object]) -> None:
    """Raises UsageError for arguments that are too many for a reader: before a run, not at its end."""
    raw = packed.pack(arguments)
    try:
        packed.check_items(raw, MAX_ARGUMENT_ITEMS, "arguments")
    except FormatError:
        too_many = True
    else:
        too_many = len(raw) > MAX_ARGUMENTS
    if too_many:
        raise UsageError("too many paths and patterns for one archive: name the directories that hold them")


def bounded_owners(owners: tuple[dict[int, bytes], dict[int, bytes]]) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """As many names as a reader takes; numbers without a name are restored as numbers."""
    users, groups = (dict(islice(names.items(), MAX_OWNERS)) for names in owners)
    return users, groups


def _owners(value: object) -> tuple[dict[int, bytes], dict[int, bytes]]:
    if not isinstance(value, list) or len(value) != 2:
        raise FormatError("sealed TOC: owners")
    for names in value:
        if not isinstance(names, dict) or not all(
            type(number) is int and 0 <= number < 1 << 32 and type(name) is bytes for number, name in names.items()
        ):
            raise FormatError("sealed TOC: owners")
    return value[0], value[1]


@dataclass(frozen=True, slots=True)
class TOC:
    """The whole of it; `sealed` are the stored bytes of the sealed part."""

    clear: ClearTOC
    dp: bytes
    sealed: bytes

    def serialize(self) -> bytes:
        """The stored bytes."""
        clear = self.clear.serialize()
        return _LENGTH.pack(len(clear)) + clear + self.dp + self.sealed

    @classmethod
    def parse(cls, raw: bytes, offset: int) -> Self:
        """Read a TOC that lies at `offset` of its file; raises FormatError, VersionError."""
        if len(raw) < _LENGTH.size:
            raise FormatError("TOC: cut short")
        clear_end = _LENGTH.size + _LENGTH.unpack_from(raw)[0]
        if clear_end + DIGEST_BYTES > len(raw):
            raise FormatError("TOC: length of its clear part")
        if clear_end > _LENGTH.size + _HEAD.size + 64 * DIGEST_BYTES + most_pages(offset) * _LOCATOR.size:
            raise FormatError("TOC: more pages than the file before it can hold")
        clear = ClearTOC.parse(raw[_LENGTH.size : clear_end])
        check_pages(clear.pages, offset)
        return cls(clear, raw[clear_end : clear_end + DIGEST_BYTES], raw[clear_end + DIGEST_BYTES :])


def most_pages(offset: int) -> int:
    """How many pages a TOC at `offset` may list."""
    return MAX_PAGES_BASE + offset // PAGE_SHARE


def check_pages(pages: Sequence[PageRef], offset: int) -> None:
    """Raises FormatError unless so many pages can lie before a TOC at `offset`, side by side."""
    if len(pages) > most_pages(offset) or sum(page.stored_bytes for page in pages) > offset:
        raise FormatError("TOC: more pages than the file before it can hold")
