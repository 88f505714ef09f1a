"""The codec of the transfer protocol: whatever it writes it reads, and whatever it reads it writes the same."""

from types import MappingProxyType

import cbor2
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocol.common import MESSAGES

from warp_portal.errors import ProtocolError, UsageError, WarpPortalError
from warp_portal.primitives.cutting import PROFILES
from warp_portal.protocol import cbor
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.code import ShortCode, word_list
from warp_portal.protocol.ending import Catalogue, Close, Done, Finish
from warp_portal.protocol.exchange import Cancel, Kept, Lost, Want
from warp_portal.protocol.fields import Message
from warp_portal.protocol.hello import Hello, Role, agree
from warp_portal.protocol.messages import parse
from warp_portal.protocol.offers import Accept, ArchiveOffer, Mode, Offer, TreeOffer
from warp_portal.protocol.proving import Confirm, Confirmed, Method, Prove
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.ticket import Carriers, Ticket

U64 = st.integers(0, 2**64 - 1)
SIZE = st.integers(0, 2**63 - 1)
DIGEST = st.binary(min_size=32, max_size=32)
SESSION = st.binary(min_size=16, max_size=16)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=30) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(U64, inner, max_size=4),
    max_leaves=12,
)
ORDINALS = st.sets(st.integers(0, 199))
RANGES = ORDINALS.map(lambda found: Ranges.of_ordinals(sorted(found)))
SOME = RANGES.filter(bool)
PAGE = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=16)
MAYBE_SIZE = st.none() | SIZE
SIZES = st.sampled_from([PROFILES[name].fragment for name in PROFILES])
OFFERED = st.builds(TreeOffer, DIGEST, st.just(1), SIZES, st.integers(1, 65_535)) | st.builds(
    ArchiveOffer, st.binary(min_size=256, max_size=256), st.integers(1, 2**50).map(lambda n: n * 4096)
)
ANY_MESSAGE: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, st.sampled_from(Role), DIGEST, TEXT, U64, st.integers(1, 9), st.integers(9, 65_535)),
    st.builds(Prove, st.just(Method.TICKET), session=SESSION, tag=DIGEST),
    st.builds(Prove, st.just(Method.CODE), nameplate=st.integers(1, 999_999), share=DIGEST),
    st.builds(Confirm, st.none() | DIGEST),
    st.builds(Confirm, DIGEST, DIGEST),
    st.builds(Confirmed, DIGEST),
    st.builds(Offer, SESSION, TEXT, OFFERED, MAYBE_SIZE, MAYBE_SIZE),
    st.builds(Accept, st.sampled_from(Mode), st.integers(2**20, 2**28), st.none() | DIGEST),
    st.builds(Want, PAGE, RANGES),
    st.builds(Kept, U64, st.dictionaries(PAGE, SOME, min_size=1, max_size=5).map(MappingProxyType)),
    st.builds(Lost, PAGE, SOME),
    st.builds(Finish, SIZE, DIGEST, st.none() | st.builds(Catalogue, SIZE, SIZE, st.binary(min_size=64, max_size=64))),
    st.builds(Done, DIGEST, SIZE, SIZE),
    st.builds(Cancel, st.integers(1, 2**64 - 1)),
    st.builds(Close, st.integers(0, 2**32 - 1), TEXT),
)


@given(VALUES)
def test_a_value_survives_its_bytes(value: cbor.Value) -> None:
    raw = cbor.encode(value)
    assert cbor.decode(raw) == value
    assert cbor.encode(cbor.decode(raw)) == raw


@given(VALUES)
def test_only_the_deterministic_form_is_read(value: cbor.Value) -> None:
    plain = cbor2.dumps(value)
    try:
        read = cbor.decode(plain)
    except ProtocolError:
        assert plain != cbor.encode(value)
        return
    assert plain == cbor.encode(value)
    assert read == value


@given(VALUES)
def test_no_array_or_map_of_indefinite_length_is_read(value: cbor.Value) -> None:
    raw = cbor2.dumps([value], indefinite_containers=True)
    try:
        cbor.decode(raw)
    except ProtocolError:
        return
    raise AssertionError(raw.hex())


@given(st.binary(max_size=200))
def test_other_bytes_are_a_protocol_error_or_what_they_say(raw: bytes) -> None:
    try:
        value = cbor.decode(raw)
    except ProtocolError:
        return
    assert cbor.encode(value) == raw


@given(ORDINALS, ORDINALS)
def test_operations_are_those_of_sets(left: set[int], right: set[int]) -> None:
    one, two = Ranges.of_ordinals(sorted(left)), Ranges.of_ordinals(sorted(right))
    for ours, theirs in ((one | two, left | right), (one & two, left & right), (one - two, left - right)):
        assert ours == Ranges.of_ordinals(sorted(theirs))
        assert ours.count == len(theirs)
        assert all((ordinal in ours) == (ordinal in theirs) for ordinal in range(200))


