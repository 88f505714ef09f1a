"""Source and sink of an archive: whole dialogues, and peers that claim what cannot be."""

from collections.abc import Callable
from typing import cast

import pytest
from tests.unit.protocol.common import DIGEST, MESSAGES, SESSION
from tests.unit.protocol.dialogue import OFFER as TREE
from tests.unit.protocol.dialogue import Side, talk
from tests.unit.protocol.trees import FINISH as TREE_FINISH
from tests.unit.protocol.trees import WINDOW, whole

from warp_portal.errors import IntegrityError, ProtocolError, UsageError
from warp_portal.protocol.archive_sink import AllPushed, ArchiveSink, Broken, Expected
from warp_portal.protocol.archive_source import ArchiveSource, StartArchive
from warp_portal.protocol.ending import Close, CloseCode, Done, Finish
from warp_portal.protocol.exchange import MAX_PAGES, METADATA_PAGES, Cancel, Kept, Lost, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.offers import Accept, Mode, Offer, PagesHere
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.sink_side import Missing, Offered
from warp_portal.protocol.source_side import Answer, KeptNow, Revoke
from warp_portal.protocol.tree import Finished

OFFER = cast(Offer, MESSAGES["offer an archive"])
CHUNKS = 4096 + 100
EXPECTED = Expected(CHUNKS, DIGEST)
LISTED = 7


def sending() -> ArchiveSource:
    """One that sent a TOC of seven pages, and both locator pages."""
    source = ArchiveSource(OFFER, CHUNKS, DIGEST)
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW))
    source.listed(LISTED)
    source.page()
    source.page()
    return source


def taking() -> ArchiveSink:
    """One that asked for five chunks of the first page, and for a metadata page."""
    sink = ArchiveSink(SESSION)
    sink.receive(OFFER)
    sink.accept(WINDOW, EXPECTED)
    sink.listed(LISTED)
    sink.want(0, whole(5))
    sink.want(METADATA_PAGES + 6, whole(1))
    return sink


class Pair:
    """A source and a sink in memory, with methods of both engines."""

    def __init__(self) -> None:
        self.source, self.sink = ArchiveSource(OFFER, CHUNKS, DIGEST), ArchiveSink(SESSION)
        self.left, self.right = Side(self.source), Side(self.sink)
        self.left.carry_out(self.source.start())
        self.talk()

    def talk(self) -> None:
        talk(self.left, self.right)

    def want(self, page: int, ranges: Ranges) -> None:
        self.right.carry_out(self.sink.want(page, ranges))
        self.talk()


HERE = whole(1)  # locator pages that the sink has


@pytest.mark.parametrize("known", [None, DIGEST])
def test_an_archive_goes_over(known: bytes | None) -> None:
    pair = Pair()
    pair.right.carry_out(pair.sink.accept(WINDOW, EXPECTED, known, HERE))
    pair.talk()
    pair.source.listed(LISTED)
    pair.source.page()
    pair.source.page()
    pair.left.carry_out(pair.source.pushed())
    pair.talk()
    pair.sink.listed(LISTED)
    pair.want(METADATA_PAGES + 3, whole(1))
    pair.want(0, whole(4096))
    pair.want(1, whole(100))
    pair.right.carry_out(pair.sink.cancel(3))
    pair.right.carry_out(pair.sink.durable(1, {0: whole(4096), 1: whole(90)}))
    pair.talk()
    pair.right.carry_out(pair.sink.complete(DIGEST, CHUNKS, 0))
    pair.talk()
    assert [pair.left.error, pair.right.error] == [None, None]
    assert pair.left.names() == ["OFFER", "FINISH", "CLOSE"]
    assert pair.right.names() == ["ACCEPT", "WANT", "WANT", "WANT", "CANCEL", "KEPT", "DONE"]
    assert pair.left.told == [
        StartArchive(known, WINDOW, HERE),
        Answer(1, METADATA_PAGES + 3, whole(1)),
        Answer(2, 0, whole(4096)),
        Answer(3, 1, whole(100)),
        Revoke(3),
        KeptNow(1, {0: whole(4096), 1: whole(90)}, 4186),
        Finished(False, CHUNKS, 0),
    ]
    assert pair.right.told == [Offered(OFFER), AllPushed(), Finished(False, CHUNKS, 0)]
    assert pair.source.over
    assert pair.sink.over


