"""Pages of a tree that the sink has from an earlier connection: both sides count them as sent and answered, and nobody more than there are."""

import pytest
from tests.unit.protocol.common import DIGEST, RANGES
from tests.unit.protocol.dialogue import OFFER, Side, public_key, sign, talk
from tests.unit.protocol.trees import FINISH, WINDOW, whole

from warp_portal.errors import ProtocolError, UsageError
from warp_portal.protocol.exchange import Kept, Lost, Same, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Accept, Mode, PagesHere
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.sink import Missing, Sink, Spared
from warp_portal.protocol.source import Answer, Source, Start
from warp_portal.protocol.tree import CatalogueEnd, Finished

HERE = PagesHere(3, DIGEST)


def taking() -> Sink:
    """A sink that has three pages."""
    sink = Sink(public_key())
    sink.receive(OFFER)
    sink.accept(Mode.WANTED, WINDOW, HERE)
    return sink


def sending() -> Source:
    """A source whose first two pages are spared, of 1,034 fragments, and that sent one of 10 behind them."""
    source = Source(OFFER, sign)
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW, pages=HERE))
    source.same(1, 1024)
    source.same(2, 1034)
    source.page(10)
    return source


def test_what_is_here_does_not_come_and_is_wanted_where_it_is_lacking() -> None:
    source, sink = Source(OFFER, sign), Sink(public_key())
    left, right = Side(source), Side(sink)
    left.carry_out(source.start())
    talk(left, right)
    right.carry_out(sink.accept(Mode.WANTED, WINDOW, HERE))
    talk(left, right)
    left.carry_out(source.same(2, 2000))
    source.page(10)
    talk(left, right)
    right.carry_out(sink.want(1, whole(7)))
    right.carry_out(sink.want(2, Ranges()))
    right.carry_out(sink.durable(1, {1: whole(6)}))
    talk(left, right)
    left.carry_out(source.lost(1, Ranges(((6, 7),))))
    left.carry_out(source.catalogue_done(CatalogueEnd(3, DIGEST, 1, 1), 0))
    talk(left, right)
    right.carry_out(sink.restored(DIGEST, 1, 0))
    talk(left, right)
    assert left.error is right.error is None
    assert left.told[:2] == [Start(Mode.WANTED, WINDOW, HERE), Answer(1, 1, whole(7))]
    assert right.told[1:3] == [Spared(2), Missing(1, Ranges(((6, 7),)))]
    assert left.told[-1] == right.told[-1] == Finished(True, 1, 0)


def test_all_pages_may_be_spared() -> None:
    source, sink = Source(OFFER, sign), taking()
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW, pages=HERE))
    assert source.same(3, 3)[0].message == Same(3)  # type: ignore[attr-defined]  # it is a Send
    source.catalogue_done(CatalogueEnd(3, DIGEST, 1, 1), 0)
    sink.receive(Same(3))
    sink.receive(FINISH)
    assert sink.restored(DIGEST, 1, 0)


# What a lying sink says to that source.
LIES: dict[str, list[Message]] = {
    "nothing of a page that was spared": [Want(1, Ranges())],
    "the last page before its time": [Want(3, whole(1))],
    "more of the last page than it has": [Want(2, whole(11))],
    "more than all have, twice": [*[Want(0, whole(1024))] * 2, Want(2, whole(10)), Want(1, whole(31))],
    "kept of the last page before it was answered": [Want(0, whole(5)), Kept(1, {2: whole(1)})],
    "kept what was not wanted": [Kept(1, {0: whole(1)})],
    "accepted twice": [Accept(Mode.WANTED, WINDOW, pages=HERE)],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_sink_that_lies_is_found_out(lie: str) -> None:
    source = sending()
    for message in LIES[lie][:-1]:
        source.receive(message)
    with pytest.raises(ProtocolError):
        source.receive(LIES[lie][-1])


@pytest.mark.parametrize(
    "accept",
    [
        Accept(Mode.EVERYTHING, WINDOW, pages=HERE),
        Accept(Mode.WANTED, WINDOW, locators=RANGES),
        Accept(Mode.WANTED, WINDOW, DIGEST, pages=HERE),
    ],
)
def test_who_has_pages_of_a_tree_does_not_want_everything_nor_an_archive(accept: Accept) -> None:
    source = Source(OFFER, sign)
    source.start()
    with pytest.raises(ProtocolError):
        source.receive(accept)


# What a lying source says to a sink that has three pages.
SOURCE_LIES: dict[str, list[Message]] = {
    "more than are here": [Same(4)],
    "the same twice": [Same(2), Same(2)],
    "fewer than before": [Same(2), Same(1)],
    "some behind the end": [FINISH, Same(1)],
    "the end of fewer": [Same(3), Same(4)],
    "lost of a page that was not spared": [Same(1), Lost(1, whole(1))],
    "lost what was not wanted": [Same(1), Lost(0, whole(1))],
}


@pytest.mark.parametrize("lie", SOURCE_LIES)
def test_a_source_that_lies_is_found_out(lie: str) -> None:
    sink = taking()
    for message in SOURCE_LIES[lie][:-1]:
        sink.receive(message)
    with pytest.raises(ProtocolError):
        sink.receive(SOURCE_LIES[lie][-1])


def test_no_page_is_spared_behind_one_that_was_answered() -> None:
    sink = taking()
    sink.receive(Same(1))
    sink.want(1, Ranges())
    with pytest.raises(ProtocolError, match="SAME"):
        sink.receive(Same(2))


@pytest.mark.parametrize("pages", [0, 2, 4])
def test_an_engine_spares_no_page_twice_nor_one_that_the_sink_lacks(pages: int) -> None:
    source = Source(OFFER, sign)
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW, pages=HERE))
    source.same(2, 2)
    with pytest.raises(UsageError):
        source.same(pages, 9)


def test_an_engine_spares_no_page_behind_one_that_left() -> None:
    with pytest.raises(UsageError):
        sending().same(3, 2000)
