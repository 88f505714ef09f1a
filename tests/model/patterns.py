"""Patterns for one path of a tree, and which paths they name: gitignore's rules, as far as the model needs them."""

import re
from collections.abc import Iterable


def written(paths: Iterable[bytes]) -> list[bytes]:
    """Those that a pattern can be written for: text is, other bytes are not."""
    return [path for path in paths if path and path.decode(errors="replace").encode() == path]


def literal(name: bytes) -> str:
    """A pattern for exactly this name; a line break, which ends a pattern, is any character."""
    return re.sub(r"([\\*?\[\]{}!# ])", r"\\\1", name.decode()).replace("\n", "?")


def place(path: bytes) -> str:
    """A pattern for exactly this path."""
    return "/" + "/".join(map(literal, path.split(b"/")))


def named(path: bytes, wanted: bytes, anchored: bool) -> bool:
    """Whether a path is the wanted one or below it, or if not anchored the same of any path with its name."""
    if anchored:
        return path == wanted or path.startswith(wanted + b"/")
    return wanted.rpartition(b"/")[2] in path.split(b"/")
