"""Sends a tree: what a session of `protocol.source` has to do with the file system (docs/transfer-protocol.md §5, §6)."""

import os
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from warp_portal._native import ScopeKeys, TreeSource
from warp_portal.archive.filetable import order_key
from warp_portal.archive.options import MIB, Source, checked_patterns, thread_count
from warp_portal.archive.packing import BATCH_ENTRIES, walker_over
from warp_portal.archive.problems import Problem
from warp_portal.errors import NotFoundError, UsageError
from warp_portal.primitives.cutting import BUZHASH64, PROFILES
from warp_portal.protocol import source as sessions
from warp_portal.protocol.exchange import MAX_PAGES
from warp_portal.protocol.offers import Mode, Offer, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.tree import CatalogueEnd, Finished
from warp_portal.transport.sending import Cargo, Sending, SendProgress, SendReport, Visit, titled

SUITE: Final = (
    1  # names fragments by keys that are derived as those of an encrypted archive (docs/transfer-protocol.md §6)
)
CUTTING: Final = PROFILES["general"]
# A link that takes less than this for each core is worth compressing for; a faster one would wait for the compressor.
SLOW_PER_THREAD: Final = 60_000_000
# More than two cores work at a page at once; more memory than this is of no use to them.
MOST_WINDOW: Final = 256 * MIB


