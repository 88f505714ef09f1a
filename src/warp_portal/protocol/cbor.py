"""CBOR as the protocol uses it: one encoding a value (RFC 8949 §4.2.1), and little enough of it to be bounded.

Values are integers, byte strings, texts, arrays, true, false, null, and maps whose keys are unsigned integers. Keys of no
other kind are taken, because `cbor2` sorts by length first (RFC 8949 §4.2.3): for unsigned integers the two orders agree.

Reading first walks over the heads: that counts what would be built before it is built, for an empty array is one byte
and becomes an object of 56. Then `cbor2` builds it, and the result is encoded again and compared: lengths and numbers
that are not in their shortest form, and bytes behind the end, fail that way.

    {0: 12, 1: 7}  ⇄  a2 00 0c 01 07
"""

from typing import Final, cast

import cbor2

from warp_portal.errors import ProtocolError

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 65_536
# Keys can be chosen so that each meets all others in a table of hashes: with so many, that is 8 million steps at most.
MAX_KEYS: Final = 4096

Value = None | bool | int | str | bytes | list["Value"] | dict[int, "Value"]

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_FALSE, _TRUE, _NULL = 20, 21, 22
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}


def encode(value: object) -> bytes:
    """The bytes of a value; raises ProtocolError for one that a reader would refuse."""
    try:
        raw = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
        raise ProtocolError("CBOR: a value that has no encoding") from None
    check(raw)
    return raw


def decode(raw: bytes, most_items: int = MAX_ITEMS) -> Value:
    """The value that `raw` is; raises ProtocolError."""
    check(raw, most_items)
    try:
        value = cbor2.loads(raw, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
        raise ProtocolError("CBOR: malformed") from None
    if cbor2.dumps(value, canonical=True) != raw:
        raise ProtocolError("CBOR: not in deterministic form")
    return cast(Value, value)


def decode_map(raw: bytes, most_items: int = MAX_ITEMS) -> dict[int, Value]:
    """The map that `raw` is; raises ProtocolError."""
    value = decode(raw, most_items)
    if not isinstance(value, dict):
        raise ProtocolError("CBOR: no map")
    return value


def check(raw: bytes, most_items: int = MAX_ITEMS) -> None:
    """Raises ProtocolError unless `raw` keeps within the limits and holds nothing but the types above."""
    if len(raw) > MAX_BYTES:
        raise ProtocolError(f"CBOR: more than {MAX_BYTES} bytes")
    walk = _Walk(raw, most_items)
    walk.item(0)
    if walk.at != len(raw):
        raise ProtocolError("CBOR: bytes behind its end")


class _Walk:
    """A walk over the heads of items."""

    __slots__ = ("_items", "_most_items", "_raw", "at")

    def __init__(self, raw: bytes, most_items: int) -> None:
        self._raw = raw
        self._most_items = most_items
        self._items = 1
        self.at = 0

    def item(self, depth: int) -> None:
        """Pass over one item, with what is inside it; `depth` containers are around it."""
        major, argument = self._head()
        if major in (_BYTES, _TEXT):
            self._pass(argument)
        elif major == _ARRAY:
            self._enter(argument, depth)
            for _ in range(argument):
                self.item(depth + 1)
        elif major == _MAP:
            self._map(argument, depth)
        elif major == _TAG or (major == _SIMPLE and argument not in (_FALSE, _TRUE, _NULL)):
            raise ProtocolError("CBOR: a tag, a float or a simple value")

    def _map(self, pairs: int, depth: int) -> None:
        if pairs > MAX_KEYS:
            raise ProtocolError(f"CBOR: more than {MAX_KEYS} keys in a map")
        self._enter(2 * pairs, depth)
        before = -1
        for _ in range(pairs):
            major, key = self._head()
            if major != _UNSIGNED or key <= before:
                raise ProtocolError("CBOR: keys of a map are no unsigned integers in ascending order")
            before = key
            self.item(depth + 1)

    def _head(self) -> tuple[int, int]:
        """(major type, argument) of the head at hand. Floats and simple values of two bytes count as simple value 24 and up."""
        first = self._byte()
        major, argument = first >> 5, first & 31
        if argument < 24 or major == _SIMPLE:
            return major, argument
        width = _ARGUMENT_BYTES.get(argument)
        if width is None:
            raise ProtocolError("CBOR: an indefinite length or a reserved head")
        start = self.at
        self._pass(width)
        return major, int.from_bytes(self._raw[start : self.at], "big")

    def _byte(self) -> int:
        self._pass(1)
        return self._raw[self.at - 1]

    def _pass(self, count: int) -> None:
        if count > len(self._raw) - self.at:
            raise ProtocolError("CBOR: cut short")
        self.at += count

    def _enter(self, inside: int, depth: int) -> None:
        self._items += inside
        if self._items > self._most_items:
            raise ProtocolError(f"CBOR: more than {self._most_items} items")
        if depth >= MAX_DEPTH:
            raise ProtocolError(f"CBOR: more than {MAX_DEPTH} levels")
