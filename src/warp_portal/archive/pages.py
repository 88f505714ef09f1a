"""Index pages (docs/format.md §6): columns of the records of chunks and fragments, as bytes.

    raw = u64 first record │ u32 count │ u32 zero │ column │ column │ …

Columns stay little-endian byte strings from the pipeline to the file and back; nothing here looks at single records.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

from warp_portal._native import merkle_leaves, merkle_root
from warp_portal.archive.limits import DIGEST_BYTES, ID_BYTES, KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR, PAGE_RECORDS
from warp_portal.errors import FormatError

HEAD_BYTES: Final = 16
_HEAD: Final = struct.Struct("<QII")
_PAYLOAD: Final = struct.Struct("<BBHQQ")

LOCATOR_WIDTHS: Final = (8, 4, DIGEST_BYTES)  # offset, stored length, cid
CHUNK_WIDTHS: Final = (4, 4, 1, DIGEST_BYTES)  # raw length, fragments, codec, dp
PLAIN_CHUNK_WIDTHS: Final = CHUNK_WIDTHS[:3]
FRAGMENT_WIDTHS: Final = (4, ID_BYTES)  # length, id
MAX_LOCATOR_BYTES: Final = _PAYLOAD.size + HEAD_BYTES + PAGE_RECORDS * sum(LOCATOR_WIDTHS)  # as it is stored


def widths(kind: int, encrypted: bool) -> tuple[int, ...]:
    """Bytes a record of each column of a kind of index page."""
    if kind == KIND_CHUNK:
        return CHUNK_WIDTHS if encrypted else PLAIN_CHUNK_WIDTHS
    return {KIND_LOCATOR: LOCATOR_WIDTHS, KIND_FRAGMENT: FRAGMENT_WIDTHS}[kind]


@dataclass(frozen=True, slots=True)
class IndexPage:
    """The records `first .. first + count`, a byte string a column."""

    first: int
    columns: tuple[bytes, ...]

    def count(self, column_widths: tuple[int, ...]) -> int:
        """Number of records."""
        return len(self.columns[0]) // column_widths[0]

    def serialize(self, column_widths: tuple[int, ...]) -> bytes:
        """The raw page."""
        return _HEAD.pack(self.first, self.count(column_widths), 0) + b"".join(self.columns)

    @classmethod
    def parse(cls, raw: bytes, column_widths: tuple[int, ...]) -> Self:
        """Read a raw page; raises FormatError."""
        if len(raw) < HEAD_BYTES:
            raise FormatError("index page: cut short")
        first, count, zero = _HEAD.unpack_from(raw)
        if zero or not 1 <= count <= PAGE_RECORDS or first % PAGE_RECORDS:
            raise FormatError("index page: its first record or number of records")
        if len(raw) != HEAD_BYTES + count * sum(column_widths):
            raise FormatError("index page: its length does not fit its number of records")
        columns, start = [], HEAD_BYTES
        for width in column_widths:
            columns.append(raw[start : start + count * width])
            start += count * width
        return cls(first, tuple(columns))


def store_payload(raw: bytes) -> bytes:
    """A payload in the clear (docs/format.md §5, codec `store`): what locator pages are, even in encrypted archives."""
    return _PAYLOAD.pack(0, 0, 0, len(raw), len(raw)) + raw


def open_store_payload(stored: bytes) -> bytes:
    """The raw bytes of `store_payload`; raises FormatError."""
    if len(stored) < _PAYLOAD.size:
        raise FormatError("locator page: cut short")
    codec, zero, more_zero, raw_bytes, stored_bytes = _PAYLOAD.unpack_from(stored)
    if codec or zero or more_zero or raw_bytes != stored_bytes or stored_bytes != len(stored) - _PAYLOAD.size:
        raise FormatError("locator page: its frame")
    return stored[_PAYLOAD.size :]


def locator_leaves(page: IndexPage) -> bytes:
    """Merkle leaves of a locator page's chunks, joined."""
    return merkle_leaves(page.columns[2], page.columns[1])


def locator_root(page: IndexPage) -> bytes:
    """Merkle root of a locator page's leaves."""
    return merkle_root(locator_leaves(page))
