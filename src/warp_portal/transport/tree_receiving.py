"""Receives a tree: what a session of `protocol.sink` has to do with the file system (docs/transfer-protocol.md §5, §6)."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from warp_portal._native import ScopeKeys, TreeSink
from warp_portal.archive.options import thread_count
from warp_portal.archive.problems import Problem
from warp_portal.errors import IntegrityError, RecordsError
from warp_portal.protocol import sink as sessions
from warp_portal.protocol.offers import Mode, Offer, PagesHere, TreeOffer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.tree import CatalogueEnd, Finished
from warp_portal.transport.files import open_private
from warp_portal.transport.parts import temporary_tag
from warp_portal.transport.receiving import Outcome, ReceiveProgress, Receiving, Work
from warp_portal.transport.tree_sending import SUITE

PAGES: Final = "pages"
JOURNAL: Final = "journal"


class TreePlace(NamedTuple):
    """Where a tree goes: its directory, open, and the directory of the session's records."""

    target: int
    records: Path


class TreeReceiving(Receiving):
    """One tree that comes into one directory."""

    def __init__(self, work: Work, session: sessions.Sink, offer: Offer, place: TreePlace) -> None:
        super().__init__(work)
        self._session, self._offer = session, offer
        self._target, self._records = place
        self._engine: TreeSink | None = None
        self._end: CatalogueEnd | None = None
        self._resources = ExitStack()
        self.totals = dict[str, int]()
        self.skipped = dict[str, int]()
        self._kept_bytes = 0

    def carry_out(self, output: Output) -> Outputs:
        """What the source said."""
        match output:
            case sessions.Spared(pages):
                self._running.spare(pages)
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

    def begin(self) -> Outputs:
        """Everything comes unasked where nothing is that could be missing, but for what may come over several connections."""
        tree = self._offer.what
        assert isinstance(tree, TreeOffer)
        records = self._open(PAGES), self._open(JOURNAL)
        is_empty = os.fstat(records[0]).st_size == 0 and not os.listdir(self._target)
        mode = Mode.EVERYTHING if is_empty and not self._may_branch else Mode.WANTED
        try:
            self._engine = self._started(tree, records, mode)
        except IntegrityError as error:
            advice = "discard the session (warp sessions discard), and receive again"
            raise RecordsError(f"{self._records}: {error}: {advice}") from None
        return self._session.accept(mode, self.options.window, self._here(mode))

    def _here(self, mode: Mode) -> PagesHere | None:
        """The pages that need not come."""
        if not self._spares or mode == Mode.EVERYTHING:
            return None
        count, digest = self._running.here()
        return PagesHere(count, digest) if count else None

    def _open(self, name: str) -> int:
        fd = open_private(self._records / name)
        self._resources.callback(os.close, fd)
        return fd

    def _started(self, tree: TreeOffer, records: tuple[int, int], mode: Mode) -> TreeSink:
        options, session = self.options, self._offer.session
        root = os.geteuid() == 0
        return TreeSink(
            self.link,
            self._target,
            records,
            session,
            ScopeKeys(tree.scope_secret, SUITE),
            overwrite=options.overwrite,
            owners=root if options.owners is None else options.owners,
            devices=root if options.devices is None else options.devices,
            setuid=options.setuid,
            everything=mode == Mode.EVERYTHING,
            cutter=(tree.algorithm, *tree.sizes),
            tag=temporary_tag(self._records),
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
        if kept:
            # As of a moment ago: what was written meanwhile is not durable yet.
            self._kept_bytes = self.totals.get("bytes_covered", 0)
        for epoch, pages in kept:
            ranges = {page: Ranges.of_spans(spans) for page, spans in pages.items()}
            self.kept += sum(each.count for each in ranges.values())
            outputs += self._session.durable(epoch, ranges)
        if end is not None:
            self.look()
            outputs += self._session.restored(*end)
            self.arrived(*end[1:])
        return outputs

    @property
    def bytes_done(self) -> int:
        """Bytes that were written."""
        return self.totals.get("bytes_written", 0)

    @property
    def bytes_kept(self) -> int:
        """What was dealt with when the journal was last written; an earlier connection's too, once this one has come to it."""
        return self._kept_bytes

    def look(self) -> None:
        """Take its counters, and what could not be restored."""
        for problem in self._running.problems():
            self.problems.add(Problem(*problem))
        self.totals = self._running.totals()

    def stop(self) -> None:
        """End the engine, and leave the records for another try."""
        if self._engine is not None:
            self.look()
            self.skipped = self._engine.skips()
            self._engine.stop()
        self._resources.close()

    def progress(self) -> ReceiveProgress:
        """What is dealt with counts, be it written now or before, or a hole; so the offer's size is the whole, if it was known then."""
        told = [each for each in (self._offer, self._end) if each is not None and each.size_bytes is not None]
        totals, known = self.totals, told[0] if told else self._offer
        counted = (totals["entries"], totals["files"], totals["bytes_covered"], totals["bytes_received"])
        network = self.link.traffic()[1], self.link.connections
        return ReceiveProgress(*counted, self.kept, *network, known.entries, known.size_bytes)

    def outcome(self, finished: Finished) -> Outcome:
        """What became of it, after the end."""
        totals = self.totals
        counted = (totals["files"], totals["bytes_written"], totals["bytes_received"], self.link.traffic()[1])
        size = None if self._end is None else self._end.size_bytes
        ended = finished.partial, finished.restored, finished.failed
        return Outcome(*ended, *counted, self.problems, skipped=self.skipped, size_bytes=size)
