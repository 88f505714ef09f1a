"""File-table pages (docs/format.md §7) as MessagePack, and single entries as values.

A page is decoded and encoded natively as columns; only what touches single entries (a list for a person, a hard link
whose file is left out) passes through `Entry`.
"""

import enum
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from warp_portal._native import EntryTable
from warp_portal.archive import packed

COLUMNS: Final = (
    "n", "ps", "pb", "k", "m", "u", "g", "s", "ms", "mn", "cs", "cn", "i", "f", "ll", "lb", "r", "x", "xd", "e", "rn", "rr",
)  # fmt: skip
_SLASH_LAST: Final = bytes.maketrans(b"/", b"\0")
_WORD: Final = 1 << 64
_CONTINUED: Final = bytes(range(0x80, 0x100))  # bytes of a varint that are not its last

Pairs = list[tuple[int, int]]
# An entry as `EntryTable.entry` gives it: the fields of `Entry`, in that order; the recipe encoded.
Fields = tuple[
    bytes, int, int, int, int, int, int, int, int, int, bytes, int, list[tuple[bytes, bytes]], Pairs, bytes
]  # fmt: skip


class Kind(enum.IntEnum):
    """Type of an entry."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    HARDLINK = 3
    CHAR_DEVICE = 4
    BLOCK_DEVICE = 5
    FIFO = 6
    SOCKET = 7


KIND_BITS: Final = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.HARDLINK: stat.S_IFREG,
    Kind.CHAR_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.SOCKET: stat.S_IFSOCK,
}
FLAG_CHANGED_WHILE_READ: Final = 1
FLAG_SPARSE: Final = 2


@dataclass(frozen=True, slots=True)
class Recipe:
    """Runs of fragments, kept as column `rr` has them: there may be millions, of two bytes each."""

    encoded: bytes = b""

    @classmethod
    def of(cls, runs: Iterable[tuple[int, int]]) -> Self:
        """The recipe with these runs (first fragment, count)."""
        return cls(encode_runs(runs))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return decode_runs(self.encoded)

    def __bool__(self) -> bool:
        return bool(self.encoded)

    def __len__(self) -> int:
        return len(self.encoded.translate(None, _CONTINUED)) // 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a tree. Times in ns since the epoch; extents are (offset, length)."""

    path: bytes
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    flags: int = 0
    link: bytes = b""
    rdev: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    extents: tuple[tuple[int, int], ...] = ()
    runs: Recipe = Recipe()

    @classmethod
    def of(cls, table: EntryTable, index: int) -> Self:
        """Entry number `index` of a table."""
        return cls.from_fields(table.entry(index))

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """The entry as a value, from what `EntryTable.entry` gives."""
        xattrs, extents, runs = fields[12:]
        return cls(fields[0], Kind(fields[1]), *fields[2:12], tuple(xattrs), tuple(extents), Recipe(runs))

    @property
    def name(self) -> str:
        """The path as text: bytes that are no UTF-8 become escapes. It may hold control characters: see `repr` of it."""
        return self.path.decode("utf-8", "backslashreplace")

    @property
    def st_mode(self) -> int:
        """Mode with the bits of the type, as `os.stat` gives it."""
        return KIND_BITS[self.kind] | self.mode


def order_key(path: bytes) -> bytes:
    """Maps paths so that plain byte order is archive order: per component, a directory before what is in it."""
    return path.translate(_SLASH_LAST)


def encode(table: EntryTable) -> bytes:
    """The raw page."""
    return packed.pack(table.to_columns())


def decode(raw: bytes) -> EntryTable:
    """Read a raw page; raises FormatError."""
    columns = packed.unpack_map(raw, "file-table page")
    packed.expect_keys(columns, COLUMNS, "file-table page")
    return EntryTable.from_columns(columns)


def table_of(entries: Sequence[Entry]) -> EntryTable:
    """A table of a few entries in archive order."""
    return EntryTable.from_columns(columns_of(entries))


