"""Targets: sessions of the transfer protocol, fed with what a hostile machine may say, message by message.

`u8 which session`, then parts: a message each, or, behind ff (no CBOR begins so), a step of this side's own engine.
"""

from collections.abc import Callable
from typing import Final

from tests.fuzz import sections
from tests.unit.protocol.common import DIGEST
from tests.unit.protocol.dialogue import (
    FURTHER,
    LINK,
    OFFER,
    Side,
    claims,
    dialer,
    door,
    gathering,
    listener,
    public_key,
    sign,
)
from tests.unit.protocol.test_archive_sessions import OFFER as ARCHIVE_OFFER
from tests.unit.protocol.trees import WINDOW
from warp_portal.errors import ProtocolError, UsageError
from warp_portal.protocol.archive_sink import ArchiveSink, Expected
from warp_portal.protocol.archive_source import ArchiveSource
from warp_portal.protocol.claims import ByJoin
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.ending import Close
from warp_portal.protocol.handshake import Handshake
from warp_portal.protocol.messages import PROVED, STRANGER, parse
from warp_portal.protocol.offers import Mode, PagesHere
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Session
from warp_portal.protocol.sink import Sink
from warp_portal.protocol.source import Source
from warp_portal.protocol.source_side import SourceSide
from warp_portal.protocol.tree import CatalogueEnd

STEP: Final = b"\xff"
SAME: Final = 0xFE  # of pages that the sink has from before
ROLES: Final[tuple[Callable[[], Session], ...]] = (
    lambda: dialer(claims()["ticket"]),
    lambda: dialer(claims()["code"]),
    lambda: dialer(claims()["peer"]),
    lambda: listener(door()),
    lambda: Source(OFFER, sign),
    lambda: Sink(public_key()),
    lambda: ArchiveSource(ARCHIVE_OFFER, 5000, DIGEST),
    ArchiveSink,
    lambda: dialer(ByJoin(LINK), FURTHER),
    lambda: listener(gathering(), FURTHER),
)


def session(data: bytes) -> None:
    """A session ends in a typed error or goes on; it says CLOSE once, and nothing after it."""
    chosen, *parts = sections.split(data) or [b""]
    side = Side(ROLES[(chosen or b"\0")[0] % len(ROLES)]())
    if isinstance(side.session, Handshake | SourceSide):
        side.carry_out(side.session.start())
    limits = STRANGER if isinstance(side.session, Handshake) else PROVED
    for part in parts:
        if part.startswith(STEP):
            _step(side, (part + bytes(2))[1], (part + bytes(2))[2])
            continue
        try:
            message = parse(part, limits)
        except ProtocolError as error:
            side.carry_out(side.session.close(error))
        else:
            side.hear(message)
    _check(side)


def _check(side: Side) -> None:
    assert not isinstance(side.error, UsageError)
    assert side.error is None or side.session.over
    assert not any(isinstance(message, Close) for message in side.said[:-1])
    for message in side.said:
        assert parse(message.serialize()) == message
        assert ShortCode(7, "abandon-zoo-legal").password not in repr(message)
    assert all(repr(output) for output in side.told)


def _step(side: Side, what: int, number: int) -> None:
    """One step of the engine; those that are out of turn are refused."""
    session = side.session
    try:
        if isinstance(session, Source):
            _source_step(side, session, what, number)
        elif isinstance(session, Sink):
            _sink_step(side, session, what, number)
        elif isinstance(session, ArchiveSource):
            _archive_source_step(side, session, what, number)
        elif isinstance(session, ArchiveSink):
            _archive_sink_step(side, session, what, number)
    except UsageError:
        return


def _source_step(side: Side, source: Source, what: int, number: int) -> None:
    if what == SAME:
        side.carry_out(source.same(number, number * 9))
    elif what % 3 == 0:
        source.page(number)
    elif what % 3 == 1:
        side.carry_out(source.lost(number, Ranges.whole(1)))
    else:
        side.carry_out(source.catalogue_done(CatalogueEnd(number, DIGEST, 1, 1), what // 3 % 2))


def _sink_step(side: Side, sink: Sink, what: int, number: int) -> None:
    if what == SAME:
        side.carry_out(sink.accept(Mode.WANTED, WINDOW, PagesHere(1 + number, DIGEST)))
    elif what % 4 == 0:
        side.carry_out(sink.accept(Mode(1 + number % 2), WINDOW))
    elif what % 4 == 1:
        side.carry_out(sink.want(number, Ranges.whole(what // 4)))
    elif what % 4 == 2:
        side.carry_out(sink.durable(number, {number: Ranges.whole(1)}))
    else:
        side.carry_out(sink.restored(DIGEST, 1, 0))


def _archive_source_step(side: Side, source: ArchiveSource, what: int, number: int) -> None:
    if what % 5 == 0:
        source.listed(number)
    elif what % 5 == 1:
        source.page()
    elif what % 5 == 2:
        side.carry_out(source.lost(number, Ranges.whole(1)))
    elif what % 5 == 3:
        side.carry_out(source.broken())
    else:
        side.carry_out(source.pushed())


def _archive_sink_step(side: Side, sink: ArchiveSink, what: int, number: int) -> None:
    if what % 5 == 0:
        side.carry_out(sink.accept(WINDOW, Expected(5000, DIGEST)))
    elif what % 5 == 1:
        sink.listed(number)
    elif what % 5 == 2:
        side.carry_out(sink.want(number, Ranges.whole(1 + what // 5)))
    elif what % 5 == 3:
        side.carry_out(sink.durable(number, {number: Ranges.whole(1)}))
    else:
        side.carry_out(sink.complete(DIGEST, 1, 0))
