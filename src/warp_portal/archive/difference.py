"""What changed from one tree to another, both as entries in archive order: a merge of two sorted streams.

    snapshot ─▶ tables ─┐
                        ├─▶ one entry of each at a time ─▶ added, removed, changed
    snapshot ─▶ tables ─┘   (or a live tree)

Content is compared by recipes: an archive holds each fragment once, so equal recipes are equal content. Only where the
holes of sparse files lie differently is it read. A further name of a file (hard link) is compared by what it links to;
its content shows at the first name. Times of change (ctime) and inodes are left out: they say nothing of what is there.
"""

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import IO, Final

from warp_portal._native import EntryTable, Matcher
from warp_portal.archive.content import read_table
from warp_portal.archive.filetable import Entry, Fields, Kind, order_key
from warp_portal.archive.options import checked_patterns
from warp_portal.archive.reader import ArchiveReader

BLOCK_BYTES: Final = 1 << 20
_FILES: Final = (Kind.FILE, Kind.HARDLINK)


class Aspect(enum.StrEnum):
    """What of an entry changed."""

    TYPE = "type"
    CONTENT = "content"
    SIZE = "size"
    LINK = "link"
    DEVICE = "device"
    MODE = "mode"
    OWNER = "owner"
    MTIME = "mtime"
    XATTRS = "xattrs"


@dataclass(frozen=True, slots=True)
class Change:
    """An entry before and after; None where there is none. `aspects` are of one that is on both sides."""

    path: bytes
    old: Entry | None
    new: Entry | None
    aspects: tuple[Aspect, ...] = ()


@dataclass(slots=True)
class Tally:
    """How many changes there were; bytes are logical bytes of files."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    bytes_added: int = 0
    bytes_removed: int = 0
    bytes_changed: int = 0
    """New sizes of the files whose content changed."""

    @property
    def total(self) -> int:
        """All changes."""
        return self.added + self.removed + self.changed

    def count(self, change: Change) -> None:
        """Take in one."""
        if change.old is None and change.new is not None:
            self.added += 1
            self.bytes_added += _file_bytes(change.new)
        elif change.new is None and change.old is not None:
            self.removed += 1
            self.bytes_removed += _file_bytes(change.old)
        elif change.new is not None:
            self.changed += 1
            self.bytes_changed += _file_bytes(change.new) if Aspect.CONTENT in change.aspects else 0


SameBytes = Callable[[Entry, Entry], bool]


def compare_snapshots(old: ArchiveReader, new: ArchiveReader, patterns: Iterable[str] = ()) -> Iterator[Change]:
    """The changes between two snapshots of one archive, in archive order. Raises IntegrityError.

    A page that both list is the same entries, and between those neither has any other: it is not read.
    """
    shared = {page.ref for page in old.table_pages()} & {page.ref for page in new.table_pages()}

    def tables(reader: ArchiveReader) -> Iterator[EntryTable]:
        for page in reader.table_pages():
            if page.ref not in shared:
                yield read_table(reader.file, reader.keys, page)

    def same_bytes(before: Entry, after: Entry) -> bool:
        with old.open_file(before.path) as one, new.open_file(after.path) as other:
            return equal_streams(one, other)

    return compare(tables(old), tables(new), same_bytes, patterns)


def compare(
    old: Iterable[EntryTable], new: Iterable[EntryTable], same_bytes: SameBytes, patterns: Iterable[str] = ()
) -> Iterator[Change]:
    """The changes between two trees whose recipes count fragments alike; `same_bytes` decides where recipes cannot."""
    matcher = Matcher(checked_patterns(patterns)) if patterns else None
    before, after = _rows(old, matcher), _rows(new, matcher)
    left, right = next(before, None), next(after, None)
    while left or right:
        if right is None or (left is not None and left[0] < right[0]):
            assert left is not None
            yield Change(left[1][0], Entry.from_fields(left[1]), None)
            left = next(before, None)
        elif left is None or right[0] < left[0]:
            yield Change(right[1][0], None, Entry.from_fields(right[1]))
            right = next(after, None)
        else:
            aspects = _aspects(left[1], right[1], same_bytes)
            if aspects:
                yield Change(left[1][0], Entry.from_fields(left[1]), Entry.from_fields(right[1]), aspects)
            left, right = next(before, None), next(after, None)


def _rows(tables: Iterable[EntryTable], matcher: Matcher | None) -> Iterator[tuple[bytes, Fields]]:
    """Entries with the key they are sorted by."""
    for table in tables:
        for index in table.matching(matcher) if matcher else range(len(table)):
            fields = table.entry(index)
            yield order_key(fields[0]), fields


def _aspects(old: Fields, new: Fields, same_bytes: SameBytes) -> tuple[Aspect, ...]:
    """What differs between two entries of one path."""
    if old[1:7] == new[1:7] and old[10:] == new[10:]:  # nearly always, so it is looked at first
        return ()
    before, after = Entry.from_fields(old), Entry.from_fields(new)
    both_files = before.kind in _FILES and after.kind in _FILES
    tests = {
        Aspect.TYPE: before.kind != after.kind and not both_files,
        Aspect.CONTENT: both_files and not _same_content(before, after, same_bytes),
        Aspect.SIZE: both_files and before.size != after.size,
        Aspect.LINK: (before.kind == after.kind or both_files) and before.link != after.link,
        Aspect.DEVICE: before.kind == after.kind and before.rdev != after.rdev,
        Aspect.MODE: before.mode != after.mode,
        Aspect.OWNER: (before.uid, before.gid) != (after.uid, after.gid),
        Aspect.MTIME: before.mtime_ns != after.mtime_ns,
        Aspect.XATTRS: before.xattrs != after.xattrs,
    }
    return tuple(aspect for aspect, differs in tests.items() if differs)


def _same_content(before: Entry, after: Entry, same_bytes: SameBytes) -> bool:
    if before.size != after.size:
        return False
    if Kind.HARDLINK in (before.kind, after.kind):
        return True  # as far as this name tells: see above
    if before.extents != after.extents:
        return same_bytes(before, after)
    if before.runs == after.runs:
        return True
    pairs = zip_longest(joined(before.runs), joined(after.runs))
    return all(one == other for one, other in pairs)


def joined(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """A recipe with runs that continue one another made one.

    >>> list(joined([(0, 3), (3, 2), (9, 1)]))
    [(0, 5), (9, 1)]
    """
    first = end = None
    for start, count in runs:
        if start != end:
            if first is not None and end is not None:
                yield first, end - first
            first = start
        end = start + count
    if first is not None and end is not None:
        yield first, end - first


def equal_streams(one: IO[bytes], other: IO[bytes]) -> bool:
    """Whether two streams give the same bytes to their ends."""
    while True:
        block = one.read(BLOCK_BYTES)
        if block != other.read(BLOCK_BYTES):
            return False
        if not block:
            return True


def _file_bytes(entry: Entry) -> int:
    return entry.size if entry.kind == Kind.FILE else 0