def test_what_is_damaged_makes_it_partial() -> None:
    pair = Pair()
    pair.right.carry_out(pair.sink.accept(WINDOW, EXPECTED))
    pair.talk()
    pair.source.listed(LISTED)
    pair.left.carry_out(pair.source.broken())
    pair.source.page()
    pair.source.page()
    pair.left.carry_out(pair.source.pushed())
    pair.talk()
    pair.sink.listed(LISTED)
    pair.want(1, whole(100))
    pair.left.carry_out(pair.source.lost(1, whole(3)))
    pair.talk()
    pair.right.carry_out(pair.sink.complete(DIGEST, CHUNKS - 3, 4))
    pair.talk()
    assert pair.right.told[1:] == [
        Broken(LISTED),
        AllPushed(),
        Missing(1, whole(3)),
        Finished(True, CHUNKS - 3, 4),
    ]
    assert pair.left.said[-1] == Close(CloseCode.PARTIAL, "the source could not read something, the rest is there")


# What a lying sink says to a source of 4,196 chunks and seven metadata pages, which has sent all that it pushes.
LIES: dict[str, list[Message]] = {
    "a page that there is not": [Want(2, whole(1))],
    "more than the page has": [Want(1, whole(101))],
    "nothing": [Want(0, Ranges())],
    "a metadata page that was not listed": [Want(METADATA_PAGES + LISTED, whole(1))],
    "the same a third time": [*[Want(0, whole(4096))] * 2, Want(0, whole(300))],
    "kept of a page that there is not": [Want(0, whole(9)), Kept(1, {2: whole(1)})],
    "kept more than was wanted": [Want(0, whole(5)), Kept(1, {0: whole(6)})],
    "kept more than a page has": [Want(0, whole(4096)), Kept(1, {1: whole(101)})],
    "an epoch that goes back": [Want(0, whole(5)), Kept(2, {0: whole(1)}), Kept(1, {0: whole(1)})],
    "a request that was not made": [Want(0, whole(5)), Cancel(2)],
    "done before all was sent": [Done(DIGEST, 1, 0)],
    "accepted twice": [Accept(Mode.WANTED, WINDOW)],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_sink_that_lies_is_found_out(lie: str) -> None:
    source = sending()
    for message in LIES[lie][:-1]:
        source.receive(message)
    with pytest.raises(ProtocolError):
        source.receive(LIES[lie][-1])
    assert source.over


def test_an_archive_is_not_sent_unasked() -> None:
    source = ArchiveSource(OFFER, CHUNKS, DIGEST)
    source.start()
    with pytest.raises(ProtocolError, match="everything"):
        source.receive(Accept(Mode.EVERYTHING, WINDOW))


def test_an_archive_has_no_pages_of_a_tree() -> None:
    source = ArchiveSource(OFFER, CHUNKS, DIGEST)
    source.start()
    with pytest.raises(ProtocolError, match="pages of a tree"):
        source.receive(Accept(Mode.WANTED, WINDOW, pages=PagesHere(1, DIGEST)))


def test_another_digest_at_the_end_is_no_success() -> None:
    source = sending()
    source.pushed()
    with pytest.raises(IntegrityError):
        source.receive(Done(bytes(32), CHUNKS, 0))


def test_pages_that_were_skipped_cannot_be_wanted() -> None:
    source = ArchiveSource(OFFER, CHUNKS, DIGEST)
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW, DIGEST))
    source.skip(1)
    source.page()
    source.pushed()
    source.receive(Want(1, whole(100)))
    with pytest.raises(ProtocolError):
        source.receive(Want(0, whole(1)))


