"""Source and sink of a tree: whole dialogues, every message at every turn, and peers that claim what cannot be."""

from collections.abc import Callable
from typing import cast

import pytest
from tests.unit.protocol.common import DIGEST, MESSAGES, SESSION
from tests.unit.protocol.dialogue import OFFER, Side, public_key, sign, talk
from tests.unit.protocol.trees import END, FINISH, SIZES, WINDOW, taking, whole

from warp_portal.errors import (
    CancelledError,
    ExistsError,
    FailedError,
    IntegrityError,
    PolicyError,
    ProtocolError,
    RecordsError,
    SignatureError,
    StorageFullError,
    UsageError,
    WarpPortalError,
)
from warp_portal.protocol.ending import Close, CloseCode, Done, Finish
from warp_portal.protocol.exchange import MAX_TREE_FRAGMENTS, Kept, Want
from warp_portal.protocol.messages import parse
from warp_portal.protocol.offers import Accept, Mode, Offer
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Closed, Send, Session, close_of
from warp_portal.protocol.sink import KEPT_BYTES, Missing, Offered, Sink
from warp_portal.protocol.source import Answer, KeptNow, Revoke, Source, Start
from warp_portal.protocol.tree import CatalogueEnd, Finished
from warp_portal.transport.giving import COMES_BACK


class Pair:
    """A source and a sink in memory, with methods of both engines."""

    def __init__(self) -> None:
        self.source = Source(OFFER, sign)
        self.sink = Sink(public_key(), SESSION)
        self.left, self.right = Side(self.source), Side(self.sink)

    def talk(self) -> None:
        talk(self.left, self.right)

    def begin(self, mode: Mode = Mode.WANTED) -> None:
        self.left.carry_out(self.source.start())
        self.talk()
        self.right.carry_out(self.sink.accept(mode, WINDOW))
        self.talk()

    def want(self, page: int, ranges: Ranges) -> None:
        self.right.carry_out(self.sink.want(page, ranges))
        self.talk()

    def pages(self) -> None:
        for number, size in enumerate(SIZES):
            self.source.page(size)
            self.want(number, whole(size))

    def finish(self, unread: int = 0) -> None:
        self.left.carry_out(self.source.catalogue_done(END, unread))
        self.talk()

    def restore(self, digest: bytes = DIGEST, failed: int = 0) -> None:
        self.right.carry_out(self.sink.restored(digest, 1000 - failed, failed))
        self.talk()

    def errors(self) -> list[WarpPortalError | None]:
        return [self.left.error, self.right.error]


@pytest.mark.parametrize("mode", Mode)
def test_a_tree_goes_over(mode: Mode) -> None:
    pair = Pair()
    pair.begin(mode)
    pair.pages()
    pair.right.carry_out(pair.sink.durable(1, {0: whole(1024), 2: whole(10)}))
    pair.talk()
    pair.finish()
    pair.restore()
    assert pair.errors() == [None, None]
    assert pair.left.names() == ["OFFER", "FINISH", "CLOSE"]
    assert pair.right.names() == ["ACCEPT", "WANT", "WANT", "WANT", "KEPT", "DONE"]
    assert pair.left.told == [
        Start(mode, WINDOW),
        *(Answer(number + 1, number, whole(size)) for number, size in enumerate(SIZES)),
        KeptNow(1, {0: whole(1024), 2: whole(10)}, 1034),
        Finished(False, 1000, 0),
    ]
    assert pair.right.told == [Offered(OFFER), END, Finished(False, 1000, 0)]
    assert pair.source.over
    assert pair.sink.over


@pytest.mark.parametrize("lost", [False, True])
def test_what_could_not_be_read_makes_it_partial(lost: bool) -> None:
    pair = Pair()
    pair.begin()
    pair.pages()
    if lost:
        pair.left.carry_out(pair.source.lost(2, whole(3)))
    pair.finish(unread=0 if lost else 1)
    pair.restore(failed=1)
    assert pair.left.told[-1] == pair.right.told[-1] == Finished(True, 999, 1)
    assert (Missing(2, whole(3)) in pair.right.told) == lost
    assert pair.left.said[-1] == Close(CloseCode.PARTIAL, "the source could not read something, the rest is there")


def test_pages_are_wanted_again_after_all_were_answered() -> None:
    pair = Pair()
    pair.begin()
    pair.pages()
    pair.finish()
    pair.want(0, Ranges(((5, 6),)))
    pair.right.carry_out(pair.sink.cancel(4))
    pair.talk()
    pair.left.carry_out(pair.source.lost(0, Ranges(((5, 6),))))
    pair.talk()
    assert pair.left.told[-2:] == [Answer(4, 0, Ranges(((5, 6),))), Revoke(4)]
    pair.restore(failed=1)
    assert pair.errors() == [None, None]