def columns_of(entries: Sequence[Entry]) -> dict[str, object]:
    """The columns of a few entries: a loop in Python, for one file from a stream or rewritten links."""
    sets = list(dict.fromkeys(entry.xattrs for entry in entries if entry.xattrs))
    shared = _shared_prefixes([entry.path for entry in entries])
    links = [entry.link for entry in entries if entry.kind in (Kind.SYMLINK, Kind.HARDLINK)]
    devices = [entry.rdev for entry in entries if entry.kind in (Kind.CHAR_DEVICE, Kind.BLOCK_DEVICE)]
    return {
        "n": len(entries),
        "ps": b"".join(_varint(n) + _varint(len(e.path) - n) for n, e in zip(shared, entries, strict=True)),
        "pb": b"".join(e.path[n:] for n, e in zip(shared, entries, strict=True)),
        "k": bytes(e.kind for e in entries),
        "m": _deltas([e.mode for e in entries]),
        "u": _deltas([e.uid for e in entries]),
        "g": _deltas([e.gid for e in entries]),
        "s": _deltas([e.size for e in entries]),
        "ms": _deltas([e.mtime_ns // 10**9 for e in entries]),
        "mn": b"".join(_varint(e.mtime_ns % 10**9) for e in entries),
        "cs": _deltas([e.ctime_ns // 10**9 for e in entries]),
        "cn": b"".join(_varint(e.ctime_ns % 10**9) for e in entries),
        "i": _deltas([e.inode for e in entries]),
        "f": b"".join(_varint(e.flags) for e in entries),
        "ll": b"".join(_varint(len(link)) for link in links),
        "lb": b"".join(links),
        "r": b"".join(_varint(device >> 32) + _varint(device & 0xFFFFFFFF) for device in devices),
        "x": b"".join(_varint(1 + sets.index(e.xattrs) if e.xattrs else 0) for e in entries),
        "xd": [[[name, value] for name, value in xattrs] for xattrs in sets],
        "e": b"".join(_extents(e.extents) for e in entries if e.flags & FLAG_SPARSE),
        "rn": b"".join(_varint(len(e.runs)) for e in entries),
        "rr": encode_runs(run for e in entries for run in e.runs),
    }


def encode_runs(runs: Iterable[tuple[int, int]]) -> bytes:
    """The column `rr` of a page: all runs of its recipes, in order."""
    out, end = bytearray(), 0
    for first, count in runs:
        out += _zigzag(first - end) + _varint(count)
        end = first + count
    return bytes(out)


def decode_runs(column: bytes, start: int = 0, end: int = 0) -> Iterator[tuple[int, int]]:
    """The runs in the column `rr` of a table that was checked when it was decoded, one by one.

    From the byte `start` on; `end` is the ordinal behind the run before it.
    """
    numbers = _varints(memoryview(column)[start:])
    for zigzag, count in zip(numbers, numbers, strict=True):
        first = (end + (zigzag >> 1 ^ -(zigzag & 1))) % _WORD
        end = first + count
        yield first, count


def _shared_prefixes(paths: list[bytes]) -> list[int]:
    """Bytes that each path shares with the one before."""
    lengths = []
    before = b""
    for path in paths:
        shared = 0
        while shared < min(len(before), len(path)) and before[shared] == path[shared]:
            shared += 1
        lengths.append(shared)
        before = path
    return lengths


def _varint(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varints(column: memoryview) -> Iterator[int]:
    value = shift = 0
    for byte in column:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _zigzag(difference: int) -> bytes:
    """A signed difference modulo 2^64 as a varint."""
    word = difference % _WORD
    signed = word - _WORD if word >> 63 else word
    return _varint((signed << 1 ^ signed >> 63) % _WORD)


def _deltas(values: list[int]) -> bytes:
    return b"".join(_zigzag(value - before) for before, value in zip([0, *values], values, strict=False))


def _extents(extents: tuple[tuple[int, int], ...]) -> bytes:
    out, end = [_varint(len(extents))], 0
    for offset, length in extents:
        out += [_varint(offset - end), _varint(length)]
        end = offset + length
    return b"".join(out)