# What a lying source says to a sink that asked for five chunks of page 0 and metadata page 6 of 7.
SOURCE_LIES: dict[str, list[Message]] = {
    "lost more than was wanted": [Lost(0, whole(5)), Lost(METADATA_PAGES + 6, whole(1)), Lost(0, whole(1))],
    "older TOCs, twice": [Lost(METADATA_PAGES + LISTED, whole(1)), Lost(METADATA_PAGES + LISTED, whole(1))],
    "other chunks": [Finish(CHUNKS + 1, DIGEST)],
    "another commit": [Finish(CHUNKS, bytes(32))],
    "the end of a tree": [TREE_FINISH],
    "the end twice": [Finish(CHUNKS, DIGEST), Finish(CHUNKS, DIGEST)],
    "offered twice": [OFFER],
    "all well before it is": [Close(CloseCode.OK)],
    "all well but for something": [Finish(CHUNKS, DIGEST), Close(CloseCode.PARTIAL)],
}


@pytest.mark.parametrize("lie", SOURCE_LIES)
def test_a_source_that_lies_is_found_out(lie: str) -> None:
    sink = taking()
    for message in SOURCE_LIES[lie][:-1]:
        sink.receive(message)
    with pytest.raises(ProtocolError):
        sink.receive(SOURCE_LIES[lie][-1])
    assert sink.over


def test_an_engine_that_is_out_of_turn_is_told() -> None:
    source, sink = ArchiveSource(OFFER, CHUNKS, DIGEST), ArchiveSink()
    steps: list[Callable[[], object]] = [
        source.page,
        lambda: source.listed(1),
        source.pushed,
        lambda: source.lost(0, whole(1)),
        lambda: sink.accept(WINDOW, EXPECTED),
        lambda: sink.want(0, whole(1)),
        lambda: sink.complete(DIGEST, 1, 0),
        lambda: ArchiveSource(TREE, 1, DIGEST),
        lambda: taking().want(0, Ranges()),
        lambda: taking().want(METADATA_PAGES + LISTED, whole(1)),
        lambda: sending().page(),
        lambda: sending().skip(1),
        lambda: sending().listed(MAX_PAGES),
    ]
    for step in steps:
        with pytest.raises(UsageError):
            step()
    source.start()
    source.receive(Accept(Mode.WANTED, WINDOW))
    source.page()
    with pytest.raises(UsageError, match="locator page 1"):
        source.pushed()


def test_a_tree_is_not_taken_for_an_archive() -> None:
    sink = ArchiveSink()
    sink.receive(TREE)
    with pytest.raises(UsageError):
        sink.accept(WINDOW, EXPECTED)


def test_what_came_is_what_was_offered() -> None:
    sink = taking()
    sink.receive(Finish(CHUNKS, DIGEST))
    with pytest.raises(IntegrityError):
        sink.complete(bytes(32), CHUNKS, 0)


def test_nothing_is_complete_where_it_ended_before_it_began() -> None:
    sink = ArchiveSink()
    assert sink.receive(Close(CloseCode.CANCELLED)) != ()
    assert sink.complete(DIGEST, CHUNKS, 0) == ()


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_at_every_turn_is_answered_or_refused(name: str) -> None:
    source, finished = sending(), sending()
    finished.pushed()
    fresh = ArchiveSource(OFFER, CHUNKS, DIGEST)
    fresh.start()
    done = taking()
    done.receive(Finish(CHUNKS, DIGEST))
    done.complete(DIGEST, CHUNKS, 0)
    for session in (fresh, source, finished, ArchiveSink(), taking(), done):
        side = Side(session)
        side.hear(MESSAGES[name])
        assert not isinstance(side.error, UsageError)
        assert side.error is None or session.over
        assert not any(isinstance(message, Close) for message in side.said[:-1])
