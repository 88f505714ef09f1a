"""One run of packing: walk, feed the native pipeline, turn what it writes into pages, and commit.

The loop below is the whole orchestration. It runs some tens of times a second; everything that touches single bytes or
entries happens in the threads of the pipeline.

    walk ─▶ unchanged? ─▶ submit ──▶ pipeline ──▶ poll ─▶ index pages, file-table pages ─▶ checkpoint … snapshot
"""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from warp_portal._native import FragmentIndex, PackEvents, PackPipeline, ScopeKeys, WalkBatch, Walker
from warp_portal.archive.base import Base
from warp_portal.archive.commit import Commit
from warp_portal.archive.committing import CommitChain, Facts
from warp_portal.archive.content import Page, read_index_page
from warp_portal.archive.filetable import Entry, Kind, columns_of
from warp_portal.archive.header import Header
from warp_portal.archive.indexlog import IndexLog
from warp_portal.archive.interruption import Interruption
from warp_portal.archive.limits import KIND_FRAGMENT
from warp_portal.archive.options import PackOptions, PackProgress, Source, Stream, thread_count
from warp_portal.archive.pages import IndexPage
from warp_portal.archive.problems import ProblemList
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.tablelog import TableLog, Unchanged
from warp_portal.archive.toc import check_arguments
from warp_portal.clock import Clock
from warp_portal.errors import WarpPortalError

BATCH_ENTRIES: Final = 4096
# The walk runs ahead of the reading by up to 131,072 entries, about 40 MB, so that the total is known early.
BATCHES_AHEAD: Final = 32
POLL_S: Final = 0.1
# Polls are so frequent that checkpoints come about where they were asked for even at this rate.
FASTEST_BYTES_PER_S: Final = 1e9
PROGRESS_S: Final = 0.05

ProgressCallback = Callable[[PackProgress], None]


@dataclass(frozen=True, slots=True)
class Target:
    """An archive that is open for writing from `offset` on; `file` is None for a pipe."""

    fd: int
    file: ArchiveFile | None
    offset: int
    header: Header
    keys: ScopeKeys
    base: Base


@dataclass(frozen=True, slots=True)
class Job:
    """What to pack and how."""

    source: Source | Stream
    options: PackOptions
    clock: Clock
    progress: ProgressCallback | None = None

    def __post_init__(self) -> None:
        check_arguments(self.arguments())

    def arguments(self) -> dict[str, object]:
        """What the archive records of this run; a run with equal ones resumes it, but for the policy's version."""
        return self.source.arguments() | self.options.arguments()


class PipelineOutput:
    """The pipeline's end of the archive, for pages and commits between its chunks."""

    def __init__(self, pipeline: PackPipeline, target: Target) -> None:
        self._pipeline = pipeline
        self._target = target

    @property
    def offset(self) -> int:
        """Offset of the next byte."""
        return self._pipeline.offset

    def emit(self, blob: bytes) -> int:
        """Append `blob`; its offset."""
        return self._pipeline.emit(blob)

    def sync(self) -> None:
        """`fdatasync`, unless the archive is a pipe."""
        if self._target.file is not None:
            self._target.file.sync()


@dataclass(slots=True)
class Feed:
    """Batches that the walk has found and the pipeline has not taken."""

    walker: Walker | None
    unchanged: Unchanged | None
    waiting: deque[WalkBatch] = field(default_factory=deque)
    entries: int = 0
    logical_bytes: int = 0
    walk_done: bool = False
    finished: bool = False

    def walk(self) -> None:
        """Find one more batch, unless the walk is far ahead or over."""
        if self.walk_done or len(self.waiting) >= BATCHES_AHEAD:
            return
        batch = self.walker.next(BATCH_ENTRIES) if self.walker else None
        if batch is None:
            self.walk_done = True
            return
        self.entries += len(batch)
        self.logical_bytes += batch.size
        if self.unchanged:
            self.unchanged.apply(batch)
        self.waiting.append(batch)

    def submit(self, pipeline: PackPipeline) -> bool:
        """Walk and submit; whether more can be done at once."""
        self.walk()
        if self.waiting and pipeline.submit(self.waiting[0]):
            self.waiting.popleft()
            return True
        if self.walk_done and not self.waiting and not self.finished:
            self.finished = True
            pipeline.finish()
        return bool(self.waiting) or not self.walk_done