def test_an_empty_tree_goes_over() -> None:
    pair = Pair()
    pair.begin()
    pair.left.carry_out(pair.source.catalogue_done(CatalogueEnd(0, DIGEST, 0, 0), 0))
    pair.talk()
    pair.restore()
    assert pair.left.told[-1] == Finished(False, 1000, 0)


def test_a_sink_refuses_an_offer() -> None:
    pair = Pair()
    pair.left.carry_out(pair.source.start())
    pair.talk()
    pair.right.carry_out(pair.sink.refuse("not today"))
    pair.talk()
    assert pair.left.told == [Closed(CloseCode.REFUSED, "not today")]
    closed = pair.left.told[0]
    assert isinstance(closed, Closed)
    assert isinstance(closed.error(), PolicyError)
    assert "not today" in str(closed.error())


@pytest.mark.parametrize(
    "error",
    [ExistsError("/home/me/file exists"), RecordsError("/home/me/pages: damaged"), WarpPortalError("/home/me: EIO")],
)
def test_what_is_wrong_here_is_told_as_that_and_no_more(error: WarpPortalError) -> None:
    close = close_of(error)
    assert close.code == CloseCode.FAILED
    assert "/home/me" not in close.text
    assert isinstance(Closed(close.code, close.text).error(), FailedError)
    assert isinstance(Closed(close.code, close.text).error(), COMES_BACK)


def test_an_archive_is_offered_and_can_only_be_refused() -> None:
    side = Side(sink := Sink(public_key()))
    offer = cast(Offer, MESSAGES["offer an archive"])
    side.hear(offer)
    assert side.told == [Offered(offer)]
    with pytest.raises(UsageError):
        sink.accept(Mode.WANTED, WINDOW)
    side.carry_out(sink.refuse("archives are not taken here"))
    assert side.names() == ["CLOSE"]
    with pytest.raises(UsageError):
        Source(offer, sign)


def test_another_session_than_that_of_the_ticket_is_no_offer() -> None:
    side = Side(Sink(public_key(), bytes(16)))
    side.hear(OFFER)
    assert isinstance(side.error, ProtocolError)


# Every message at every turn


def source_at(turn: str) -> Source:
    source = Source(OFFER, sign)
    if turn == "nothing was offered":
        return source
    source.start()
    if turn == "ACCEPT is awaited":
        return source
    source.receive(Accept(Mode.WANTED, WINDOW))
    for size in (1024,) * 7:
        source.page(size)
    for page in range(5):
        source.receive(Want(page, whole(1024)))
    if turn != "pages are being sent":
        for page in (5, 6):
            source.receive(Want(page, whole(1024)))
        source.catalogue_done(CatalogueEnd(7, DIGEST, 1000, 0), 0)
    return source


def sink_at(turn: str) -> Sink:
    sink = Sink(public_key())
    if turn == "OFFER is awaited":
        return sink
    sink.receive(OFFER)
    if turn == "the offer is being considered":
        return sink
    sink.accept(Mode.WANTED, WINDOW)
    for page in range(6 if turn == "pages are being taken" else 12):
        sink.want(page, whole(1024))
    if turn != "pages are being taken":
        sink.receive(Finish(12, DIGEST, FINISH.catalogue))
    if turn == "CLOSE is awaited":
        sink.restored(DIGEST, 1, 0)
    return sink


# What of `common.MESSAGES` leads on at a turn; "kept" speaks of 4,096 fragments of a page and is too much at any.
LEADS_ON: dict[str, tuple[Callable[[str], Session], set[str]]] = {
    "nothing was offered": (source_at, set()),
    "ACCEPT is awaited": (source_at, {"accept", "accept, with pages"}),
    "pages are being sent": (source_at, {"want"}),
    "all pages were sent": (source_at, {"want", "done"}),
    "OFFER is awaited": (sink_at, {"offer a tree", "offer an archive"}),
    "the offer is being considered": (sink_at, set()),
    "pages are being taken": (sink_at, {"lost"}),
    "all pages came": (sink_at, {"lost"}),
    "CLOSE is awaited": (sink_at, {"close"}),
}


@pytest.mark.parametrize("turn", LEADS_ON)
@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_out_of_turn_breaks_the_rules(turn: str, name: str) -> None:
    make, leads_on = LEADS_ON[turn]
    side = Side(make(turn))
    side.hear(MESSAGES[name])
    if name in leads_on:
        assert side.error is None
        assert side.told or side.said
    elif name == "close with a later code":
        assert side.told == [Closed(4_000_000_000, "gone fishing")]
    elif (turn, name) == ("pages are being taken", "finish a tree"):
        assert isinstance(side.error, SignatureError)
    else:
        assert isinstance(side.error, ProtocolError)
        assert side.told == []
        assert side.names() == ([] if name == "close" else ["CLOSE"])
        assert side.session.receive(MESSAGES["close"]) == ()


