"""Messages: their bytes, their limits, and what of them is shown."""

from typing import cast

import pytest
from tests.unit.protocol.common import DIGEST, MESSAGES, RANGES, SECRET, SESSION, TAG

from warp_portal import errors
from warp_portal.errors import ProtocolError
from warp_portal.protocol import cbor, messages
from warp_portal.protocol.ending import Close, CloseCode
from warp_portal.protocol.exchange import METADATA_PAGES, Kept, Want
from warp_portal.protocol.hello import Hello, Role
from warp_portal.protocol.messages import parse
from warp_portal.protocol.offers import Offer
from warp_portal.protocol.proving import Confirm, Method, Prove
from warp_portal.protocol.ranges import Ranges

# Messages by hand, from the tables of docs/transfer-protocol.md.
BYTES = {
    "hello": "a7 00 01 01 01 02 01 03 0f 04 5820" + DIGEST.hex() + "05 6a 7761727020302e312e30 06 01",
    "prove by ticket": "a4 00 02 01 01 02 50" + SESSION.hex() + "03 5820" + TAG.hex(),
    "prove by code": "a4 00 02 01 02 02 07 04 5820" + "63" * 32,
    "prove as a peer": "a2 00 02 01 03",
    "prove to join": "a4 00 02 01 04 02 50" + SESSION.hex() + "03 5820" + TAG.hex(),
    "confirm a peer": "a1 00 03",
    "confirm a code": "a3 00 03 03 5820" + TAG.hex() + "04 5820" + "63" * 32,
    "confirmed": "a2 00 04 03 5820" + TAG.hex(),
    "offer a tree": "a9 00 05 01 01 02 50" + SESSION.hex() + "03 66 70686f746f73 04 1903e8 05 1b000000e8d4a51000"
    "06 5820" + SECRET.hex() + "07 84 01 194000 1a00010000 1a00040000 08 02",
    "offer an archive": "a6 00 05 01 02 02 50" + SESSION.hex() + "03 60 09 590100" + "77" * 256 + "0a 191000",
    "accept": "a3 00 06 01 02 02 1a04000000",
    "accept, with pages": "a4 00 06 01 02 02 1a04000000 04 82 03 5820" + DIGEST.hex(),
    "accept, with locator pages": "a4 00 06 01 02 02 1a04000000 05 44 00030401",
    "same": "a2 00 0e 01 02",
    "want": "a3 00 07 01 05 02 44 00030401",
    "want a metadata page": "a3 00 07 01 1b0000000100000009 02 42 0001",
    "kept": "a3 00 08 01 03 02 a2 00 43 008020 07 44 00030401",
    "lost": "a3 00 09 01 05 02 44 00030401",
    "finish an archive": "a3 00 0a 01 0c 02 5820" + DIGEST.hex(),
    "done": "a4 00 0b 01 5820" + DIGEST.hex() + "02 1903e6 03 02",
    "cancel": "a2 00 0c 01 184d",
    "close": "a3 00 0d 01 00 02 60",
}


@pytest.mark.parametrize("name", BYTES)
def test_a_message_has_the_bytes_of_the_document(name: str) -> None:
    assert MESSAGES[name].serialize().hex() == bytes.fromhex(BYTES[name]).hex()


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_survives_its_bytes(name: str) -> None:
    assert parse(MESSAGES[name].serialize()) == MESSAGES[name]


def test_every_type_has_an_example() -> None:
    assert {type(message) for message in MESSAGES.values()} == set(messages.BY_TYPE.values())
    assert list(messages.BY_TYPE) == list(range(1, 15))


@pytest.mark.parametrize("name", MESSAGES)
def test_keys_that_are_not_listed_are_passed_over(name: str) -> None:
    values = cbor.decode_map(MESSAGES[name].serialize())
    later: dict[int, object] = {23: [1, {2: None}], 2**40: "later"}
    assert parse(cbor.encode({**values, **later})) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_cut_short_is_refused(name: str) -> None:
    raw = MESSAGES[name].serialize()
    for length in range(len(raw)):
        with pytest.raises(ProtocolError):
            parse(raw[:length])


