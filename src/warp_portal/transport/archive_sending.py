"""Sends an archive as it is stored: what a session of `protocol.archive_source` has to do with its file (docs/transfer-protocol.md §7)."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from warp_portal._native import ArchiveSource as Engine
from warp_portal.archive.header import MAGIC
from warp_portal.archive.limits import PAGE_RECORDS
from warp_portal.archive.offering import Offering
from warp_portal.archive.options import thread_count
from warp_portal.archive.problems import Problem
from warp_portal.archive.storage import AnyPath
from warp_portal.protocol.archive_source import ArchiveSource, StartArchive
from warp_portal.protocol.exchange import METADATA_PAGES
from warp_portal.protocol.offers import ArchiveOffer, Offer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.source_side import Answer, KeptNow, Revoke
from warp_portal.protocol.tree import Finished
from warp_portal.transport.sending import Cargo, Sending, SendProgress, SendReport, Visit, titled

Push = Callable[[Engine], bool]
"""Puts something on the link; False while there is no room."""

_LOST: Final = "is damaged and was not sent"


def is_archive(path: AnyPath) -> bool:
    """Whether a regular file begins as an archive does. Raises OSError for one that cannot be read."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class ArchiveCargo(Cargo):
    """The newest snapshot of an archive, with all before it, as it is when a machine comes for it."""

    is_archive = True

    def __init__(self, path: AnyPath) -> None:
        """Raises as `Offering` does."""
        whole = os.path.abspath(os.fsencode(path))
        Offering(whole).close()
        self.paths = (whole,)
        self.title = titled(os.path.basename(whole))

    def stow(self, records: Path, resumed: bool) -> None:
        """It is ready where it lies."""

    def sending(self, visit: Visit) -> "ArchiveSending":
        """One machine's. Raises as `Offering` does, for the file may have changed."""
        return ArchiveSending(visit, self.paths[0], self.title)

    def close(self) -> None:
        """Nothing is open between machines."""


class ArchiveSending(Sending):
    """One archive on its way to one machine."""

    def __init__(self, visit: Visit, path: bytes, title: str) -> None:
        super().__init__(visit)
        self._offering = Offering(path)
        self._path, self._commit = path, self._offering.commit
        commit = self._commit
        offer = Offer(visit.session, title, ArchiveOffer(commit.serialize(), commit.offset), None, commit.end)
        self.session: ArchiveSource = ArchiveSource(offer, commit.chunks, commit.digest())
        self._engine: Engine | None = None
        self._pushes: Iterator[Push] = iter(())
        self._waiting: Push | None = None
        self._said: list[Outputs] = []
        self._base = self._through = self._sent = 0

    def carry_out(self, output: Output) -> Outputs:
        """What the sink wants."""
        match output:
            case StartArchive(known, _, locators):
                self._start(known, locators)
            case Answer(request, page, ranges) if page < METADATA_PAGES:
                self._through = max(self._through, page * PAGE_RECORDS + ranges.end)
                self._running.answer(request, page, ranges.spans)
            case Answer(request, page):
                ref = self._offering.page(page - METADATA_PAGES)
                self._running.answer_metadata(request, page, (ref.offset, ref.stored_bytes, ref.digest))
            case Revoke(request):
                self._running.revoke(request)
            case KeptNow(total=total):
                self.kept = total
        return ()

    @property
    def _running(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def _start(self, known: bytes | None, spared: Ranges) -> None:
        refs = [(ref.offset, ref.stored_bytes, ref.digest) for ref in self._offering.locators]
        threads = thread_count(self._visit.options.threads)
        self._engine = Engine(self._visit.link, self._offering.file.fd, self._commit.offset, refs, threads=threads)
        self._pushes = self._all_pushes(known, spared)
        self.limit()

    def _all_pushes(self, digest: bytes | None, spared: Ranges) -> Iterator[Push]:
        """All that leaves without being asked for, in its order; the session is told of each before it leaves."""
        offering, session = self._offering, self.session
        known = offering.find(digest)
        self._base = known.end if known else 0
        first = offering.first_locator(known)
        session.skip(first)
        self._through = first * PAGE_RECORDS
        # Who has pages may want chunks of them before all others have left.
        for _ in range(first, len(offering.locators)):
            session.page()
        beginning = offering.beginning()
        yield lambda engine: engine.push(0, beginning)
        for step in offering.steps(known):
            session.listed(step.pages)
            for piece in step.pieces:
                yield _push(*piece)
        if not offering.whole_chain:
            self._said.append(session.broken())
            self.problems.add(Problem(self._path, f"{_LOST}: older snapshots", 0))
        for number in range(first, len(offering.locators)):
            if number not in spared:
                yield _push_page(number, offering.locator(number))
        self._said.append(session.pushed())

    def fileno(self) -> int | None:
        """The engine's."""
        return None if self._engine is None else self._engine.fileno()

    def news(self) -> Outputs:
        """What is damaged here, what leaves unasked, and that this is all of it."""
        if self._engine is None:
            return ()
        lost, _ = self._engine.news()
        outputs: Outputs = ()
        for page, spans in lost.items():
            ranges = Ranges.of_spans(spans)
            self.problems.add(Problem(self._path, f"{_LOST}: {_named(page, ranges)}", 0))
            outputs += self.session.lost(page, ranges)
        self._push_on()
        said, self._said = self._said, []
        return outputs + sum(said, ())

    def _push_on(self) -> None:
        """As much as there is room for."""
        while True:
            push = self._waiting or next(self._pushes, None)
            self._waiting = None
            if push is None:
                return
            if not push(self._running):
                self._waiting = push
                return

    def look(self) -> None:
        """Take its counter."""
        self._sent = self._running.sent

    def set_rate(self, rate: int) -> None:
        """Tell the engine."""
        self._running.limit(rate)

    def stop(self) -> None:
        """End the engine, and close the file."""
        if self._engine is not None:
            self.look()
            self._engine.stop()
        self._offering.close()

    @property
    def bytes_done(self) -> int:
        """Stored bytes of chunks that left."""
        return self._sent

    @property
    def bytes_settled(self) -> int:
        """Chunks are asked for in their order, so those before the last one asked for are there, or on their way."""
        asked = (self._commit.end - self._base) * self._through // max(1, self._commit.chunks)
        return max(self._sent, asked)

    def progress(self) -> SendProgress:
        """How far it is."""
        network = self._visit.link.traffic()[0], self._visit.link.connections
        return SendProgress(0, 0, self.bytes_settled, self.kept, *network, None, self._commit.end - self._base)

    def report(self, finished: Finished) -> SendReport:
        """What became of it, after the end."""
        counted = (self._commit.chunks, self._sent, self._sent, self._visit.link.traffic()[0])
        return SendReport(False, finished.restored, finished.failed, *counted, finished.partial, self.problems)


def _push(offset: int, data: bytes) -> Push:
    return lambda engine: engine.push(offset, data)


def _push_page(number: int, stored: bytes) -> Push:
    return lambda engine: engine.push_page(number, stored)


def _named(page: int, ranges: Ranges) -> str:
    if page >= METADATA_PAGES:
        return f"metadata page {page - METADATA_PAGES}"
    first, end = next(iter(ranges.spans))
    more = f" and {ranges.count - (end - first):,} more" if ranges.count > end - first else ""
    base = page * PAGE_RECORDS
    return f"chunks {base + first:,} to {base + end - 1:,}{more}"
