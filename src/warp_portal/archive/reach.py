"""Where in the tree the matches of gitignore-style patterns can lie, so that only those pages of the file table are read.

    a/b/c  a/b/*.txt  /a     at or below a/b/c, a/b, a        anchored, with literal components at the start
    *.txt  name  name/       anywhere                         not anchored, or a wildcard at once

A pattern that negates only takes away. Whatever is not plainly literal counts as a wildcard: reading too much is slow,
reading too little would be wrong.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

from warp_portal.archive.content import Page
from warp_portal.archive.filetable import order_key

_SPECIAL: Final = frozenset("*?[]{}\\")
_NAMELESS: Final = ("", ".", "..")


def reach(patterns: Iterable[str]) -> list[bytes] | None:
    """Stored paths at or below which every match lies; None if matches may lie anywhere.

    >>> reach(["a/b/*.txt", "!a/b/c"]), reach(["/a/"]), reach(["a"])
    ([b'a/b'], [b'a'], None)
    """
    prefixes = {_literal_start(pattern) for pattern in patterns if not pattern.startswith("!")}
    return None if b"" in prefixes else sorted(prefixes)


def pages_below(table_pages: list[Page], prefix: bytes) -> range:
    """Which of the file-table pages hold the path `prefix` and what is below it, by binary search in their first paths."""
    key = order_key(prefix)
    start = bisect_right(table_pages, key, key=_place) - 1
    return range(max(0, start), bisect_left(table_pages, key + b"\x01", key=_place))


def pages_matching(table_pages: list[Page], patterns: Iterable[str]) -> list[Page]:
    """The file-table pages that may hold a match of gitignore-style patterns, in order."""
    prefixes = reach(patterns)
    if prefixes is None:
        return table_pages
    numbers = {number for prefix in prefixes for number in pages_below(table_pages, prefix)}
    return [table_pages[number] for number in sorted(numbers)]


def _place(page: Page) -> bytes:
    return order_key(page.first_path)


def _literal_start(pattern: str) -> bytes:
    """The literal components that an anchored pattern begins with; empty if there are none."""
    if pattern != pattern.strip() or pattern.startswith("#"):
        return b""  # blanks at the end count only sometimes
    anchored = pattern.removesuffix("/")
    if "/" not in anchored:
        return b""
    components = anchored.removeprefix("/").split("/")
    literal = next((n for n, component in enumerate(components) if _SPECIAL & set(component)), len(components))
    if any(component in _NAMELESS for component in components):
        return b""
    return "/".join(components[:literal]).encode()
