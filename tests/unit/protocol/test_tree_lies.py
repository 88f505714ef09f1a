"""Peers that claim what cannot be: of pages, of what is wanted, kept and lost, and of the end."""

import pytest
from tests.unit.protocol.common import DIGEST, SESSION
from tests.unit.protocol.dialogue import OFFER, public_key, sign
from tests.unit.protocol.trees import END, FINISH, SIZES, WINDOW, taking, whole

from warp_portal.errors import (
    ProtocolError,
    SignatureError,
    WarpPortalError,
)
from warp_portal.protocol.ending import Catalogue, Close, CloseCode, Done, Finish, signed_part
from warp_portal.protocol.exchange import MAX_PAGES, MAX_TREE_FRAGMENTS, Cancel, Kept, Lost, Same, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Accept, Mode
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.sink import Missing, Sink
from warp_portal.protocol.source import KeptNow, Source

# What a lying sink says to a source in mode WANTED that has sent pages of 1024, 0 and 10 fragments, none of them answered.
LIES: dict[str, list[Message]] = {
    "a page that was not sent": [Want(3, whole(1))],
    "a page that no tree has": [Want(MAX_PAGES, whole(1))],
    "a page before the one ahead of it": [Want(1, Ranges())],
    "more than the page has": [Want(0, whole(1025))],
    "something of a page without fragments": [Want(0, whole(1)), Want(1, whole(1))],
    "nothing of a page again": [Want(0, whole(1)), Want(0, Ranges())],
    "the same a third time": [Want(0, whole(1024))] * 3,
    "more than any page of a tree has": [Want(0, Ranges(((MAX_TREE_FRAGMENTS, MAX_TREE_FRAGMENTS + 1),)))],
    "kept of a page that was not answered": [Kept(1, {0: whole(1)})],
    "kept of a page that was not sent": [Want(0, whole(1024)), Kept(1, {0: whole(1), 3: whole(1)})],
    "kept more than was wanted": [Want(0, whole(5)), Kept(1, {0: whole(6)})],
    "kept twice": [Want(0, whole(5)), Kept(1, {0: whole(5)}), Kept(2, {0: whole(5)})],
    "an epoch that goes back": [Want(0, whole(5)), Kept(2, {0: whole(1)}), Kept(1, {0: whole(1)})],
    "a request that was not made": [Want(0, whole(5)), Cancel(2)],
    "a request cancelled twice": [Want(0, whole(5)), Cancel(1), Cancel(1)],
    "done before all was sent": [Done(DIGEST, 1, 0)],
    "accepted twice": [Accept(Mode.WANTED, WINDOW)],
    "a commit of an archive": [],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_sink_that_lies_is_found_out(lie: str) -> None:
    source = Source(OFFER, sign)
    source.start()
    if lie == "a commit of an archive":
        with pytest.raises(ProtocolError):
            source.receive(Accept(Mode.WANTED, WINDOW, DIGEST))
        return
    source.receive(Accept(Mode.WANTED, WINDOW))
    for size in SIZES:
        source.page(size)
    for message in LIES[lie][:-1]:
        source.receive(message)
    with pytest.raises(ProtocolError):
        source.receive(LIES[lie][-1])


def test_done_needs_an_answer_to_every_page() -> None:
    source = Source(OFFER, sign)
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW))
    for size in SIZES:
        source.page(size)
    source.catalogue_done(END, 0)
    with pytest.raises(ProtocolError, match="3 pages"):
        source.receive(Done(DIGEST, 1, 0))


def test_in_mode_everything_all_may_be_kept_without_being_asked_for() -> None:
    source = Source(OFFER, sign)
    source.start()
    source.receive(Accept(Mode.EVERYTHING, WINDOW))
    for size in SIZES:
        source.page(size)
    (told,) = source.receive(Kept(1, {0: whole(1024), 2: whole(10)}))
    assert told == KeptNow(1, {0: whole(1024), 2: whole(10)}, 1034)
    with pytest.raises(ProtocolError, match="more than was sent"):
        source.receive(Kept(1, {0: whole(1)}))


def test_empty_answers_in_mode_everything_have_an_end() -> None:
    source = Source(OFFER, sign)
    source.start()
    source.receive(Accept(Mode.EVERYTHING, WINDOW))
    source.page(2)
    for _ in range(1 + 2 * 2):
        source.receive(Want(0, Ranges()))
    with pytest.raises(ProtocolError, match="again and again"):
        source.receive(Want(0, Ranges()))


def test_a_source_needs_no_room_for_pages_without_fragments() -> None:
    source = Source(OFFER, sign)
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW))
    for _ in range(10_000):
        source.page(0)
    assert len(source._unanswered._runs) == 1
    for page in range(10_000):
        source.receive(Want(page, Ranges()))
    assert not source._unanswered._runs


# What a lying source says to a sink in mode WANTED that answered pages 0 and 1 and wants 5 fragments of page 0.
SOURCE_LIES: dict[str, tuple[list[Message], type[WarpPortalError]]] = {
    "lost of a page that was not answered": ([Lost(2, whole(1))], ProtocolError),
    "lost more than was wanted": ([Lost(0, whole(5)), Lost(0, whole(1))], ProtocolError),
    "lost more than a page has": ([Lost(0, Ranges(((2048, 2049),)))], ProtocolError),
    "fewer pages than came": ([Finish(1, DIGEST, FINISH.catalogue)], ProtocolError),
    "more pages than there can be": ([Finish(MAX_PAGES + 1, DIGEST, FINISH.catalogue)], ProtocolError),
    "the end of an archive": ([Finish(3, DIGEST)], ProtocolError),
    "the end twice": ([FINISH, FINISH], ProtocolError),
    "another digest than the signed one": ([Finish(3, bytes(32), FINISH.catalogue)], SignatureError),
    "pages that nobody has": ([Same(1)], ProtocolError),
    "offered twice": ([OFFER], ProtocolError),
    "all well before it is": ([Close(CloseCode.OK)], ProtocolError),
    "all well but for something": ([FINISH, Close(CloseCode.PARTIAL)], ProtocolError),
}


@pytest.mark.parametrize("lie", SOURCE_LIES)
def test_a_source_that_lies_is_found_out(lie: str) -> None:
    messages, error = SOURCE_LIES[lie]
    sink = taking()
    for message in messages[:-1]:
        sink.receive(message)
    with pytest.raises(error) as caught:
        sink.receive(messages[-1])
    assert type(caught.value) is error


@pytest.mark.parametrize("session", [bytes(16), SESSION])
def test_the_signature_is_of_this_session_and_this_key(session: bytes) -> None:
    sink = Sink(public_key() if session != SESSION else bytes(32))
    sink.receive(OFFER)
    sink.accept(Mode.WANTED, WINDOW)
    signature = sign(signed_part(session, DIGEST))
    with pytest.raises(SignatureError):
        sink.receive(Finish(0, DIGEST, Catalogue(1, 1, signature)))


def test_what_is_signed_is_pinned() -> None:
    assert signed_part(SESSION, DIGEST) == b"warp-portal 2026-11 catalogue v1" + bytes(range(16)) + bytes(range(32))


def test_lost_pages_may_overtake_their_pages_in_mode_everything() -> None:
    sink = Sink(public_key())
    sink.receive(OFFER)
    sink.accept(Mode.EVERYTHING, WINDOW)
    assert sink.receive(Lost(2, whole(1))) == (Missing(2, whole(1)),)
    sink.receive(FINISH)
    with pytest.raises(ProtocolError):
        sink.receive(Lost(3, whole(1)))
