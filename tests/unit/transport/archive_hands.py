"""Archives over links: what a driver does with the two sessions, the native core and the archive's own modules."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.unit.protocol.common import SESSION

from warp_portal._native import ArchiveSink as SinkCore
from warp_portal._native import ArchiveSource as SourceCore
from warp_portal._native import Link, pipe
from warp_portal.archive.offering import Offering
from warp_portal.archive.receiving import Received, Receiving, Target
from warp_portal.errors import WarpPortalError
from warp_portal.protocol.archive_sink import AllPushed, ArchiveSink, Broken, Expected
from warp_portal.protocol.archive_source import ArchiveSource, StartArchive
from warp_portal.protocol.exchange import METADATA_PAGES
from warp_portal.protocol.messages import PROVED
from warp_portal.protocol.offers import ArchiveOffer, Offer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.sink_side import Missing, Offered
from warp_portal.protocol.source_side import Answer, KeptNow, Revoke
from warp_portal.protocol.tree import Finished
from warp_portal.transport.conversation import Conversation, Hands

WINDOW = 4 << 20
# What is asked for at once by one that is to be killed.
LITTLE = 256 << 10


class ArchiveSending(Hands):
    """One archive that goes."""

    def __init__(self, link: Link, offering: Offering) -> None:
        self._link, self._offering = link, offering
        commit = offering.commit
        offer = Offer(SESSION, "archive", ArchiveOffer(commit.serialize(), commit.offset))
        self.session = ArchiveSource(offer, commit.chunks, commit.digest())
        self._engine: SourceCore | None = None
        self._pushes: Iterator[Callable[[SourceCore], bool]] | None = None
        self._waiting: Callable[[SourceCore], bool] | None = None
        self._said: list[Outputs] = []
        self.sent = self.durable = 0

    def carry_out(self, output: Output) -> Outputs:
        engine = self._engine
        match output:
            case StartArchive(known):
                refs = [(ref.offset, ref.stored_bytes, ref.digest) for ref in self._offering.locators]
                commit = self._offering.commit
                self._engine = SourceCore(self._link, self._offering.file.fd, commit.offset, refs, threads=2)
                self._pushes = self._all_pushes(known)
            case Answer(request, page, ranges) if engine:
                if page < METADATA_PAGES:
                    engine.answer(request, page, ranges.spans)
                else:
                    ref = self._offering.page(page - METADATA_PAGES)
                    engine.answer_metadata(request, page, (ref.offset, ref.stored_bytes, ref.digest))
            case Revoke(request) if engine:
                engine.revoke(request)
            case KeptNow():
                self.durable = output.total
        return ()

    def _all_pushes(self, digest: bytes | None) -> Iterator[Callable[[SourceCore], bool]]:
        offering, session = self._offering, self.session
        known = offering.find(digest)
        yield lambda engine: engine.push(0, offering.beginning())
        for step in offering.steps(known):
            session.listed(step.pages)
            for offset, data in step.pieces:
                yield lambda engine, offset=offset, data=data: engine.push(offset, data)  # type: ignore[misc]
        if not offering.whole_chain:
            self._said.append(session.broken())
        first = offering.first_locator(known)
        session.skip(first)
        for number in range(first, len(offering.locators)):
            session.page()
            stored = offering.locator(number)
            yield lambda engine, number=number, stored=stored: engine.push_page(number, stored)  # type: ignore[misc]
        self._said.append(session.pushed())

    def fileno(self) -> int | None:
        return self._engine.fileno() if self._engine else None

    def news(self) -> Outputs:
        if self._engine is None:
            return ()
        lost, _ = self._engine.news()
        outputs = sum((self.session.lost(page, Ranges.of_spans(spans)) for page, spans in lost.items()), ())
        while self._pushes is not None:
            self._waiting = self._waiting or next(self._pushes, None)
            if self._waiting is None:
                self._pushes = None
            elif self._waiting(self._engine):
                self._waiting = None
            else:
                break
        said, self._said = sum(self._said, ()), []
        return outputs + said

    def beat(self) -> None:
        if self._engine:
            self.sent = self._engine.sent

    def stop(self) -> None:
        if self._engine:
            self.sent = self._engine.sent
            self._engine.stop()


class ArchiveReceiving(Hands):
    """One archive that comes. `stop_after`: ask for no more than about so many chunks, and end as if killed when they are durable."""

    def __init__(self, link: Link, target: Target, stop_after: int | None = None) -> None:
        self._link, self._target = link, target
        self.session = ArchiveSink(SESSION)
        self._receiving: Receiving | None = None
        self._engine: SinkCore | None = None
        self._pushed = False
        self._listed = 0
        self._stop_after, self._asked, self.durable = stop_after, 0, 0
        self.report: Received | None = None

    def carry_out(self, output: Output) -> Outputs:
        match output:
            case Offered(offer):
                return self._begin(offer.what)
            case Missing(page, ranges):
                self._lose(page, list(ranges.spans))
            case Broken(number):
                self._running.broken(number)
            case AllPushed():
                self._pushed = True
        return ()

    @property
    def _running(self) -> Receiving:
        assert self._receiving
        return self._receiving

    def _begin(self, what: object) -> Outputs:
        assert isinstance(what, ArchiveOffer)
        self._receiving = receiving = Receiving(self._target, what.commit, what.offset)
        fd = receiving.fd if receiving.needs_chunks else 0
        self._engine = SinkCore(self._link, fd, threads=2, epoch_bytes=1 << 20, epoch_s=0.05)
        if receiving.needs_chunks:
            receiving.resume(self._engine.open_journal(*receiving.journal))
        known = receiving.known.commit.digest() if receiving.known else None
        expected = Expected(receiving.commit.chunks, receiving.commit.digest())
        return self.session.accept(WINDOW, expected, known)

    def _lose(self, page: int, spans: list[tuple[int, int]]) -> None:
        assert self._engine
        if page >= METADATA_PAGES:
            self._running.lost(page - METADATA_PAGES)
        else:
            self._engine.lost(page, spans)
            self._running.lost_chunks(page, spans)

    def fileno(self) -> int | None:
        return self._engine.fileno() if self._engine else None

    def news(self) -> Outputs:
        if self._engine is None or self.report is not None:
            return ()
        receiving, outputs = self._running, tuple[Output, ...]()
        pieces, pages, wants, kept = self._engine.news()
        for offset, data in pieces:
            receiving.take(offset, data)
        self.session.listed(receiving.listed - self._listed)
        self._listed = receiving.listed
        for number, stored in pages:
            receiving.locators(number, stored)
        for page, spans in wants:
            receiving.again(page, spans)
        for epoch, durable in kept:
            receiving.keep(durable)
            ranges = {page: Ranges.of_spans(spans) for page, spans in durable.items()}
            self.durable += sum(each.count for each in ranges.values())
            outputs += self.session.durable(epoch, ranges)
        if self._stop_after is not None and self.durable >= max(1, self._stop_after):
            self.kill()
        return outputs + self._ask() + self._end()

    def _ask(self) -> Outputs:
        assert self._engine
        outputs = tuple[Output, ...]()
        for number in self._running.ask_metadata(WINDOW):
            outputs += self.session.want(METADATA_PAGES + number, Ranges.whole(1))
        room = WINDOW if self._stop_after is None else LITTLE
        requests = [] if self._is_enough else self._running.ask_chunks(room, self._engine.received)
        for request in requests:
            self._asked += sum(end - start for start, end in request.spans)
            self._engine.expect(request.page, request.stored, self._running.commit.offset, request.spans)
            outputs += self.session.want(request.page, Ranges.of_spans(request.spans))
        if self._running.waits_for_sync or self._is_enough:
            self._engine.flush()
        return outputs

    @property
    def _is_enough(self) -> bool:
        return self._stop_after is not None and self._asked >= self._stop_after

    def kill(self) -> None:
        """Nobody is told, nothing is tidied up."""
        raise Killed

    def _end(self) -> Outputs:
        if not self._pushed or not self._running.complete:
            return ()
        self.report = self._running.finish()
        return self.session.complete(self._running.commit.digest(), self.report.chunks, self.report.missing)

    def beat(self) -> None:
        """Nothing is shown."""

    def stop(self) -> None:
        if self._engine:
            self._engine.stop()
        if self._receiving:
            self._receiving.close()


class Killed(Exception):
    """Stands for the end of a process."""


def transfer(archive: Path, target: Target, stop_after: int | None = None) -> tuple[ArchiveSending, ArchiveReceiving]:
    """Send an archive over a pipe; raises what ended the sink, or else the source."""
    links = pipe((b"s" * 32, b"r" * 32), b"e" * 32)
    errors: list[BaseException] = []
    with Offering(archive) as offering:
        sending = ArchiveSending(links[0], offering)
        thread = threading.Thread(target=_run, args=(links[0], sending, errors))
        thread.start()
        receiving = ArchiveReceiving(links[1], target, stop_after)
        try:
            _converse(links[1], receiving)
        except Killed:
            links[1].abort(1, "")
        finally:
            thread.join()
    if errors and stop_after is None:
        raise errors[0]
    return sending, receiving


def _run(link: Link, hands: ArchiveSending, errors: list[BaseException]) -> None:
    try:
        _converse(link, hands)
    except WarpPortalError as error:
        errors.append(error)


def _converse(link: Link, hands: ArchiveSending | ArchiveReceiving) -> Finished:
    conversation = Conversation(link)
    conversation._limits = PROVED
    link.authorize()
    begin = hands.session.start() if isinstance(hands, ArchiveSending) else ()
    return conversation.run(hands.session, begin, hands)