@given(ORDINALS, st.integers(0, 199), st.integers(1, 20))
def test_a_run_is_held_if_all_of_it_is(ordinals: set[int], start: int, count: int) -> None:
    ranges = Ranges.of_ordinals(sorted(ordinals))
    assert ranges.holds(start, start + count) == (set(range(start, start + count)) <= ordinals)


@given(st.binary(max_size=64))
def test_a_bitmap_gives_its_ordinals(bits: bytes) -> None:
    ordinals = [n for n in range(8 * len(bits)) if bits[n // 8] >> n % 8 & 1]
    assert Ranges.of_bits(bits) == Ranges.of_ordinals(ordinals)


@given(RANGES)
def test_ranges_survive_their_bytes(ranges: Ranges) -> None:
    assert Ranges.parse(ranges.serialize(), ranges.end) == ranges


@given(st.binary(max_size=40), U64)
def test_other_ranges_are_a_protocol_error_or_what_they_say(raw: bytes, size: int) -> None:
    try:
        ranges = Ranges.parse(raw, size)
    except ProtocolError:
        return
    assert ranges.serialize() == raw
    assert ranges.end <= size


@given(ANY_MESSAGE)
def test_a_message_survives_its_bytes(message: Message) -> None:
    raw = message.serialize()
    assert parse(raw) == message
    assert parse(raw).serialize() == raw


@given(st.sampled_from(sorted(MESSAGES)), st.dictionaries(st.integers(0, 12), VALUES, max_size=3))
def test_other_keys_are_a_protocol_error_or_a_message(name: str, keys: dict[int, object]) -> None:
    raw = cbor.encode({**cbor.decode_map(MESSAGES[name].serialize()), **keys})
    try:
        message = parse(raw)
    except ProtocolError:
        return
    assert parse(message.serialize()) == message


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 9), st.integers(0, 9), U64, U64)
def test_both_sides_agree_on_the_same(
    low: int, more: int, other: int, others: int, bits: int, others_bits: int
) -> None:
    ours = Hello(Role.SOURCE, bytes(32), "", bits, low, low + more)
    theirs = Hello(Role.SINK, bytes(32), "", others_bits, other, other + others)
    common = set(range(low, low + more + 1)) & set(range(other, other + others + 1))
    try:
        agreed = agree(ours, theirs)
    except WarpPortalError:
        assert not common
        return
    assert agreed == agree(theirs, ours)
    assert agreed.version == max(common)


LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,9}[a-z]", fullmatch=True)
HOST = st.ip_addresses().map(str) | st.lists(LABEL, min_size=1, max_size=3).map(".".join)


@st.composite
def addresses(draw: st.DrawFn) -> Address | None:
    try:
        return Address(draw(HOST), draw(st.integers(1, 65_535)))
    except UsageError:  # of nowhere, or of many
        return None


@given(
    st.sets(addresses(), max_size=16), DIGEST, SESSION, DIGEST, st.integers(1, 2**36), st.integers(1, 3).map(Carriers)
)
def test_a_ticket_survives_its_text(
    found: set[Address | None], key: bytes, session: bytes, secret: bytes, expires_s: int, carriers: Carriers
) -> None:
    listed = tuple(address for address in found if address is not None)
    ticket = Ticket(listed, key, session, secret, expires_s, carriers)
    assert Ticket.parse(ticket.text(), 0) == ticket
    assert all(Address.parse(str(address)) == address for address in listed)


@given(st.text(max_size=60), st.sampled_from(["", "warp-ticket:", "7-", "7-abandon-"]))
def test_other_texts_are_an_error_for_people(typed: str, prefix: str) -> None:
    for read in (lambda text: Ticket.parse(text, 0), ShortCode.parse, Address.parse):
        try:
            read(prefix + typed)
        except WarpPortalError:
            continue


@given(st.integers(1, 999_999), st.lists(st.integers(0, 2047), min_size=3, max_size=3), st.data())
def test_a_code_is_read_however_it_is_typed(nameplate: int, chosen: list[int], data: st.DataObject) -> None:
    words = [word_list()[number] for number in chosen]
    typed = [word[: data.draw(st.integers(4, 8))] if data.draw(st.booleans()) else word.upper() for word in words]
    between = data.draw(st.sampled_from(["-", " ", " - ", ".", "  "]))
    assert ShortCode.parse(between.join([str(nameplate), *typed])) == ShortCode(nameplate, "-".join(words))
