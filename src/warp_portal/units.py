"""Sizes, rates and durations as people write and read them.

Sizes are read with binary letters, as `dd` and `tar` do (`64K` = 65536, `1GB` = 10⁹, `1GiB` = 2³⁰), and printed decimal
(`1.34 GB`), as rates are everywhere.

>>> parse_bytes("512M"), format_bytes(1_340_000_000), format_rate(2.5e9), format_duration(3725)
(536870912, '1.34 GB', '2.50 GB/s', '1:02:05')
"""

import re
from decimal import Decimal
from typing import Final

from warp_portal.errors import UsageError

_LETTERS: Final = "KMGTPE"
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(?:([KMGTPE])(iB|B)?|B)?\s*", re.IGNORECASE)
_BITS: Final = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([KMGTkmgt]?)(i?)(?:[Bb]it(?:/s)?|bps)\s*")
_SPAN: Final = re.compile(r"\s*(\d+)\s*([hdwy])\s*", re.IGNORECASE)
_SPAN_S: Final = {"h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
# Sizes are kept in 64-bit fields everywhere.
_MAX_BYTES: Final = 2**63 - 1


def parse_bytes(text: str) -> int:
    """Bytes in a size such as `4096`, `64K`, `1.5GiB` or `2GB`; UsageError if it is none."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no size: write a number with K, M, G or T, for example 512M")
    number, letter, suffix = match.groups()
    power = _LETTERS.index(letter.upper()) + 1 if letter else 0
    base = 1000 if suffix and suffix.upper() == "B" else 1024
    value = int(Decimal(number) * base**power)
    if value > _MAX_BYTES:
        raise UsageError(f"{text!r} is larger than any file can be")
    return value


def parse_rate(text: str) -> int:
    """Bytes a second in a rate: of bytes as `10MiB/s` or `512K` (letters as in sizes), of bits as `80Mbit/s` or `80Mbps` (`M` is 10⁶, `Mi` 2²⁰).

    Raises UsageError if it is none; `80Mb/s` is none, for it is read as bits by some and as bytes by others.
    """
    match = _BITS.fullmatch(text)
    if match is not None:
        number, letter, binary = match.groups()
        power = _LETTERS.index(letter.upper()) + 1 if letter else 0
        value = int(Decimal(number) * (1024 if binary else 1000) ** power / 8)
        if value <= _MAX_BYTES and (letter or not binary):
            return value
    size = text.strip().removesuffix("/s").rstrip()
    if match is not None or size.endswith("b") or _SIZE.fullmatch(size) is None:
        raise UsageError(f"{text!r} is no rate: write bytes a second as 10MiB/s, or bits as 80Mbit/s")
    return parse_bytes(size)


def parse_span(text: str) -> int:
    """Seconds in a span of hours, days, weeks or years of 365 days, such as `36h`, `30d`, `8w`, `2y`; UsageError if it is none."""
    match = _SPAN.fullmatch(text)
    seconds = int(match[1]) * _SPAN_S[match[2].lower()] if match and len(match[1]) < 10 else 0
    if not seconds:
        raise UsageError(f"{text!r} is no span of time: write a number with h, d, w or y, for example 30d")
    return seconds


def format_bytes(count: float) -> str:
    """A size with three significant digits and a decimal unit."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_LETTERS):
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{value:.0f} B"
    letter = ("k" + _LETTERS[1:])[unit - 1]
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {letter}B"


def typed_bytes(count: int) -> str:
    """A size as `parse_bytes` reads it back: with a binary letter where that is exact, or else as a number.

    >>> typed_bytes(268435456), typed_bytes(1000000), typed_bytes(0)
    ('256M', '1000000', '0')
    """
    power = 0
    while power < len(_LETTERS) and count and count % 1024 == 0:
        count, power = count // 1024, power + 1
    return f"{count}{_LETTERS[power - 1] if power else ''}"


def format_rate(bytes_per_s: float) -> str:
    """Bytes a second."""
    return f"{format_bytes(bytes_per_s)}/s"


def format_duration(seconds: float) -> str:
    """A span of time: `0.8 s` below ten seconds, then `0:42`, `1:02:05`, `3 d 4 h`."""
    if seconds < 0.0005:
        return "0 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole >= 2 * 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def format_count(count: int) -> str:
    """A whole number with groups of three digits."""
    return f"{count:,}"