def test_a_digest_that_differs_is_no_success() -> None:
    pair = Pair()
    pair.begin()
    pair.pages()
    pair.finish()
    with pytest.raises(IntegrityError) as caught:
        pair.restore(bytes(32))
    pair.right.carry_out(pair.sink.close(caught.value))
    pair.talk()
    assert pair.left.told[-1] == Closed(CloseCode.INTEGRITY, "bytes that are not those of their digest")
    source = source_at("all pages were sent")
    with pytest.raises(IntegrityError):
        source.receive(Done(bytes(32), 1, 0))


def test_kept_is_split_into_messages_that_are_read() -> None:
    sparse = Ranges.of_ordinals(range(0, 2048, 2))
    sink = taking()
    for pages in (dict.fromkeys(range(300), sparse), dict.fromkeys(range(5000), whole(1)), {}):
        outputs = sink.durable(1, pages)
        kept = [output.message for output in outputs if isinstance(output, Send)]
        assert all(isinstance(message, Kept) for message in kept)
        raws = [message.serialize() for message in kept]
        assert all(len(raw) <= KEPT_BYTES for raw in raws)
        read = [message for message in map(parse, raws) if isinstance(message, Kept)]
        assert {number: ranges for message in read for number, ranges in message.pages.items()} == pages
        assert len(read) > 1 or not pages


# Ends


def test_a_person_stops_it() -> None:
    pair = Pair()
    pair.begin()
    pair.left.carry_out(pair.source.close(CancelledError("stopped")))
    pair.talk()
    closed = pair.right.told[-1]
    assert isinstance(closed, Closed)
    assert closed == Closed(CloseCode.CANCELLED, "stopped by a person")
    assert isinstance(closed.error(), CancelledError)


def test_what_this_machine_says_to_itself_stays_here() -> None:
    pair = Pair()
    pair.begin()
    pair.right.carry_out(pair.sink.close(StorageFullError("/home/me/secret plans: no room")))
    pair.talk()
    assert pair.left.told[-1] == Closed(CloseCode.SPACE, "no room")


def test_a_text_of_the_other_side_is_made_safe() -> None:
    side = Side(source_at("pages are being sent"))
    side.hear(Close(CloseCode.REFUSED, "no\x1b[2J\r\n\u202eok"))
    assert side.told == [Closed(CloseCode.REFUSED, "no\ufffd[2J\ufffd\ufffd\ufffdok")]


def test_a_long_text_is_cut() -> None:
    (output,) = taking().refuse("ü" * 2000)
    assert isinstance(output, Send)
    assert parse(output.message.serialize()) == Close(CloseCode.REFUSED, "ü" * 512)


def test_events_after_the_end_are_passed_over() -> None:
    source, sink = source_at("pages are being sent"), taking()
    source.close(CancelledError("stopped"))
    sink.close(CancelledError("stopped"))
    source.page(1)
    assert source.lost(0, whole(1)) == source.catalogue_done(END, 0) == ()
    assert sink.want(9, Ranges()) == sink.durable(0, {0: whole(1)}) == sink.cancel(77) == ()
    assert sink.accept(Mode.WANTED, WINDOW) == sink.restored(DIGEST, 1, 0) == sink.refuse("no") == ()


ENGINE_ERRORS: dict[str, Callable[[], object]] = {
    "a page before ACCEPT": lambda: source_at("ACCEPT is awaited").page(1),
    "a page that is too long": lambda: source_at("pages are being sent").page(MAX_TREE_FRAGMENTS + 1),
    "another number of pages": lambda: source_at("pages are being sent").catalogue_done(END, 0),
    "a loss that nobody waits for": lambda: source_at("pages are being sent").lost(5, whole(1)),
    "the end twice": lambda: source_at("all pages were sent").catalogue_done(END, 0),
    "offered twice": lambda: source_at("ACCEPT is awaited").start(),
    "accepted before the offer": lambda: sink_at("OFFER is awaited").accept(Mode.WANTED, WINDOW),
    "a page out of turn": lambda: taking().want(3, Ranges()),
    "a page again for nothing": lambda: taking().want(0, Ranges()),
    "a request that was not made": lambda: taking().cancel(3),
    "an epoch that goes back": lambda: (sink := taking()).durable(2, {0: whole(1)}) and sink.durable(1, {0: whole(1)}),
    "restored before the end": lambda: taking().restored(DIGEST, 1, 0),
    "restored with pages unanswered": lambda: (sink := taking()).receive(FINISH) and sink.restored(DIGEST, 1, 0),
}


@pytest.mark.parametrize("what", ENGINE_ERRORS)
def test_an_engine_out_of_turn_is_a_defect_here(what: str) -> None:
    with pytest.raises(UsageError):
        ENGINE_ERRORS[what]()
