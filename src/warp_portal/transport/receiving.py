"""Receives a tree: what a session of `protocol.sink` has to do with the file system (docs/transfer-protocol.md §5, §6)."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from warp_portal._native import Link, ScopeKeys, TreeSink
from warp_portal.archive.extraction import Overwrite
from warp_portal.archive.options import MIB, thread_count
from warp_portal.archive.problems import Problem, ProblemList
from warp_portal.errors import UsageError
from warp_portal.protocol import sink as sessions
from warp_portal.protocol.offers import Mode, Offer, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.tree import CatalogueEnd
from warp_portal.transport.conversation import Hands
from warp_portal.transport.sending import SUITE
from warp_portal.transport.state import Session

PAGES: Final = "pages"
JOURNAL: Final = "journal"
WINDOW: Final = 64 * MIB


@dataclass(frozen=True, slots=True)
class ReceiveProgress:
    """How far it is; totals are None until the source knows them."""

    entries: int = 0
    files: int = 0
    bytes_written: int = 0
    bytes_received: int = 0
    fragments_kept: int = 0
    bytes_wire: int = 0
    total_entries: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiveOptions:
    """How to restore. `owners` and `devices`: None = as root. `checkpoint_bytes`, `checkpoint_s`: what a kill may cost to be sent again."""

    overwrite: Overwrite = Overwrite.NEVER
    owners: bool | None = None
    devices: bool | None = None
    setuid: bool = False
    threads: int = 0
    checkpoint_bytes: int = 256 * MIB
    checkpoint_s: float = 5.0
    progress: Callable[[ReceiveProgress], None] | None = None


RECEIVE_DEFAULTS: Final = ReceiveOptions()


class TreeReceiving(Hands):
    """One tree that comes into one directory."""

    def __init__(
        self, link: Link, session: sessions.Sink, target: int, decide: "Decide", options: ReceiveOptions
    ) -> None:
        """`target`: the directory, open. `decide` says where the session's records are, or raises what refuses the offer."""
        self._link, self._session, self._target = link, session, target
        self._decide, self._options = decide, options
        self._engine: TreeSink | None = None
        self._offer: Offer | None = None
        self._end: CatalogueEnd | None = None
        self._kept = 0
        self._resources = ExitStack()
        self.problems = ProblemList()
        self.totals = dict[str, int]()
        self.skipped = dict[str, int]()

    def carry_out(self, output: Output) -> Outputs:
        """What the source said."""
        match output:
            case sessions.Offered(offer):
                return self._take(offer)
            case sessions.Missing(page, ranges):
                self._running.lost(page, list(ranges.spans))
            case CatalogueEnd():
                self._end = output
                self._running.finish(output.pages)
        return ()

    @property
    def _running(self) -> TreeSink:
        assert self._engine is not None
        return self._engine

    def _take(self, offer: Offer) -> Outputs:
        if not isinstance(offer.what, TreeOffer):
            raise UsageError("an archive is offered, and a tree is expected here")
        kept = self._decide(offer)
        records = tuple(self._open(kept, name) for name in (PAGES, JOURNAL))
        mode = Mode.WANTED if os.fstat(records[0]).st_size or os.listdir(self._target) else Mode.EVERYTHING
        self._engine = self._started(offer, offer.what, records, mode)
        self._offer = offer
        return self._session.accept(mode, WINDOW)

    def _open(self, session: Session, name: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(session.directory / name, flags, 0o600)
        self._resources.callback(os.close, fd)
        return fd

    def _started(self, offer: Offer, tree: TreeOffer, records: tuple[int, ...], mode: Mode) -> TreeSink:
        options = self._options
        root = os.geteuid() == 0
        return TreeSink(
            self._link,
            self._target,
            (records[0], records[1]),
            offer.session,
            ScopeKeys(tree.scope_secret, SUITE),
            overwrite=options.overwrite,
            owners=root if options.owners is None else options.owners,
            devices=root if options.devices is None else options.devices,
            setuid=options.setuid,
            everything=mode == Mode.EVERYTHING,
            cutter=(tree.algorithm, *tree.sizes),
            tag=offer.session[:8],
            threads=thread_count(options.threads),
            epoch_bytes=options.checkpoint_bytes,
            epoch_s=options.checkpoint_s,
        )

    def fileno(self) -> int | None:
        """The engine's."""
        return None if self._engine is None else self._engine.fileno()

    def news(self) -> Outputs:
        """What is wanted, what is durable, and the end."""
        if self._engine is None:
            return ()
        wants, kept, end = self._engine.news()
        outputs: Outputs = ()
        for page, spans in wants:
            outputs += self._session.want(page, Ranges.of_spans(spans))
        for epoch, pages in kept:
            ranges = {page: Ranges.of_spans(spans) for page, spans in pages.items()}
            self._kept += sum(each.count for each in ranges.values())
            outputs += self._session.durable(epoch, ranges)
        if end is not None:
            self._take_problems()
            outputs += self._session.restored(*end)
        return outputs

    def beat(self) -> None:
        """Progress."""
        if self._engine is None:
            return
        self._take_problems()
        self.totals = self._engine.totals()
        if self._options.progress is not None:
            self._options.progress(self._progress())

    def stop(self) -> None:
        """End the engine, and leave the records for another try."""
        if self._engine is not None:
            self._take_problems()
            self.totals, self.skipped = self._engine.totals(), self._engine.skips()
            self._engine.stop()
        self._resources.close()

    def _take_problems(self) -> None:
        for problem in self._running.problems():
            self.problems.add(Problem(*problem))

    def _progress(self) -> ReceiveProgress:
        known = self._end or self._offer
        totals = self.totals
        return ReceiveProgress(
            totals["entries"],
            totals["files"],
            totals["bytes_written"],
            totals["bytes_received"],
            self._kept,
            self._link.traffic()[1],
            None if known is None else known.entries,
            None if known is None else known.size_bytes,
        )


Decide = Callable[[Offer], Session]
"""Whether an offer is taken, and where the records of its session are; raises a WarpPortalError that refuses it."""
