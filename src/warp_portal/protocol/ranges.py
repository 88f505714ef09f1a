"""Sets of ordinals as runs: which fragments or chunks of a page are wanted, kept or lost (docs/transfer-protocol.md §3).

    {0, 1, 2, 7}  ⇄  spans (0, 3) (7, 8)  ⇄  leave 0, take 3, leave 4, take 1  ⇄  00 03 04 01

A set costs what its spans cost, however many ordinals are in them. The two lists of an operation are walked once.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from warp_portal.errors import ProtocolError

Span = tuple[int, int]
"""First ordinal, and the one behind the last."""

# Nothing is counted beyond 2^64, so no number is longer.
MAX_NUMBER_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of ordinals: spans in ascending order, none empty, none touching the next."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def parse(cls, raw: bytes, size: int) -> Self:
        """Read a set of ordinals below `size`; raises ProtocolError."""
        spans, end, at = list[Span](), 0, 0
        while at < len(raw):
            leave, at = _number(raw, at)
            take, at = _number(raw, at)
            if take == 0 or (leave == 0 and spans):
                raise ProtocolError("ranges: not in the shortest form")
            if end + leave + take > size:
                raise ProtocolError(f"ranges: beyond the {size} that the page has")
            spans.append((end + leave, end + leave + take))
            end += leave + take
        return cls(tuple(spans))

    @classmethod
    def whole(cls, size: int) -> Self:
        """All ordinals below `size`."""
        return cls(((0, size),) if size else ())

    @classmethod
    def of_spans(cls, spans: Iterable[Span]) -> Self:
        """From spans in ascending order of their starts, which may touch and overlap."""
        joined = list[Span]()
        for start, stop in spans:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            elif start < stop:
                joined.append((start, stop))
        return cls(tuple(joined))

    @classmethod
    def of_ordinals(cls, ordinals: Iterable[int]) -> Self:
        """From ordinals in ascending order."""
        return cls.of_spans((ordinal, ordinal + 1) for ordinal in ordinals)

    @classmethod
    def of_bits(cls, bits: bytes) -> Self:
        """From a bitmap, the lowest bit of the first byte first."""
        digits = format(int.from_bytes(bits, "little"), "b")[::-1]
        return cls(tuple(match.span() for match in re.finditer("1+", digits)))

    def serialize(self) -> bytes:
        """The bytes of the set."""
        out, end = bytearray(), 0
        for start, stop in self.spans:
            out += _leb128(start - end) + _leb128(stop - start)
            end = stop
        return bytes(out)

    @property
    def count(self) -> int:
        """How many ordinals."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def end(self) -> int:
        """The ordinal behind the last, 0 if there is none."""
        return self.spans[-1][1] if self.spans else 0

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __contains__(self, ordinal: int) -> bool:
        return self.holds(ordinal, ordinal + 1)

    def holds(self, start: int, stop: int) -> bool:
        """Whether all ordinals of a span that is not empty are in the set."""
        at = bisect_right(self.spans, start, key=lambda span: span[0]) - 1
        return at >= 0 and stop <= self.spans[at][1]

    def __or__(self, other: Self) -> Self:
        return self.of_spans(sorted(self.spans + other.spans))

    def __and__(self, other: Self) -> Self:
        return type(self)(tuple(_common(self.spans, other.spans)))

    def __sub__(self, other: Self) -> Self:
        return type(self)(tuple(_common(self.spans, tuple(_gaps(other.spans, self.end)))))


def _common(left: tuple[Span, ...], right: tuple[Span, ...]) -> Iterator[Span]:
    """Where both have something."""
    here, there = 0, 0
    while here < len(left) and there < len(right):
        start, stop = max(left[here][0], right[there][0]), min(left[here][1], right[there][1])
        if start < stop:
            yield start, stop
        if left[here][1] <= right[there][1]:
            here += 1
        else:
            there += 1


def _gaps(spans: tuple[Span, ...], end: int) -> Iterator[Span]:
    """What lies between spans, from 0 to `end`."""
    position = 0
    for start, stop in spans:
        if position < start:
            yield position, start
        position = stop
    if position < end:
        yield position, end


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """(number, where it ends) of an unsigned LEB128."""
    value = 0
    for shift in range(MAX_NUMBER_BYTES):
        if at + shift == len(raw):
            raise ProtocolError("ranges: cut short")
        byte = raw[at + shift]
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise ProtocolError("ranges: a number not in the shortest form")
            return value, at + shift + 1
    raise ProtocolError("ranges: a number that is too long")


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
