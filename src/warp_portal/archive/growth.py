"""Which files and directories grew or shrank most: sums over a stream of changes, in memory that is bounded by its depth.

Changes come in archive order, so all that is beneath a directory comes together. A directory is open as long as that lasts;
when it ends, its sums are known, and go into those of the directory above:

    a/b/1  a/b/2  a/c/3        open: a, a/b  ─▶  a/b is done  ─▶  open: a, a/c

Bytes are those of regular files, each at its first name, as in `Tally`: of one that became something else its size goes out.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from warp_portal.archive.difference import Change
from warp_portal.archive.filetable import Entry, Kind, order_key


@dataclass(slots=True)
class Sums:
    """By how much files grew together, and how many were added, removed, or changed in whatever way."""

    grown_bytes: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0

    def include(self, other: "Sums") -> None:
        """Add another's numbers."""
        self.grown_bytes += other.grown_bytes
        self.added += other.added
        self.removed += other.removed
        self.changed += other.changed


@dataclass(frozen=True, slots=True)
class Growth:
    """A file with its own change, or a directory with those of the files beneath it."""

    path: bytes
    directory: bool
    sums: Sums


def largest_growths(changes: Iterable[Change], count: int) -> list[Growth]:
    """The `count` whose size changed by most bytes, up or down, the largest first, equal ones by path; it keeps no more."""
    return heapq.nsmallest(count, growths(changes), key=_rank)


def growths(changes: Iterable[Change]) -> Iterator[Growth]:
    """Every file and directory whose size changed; a directory after what is beneath it."""
    above = _Ancestors()
    for change in changes:
        sums = _file_sums(change)
        if sums is None:
            continue
        yield from above.leave(change.path)
        above.enter(change.path, sums)
        if sums.grown_bytes:
            yield Growth(change.path, directory=False, sums=sums)
    yield from above.leave(b"")


def _rank(growth: Growth) -> tuple[int, bytes, bool]:
    return -abs(growth.sums.grown_bytes), order_key(growth.path), growth.directory


@dataclass(slots=True)
class _Open:
    """A directory that more may come of: where its name ends in the path at hand, and its sums so far."""

    end: int
    sums: Sums = field(default_factory=Sums)


class _Ancestors:
    """The directories above the path at hand, the outermost first.

    They share that path: a copy for each would take the square of its length, which an archive may choose.
    """

    def __init__(self) -> None:
        self._path = b""
        self._open: list[_Open] = []

    def leave(self, path: bytes) -> Iterator[Growth]:
        """Close those that are not above `path`, the innermost first; what comes out are those whose size changed."""
        while self._open and not path.startswith(self._path[: self._open[-1].end + 1]):
            done = self._open.pop()
            if self._open:
                self._open[-1].sums.include(done.sums)
            if done.sums.grown_bytes:
                yield Growth(self._path[: done.end], directory=True, sums=done.sums)

    def enter(self, path: bytes, sums: Sums) -> None:
        """Open those above `path` that are not, and count it in the innermost."""
        end = path.find(b"/", self._open[-1].end + 1 if self._open else 0)
        while end >= 0:
            self._open.append(_Open(end))
            end = path.find(b"/", end + 1)
        self._path = path
        if self._open:
            self._open[-1].sums.include(sums)


def _file_sums(change: Change) -> Sums | None:
    """What one change means for the sums; None if there is a regular file on neither side."""
    before, after = _size(change.old), _size(change.new)
    if before is None and after is None:
        return None
    grown_bytes = (after or 0) - (before or 0)
    added, removed = change.old is None, change.new is None
    return Sums(grown_bytes, int(added), int(removed), int(not added and not removed))


def _size(entry: Entry | None) -> int | None:
    return entry.size if entry is not None and entry.kind == Kind.FILE else None


__all__ = ["Growth", "Sums", "growths", "largest_growths"]
