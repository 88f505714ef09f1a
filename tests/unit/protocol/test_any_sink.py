"""The sink of whatever is offered: it is that of a tree or of an archive from the offer on, and nothing before."""

from typing import cast

import pytest
from tests.unit.protocol.common import DIGEST, MESSAGES, SESSION
from tests.unit.protocol.dialogue import OFFER as TREE
from tests.unit.protocol.dialogue import public_key
from tests.unit.protocol.trees import WINDOW

from warp_portal.errors import CancelledError, ProtocolError, UnreachableError, WarpPortalError
from warp_portal.protocol.any_sink import AnySink
from warp_portal.protocol.archive_sink import ArchiveSink, Expected
from warp_portal.protocol.ending import Close, CloseCode
from warp_portal.protocol.offers import Accept, Mode, Offer
from warp_portal.protocol.session import Closed, Send
from warp_portal.protocol.sink import Sink
from warp_portal.protocol.sink_side import Offered

ARCHIVE = cast(Offer, MESSAGES["offer an archive"])


def test_a_tree_is_taken_by_the_sink_of_trees() -> None:
    sink = AnySink(public_key(), SESSION)
    assert sink.receive(TREE) == (Offered(TREE),)
    assert isinstance(sink.chosen, Sink)
    assert sink.chosen.accept(Mode.WANTED, WINDOW) == (Send(Accept(Mode.WANTED, WINDOW)),)


def test_an_archive_is_taken_by_the_sink_of_archives() -> None:
    sink = AnySink(public_key())
    assert sink.receive(ARCHIVE) == (Offered(ARCHIVE),)
    assert isinstance(sink.chosen, ArchiveSink)
    (accept,) = sink.chosen.accept(WINDOW, Expected(1, DIGEST))
    assert isinstance(accept, Send)


@pytest.mark.parametrize("offer", [TREE, ARCHIVE], ids=["tree", "archive"])
def test_another_session_than_the_one_that_was_asked_for_is_refused(offer: Offer) -> None:
    with pytest.raises(ProtocolError):
        AnySink(public_key(), b"another session!").receive(offer)


@pytest.mark.parametrize("name", [name for name in MESSAGES if not name.startswith(("offer", "close"))])
def test_nothing_comes_before_an_offer(name: str) -> None:
    sink = AnySink(public_key())
    with pytest.raises(ProtocolError):
        sink.receive(MESSAGES[name])
    assert sink.chosen is None


@pytest.mark.parametrize("first", [TREE, ARCHIVE], ids=["tree", "archive"])
@pytest.mark.parametrize("second", [TREE, ARCHIVE], ids=["tree", "archive"])
def test_only_one_offer_is_made(first: Offer, second: Offer) -> None:
    sink = AnySink(public_key())
    sink.receive(first)
    with pytest.raises(ProtocolError):
        sink.receive(second)


@pytest.mark.parametrize("offer", [None, TREE, ARCHIVE], ids=["nothing", "tree", "archive"])
def test_it_ends_at_any_time(offer: Offer | None) -> None:
    ours, theirs = AnySink(public_key()), AnySink(public_key())
    if offer is not None:
        ours.receive(offer)
        theirs.receive(offer)
    (said,) = ours.close(CancelledError("stopped"))
    assert isinstance(said, Send)
    assert isinstance(said.message, Close)
    assert said.message.code == CloseCode.CANCELLED
    (closed,) = theirs.receive(Close(CloseCode.CANCELLED, "stopped"))
    assert isinstance(closed, Closed)
    assert isinstance(closed.error(), WarpPortalError)
    assert not isinstance(closed.error(), UnreachableError)
