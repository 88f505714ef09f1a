"""MessagePack as the archive uses it: one encoding a value, so that equal content has equal bytes.

Reading packs the result again and compares: integers that are not in their shortest form, duplicate or surplus keys,
floats and extension types all fail that way or by their type.
"""

from typing import cast

import msgpack

from warp_portal.errors import FormatError

Value = None | bool | int | str | bytes | list["Value"] | dict[str, "Value"]


def pack(value: object) -> bytes:
    """The bytes of a value; maps keep their order."""
    return cast(bytes, msgpack.packb(value, use_bin_type=True))


def unpack_map(raw: bytes, what: str) -> dict[str, object]:
    """The map with string keys that `raw` is; `what` names it in the FormatError."""
    try:
        value = msgpack.unpackb(raw, raw=False, strict_map_key=False)
        canonical = pack(value) == raw
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        raise FormatError(f"{what}: no MessagePack") from None
    if not isinstance(value, dict) or not canonical:
        raise FormatError(f"{what}: no map in canonical form")
    return value


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
