r"""Text for terminals and for JSON: names from archives are hostile until they are escaped.

A stored path is any bytes. On a terminal, control characters could move the cursor or run a paste, and bidirectional
marks could show another name; so whatever is not printable is escaped, as `tar` does, and a backslash is doubled to keep
names apart. In JSON a path that is not UTF-8 is given again, exactly, in base64.

>>> printable(b"report\x1b[2J\xff.txt"), path_fields(b"\xff")
('report\\x1b[2J\\xff.txt', {'path': '�', 'path_b64': '/w=='})
"""

import time
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

# Categories that show something: letters, marks, numbers, punctuation, symbols; of the separators only the blank.
_SHOWN: Final = frozenset("LMNPS")
# What an extract or a receive left out by rule.
_SKIPPED: Final = {
    "owner": "owners of {} were not restored: that needs root",
    "device": "{} (devices) were not made: that needs root",
    "socket": "{} (sockets) were left out",
    "setuid": "setuid and setgid bits, or attributes that give privileges, of {} were not restored: --setuid does",
    "xattr": "extended attributes of {} are not possible here",
    "exists": "{} there already and kept: see --overwrite",
}


def printable(name: bytes | str) -> str:
    """A name with every character escaped that a terminal would not simply show."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escaped, text))


def printable_all(names: Sequence[bytes]) -> list[str]:
    r"""Many names; where none of them needs a closer look, they are looked at together.

    >>> printable_all([b"a", b"b"]), printable_all([b"a", b"b\n"])
    (['a', 'b'], ['a', 'b\\x0a'])
    """
    text = b"\n".join(names).decode("utf-8", "surrogateescape")
    shown = text.split("\n")
    if len(shown) == len(names) and "\\" not in text and text.isascii() and "".join(shown).isprintable():
        return shown
    return [printable(name) for name in names]


def defanged(text: str) -> str:
    r"""A message that may quote names: what a terminal would not simply show is escaped, all but line breaks.

    A backslash stays as it is: names in the message may be escaped already.

    >>> print(defanged("no \\x1b here: \x1b[2J"))
    no \x1b here: \x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(one if one in "\\\n" else _escaped(one) for one in text)


def path_fields(path: bytes, name: str = "path") -> dict[str, str]:
    """A path for JSON: as text, and in base64 beside it if the text cannot say it exactly."""
    try:
        return {name: path.decode()}
    except UnicodeDecodeError:
        import base64

        return {name: path.decode("utf-8", "replace"), f"{name}_b64": base64.b64encode(path).decode()}


def encodable(value: object) -> object:
    r"""A field for JSON in which half of a surrogate pair, which no UTF-8 can hold, is escaped.

    >>> print(encodable(["\udcff", {"name": "\ud800\U0001f600"}, 1]))
    ['\\xff', {'name': '\\ud800😀'}, 1]
    """
    if isinstance(value, str):
        return "".join(_escaped(one) if "\ud800" <= one <= "\udfff" else one for one in value)
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    if isinstance(value, dict):
        return {name: encodable(item) for name, item in value.items()}
    return value


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as lines with aligned columns; the columns in `right` are flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def shortened(text: str, width: int) -> str:
    """A text that takes at most `width` characters: of a longer one the beginning and the end.

    >>> shortened("warp-recipient-x25519:abcdefghijklmnop", 20)
    'warp-recip…hijklmnop'
    """
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[-end:]}"


def count_of(number: int, singular: str, plural: str | None = None) -> str:
    """`1 file`, `2,310 files`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def left_out(skips: Mapping[str, int]) -> list[str]:
    """What was not restored by rule, a line for each kind, for people."""
    return [
        _SKIPPED.get(name, f"{{}}: {name} left out").format(count_of(number, "entry", "entries"))
        for name, number in sorted(skips.items())
        if number
    ]


def local_time(seconds: int, style: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A moment in the machine's time zone, or `@seconds` where its calendar ends.

    >>> local_time(2**63 - 1)
    '@9223372036854775807'
    """
    try:
        return time.strftime(style, time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"@{seconds}"


@lru_cache(1024)  # names of one language share few characters
def _escaped(character: str) -> str:
    number = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8, kept by surrogateescape
        return f"\\x{number - 0xDC00:02x}"
    if character == " " or unicodedata.category(character)[0] in _SHOWN:
        return character
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
