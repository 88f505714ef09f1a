"""Restoring entries below a directory: which, and the loop that feeds the native pipeline.

Selection is by gitignore-style patterns. A selected hard link whose file is not selected becomes that file; further links to
the same file then link to it.
"""

import enum
import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from warp_portal._native import EntryTable, Matcher, UnpackPipeline, blake3
from warp_portal.archive.content import Page
from warp_portal.archive.filetable import FLAG_SPARSE, Entry, Kind, table_of
from warp_portal.archive.options import MIB, checked_patterns, thread_count
from warp_portal.archive.problems import Problem, ProblemList, Rest
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.storage import AnyPath
from warp_portal.errors import DamagedPageError, StorageFullError, UsageError

POLL_S: Final = 0.1
PROGRESS_S: Final = 0.05
PLANNED_SHARE: Final = 4  # of the memory, for tables and plans; chunks that are decoded take the rest
TAG_BYTES: Final = 8
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

Planned = tuple[EntryTable, list[int] | None]
Damaged = Callable[[Problem], None]


class Overwrite(enum.IntEnum):
    """What happens to what is there already: `CHANGED` = where size or mtime differ."""

    NEVER = 0
    CHANGED = 1
    ALWAYS = 2


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    """What to restore and how. Without patterns, everything; owners and devices None = if we are root.

    With `keep_damaged` what is left of a file with damaged data is kept as NAME.damaged-…, with zeros for the rest.
    """

    patterns: tuple[str, ...] = ()
    overwrite: Overwrite = Overwrite.NEVER
    owners: bool | None = None
    devices: bool | None = None
    setuid: bool = False
    keep_damaged: bool = False
    threads: int = 0
    memory: int = 256 * MIB
    check_space: bool = True


EVERYTHING: Final = ExtractRequest()


@dataclass(frozen=True, slots=True)
class ExtractProgress:
    """How far a run is. `total_entries` and `total_bytes` are the snapshot's, or 0 if patterns select.

    `bytes_discarded` of the bytes written are of files that failed; `kept` are files of which what is left is kept.
    """

    entries: int = 0
    files: int = 0
    skipped: int = 0
    bytes_written: int = 0
    bytes_discarded: int = 0
    kept: int = 0
    bytes_read: int = 0
    chunks: int = 0
    total_entries: int = 0
    total_bytes: int = 0
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """A finished run: what was left out by rule, and what failed (errno 0: damaged data).

    `failed` counts all paths that did, `damaged` those for damaged data; `problems` are the first of them, up to 16 MiB.
    """

    progress: ExtractProgress
    skips: dict[str, int]
    problems: tuple[Problem, ...]
    failed: int
    damaged: int


ProgressCallback = Callable[[ExtractProgress], None]


@dataclass(slots=True)
class _Links:
    """Hard links whose file is not selected: the first becomes the file, later ones link to it."""

    reader: ArchiveReader
    matcher: Matcher
    damaged: Damaged
    replaced: dict[bytes, bytes] = field(default_factory=dict)

    def rewritten(self, link: Entry) -> Entry | None:
        """The entry to restore for a selected link; None if its file's is lost."""
        if self.matcher.matches(link.link, False):
            return link
        if link.link in self.replaced:
            return replace(link, link=self.replaced[link.link])
        try:
            file = self.reader.find(link.link)
        except DamagedPageError:
            self.damaged(_orphan(link))
            return None
        if file is None:
            return link
        self.replaced[link.link] = link.path
        return replace(file, path=link.path)


@dataclass(slots=True)
class _LostPages:
    """File-table pages that are damaged, and hard links to files whose entries were there."""

    reader: ArchiveReader
    damaged: Damaged
    offsets: set[int] = field(default_factory=set)

    def add(self, page: Page) -> None:
        """Tell of a page."""
        self.offsets.add(page.ref.offset)
        what = f"damaged data: the file-table page at {page.ref.offset}: {page.ref.records:,} entries from here on are lost"
        self.damaged(Problem(page.first_path, what, 0))

    def rewritten(self, link: Entry) -> Entry | None:
        """The link, unless its file's entry is lost: what else lies at that name is not its file."""
        if all(page.ref.offset not in self.offsets for page in self.reader.table_pages(link.link)[:1]):
            return link
        self.damaged(_orphan(link))
        return None


def _orphan(link: Entry) -> Problem:
    name = link.link.decode("utf-8", "backslashreplace")
    return Problem(link.path, f"damaged data: it is a name of {name}, whose entry is lost", 0)


def _unheard(_problem: Problem) -> None:
    """For those who look before the extraction, which tells."""


def plan(reader: ArchiveReader, request: ExtractRequest, damaged: Damaged = _unheard) -> Iterator[Planned]:
    """What `extract` restores, in order: tables, and which of their entries (None: all); what is lost with pages is `damaged`."""
    lost = _LostPages(reader, damaged)
    if not request.patterns:
        for table in reader.tables(damaged=lost.add):
            yield from _selected(table, list(range(len(table))), lost) if lost.offsets else [(table, None)]
        return
    patterns = checked_patterns(request.patterns)
    matcher = Matcher(patterns)
    links = _Links(reader, matcher, damaged)
    for table in reader.tables(patterns=patterns, damaged=lost.add):
        yield from _selected(table, table.matching(matcher), links)


