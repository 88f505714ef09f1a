"""Archives over links: the hands of both sides, on a pipe, with a sink that can be ended half-way."""

import threading
from pathlib import Path
from typing import NamedTuple

from tests.unit.protocol.common import SESSION

from warp_portal._native import Link, pipe
from warp_portal.archive.receiving import Target
from warp_portal.errors import WarpPortalError
from warp_portal.protocol.any_sink import AnySink
from warp_portal.protocol.archive_sink import ArchiveSink
from warp_portal.protocol.messages import PROVED
from warp_portal.protocol.offers import Offer
from warp_portal.protocol.session import Outputs, Session
from warp_portal.protocol.tree import Finished
from warp_portal.transport import archive_receiving, archive_sending
from warp_portal.transport.conversation import Conversation, Hands
from warp_portal.transport.receiving import Arrival, Outcome, ReceiveOptions, Work
from warp_portal.transport.sending import Visit

SOURCE_KEY, SINK_KEY = b"s" * 32, b"r" * 32
# As little as can be on the way, so that a kill finds something to do.
MEMORY = 4 << 20


class Killed(Exception):
    """Stands for the end of a process."""


class ArchiveReceiving(archive_receiving.ArchiveReceiving):
    """A sink that ends as if killed when about so many chunks are durable."""

    stop_after: int | None = None

    def news(self) -> Outputs:
        outputs = super().news()
        if self.stop_after is not None and self.kept >= max(1, self.stop_after):
            self.kill()
        return outputs

    def kill(self) -> None:
        """Nobody is told, nothing is tidied up."""
        raise Killed


class ArchiveSending(archive_sending.ArchiveSending):
    """A source that a test may end."""


class Taken(NamedTuple):
    """What became of it at the sink: chunks that were durable on this connection, and the outcome if it came to one."""

    durable: int
    outcome: Outcome | None


def transfer(archive: Path, target: Target, stop_after: int | None = None) -> tuple[ArchiveSending, Taken]:
    """Send an archive over a pipe; raises what ended the sink, or else the source."""
    links = pipe((SOURCE_KEY, SINK_KEY), b"e" * 32)
    errors: list[BaseException] = []
    visit = Visit(links[0], SESSION, b"", lambda _: b"", target.records)
    sending = ArchiveSending(visit, bytes(archive), "an archive")
    thread = threading.Thread(target=_run, args=(links[0], sending, errors))
    thread.start()
    session, made, outcome = AnySink(SOURCE_KEY, SESSION), list[ArchiveReceiving](), None

    def decide(offer: Offer) -> ArchiveReceiving:
        assert isinstance(session.chosen, ArchiveSink)
        options = ReceiveOptions(threads=2, memory=MEMORY, checkpoint_bytes=1 << 20, checkpoint_s=0.05)
        work = Work(links[1], options, lambda *_: None, lambda _: None)
        receiving = ArchiveReceiving(work, session.chosen, offer, target)
        receiving.stop_after = stop_after
        made.append(receiving)
        return receiving

    try:
        finished = _converse(links[1], session, (), Arrival(decide))
        outcome = made[0].outcome(finished)
    except Killed:
        links[1].abort(1, "")
    finally:
        thread.join()
    if errors and stop_after is None:
        raise errors[0]
    return sending, Taken(made[0].kept, outcome)


def _run(link: Link, hands: ArchiveSending, errors: list[BaseException]) -> None:
    try:
        _converse(link, hands.session, hands.session.start(), hands)
    except WarpPortalError as error:
        errors.append(error)


def _converse(link: Link, session: Session, begin: Outputs, hands: Hands) -> Finished:
    conversation = Conversation(link)
    conversation._limits = PROVED
    link.authorize()
    return conversation.run(session, begin, hands)
