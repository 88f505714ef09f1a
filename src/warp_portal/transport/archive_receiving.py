"""Receives an archive as it is stored: what a session of `protocol.archive_sink` has to do with its file (docs/transfer-protocol.md §7)."""

import os

from warp_portal._native import ArchiveSink as Engine
from warp_portal.archive.limits import PAGE_RECORDS
from warp_portal.archive.options import thread_count
from warp_portal.archive.problems import Problem
from warp_portal.archive.receiving import Received, Target
from warp_portal.archive.receiving import Receiving as Arriving
from warp_portal.protocol.archive_sink import AllPushed, ArchiveSink, Broken, Expected
from warp_portal.protocol.exchange import METADATA_PAGES
from warp_portal.protocol.offers import ArchiveOffer, Offer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.sink_side import Missing
from warp_portal.protocol.tree import Finished
from warp_portal.transport.receiving import Outcome, ReceiveProgress, Receiving, Work


class ArchiveReceiving(Receiving):
    """One archive that comes into one file."""

    def __init__(self, work: Work, session: ArchiveSink, offer: Offer, target: Target) -> None:
        """Raises as `archive.receiving.Receiving` does."""
        super().__init__(work)
        what = offer.what
        assert isinstance(what, ArchiveOffer)
        self._session, self._path = session, os.fsencode(target.path)
        self._arriving = Arriving(target, what.commit, what.offset)
        self._engine: Engine | None = None
        self._pushed = False
        self._listed = self._received = self._safe = self._there = 0
        self._report: Received | None = None

    def begin(self) -> Outputs:
        """Accept it, with what is here already."""
        arriving, options = self._arriving, self.options
        fd = arriving.fd if arriving.needs_chunks else 0
        self._engine = Engine(
            self.link,
            fd,
            threads=thread_count(options.threads),
            epoch_bytes=options.checkpoint_bytes,
            epoch_s=options.checkpoint_s,
        )
        if arriving.needs_chunks:
            kept = self._engine.open_journal(*arriving.journal)
            self._there = sum(end - first for spans in kept.values() for first, end in spans)
            arriving.resume(kept)
        known = arriving.known.commit.digest() if arriving.known else None
        expected = Expected(arriving.commit.chunks, arriving.commit.digest())
        here = Ranges.of_ordinals(arriving.look_for_locators()) if self._spares else None
        return self._session.accept(self.options.window, expected, known, here)

    @property
    def _running(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def carry_out(self, output: Output) -> Outputs:
        """What the source said."""
        match output:
            case Missing(page, ranges) if page >= METADATA_PAGES:
                self._arriving.lost(page - METADATA_PAGES)
                self._miss(f"metadata page {page - METADATA_PAGES}")
            case Missing(page, ranges):
                spans = list(ranges.spans)
                self._running.lost(page, spans)
                self._arriving.lost_chunks(page, spans)
                self._miss(f"{ranges.count:,} chunks from {page * PAGE_RECORDS + spans[0][0]:,} on")
            case Broken(number):
                self._arriving.broken(number)
                self._miss("older snapshots")
            case AllPushed():
                self._pushed = True
        return ()

    def _miss(self, what: str) -> None:
        self.problems.add(Problem(self._path, f"the other side has damaged: {what}", 0))

    def fileno(self) -> int | None:
        """The engine's."""
        return None if self._engine is None else self._engine.fileno()

    def news(self) -> Outputs:
        """What came and is durable, what is wanted, and the end."""
        if self._engine is None or self._report is not None:
            return ()
        return self._take() + self._ask() + self._end()

    def _take(self) -> Outputs:
        arriving, outputs = self._arriving, tuple[Output, ...]()
        pieces, pages, again, kept = self._running.news()
        for offset, data in pieces:
            arriving.take(offset, data)
        self._session.listed(arriving.listed - self._listed)
        self._listed = arriving.listed
        for number, stored in pages:
            arriving.locators(number, stored)
        arriving.look_through()
        for page, spans in again:
            arriving.again(page, spans)
        if kept:
            # As of a moment ago: what came meanwhile is not durable yet.
            self._safe = self._received
        for epoch, durable in kept:
            arriving.keep(durable)
            ranges = {page: Ranges.of_spans(spans) for page, spans in durable.items()}
            self.kept += sum(each.count for each in ranges.values())
            outputs += self._session.durable(epoch, ranges)
        return outputs

    def _ask(self) -> Outputs:
        arriving, engine, outputs = self._arriving, self._running, tuple[Output, ...]()
        for number in arriving.ask_metadata(self.options.window):
            outputs += self._session.want(METADATA_PAGES + number, Ranges.whole(1))
        for request in arriving.ask_chunks(self.options.window, engine.received):
            engine.expect(request.page, request.stored, arriving.commit.offset, request.spans)
            outputs += self._session.want(request.page, Ranges.of_spans(request.spans))
        if arriving.waits_for_sync:
            engine.flush()
        return outputs

    def _end(self) -> Outputs:
        if not self._pushed or not self._arriving.complete:
            return ()
        self._report = report = self._arriving.finish()
        outputs = self._session.complete(self._arriving.commit.digest(), report.chunks, report.missing)
        self.arrived(report.chunks, report.missing)
        return outputs

    @property
    def bytes_done(self) -> int:
        """Stored bytes of chunks that came."""
        return self._received

    @property
    def bytes_kept(self) -> int:
        """What came before the journal was last written, and what an earlier try left."""
        return self._done(self._safe)

    def look(self) -> None:
        """Take its counter."""
        self._received = self._running.received

    def stop(self) -> None:
        """End the engine; the part and the records are left for another try."""
        if self._engine is not None:
            self.look()
            self._engine.stop()
        self._arriving.close()

    def progress(self) -> ReceiveProgress:
        """How far it is."""
        counted = (self._done(self._received), self._received, self.kept)
        return ReceiveProgress(0, 0, *counted, self.link.traffic()[1], self.link.connections, None, self._total)

    @property
    def _total(self) -> int:
        arriving = self._arriving
        return arriving.commit.end - (arriving.known.commit.end if arriving.known else 0)

    def _done(self, received: int) -> int:
        """With what an earlier try left, counted as chunks of the mean size."""
        there = self._total * self._there // max(1, self._arriving.commit.chunks)
        return min(self._total, there + received)

    def outcome(self, finished: Finished) -> Outcome:
        """What became of it, after the end."""
        assert self._report is not None
        counted = (1, self._arriving.commit.end, self._received, self.link.traffic()[1])
        signature = self._report.signature.value
        return Outcome(
            finished.partial, finished.restored, finished.failed, *counted, self.problems, signature=signature
        )
