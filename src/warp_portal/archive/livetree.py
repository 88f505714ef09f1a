"""A tree as it is now, with recipes that count fragments as an archive does, so that it compares like a snapshot.

    walk ─▶ unchanged? ─▶ submit ──▶ pipeline ──▶ poll ─▶ tables          what is new goes to /dev/null

It is an append that keeps nothing: files are cut and their fragments named with the archive's keys, and those that it holds
get its ordinals. What the snapshot's metadata settles (same size, mtime, ctime and inode) is not read, unless all is to be.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from warp_portal._native import EntryTable, FragmentIndex, PackEvents, PackPipeline
from warp_portal.archive.base import Layer
from warp_portal.archive.content import read_index_page
from warp_portal.archive.difference import Change, compare, equal_streams
from warp_portal.archive.filetable import Entry
from warp_portal.archive.limits import KIND_FRAGMENT
from warp_portal.archive.options import MIB, Source, thread_count
from warp_portal.archive.packing import POLL_S, Feed, known_fragments, walker_over
from warp_portal.archive.problems import Problem, ProblemList
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.tablelog import Unchanged
from warp_portal.errors import FormatError, NotFoundError, UsageError
from warp_portal.primitives.compression import policy

# What is new is thrown away: it is not worth compressing.
_AS_IT_IS: Final = policy("none")
# What has replaced a file since it was walked can't lead elsewhere by its name, or block.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class LiveProgress:
    """How far the look at a tree is; `total_bytes` is None until the walk is done."""

    bytes_read: int
    bytes_reused: int
    total_bytes: int | None
    files: int
    current: bytes


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How to look: `read_all` reads files too whose metadata say that they did not change."""

    read_all: bool = False
    patterns: tuple[str, ...] = ()
    threads: int = 0
    memory: int = 256 * MIB
    progress: Callable[[LiveProgress], None] | None = None


LIVE_DEFAULTS: Final = LiveOptions()


def recorded_source(reader: ArchiveReader, directory: bytes | None = None) -> Source:
    """What the snapshot was made of and what it left out; with `directory`, the same stored paths below that.

    Raises:
        UsageError: it was made of a stream.
        NotFoundError: nothing is at any of these places.
        FormatError: its arguments are not what a writer records.
    """
    arguments = reader.summary.arguments
    if "stream" in arguments:
        raise UsageError("the snapshot was made of a stream: there is no tree to compare it with")
    roots, excludes = arguments.get("roots"), arguments.get("excludes")
    if not isinstance(roots, list) or not isinstance(excludes, list) or not all(isinstance(x, str) for x in excludes):
        raise FormatError("the arguments of the snapshot: its roots or what it excludes")
    places = tuple(_place(root, directory) for root in roots)
    there = tuple(place for place in places if os.path.lexists(place[1]))
    if not there:
        named = ", ".join(repr(os.fsdecode(disk)) for _, disk in places[:3])
        raise NotFoundError(f"nothing of the snapshot is at {named}: say with -C below which directory it is")
    flags = (arguments.get(name) is True for name in ("exclude_caches", "one_file_system"))
    return Source(there, tuple(excludes), *flags)


def _place(root: object, directory: bytes | None) -> tuple[bytes, bytes]:
    """A root's stored path and where it is on disk."""
    match root:
        case [bytes(stored), bytes(disk)] if b"\0" not in disk and os.path.isabs(disk):
            return stored, disk if directory is None else os.path.join(os.path.abspath(directory), stored)
    raise FormatError("the arguments of the snapshot: one of its roots")


