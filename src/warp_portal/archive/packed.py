"""MessagePack as the archive uses it: one encoding a value, so that equal content has equal bytes.

Reading packs the result again and compares: integers that are not in their shortest form, duplicate or surplus keys,
floats and extension types all fail that way or by their type. Before anything is built the items are counted: an empty
array is one byte that would become an object of 64, and compresses to almost nothing.
"""

import struct
from collections.abc import Iterator
from typing import Final, cast

import msgpack

from warp_portal.archive.limits import MAX_ITEMS
from warp_portal.errors import FormatError

# Heads of MessagePack values with a length: its bytes; then what it counts.
_BODIES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_NUMBERS: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}

Value = None | bool | int | str | bytes | list["Value"] | dict[str, "Value"]


def pack(value: object) -> bytes:
    """The bytes of a value; maps keep their order."""
    return cast(bytes, msgpack.packb(value, use_bin_type=True))


def check_items(raw: bytes, limit: int, what: str) -> None:
    """Raises FormatError if `raw` holds more than `limit` values and keys, before it is unpacked.

    No value is shorter than a byte, so what is short enough needs no count.
    """
    if len(raw) <= limit:
        return
    pos, seen, pending = 0, 0, 1
    while pending and pos < len(raw):
        head = raw[pos]
        skip, inside = _extent(raw, pos, head)
        pos += skip
        seen += 1
        pending += inside - 1
        if seen + pending > limit:
            raise FormatError(f"{what}: more than {limit} items")


def _extent(raw: bytes, pos: int, head: int) -> tuple[int, int]:
    """Bytes of the value at `pos` without what is inside it, and how many values are inside."""
    if head < 0x80 or head >= 0xE0:
        return 1, 0
    if head < 0xA0:
        return 1, (head & 15) * (2 if head < 0x90 else 1)
    if head < 0xC0:
        return 1 + (head & 31), 0
    width = _BODIES.get(head) or _ARRAYS.get(head) or _MAPS.get(head)
    if width is None:
        return 1 + _NUMBERS.get(head, 0), 0  # whatever is not allowed fails when it is unpacked
    length = int.from_bytes(raw[pos + 1 : pos + 1 + width], "big")
    if head in _BODIES:
        return 1 + width + length, 0
    return 1 + width, length * (2 if head in _MAPS else 1)


def unpack_map(raw: bytes, what: str, max_items: int = MAX_ITEMS) -> dict[str, object]:
    """The map with string keys that `raw` is; `what` names it in the FormatError."""
    check_items(raw, max_items, what)
    try:
        value = msgpack.unpackb(raw, raw=False, strict_map_key=False)
        canonical = isinstance(value, dict) and _is_packed(value, raw)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        raise FormatError(f"{what}: no MessagePack") from None
    if not canonical:
        raise FormatError(f"{what}: no map in canonical form")
    return cast(dict[str, object], value)


def _is_packed(content: dict[str, object], raw: bytes) -> bool:
    """Whether `raw` is what `pack` gives; a byte string is compared where it lies, for it may be most of the archive."""
    position = 0
    for part in _parts(content):
        if not raw.startswith(part, position):
            return False
        position += len(part)
    return position == len(raw)


def _parts(content: dict[str, object]) -> Iterator[bytes]:
    """What `pack` gives, in pieces."""
    yield msgpack.Packer().pack_map_header(len(content))
    for key, value in content.items():
        yield pack(key)
        if type(value) is bytes:
            yield _bin_head(len(value))
            yield value
        else:
            yield pack(value)


def _bin_head(length: int) -> bytes:
    if length < 1 << 8:
        return struct.pack(">BB", 0xC4, length)
    return struct.pack(">BH", 0xC5, length) if length < 1 << 16 else struct.pack(">BI", 0xC6, length)


def expect_keys(content: dict[str, object], keys: tuple[str, ...], what: str) -> None:
    """Raises FormatError unless the map has exactly these keys in this order."""
    if tuple(content) != keys:
        raise FormatError(f"{what}: its keys")


def integer(content: dict[str, object], key: str, what: str) -> int:
    """A non-negative integer below 2^64; raises FormatError."""
    value = content[key]
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise FormatError(f"{what}: {key} is no number")
    return value


def binary(content: dict[str, object], key: str, what: str) -> bytes:
    """A byte string; raises FormatError."""
    value = content[key]
    if type(value) is not bytes:
        raise FormatError(f"{what}: {key} is no byte string")
    return value


def integers(content: dict[str, object], key: str, what: str) -> tuple[int, ...]:
    """An array of non-negative integers; raises FormatError."""
    value = content[key]
    if type(value) is not list or not all(type(item) is int and item >= 0 for item in value):
        raise FormatError(f"{what}: {key} is no array of numbers")
    return tuple(value)


def binaries(content: dict[str, object], key: str, what: str) -> tuple[bytes, ...]:
    """An array of byte strings; raises FormatError."""
    value = content[key]
    if type(value) is not list or not all(type(item) is bytes for item in value):
        raise FormatError(f"{what}: {key} is no array of byte strings")
    return tuple(value)