@pytest.mark.parametrize("name", MESSAGES)
def test_any_flipped_bit_is_refused_or_says_something_else(name: str) -> None:
    raw = MESSAGES[name].serialize()
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            message = parse(bytes(changed))
        except ProtocolError:
            continue
        # What is left out of a message that was read is a key that nobody knows.
        assert message != MESSAGES[name] or len(cbor.decode_map(message.serialize())) < len(
            cbor.decode_map(bytes(changed))
        )


@pytest.mark.parametrize("name", MESSAGES)
def test_a_key_of_another_type_is_refused(name: str) -> None:
    values = cbor.decode_map(MESSAGES[name].serialize())
    for key in values:
        others: tuple[object, ...] = (None, True, -1, [], {}, "text" if (name, key) == ("hello", 3) else 2**64 - 1)
        for wrong in others:
            try:
                parse(cbor.encode({**values, key: wrong}))
            except ProtocolError:
                continue
            # Numbers without a bound of their own.
            assert (name, key, wrong) in {("kept", 1, 2**64 - 1), ("cancel", 1, 2**64 - 1)}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_key_left_out_is_refused_unless_it_is_optional(name: str) -> None:
    values = cbor.decode_map(MESSAGES[name].serialize())
    optional = {"confirm a ticket": {3}, "confirm a code": {4}, "offer a tree": {4, 5}, "accept an archive": {3}}
    optional |= {"accept, with pages": {4}, "accept, with locator pages": {5}}
    for key in set(values) - optional.get(name, set()):
        with pytest.raises(ProtocolError):
            parse(cbor.encode({other: value for other, value in values.items() if other != key}))


@pytest.mark.parametrize(
    "raw", [b"\xa0", b"\xa1\x00\x00", b"\xa1\x00\x0f", b"\xa1\x00\xf5", b"\xa1\x01\x0c", b"\x80", b""]
)
def test_a_message_of_no_known_type_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(raw)


