"""Sessions against a peer that says anything, in any order: each ends in a typed error or goes on, and never ends well unearned."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_protocol import ANY_MESSAGE
from tests.unit.protocol.common import DIGEST, MESSAGES
from tests.unit.protocol.dialogue import OFFER, Side, claims, dialer, door, hello, listener, public_key, sign, talk
from tests.unit.protocol.test_spared_pages import sending as sparing
from tests.unit.protocol.test_spared_pages import taking as having
from tests.unit.protocol.trees import FINISH, WINDOW

from warp_portal.errors import UsageError
from warp_portal.protocol.ending import Close, Done
from warp_portal.protocol.exchange import Kept, Same, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.handshake import Proved
from warp_portal.protocol.hello import Role
from warp_portal.protocol.offers import Accept, Mode, PagesHere
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Session
from warp_portal.protocol.sink import Sink
from warp_portal.protocol.source import KeptNow, Source
from warp_portal.protocol.tree import CatalogueEnd, Finished

# Most messages of a session speak of its first pages, so that some of them fit.
PAGE = st.integers(0, 4)
SMALL = st.sets(st.integers(0, 11)).map(lambda found: Ranges.of_ordinals(sorted(found)))
FITTING: st.SearchStrategy[Message] = st.one_of(
    st.builds(Want, PAGE, SMALL),
    st.builds(Same, st.integers(1, 4)),
    st.builds(Kept, st.integers(0, 3), st.dictionaries(PAGE, SMALL.filter(bool), min_size=1, max_size=2)),
    st.sampled_from([hello(Role.SINK), hello(Role.SOURCE), OFFER, FINISH, Accept(Mode.WANTED, WINDOW), Done(DIGEST, 1, 0)]),
    st.sampled_from([*MESSAGES.values()]),
)  # fmt: skip
SAID = st.lists(FITTING | ANY_MESSAGE, max_size=12)
SESSIONS: dict[str, Callable[[], Session]] = {
    **{name: lambda name=name: dialer(claims()[name]) for name in claims()},  # type: ignore[misc]  # a default binds the name
    "listener": lambda: listener(door()),
    "source": lambda: Source(OFFER, sign),
    "sink": lambda: Sink(public_key()),
    "source that spares pages": sparing,
    "sink that has pages": having,
}


def ends_rightly(side: Side) -> None:
    assert not isinstance(side.error, UsageError)
    closes = [message for message in side.said if isinstance(message, Close)]
    assert len(closes) <= 1
    assert side.error is None or side.session.over
    assert not any(isinstance(message, Close) for message in side.said[:-1])


@given(st.sampled_from(sorted(SESSIONS)), SAID)
def test_any_messages_end_in_a_typed_error_or_progress(name: str, said: list[Message]) -> None:
    side = Side(SESSIONS[name]())
    for message in said:
        side.hear(message)
    ends_rightly(side)
    # Who guesses proves nothing. As a peer TLS has proved both already.
    assert all(output.method == 3 for output in side.told if isinstance(output, Proved))
    assert not any(isinstance(output, Finished) for output in side.told)


@given(st.lists(st.integers(0, 12), max_size=5), st.sampled_from(Mode), SAID, SAID)
def test_a_source_believes_nothing_that_cannot_be(
    sizes: list[int], mode: Mode, said: list[Message], more: list[Message]
) -> None:
    source = Source(OFFER, sign)
    side = Side(source)
    side.carry_out(source.start())
    side.hear(Accept(mode, WINDOW))
    for size in sizes:
        source.page(size)
    for message in said:
        side.hear(message)
    side.carry_out(source.catalogue_done(CatalogueEnd(len(sizes), DIGEST, 1, 1), 0))
    for message in more:
        side.hear(message)
    ends_rightly(side)
    kept = [output.total for output in side.told if isinstance(output, KeptNow)]
    assert kept == sorted(kept)
    assert all(total <= 3 * sum(sizes) for total in kept)
    if any(isinstance(output, Finished) for output in side.told):
        assert any(isinstance(one, Done) and one.digest == DIGEST for one in [*said, *more])
        assert not source._unanswered


@given(st.lists(SMALL, max_size=5), SAID, SAID)
def test_a_sink_believes_only_what_is_signed(wanted: list[Ranges], said: list[Message], more: list[Message]) -> None:
    sink = Sink(public_key())
    side = Side(sink)
    side.hear(OFFER)
    side.carry_out(sink.accept(Mode.WANTED, WINDOW))
    for page, ranges in enumerate(wanted):
        side.carry_out(sink.want(page, ranges))
    for message in [*said, *more]:
        side.hear(message)
    ends_rightly(side)
    assert FINISH in [*said, *more] or not any(isinstance(output, CatalogueEnd) for output in side.told)


@given(st.lists(st.tuples(st.integers(0, 40), SMALL), max_size=8), st.sampled_from(Mode), st.booleans())
def test_an_honest_pair_comes_to_its_end(pages: list[tuple[int, Ranges]], mode: Mode, unread: bool) -> None:
    source, sink = Source(OFFER, sign), Sink(public_key())
    left, right = Side(source), Side(sink)
    left.carry_out(source.start())
    talk(left, right)
    right.carry_out(sink.accept(mode, WINDOW))
    talk(left, right)
    for number, (size, ranges) in enumerate(pages):
        source.page(size)
        wanted = ranges & Ranges.whole(size)
        right.carry_out(sink.want(number, wanted))
        right.carry_out(sink.durable(number, {number: wanted} if wanted else {}))
        talk(left, right)
    left.carry_out(source.catalogue_done(CatalogueEnd(len(pages), DIGEST, 1, 1), int(unread)))
    talk(left, right)
    right.carry_out(sink.restored(DIGEST, 1, 0))
    talk(left, right)
    assert left.error is right.error is None
    assert left.told[-1] == right.told[-1] == Finished(unread, 1, 0)


@given(st.lists(st.tuples(st.integers(0, 40), SMALL), min_size=1, max_size=8), st.integers(1, 9), st.data())
def test_an_honest_pair_spares_what_is_here(pages: list[tuple[int, Ranges]], here: int, data: st.DataObject) -> None:
    source, sink = Source(OFFER, sign), Sink(public_key())
    left, right = Side(source), Side(sink)
    left.carry_out(source.start())
    talk(left, right)
    right.carry_out(sink.accept(Mode.WANTED, WINDOW, PagesHere(here, DIGEST)))
    talk(left, right)
    steps = data.draw(st.sets(st.integers(1, min(here, len(pages)))).map(sorted))
    for count in steps:
        left.carry_out(source.same(count, sum(size for size, _ in pages[:count])))
    for size, _ in pages[max(steps, default=0) :]:
        source.page(size)
    talk(left, right)
    for number, (size, ranges) in enumerate(pages):
        wanted = ranges & Ranges.whole(size)
        if wanted or number >= max(steps, default=0):
            right.carry_out(sink.want(number, wanted))
    talk(left, right)
    left.carry_out(source.catalogue_done(CatalogueEnd(len(pages), DIGEST, 1, 1), 0))
    talk(left, right)
    right.carry_out(sink.restored(DIGEST, 1, 0))
    talk(left, right)
    assert left.error is right.error is None
    assert left.told[-1] == right.told[-1] == Finished(False, 1, 0)