def walker_over(source: Source, archive_fd: int | None = None) -> Walker:
    """A walk over a source that passes over the archive itself, if there is one."""
    archive = [] if archive_fd is None else [os.fstat(archive_fd)]
    return Walker(
        source.roots,
        excludes=source.excludes,
        exclude_caches=source.exclude_caches,
        one_file_system=source.one_file_system,
        skip=[(status.st_dev, status.st_ino) for status in archive],
    )


def spill_directory(archive: bytes | None) -> bytes:
    """Where what exceeds the memory lies: beside the archive, where there is room for it, unless no file may be made there."""
    beside = os.path.dirname(os.path.abspath(archive)) if archive is not None else b""
    return beside if beside and os.access(beside, os.W_OK | os.X_OK) else os.fsencode(tempfile.gettempdir())


def known_fragments(
    index_pages: Iterable[Page], read: Callable[[Page], IndexPage], memory: int, directory: bytes
) -> FragmentIndex:
    """The fragments that an archive holds; what exceeds `memory` lies in a file in `directory`, without a name."""
    index = FragmentIndex(memory, directory)
    for page in index_pages:
        records = read(page)
        index.load(records.first, records.columns[1])
    return index


class Packing:
    """A run; `run` makes a snapshot or raises."""

    def __init__(self, target: Target, job: Job) -> None:
        self._target = target
        self._job = job
        self._start_s = job.clock.monotonic_s()
        self._scan_time_ns = job.clock.now_ns()
        self._pipeline = self._new_pipeline()
        self._output = PipelineOutput(self._pipeline, target)
        self._index = IndexLog(target.keys, self._output.emit, target.base, self._read_index)
        self._tables = TableLog(target.keys, self._output.emit)
        self._chain = CommitChain(target.header, target.keys, target.base, job.clock)
        self._feed = self._new_feed()
        self.problems = ProblemList()
        self._interruption = Interruption()
        self._settled = True  # whether all that was polled is in the logs: only then may a checkpoint be made
        self._checkpoints = 0
        self._poll_s = min(POLL_S, job.options.checkpoint_bytes / FASTEST_BYTES_PER_S)
        self._committed = (self._start_s, target.base.stored_bytes)
        self._reported_s = 0.0
        self.progress = PackProgress(resumed=target.base.unfinished)

    def _new_pipeline(self) -> PackPipeline:
        target, options = self._target, self._job.options
        cutting = target.header.cutting
        return PackPipeline(
            target.fd,
            target.offset,
            target.keys,
            self._fragments(options.memory // 4),
            cutter=(cutting.algorithm, *cutting.fragment),
            chunk=cutting.chunk,
            policy=options.policy.rows,
            threads=thread_count(options.threads),
            memory=options.memory * 3 // 4,
            verify=options.verify,
        )

    def _fragments(self, memory: int) -> FragmentIndex:
        """The fragments that the archive holds already. What exceeds `memory` lies beside the archive, without a name."""
        file = self._target.file
        directory = spill_directory(file.path if file else None)
        return known_fragments(self._target.base.index[KIND_FRAGMENT], self._read_index, memory, directory)

    def _read_index(self, page: Page) -> IndexPage:
        assert self._target.file is not None, "only a file has earlier pages"
        return read_index_page(self._target.file, self._target.keys, page)

    def _new_feed(self) -> Feed:
        source, target = self._job.source, self._target
        if isinstance(source, Stream):
            return Feed(None, None)
        walker = walker_over(source, target.fd)
        layers = target.base.layers
        unchanged = Unchanged(target.file, target.keys, layers, self._tables) if target.file and layers else None
        return Feed(walker, unchanged)

    def run(self) -> Commit:
        """Pack everything and commit a snapshot. On Ctrl-C, a checkpoint keeps what is done."""
        try:
            with self._interruption:
                if isinstance(self._job.source, Stream):
                    self._submit_stream(self._job.source)
                self._loop()
                return self._snapshot()
        except KeyboardInterrupt:
            self._last_checkpoint()
            raise
        finally:
            self._pipeline.abort()

    def _submit_stream(self, stream: Stream) -> None:
        entry = Entry(stream.name, Kind.FILE, stream.mode, os.getuid(), os.getgid(), mtime_ns=self._scan_time_ns)
        self._pipeline.submit_stream(stream.fd, columns_of([entry]))

    def _loop(self) -> None:
        done = False
        while not done:
            busy = self._feed.submit(self._pipeline)
            self._settled = False
            events = self._pipeline.poll(0.0 if busy else self._poll_s)
            self._absorb(events)
            self._settled = True
            self._interruption.check()
            done = events.done
            if not done and self._checkpoint_due():
                self._checkpoint()
            self._report(events, force=done)

    def _absorb(self, events: PackEvents) -> None:
        """Turn a batch of events into pages."""
        self._index.add(events)
        self._tables.add(events.tables)
        self.problems.extend(events.problems)
        if self._feed.walker:
            self.problems.extend(self._feed.walker.problems())

    def _checkpoint_due(self) -> bool:
        """After so many stored bytes or seconds, if there is anything new; a pipe cannot be resumed."""
        options, (time_s, stored_bytes) = self._job.options, self._committed
        if self._target.file is None:
            return False
        if self._index.stored_bytes - stored_bytes >= options.checkpoint_bytes:
            return True
        late = self._job.clock.monotonic_s() - time_s >= options.checkpoint_s
        return late and self._index.stored_bytes > stored_bytes

    def _checkpoint(self) -> None:
        """Make what is written so far resumable; readers of files go on meanwhile."""
        self._output.sync()  # the bulk of it before the writer is held
        self._settled = False
        events = self._pipeline.hold()
        try:
            self._absorb(events)
            self._tables.set_partial(events.partial)
            self._index.flush()
            listed = self._index.pages(news=True) + self._tables.pages(news=True)
            facts, key = self._facts(self._tables.position), self._job.options.signing_key
            self._chain.checkpoint(self._output, listed, facts, self._index.frontier, key)
        finally:
            self._pipeline.release()
        self._index.listed()
        self._tables.listed()
        self._settled = True
        self._checkpoints += 1
        self._committed = (self._job.clock.monotonic_s(), self._index.stored_bytes)

    def _last_checkpoint(self) -> None:
        """Keep what is done when the user stops the run; if that fails too, the checkpoint before holds."""
        if self._target.file is not None and self._settled and self._index.stored_bytes > self._committed[1]:
            try:
                self._checkpoint()
            except (OSError, WarpPortalError):
                return

    def _snapshot(self) -> Commit:
        self._tables.set_partial(None)
        self._index.flush()
        listed = self._index.pages(news=False) + self._tables.pages(news=False)
        key = self._job.options.signing_key
        return self._chain.snapshot(self._output, listed, self._facts(b""), self._index.frontier, key)

    def _facts(self, position: bytes) -> Facts:
        entries, logical_bytes = self._tables.totals
        return Facts(
            fragments=self._index.fragments,
            entries=entries,
            logical_bytes=logical_bytes,
            stored_bytes=self._index.stored_bytes,
            scan_time_ns=self._scan_time_ns,
            arguments=self._job.arguments(),
            owners=self._tables.owner_names(),
            position=position,
        )

    @property
    def idle_excludes(self) -> list[str]:
        """Patterns that name a place, and left nothing out; the others are often kept for many trees."""
        source, walker = self._job.source, self._feed.walker
        if isinstance(source, Stream) or walker is None:
            return []
        used = set(walker.used_excludes())
        named = [
            pattern for pattern in source.excludes if "/" in pattern.rstrip("/ ") and not pattern.startswith(("!", "#"))
        ]
        return [pattern for pattern in named if pattern.rstrip() not in used]

    @property
    def totals(self) -> tuple[int, int]:
        """Entries and logical bytes of the snapshot."""
        return self._tables.totals

    def _report(self, events: PackEvents, force: bool) -> None:
        now_s = self._job.clock.monotonic_s() - self._start_s
        if not force and now_s - self._reported_s < PROGRESS_S:
            return
        self._reported_s = now_s
        self.progress = PackProgress(
            **events.counters,
            archive_bytes=self._pipeline.offset,
            walked_entries=self._feed.entries,
            walked_bytes=self._feed.logical_bytes,
            walk_done=self._feed.walk_done,
            checkpoints=self._checkpoints,
            resumed=self._target.base.unfinished,
            current=events.current,
            elapsed_s=now_s,
        )
        if self._job.progress:
            self._job.progress(self.progress)
