"""CPace of the native module against an implementation in integers, and that one against the draft's own numbers."""

import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import cpace, ristretto255

from warp_portal import _native as native
from warp_portal.errors import UsageError, WrongKeyError

# Appendix B.3 of draft-irtf-cfrg-cpace-21.
PASSWORD, CHANNEL = b"Password", b"\x0bA_initiator\x0bB_responder"
SESSION = bytes.fromhex("7e4b4791d6a8ef019b936c79fb7f2c57")
GENERATOR = bytes.fromhex("222b6b195fe84b1652badb6f6a3ae3d24341e7306967f0b8115b40d5698c7e56")
SCALAR_A = bytes.fromhex("da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08")
SCALAR_B = bytes.fromhex("d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d")
SHARE_A = bytes.fromhex("d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157")
SHARE_B = bytes.fromhex("3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258")
SECRET = bytes.fromhex("80b69a8a76457ab6a4d7f887a4bf6b55a2f80ac19c333f917a05fc9887c8b40f")
KEY = bytes.fromhex(
    "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd"
    "2b38950a39dfd5d4a79164614c2984f7daa460b588c1e80c3fa2068af7900447"
)
NO_ELEMENT = bytes.fromhex("2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c")
NEUTRAL = bytes(32)
# There too: an element, a scalar, and what they give.
ELEMENT = bytes.fromhex("2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c")
SCALAR = bytes.fromhex("7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05")
PRODUCT = bytes.fromhex("7c13645fe790a468f62c39beb7388e541d8405d1ade69d1778c5fe3e7f6b600e")
# The same password, session and scalars with the channel identifier that earlier drafts had.
EARLIER_CHANNEL = b"\nAinitiator\nBresponder"
EARLIER_GENERATOR = bytes.fromhex("5e25411ca1ad7c9debfd0b33ad987a95cefef2d3f15dcc8bd26415a5dfe2e15a")
EARLIER_SHARE_A = bytes.fromhex("383a85dd236978f17f8c8545b50dabc52a39fcdab2cf8bc531ce040ff77ca82d")
EARLIER_SHARE_B = bytes.fromhex("a6206309c0e8e5f579295e35997ac4300ab3fecec3c17f7b604f3e698fa1383c")
EARLIER_KEY = bytes.fromhex(
    "e91ccb2c0f5e0d0993a33956e3be59754f3f2b07db57631f5394452ea2e7b435"
    "4674eb1f5686c078462bf83bec72e8743df440108e638f3526d9b90e85be096f"
)

INPUTS = (PASSWORD, CHANNEL, SESSION)
strings = st.binary(max_size=40) | st.binary(
    min_size=90, max_size=300
)  # both sides of the padding, and of one byte of length


def number(scalar: bytes) -> int:
    return int.from_bytes(scalar, "little")


def test_the_oracle_gives_the_numbers_of_the_draft() -> None:
    assert ristretto255.encode(cpace.generator(*INPUTS)) == GENERATOR
    assert cpace.share(number(SCALAR_A), *INPUTS) == SHARE_A
    assert cpace.share(number(SCALAR_B), *INPUTS) == SHARE_B
    assert cpace.secret(number(SCALAR_A), SHARE_B) == cpace.secret(number(SCALAR_B), SHARE_A) == SECRET
    assert cpace.key(SECRET, SESSION, (SHARE_A, b"ADa"), (SHARE_B, b"ADb")) == KEY
    assert cpace.secret(number(SCALAR_A), NO_ELEMENT) is None
    assert cpace.secret(number(SCALAR_A), NEUTRAL) is None
    assert cpace.secret(number(SCALAR), ELEMENT) == PRODUCT


def test_the_oracle_gives_the_numbers_of_earlier_drafts() -> None:
    inputs = (PASSWORD, EARLIER_CHANNEL, SESSION)
    assert ristretto255.encode(cpace.generator(*inputs)) == EARLIER_GENERATOR
    assert cpace.share(number(SCALAR_A), *inputs) == EARLIER_SHARE_A
    assert cpace.share(number(SCALAR_B), *inputs) == EARLIER_SHARE_B
    secret = cpace.secret(number(SCALAR_A), EARLIER_SHARE_B)
    assert secret == cpace.secret(number(SCALAR_B), EARLIER_SHARE_A)
    assert cpace.key(secret, SESSION, (EARLIER_SHARE_A, b"ADa"), (EARLIER_SHARE_B, b"ADb")) == EARLIER_KEY


@settings(max_examples=20, deadline=None)
@given(strings, strings, strings)
def test_the_initiator_agrees_with_the_oracle(password: bytes, channel: bytes, session: bytes) -> None:
    initiator = native.Cpace(password, channel, session)
    scalar = secrets.randbelow(ristretto255.ORDER - 1) + 1
    share = cpace.share(scalar, password, channel, session)
    secret = cpace.secret(scalar, initiator.share)
    assert initiator.finish(share) == cpace.key(secret, session, (initiator.share, b""), (share, b""))


@settings(max_examples=20, deadline=None)
@given(strings, strings, strings)
def test_the_responder_agrees_with_the_oracle(password: bytes, channel: bytes, session: bytes) -> None:
    scalar = secrets.randbelow(ristretto255.ORDER - 1) + 1
    theirs = cpace.share(scalar, password, channel, session)
    share, key = native.cpace_respond(password, channel, session, theirs)
    assert key == cpace.key(cpace.secret(scalar, share), session, (theirs, b""), (share, b""))


def test_both_sides_have_one_key_if_all_inputs_are_equal() -> None:
    initiator = native.Cpace(*INPUTS)
    share, key = native.cpace_respond(*INPUTS, initiator.share)
    assert initiator.finish(share) == key
    assert len(key) == 64


@pytest.mark.parametrize("other", [0, 1, 2], ids=["password", "channel", "session"])
def test_one_other_input_gives_another_key(other: int) -> None:
    initiator = native.Cpace(*INPUTS)
    theirs = list(INPUTS)
    theirs[other] += b"!"
    share, key = native.cpace_respond(theirs[0], theirs[1], theirs[2], initiator.share)
    assert initiator.finish(share) != key


def test_no_share_is_used_twice() -> None:
    assert native.Cpace(*INPUTS).share != native.Cpace(*INPUTS).share
    assert native.cpace_respond(*INPUTS, SHARE_A) != native.cpace_respond(*INPUTS, SHARE_A)


@pytest.mark.parametrize(
    "share",
    [NO_ELEMENT, NEUTRAL, b"", SHARE_A[:31], SHARE_A + b"\0", ristretto255.P.to_bytes(32, "little"), b"\xff" * 32, b"\1" + bytes(31)],
    ids=["no element", "neutral", "empty", "short", "long", "neutral, not reduced", "too large", "negative"],
)  # fmt: skip
def test_what_is_no_share_is_a_wrong_key(share: bytes) -> None:
    with pytest.raises(WrongKeyError):
        native.cpace_respond(*INPUTS, share)
    initiator = native.Cpace(*INPUTS)
    with pytest.raises(WrongKeyError):
        initiator.finish(share)
    with pytest.raises(UsageError):
        initiator.finish(SHARE_B)


def test_an_exchange_is_used_once_and_shows_nothing() -> None:
    initiator = native.Cpace(*INPUTS)
    assert "Password" not in repr(initiator)
    initiator.finish(SHARE_B)
    with pytest.raises(UsageError):
        initiator.finish(SHARE_B)
