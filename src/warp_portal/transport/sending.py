"""Sends a tree: what a session of `protocol.source` has to do with the file system (docs/transfer-protocol.md §5, §6)."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from warp_portal._native import Link, ScopeKeys, TreeSource
from warp_portal.archive.options import MIB, Source, thread_count
from warp_portal.archive.packing import BATCH_ENTRIES, walker_over
from warp_portal.archive.problems import Problem, ProblemList
from warp_portal.errors import UnreachableError
from warp_portal.primitives.compression import AUTO, Policy
from warp_portal.primitives.cutting import BUZHASH64, PROFILES
from warp_portal.protocol import source as sessions
from warp_portal.protocol.offers import Mode, Offer, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.tree import CatalogueEnd, Finished
from warp_portal.transport.conversation import Hands
from warp_portal.transport.ratelimit import RateLimit

SUITE: Final = (
    1  # names fragments by keys that are derived as those of an encrypted archive (docs/transfer-protocol.md §6)
)
CUTTING: Final = PROFILES["general"]
# A link that takes less than this for each core is worth compressing for; a faster one would wait for the compressor.
SLOW_PER_THREAD: Final = 60_000_000
# More than two cores work at a page at once; more memory than this is of no use to them.
MOST_WINDOW: Final = 256 * MIB


@dataclass(frozen=True, slots=True)
class SendProgress:
    """How far it is; `total_bytes` and `total_entries` are None until the walk is done."""

    entries: int = 0
    files: int = 0
    bytes_read: int = 0
    fragments_kept: int = 0
    bytes_wire: int = 0
    total_entries: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How to send. `compression`: none, always, or adaptive (only while the link is slower than the processor)."""

    compression: str = "adaptive"
    policy: Policy = AUTO
    threads: int = 0
    memory: int = 256 * MIB
    limit: RateLimit | None = None
    progress: Callable[[SendProgress], None] | None = None


SEND_DEFAULTS: Final = SendOptions()


@dataclass(slots=True)
class Survey:
    """What there is to send, counted by a walk of its own beside the sending; a context manager."""

    source: Source
    entries: int = 0
    size_bytes: int = 0
    done: bool = False
    _stop: bool = False
    _thread: threading.Thread | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._count, name="warp-survey", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        if self._thread is not None:
            self._thread.join()

    def _count(self) -> None:
        walker = walker_over(self.source)
        while not self._stop and (batch := walker.next(BATCH_ENTRIES)) is not None:
            self.entries += len(batch)
            self.size_bytes += batch.size
        self.done = not self._stop

    def totals(self) -> tuple[int | None, int | None]:
        """Entries and bytes, once all are known."""
        return (self.entries, self.size_bytes) if self.done else (None, None)


@dataclass(frozen=True, slots=True)
class SendReport:
    """How it ended: entries that the other side restored, and that failed there; what could not be read is in `problems`."""

    restored: int
    failed: int
    entries: int
    bytes_read: int
    bytes_packed: int
    bytes_wire: int
    problems: ProblemList


@dataclass(frozen=True, slots=True)
class Cargo:
    """What is sent. `records` is a file, open for reading and writing, that takes the pages."""

    source: Source
    offer: Offer
    survey: Survey
    records: int


class TreeSending(Hands):
    """One tree on its way to one machine."""

    def __init__(
        self,
        link: Link,
        session: sessions.Source,
        cargo: Cargo,
        options: SendOptions = SEND_DEFAULTS,
        is_back: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_back`: whether the other side has come again; then this connection is dead, though nobody said so."""
        self._link, self._session, self._cargo = link, session, cargo
        self._options, self._is_back = options, is_back
        self._engine: TreeSource | None = None
        self._walker = walker_over(cargo.source)
        self._kept = self._rate = 0
        self.problems = ProblemList()
        self.totals = dict[str, int]()

    def carry_out(self, output: Output) -> Outputs:
        """What the sink wants."""
        match output:
            case sessions.Start(mode, window_bytes):
                self._start(mode, window_bytes)
            case sessions.Answer(_, page, ranges):
                self._running.answer(page, list(ranges.spans))
            case sessions.KeptNow(total=total):
                self._kept = total
        return ()

    @property
    def _running(self) -> TreeSource:
        assert self._engine is not None
        return self._engine

    def _start(self, mode: Mode, window_bytes: int) -> None:
        tree = self._cargo.offer.what
        assert isinstance(tree, TreeOffer)
        options = self._options
        self._engine = TreeSource(
            self._link,
            self._walker,
            self._cargo.source.roots,
            self._cargo.records,
            ScopeKeys(tree.scope_secret, SUITE),
            cutter=(tree.algorithm, *tree.sizes),
            policy=list(options.policy.rows),
            compression=(options.compression, SLOW_PER_THREAD * thread_count(options.threads)),
            everything=mode == Mode.EVERYTHING,
            window=min(window_bytes, MOST_WINDOW, options.memory // 2),
            threads=thread_count(options.threads),
            memory=options.memory // 2,
        )
        self._limit()

    def fileno(self) -> int | None:
        """The engine's."""
        return None if self._engine is None else self._engine.fileno()

    def news(self) -> Outputs:
        """Pages that leave, what is lost, and the end of the tree."""
        if self._engine is None:
            return ()
        pages, lost, end = self._engine.news()
        outputs: Outputs = ()
        for fragments in pages:
            self._session.page(fragments)
        for page, spans in lost:
            outputs += self._session.lost(page, Ranges.of_spans(spans))
        if end is not None:
            self._take_problems()
            outputs += self._session.catalogue_done(CatalogueEnd(*end), self.problems.count)
        return outputs

    def beat(self) -> None:
        """Progress, and the limit of this hour. Raises UnreachableError when the other side has come again."""
        if self._is_back():
            raise UnreachableError("the other side came again on a new connection")
        if self._engine is None:
            return
        self._take_problems()
        self._limit()
        self.totals = self._engine.totals()
        if self._options.progress is not None:
            self._options.progress(self._progress())

    def stop(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._take_problems()
            self.totals = self._engine.totals()
            self._engine.stop()

    def _take_problems(self) -> None:
        for problem in (*self._walker.problems(), *self._running.problems()):
            self.problems.add(Problem(*problem))

    def _limit(self) -> None:
        if self._options.limit is not None:
            rate = self._options.limit.limit_at(datetime.now().astimezone()) or 0
            # Set anew, even to the same, it forgets what it has granted already.
            if rate != self._rate:
                self._running.limit(rate)
                self._rate = rate

    def _progress(self) -> SendProgress:
        entries, size_bytes = self._cargo.survey.totals()
        return SendProgress(
            self.totals["entries"],
            self.totals["files"],
            self.totals["bytes_read"],
            self._kept,
            self._link.traffic()[0],
            entries,
            size_bytes,
        )

    def report(self, finished: Finished) -> SendReport:
        """What became of it, after the end."""
        totals, wire = self.totals, self._link.traffic()[0]
        read, packed = totals["bytes_read"], totals["bytes_packed"]
        return SendReport(finished.restored, finished.failed, totals["entries"], read, packed, wire, self.problems)


def offer_of(source: Source, session: bytes, scope_secret: bytes, title: str, survey: Survey) -> Offer:
    """What is offered of a tree."""
    tree = TreeOffer(scope_secret, BUZHASH64, CUTTING.fragment, len(source.roots))
    return Offer(session, title, tree, *survey.totals())