@dataclass(slots=True)
class LiveTree:
    """One look at a tree, to be compared with the open snapshot; `problems` and `unreadable` fill as it goes."""

    reader: ArchiveReader
    source: Source
    options: LiveOptions = LIVE_DEFAULTS
    problems: ProblemList = field(default_factory=ProblemList)
    unreadable: set[bytes] = field(default_factory=set)
    """Stored paths that could not be read: they and what is below them are not known to be gone.

    All of them, be they millions: each one left out would be a file that is called removed and is there.
    """

    def changes(self) -> Iterator[Change]:
        """What changed since the snapshot, in archive order. Raises IntegrityError, OSError."""
        for change in compare(self.reader.tables(), self.tables(), self._same_bytes, self.options.patterns):
            if change.new is not None or not self._unknown(change.path):
                yield change

    def tables(self) -> Iterator[EntryTable]:
        """Its entries in archive order."""
        feed, pipeline = self._feed(), self._pipeline()
        try:
            done = False
            while not done:
                busy = feed.submit(pipeline)
                events = pipeline.poll(0.0 if busy else POLL_S)
                self._note(feed, events)
                yield from events.tables
                done = events.done
        finally:
            pipeline.abort()

    def _feed(self) -> Feed:
        reader, source = self.reader, self.source
        walker = walker_over(source, reader.file.fd)
        known = [Layer(reader.summary.scan_time_ns, reader.table_pages())]
        return Feed(walker, None if self.options.read_all else Unchanged(reader.file, reader.keys, known))

    def _pipeline(self) -> PackPipeline:
        cutting, memory = self.reader.header.cutting, self.options.memory
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            return PackPipeline(
                nowhere,
                0,
                self.reader.keys,
                self._fragments(memory // 4),
                cutter=(cutting.algorithm, *cutting.fragment),
                chunk=cutting.chunk,
                policy=_AS_IT_IS.rows,
                threads=thread_count(self.options.threads),
                memory=memory * 3 // 4,
                verify=False,
            )
        finally:
            os.close(nowhere)

    def _fragments(self, memory: int) -> FragmentIndex:
        """The snapshot's fragments; the archive's own place may be read-only."""
        read = partial(read_index_page, self.reader.file, self.reader.keys)
        place = os.fsencode(tempfile.gettempdir())
        return known_fragments(self.reader.content.pages[KIND_FRAGMENT], read, memory, place)

    def _note(self, feed: Feed, events: PackEvents) -> None:
        """Take in what could not be read, before the entries after it, and tell how far it is."""
        walked = feed.walker.problems() if feed.walker else []
        found = [*events.problems, *((self._stored(path), what, errno) for path, what, errno in walked)]
        self.problems.extend(found)
        self.unreadable |= {path for path, _, errno in found if errno}
        if self.options.progress:
            counters, total = events.counters, feed.logical_bytes if feed.walk_done else None
            read, reused = counters["bytes_read"], counters["bytes_reused"]
            self.options.progress(LiveProgress(read, reused, total, counters["files"], events.current))

    def _stored(self, disk: bytes) -> bytes:
        """The stored path of a path on disk."""
        for stored, root in self.source.roots:
            below = disk.removeprefix(root.rstrip(b"/"))
            if below != disk and below[:1] in (b"", b"/"):
                return (stored + below).strip(b"/")
        return disk

    def _on_disk(self, path: bytes) -> bytes:
        """Where the object with a stored path is."""
        for stored, root in self.source.roots:
            if path == stored:
                return root
            if not stored or path.startswith(stored + b"/"):
                return os.path.join(root, path[len(stored) :].lstrip(b"/"))
        raise UsageError(f"{os.fsdecode(path)!r} is in none of the compared trees")

    def _unknown(self, path: bytes) -> bool:
        """Whether a path lies at or below one that could not be read."""
        if not self.unreadable:
            return False
        parts = path.split(b"/")
        return any(b"/".join(parts[:number]) in self.unreadable for number in range(len(parts) + 1))

    def _same_bytes(self, before: Entry, after: Entry) -> bool:
        """Read both sides of a file whose holes lie differently now."""
        try:
            fd = os.open(self._on_disk(after.path), _OPEN_FLAGS)
            with open(fd, "rb") as live, self.reader.open_file(before.path) as stored:
                return equal_streams(stored, live)
        except OSError as error:  # gone, or replaced, since it was walked
            self.problems.add(Problem(after.path, "read", error.errno or 0))
            return True