def _selected(table: EntryTable, indices: list[int], links: _Links | _LostPages) -> Iterator[Planned]:
    """The selected entries of a table, split where a link is rewritten or left out."""
    kinds = table.to_columns()["k"]
    assert isinstance(kinds, bytes), "the column of types is a byte string"
    start = 0
    for place, index in enumerate(indices):
        if kinds[index] != Kind.HARDLINK:
            continue
        link = Entry.of(table, index)
        rewritten = links.rewritten(link)
        if rewritten == link:
            continue
        if start < place:
            yield table, indices[start:place]
        if rewritten is not None:
            yield table_of([rewritten]), None
        start = place + 1
    if start < len(indices):
        yield table, indices[start:]


def extract(
    reader: ArchiveReader,
    directory: AnyPath,
    request: ExtractRequest = EVERYTHING,
    progress: ProgressCallback | None = None,
    problems: ProblemList | None = None,
) -> ExtractReport:
    """Restore below `directory`, which is made if it is not there. The same call again goes on where one was stopped.

    `problems` are filled as they are found, for who wants to know them of a run that was stopped too.

    Raises:
        UsageError: `directory` is no directory.
        StorageFullError: the device has no room for it, before anything is written or on the way.
        IntegrityError: metadata is not what it must be; what is damaged, and lost by that, is in the report instead.
    """
    name = os.fsdecode(directory).encode("utf-8", "replace").decode()
    try:
        os.makedirs(directory, exist_ok=True)
        target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{name} is no directory: name one, or a name that is free") from None
    try:
        if request.check_space:
            check_space(reader, target, request, name)
        return Extraction(reader, target, request, progress, problems or ProblemList()).run()
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(f"{name}: no room left: make room and repeat the command to resume") from error
        raise
    finally:
        os.close(target)


def check_space(reader: ArchiveReader, target: int, request: ExtractRequest, name: str) -> None:
    """Raises StorageFullError unless the free space holds all data selected that is not there yet."""
    status = os.fstatvfs(target)
    free = status.f_bavail * status.f_frsize
    if not request.patterns and reader.summary.bytes <= free:
        return
    needed = sum(_data_bytes(table, indices, target) for table, indices in plan(reader, request))
    if needed > free:
        raise StorageFullError(
            f"{name}: {needed:,} bytes are to be restored, and {free:,} are free: make room, or select less"
        )


def _data_bytes(table: EntryTable, indices: list[int] | None, target: int) -> int:
    """Bytes that the files of a table will add: without holes, and without what is there in full size."""
    total = 0
    for index in range(len(table)) if indices is None else indices:
        path, kind, _, _, _, size, _, _, _, flags, _, _, _, extents, _ = table.entry(index)
        if kind == Kind.FILE and size and not _is_there(path, size, target):
            total += sum(length for _, length in extents) if flags & FLAG_SPARSE else size
    return total


def _is_there(path: bytes, size: int, target: int) -> bool:
    try:
        return os.stat(path, dir_fd=target, follow_symlinks=False).st_size == size
    except OSError:
        return False


class Extraction:
    """A run of the unpack pipeline."""

    def __init__(
        self,
        reader: ArchiveReader,
        target: int,
        request: ExtractRequest,
        progress: ProgressCallback | None,
        problems: ProblemList,
    ) -> None:
        self._reader = reader
        self._request = request
        self._callback = progress
        self._start_s = time.monotonic()
        self._reported_s = 0.0
        self._problems = problems
        root = os.geteuid() == 0
        self._pipeline = UnpackPipeline(
            reader.file.fd,
            reader.index,
            reader.keys,
            target,
            overwrite=int(request.overwrite),
            owners=root if request.owners is None else request.owners,
            devices=root if request.devices is None else request.devices,
            setuid=request.setuid,
            whole=not request.patterns,
            keep_damaged=request.keep_damaged,
            tag=self._tag(),
            threads=thread_count(request.threads),
            memory=request.memory // PLANNED_SHARE,
        )

    def _tag(self) -> bytes:
        """The same for each try of one snapshot, so that a second try finds and ends what the first left."""
        return blake3(self._reader.uuid + self._reader.commit_hash)[:TAG_BYTES]

    def run(self) -> ExtractReport:
        """Feed everything planned and wait for the end."""
        try:
            for table, indices in plan(self._reader, self._request, self._problems.add):
                while not self._pipeline.submit(table, indices):
                    self._poll(0.0)
            self._pipeline.finish()
            while not self._poll(POLL_S):
                pass
            progress, found = self._progress(self._pipeline.poll(0.0)), self._problems
            return ExtractReport(progress, self._pipeline.skips(), found.kept, found.count, found.without_errno)
        finally:
            self._pipeline.abort()
            self._take_problems()

    def _poll(self, timeout_s: float) -> bool:
        """Take what there is to know; whether the pipeline is done."""
        counters = self._pipeline.poll(timeout_s)
        self._take_problems()
        now_s = time.monotonic()
        if self._callback and (counters["done"] or now_s - self._reported_s >= PROGRESS_S):
            self._reported_s = now_s
            self._callback(self._progress(counters))
        return bool(counters["done"])

    def _take_problems(self) -> None:
        for path, what, number, rest in self._pipeline.problems():
            self._problems.add(Problem(path, what, number, rest and Rest(*rest)))

    def _progress(self, counters: dict[str, int]) -> ExtractProgress:
        summary = self._reader.summary
        whole = not self._request.patterns
        return ExtractProgress(
            **{name: number for name, number in counters.items() if name != "done"},
            total_entries=summary.entries if whole else 0,
            total_bytes=summary.bytes if whole else 0,
            elapsed_s=time.monotonic() - self._start_s,
        )