@dataclass(slots=True)
class Survey:
    """What there is to send, counted by a walk of its own beside the sending."""

    source: Source
    entries: int = 0
    size_bytes: int = 0
    done: bool = False
    _stopped: bool = False
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        """Begin to count."""
        self._thread = threading.Thread(target=self._count, name="warp-survey", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Count no more; idempotent."""
        self._stopped = True
        if self._thread is not None:
            self._thread.join()

    def _count(self) -> None:
        walker = walker_over(self.source)
        while not self._stopped and (batch := walker.next(BATCH_ENTRIES)) is not None:
            self.entries += len(batch)
            self.size_bytes += batch.size
        self.done = not self._stopped

    def totals(self) -> tuple[int | None, int | None]:
        """Entries and bytes, once all are known."""
        return (self.entries, self.size_bytes) if self.done else (None, None)


class Shares:
    """How many fragments of the pages that left the other side has, by its answers, which come in the order of the pages."""

    def __init__(self) -> None:
        self.listed = self.had = 0
        self._answered = 0
        self._waiting = deque[int]()

    def list(self, fragments: int) -> None:
        """A page of so many leaves."""
        self.listed += fragments
        self._waiting.append(fragments)

    def spare(self, pages: int, fragments: int) -> None:
        """The first pages, which have so many, need not leave: the other side has them. No page has left yet."""
        self._answered = pages
        self.listed = self.had = fragments

    def answer(self, page: int, wanted: int) -> None:
        """So many of a page are wanted; more of one that was answered before are no news of what is there."""
        if page == self._answered and self._waiting:
            self._answered += 1
            self.had += max(0, self._waiting.popleft() - wanted)


class TreeSending(Sending):
    """One tree on its way to one machine."""

    def __init__(self, visit: Visit, source: Source, survey: Survey, title: str) -> None:
        super().__init__(visit)
        self._tree = TreeOffer(visit.scope_secret, BUZHASH64, CUTTING.fragment, len(source.roots))
        self._offered = survey.totals()[0]
        offer = Offer(visit.session, title, self._tree, *survey.totals())
        self.session: sessions.Source = sessions.Source(offer, visit.sign)
        self._source, self._survey = source, survey
        self._engine: TreeSource | None = None
        self._walker = walker_over(source)
        self._resources = ExitStack()
        self.totals = dict[str, int]()
        self._shares = Shares()

    def carry_out(self, output: Output) -> Outputs:
        """What the sink wants."""
        match output:
            case sessions.Start():
                self._start(output)
            case sessions.Answer(_, page, ranges):
                self._shares.answer(page, ranges.count)
                self._running.answer(page, list(ranges.spans))
            case sessions.KeptNow(total=total):
                self.kept = total
        return ()

    @property
    def _running(self) -> TreeSource:
        assert self._engine is not None
        return self._engine

    def _start(self, start: sessions.Start) -> None:
        tree, options, here = self._tree, self._visit.options, start.pages
        self._everything = start.mode == Mode.EVERYTHING
        self._engine = TreeSource(
            self._visit.link,
            self._walker,
            self._source.roots,
            self._records(),
            ScopeKeys(tree.scope_secret, SUITE),
            cutter=(tree.algorithm, *tree.sizes),
            policy=list(options.policy.rows),
            compression=(options.compression, SLOW_PER_THREAD * thread_count(options.threads)),
            everything=self._everything,
            window=min(start.window_bytes, MOST_WINDOW, options.memory // 2),
            threads=thread_count(options.threads),
            memory=options.memory // 2,
            here=None if here is None or here.count >= MAX_PAGES else (here.count, here.digest),
        )
        self.limit()

    def _records(self) -> tuple[int, int]:
        """Files for the pages, and for how files are cut, open for reading and writing."""
        return self._open("pages"), self._open("cuts")

    def _open(self, name: str) -> int:
        fd = os.open(self._visit.records / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._resources.callback(os.close, fd)
        return fd

    def fileno(self) -> int | None:
        """The engine's."""
        return None if self._engine is None else self._engine.fileno()

    def news(self) -> Outputs:
        """Pages that leave, what is lost, and the end of the tree."""
        if self._engine is None:
            return ()
        spared, pages, lost, end = self._engine.news()
        outputs: Outputs = ()
        if spared is not None:
            outputs += self.session.same(*spared)
            self._shares.spare(*spared)
        for fragments in pages:
            self.session.page(fragments)
            self._shares.list(fragments)
        for page, spans in lost:
            outputs += self.session.lost(page, Ranges.of_spans(spans))
        if end is not None:
            self.look()
            self._miss(CatalogueEnd(*end).entries)
            outputs += self.session.catalogue_done(CatalogueEnd(*end), self.problems.count)
        return outputs

    def _miss(self, entries: int) -> None:
        """What was deleted before its directory was looked at has no other trace than the number that was offered."""
        gone = (self._offered or 0) - entries - self.problems.count
        if self._visit.is_only and gone > 0:
            place = os.path.commonpath([path for _, path in self._source.roots])
            what = "entry that was offered is" if gone == 1 else "entries that were offered are"
            self.problems.add(Problem(place, f"{gone:,} {what} gone", 0))

    def look(self) -> None:
        """Take its counters, and what could not be read."""
        for problem in (*self._walker.problems(), *self._running.problems()):
            self.problems.add(Problem(*problem))
        self.totals = self._running.totals()

    def set_rate(self, rate: int) -> None:
        """Tell the engine."""
        self._running.limit(rate)

    def stop(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self.look()
            self._engine.stop()
        self._resources.close()

    @property
    def bytes_done(self) -> int:
        """Bytes of fragments that left."""
        return self.totals.get("bytes_packed", 0)

    @property
    def bytes_settled(self) -> int:
        """What left, and what the other side has: of the pages that it has answered, or, where all leaves unasked, what is there twice."""
        totals = self.totals
        if not totals:
            return 0
        read = totals["bytes_read"]
        had = totals["bytes_duplicate"] if self._everything else read * self._shares.had // max(1, self._shares.listed)
        return min(read, totals["bytes_packed"] + had)

    def progress(self) -> SendProgress:
        """How far it is."""
        totals, link = self.totals, self._visit.link
        counted = (totals["entries"], totals["files"], self.bytes_settled)
        return SendProgress(*counted, self.kept, link.traffic()[0], link.connections, *self._survey.totals())

    def report(self, finished: Finished) -> SendReport:
        """What became of it, after the end."""
        totals, wire = self.totals, self._visit.link.traffic()[0]
        counted = (totals["entries"], totals["bytes_read"], totals["bytes_packed"])
        return SendReport(True, finished.restored, finished.failed, *counted, wire, finished.partial, self.problems)


class TreeCargo(Cargo):
    """Files and directories, each under a name of its own."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._survey = Survey(source)
        self.title = titled(b", ".join(name or os.path.basename(path) for name, path in source.roots))
        self.paths = tuple(path for _, path in source.roots)

    def stow(self, records: Path, resumed: bool) -> None:
        """It is ready where it lies."""

    def sending(self, visit: Visit) -> TreeSending:
        """One machine's."""
        return TreeSending(visit, self._source, self._survey, self.title)

    def __enter__(self) -> Self:
        self._survey.start()
        return self

    def close(self) -> None:
        """End the counting."""
        self._survey.stop()


def shared(paths: Iterable[str], *, excludes: Iterable[str] = (), **rules: bool) -> Source:
    """What is sent of these paths: each under its own name, `.` as the tree itself. Raises NotFoundError, UsageError."""
    roots = sorted((_root(os.fsencode(path)) for path in paths), key=lambda root: order_key(root[0]))
    if not roots:
        raise UsageError("nothing to send: name at least one path")
    names = [name for name, _ in roots]
    if len(set(names)) != len(names) or (b"" in names and len(names) > 1):
        raise UsageError(
            "two of the paths have one name, under which the other side would get both: send them one by one"
        )
    return Source(tuple(roots), tuple(checked_patterns(excludes)), **rules)


def _root(raw: bytes) -> tuple[bytes, bytes]:
    if not raw or not os.path.lexists(raw):
        raise NotFoundError(f"no such file or directory: {os.fsdecode(raw)}")
    if os.path.normpath(raw) == b".":
        return b"", os.path.realpath(raw)
    whole = os.path.realpath(raw) if raw.endswith((b"/", b"/..", b"/.")) else os.path.abspath(raw)
    name = os.path.basename(whole)
    return (name, whole) if name else (b"", b"/")