def _changed(name: str, **keys: object) -> bytes:
    values = cbor.decode_map(MESSAGES[name].serialize())
    return cbor.encode({**values, **{int(key[1:]): value for key, value in keys.items()}})


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("hello", {"_1": 0}), ("hello", {"_1": 2}), ("hello", {"_2": 65_536}), ("hello", {"_4": bytes(31)}),
        ("hello", {"_5": "ü" * 32 + "x"}), ("hello", {"_6": 0}), ("hello", {"_6": 3}),
        ("prove by ticket", {"_1": 0}), ("prove by ticket", {"_1": 5}), ("prove by ticket", {"_2": bytes(15)}),
        ("prove by ticket", {"_3": bytes(33)}), ("prove by ticket", {"_1": 2}), ("prove by code", {"_2": 0}),
        ("prove by code", {"_2": 1_000_000}), ("prove by code", {"_4": bytes(31)}), ("confirm a code", {"_4": b""}),
        ("prove to join", {"_2": bytes(15)}), ("prove to join", {"_3": bytes(31)}), ("offer a tree", {"_1": 3}), ("offer a tree", {"_3": "x" * 256}), ("offer a tree", {"_4": 2**63}),
        ("offer a tree", {"_6": bytes(16)}), ("offer a tree", {"_7": [1, 16384, 65536]}),
        ("offer a tree", {"_7": [3, 16384, 65536, 262144]}), ("offer a tree", {"_7": [1, 1, 65536, 262144]}),
        ("offer a tree", {"_7": [1, 16384, 65537, 262144]}), ("offer a tree", {"_7": [1, 16384, 65536, 2**23 + 1]}),
        ("offer a tree", {"_7": [2, 16384, 65536, 262144]}), ("offer a tree", {"_7": [True, 16384, 65536, 262144]}),
        ("offer a tree", {"_8": 0}), ("offer a tree", {"_8": 65_536}), ("offer a tree", {"_1": 2}),
        ("offer an archive", {"_9": bytes(255)}), ("offer an archive", {"_10": 0}), ("offer an archive", {"_10": 4097}),
        ("accept", {"_1": 0}), ("accept", {"_1": 3}), ("accept", {"_2": 2**20 - 1}), ("accept", {"_2": 2**28 + 1}),
        ("accept an archive", {"_3": bytes(31)}),
        ("want", {"_1": 2**33}), ("want", {"_2": b"\x00\x81\x20"}), ("want a metadata page", {"_2": b"\x00\x02"}),
        ("kept", {"_2": {}}), ("kept", {"_2": {1: b""}}), ("kept", {"_2": {2**33: b"\x00\x01"}}), ("kept", {"_2": {1: 1}}),
        ("lost", {"_2": b""}),
        ("finish a tree", {"_5": bytes(63)}), ("finish an archive", {"_3": 1}), ("finish an archive", {"_5": bytes(64)}),
        ("done", {"_1": bytes(31)}), ("done", {"_2": 2**63}), ("cancel", {"_1": 0}),
        ("close", {"_1": 2**32}), ("close", {"_2": "x" * 1025}),
    ],
)  # fmt: skip
def test_what_is_beyond_a_limit_is_refused(name: str, keys: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        parse(_changed(name, **keys))


def test_what_is_at_a_limit_is_read() -> None:
    assert cast(Hello, parse(_changed("hello", _5="ü" * 32))).software == "ü" * 32
    assert cast(Close, parse(_changed("close", _2="x" * 1024))).text == "x" * 1024
    assert type(parse(_changed("offer a tree", _7=[2, 2**23, 2**23, 2**23]))) is Offer
    assert cast(Want, parse(_changed("want", _1=2 * METADATA_PAGES - 1, _2=b"\x00\x01"))).ranges == Ranges.whole(1)


def test_a_stranger_gets_less_room() -> None:
    raw = _changed("want nothing", _100=bytes(messages.STRANGER.most_bytes))
    assert parse(raw) == MESSAGES["want nothing"]
    with pytest.raises(ProtocolError, match="are allowed"):
        parse(raw, messages.STRANGER)
    raw = _changed("want nothing", _100=[0] * messages.STRANGER.most_items)
    assert parse(raw) == MESSAGES["want nothing"]
    with pytest.raises(ProtocolError, match="items"):
        parse(raw, messages.STRANGER)


@pytest.mark.parametrize(
    "message",
    [
        Want(2**33, RANGES), Want(1, Ranges(((0, 4097),))), Kept(1, {}), Kept(1, {-1: RANGES}), Prove(Method.TICKET, SESSION),
        Prove(Method.JOIN, tag=TAG), Prove(Method.JOIN, SESSION),
        Hello(Role.SINK, bytes(31)), Hello(Role.SINK, DIGEST, "\udcff"), Close(-1), Confirm(share=bytes(32)),
        Kept(1, dict.fromkeys(range(4097), Ranges.whole(1))),
    ],
)  # fmt: skip
def test_what_would_be_refused_is_not_sent(message: Hello | Want | Kept | Prove | Close | Confirm) -> None:
    with pytest.raises(ProtocolError):
        message.serialize()


def test_an_answer_fits_its_method() -> None:
    tag = Confirm(tag=TAG)
    answers = {
        Method.TICKET: tag,
        Method.CODE: Confirm(tag=TAG, share=DIGEST),
        Method.PEER: Confirm(),
        Method.JOIN: tag,
    }
    for asked in Method:
        for answer in answers.values():
            if answer is answers[asked]:
                answer.check(asked)
            else:
                with pytest.raises(ProtocolError):
                    answer.check(asked)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_shows_no_secret(name: str) -> None:
    for secret in (SECRET, TAG, b"c" * 32):
        assert repr(secret)[2:-1] not in repr(MESSAGES[name])
    assert not hasattr(MESSAGES[name], "__dict__")


def test_an_offer_shows_what_it_is() -> None:
    assert "photos" in repr(MESSAGES["offer a tree"])
    assert "scope_secret" not in repr(cast(Offer, MESSAGES["offer a tree"]).what)


def test_codes_are_those_that_the_program_exits_with() -> None:
    expected = {
        CloseCode.PARTIAL: errors.PartialError, CloseCode.NOT_FOUND: errors.NotFoundError, CloseCode.BUSY: errors.BusyError,
        CloseCode.AUTH: errors.WrongKeyError, CloseCode.INTEGRITY: errors.IntegrityError, CloseCode.REFUSED: errors.PolicyError,
        CloseCode.VERSION: errors.VersionError, CloseCode.SPACE: errors.StorageFullError,
        CloseCode.PROTOCOL: errors.ProtocolError, CloseCode.CANCELLED: errors.CancelledError, CloseCode.FAILED: errors.FailedError,
    }  # fmt: skip
    assert {code: cls.exit_code for code, cls in expected.items()} == {code: code.value for code in CloseCode if code}
