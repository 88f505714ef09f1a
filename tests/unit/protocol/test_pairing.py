"""What a code proves, against the library `blake3` as a second implementation, and when its number is taken."""

import blake3
import pytest
from tests.unit.protocol.dialogue import CODE, DIALER, LINK, LISTENER, claims, clock, dialer, door, listener, shake

from warp_portal.errors import UsageError, WrongKeyError
from warp_portal.protocol.claims import ByCode
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import CODE_LIFE_S
from warp_portal.protocol.pairing import CODE_CONTEXT, Shares, channel_identifier, check_code_tag, code_tag
from warp_portal.protocol.proofs import Link, Prover

ISK = bytes(range(64))
SHARES = Shares(b"a" * 32, b"b" * 32)
WRONG = ShortCode(7, "abandon-zoo-lemon")


@pytest.mark.parametrize("prover", Prover)
def test_a_tag_is_what_the_document_says(prover: Prover) -> None:
    key = blake3.blake3(ISK, derive_key_context="warp-portal 2026-11 code proof v1").digest()
    message = bytes([prover]) + b"a" * 32 + b"b" * 32
    assert code_tag(ISK, prover, SHARES) == blake3.blake3(message, key=key).digest()
    check_code_tag(code_tag(ISK, prover, SHARES), ISK, prover, SHARES)


def test_the_tags_are_pinned() -> None:
    assert CODE_CONTEXT == "warp-portal 2026-11 code proof v1"
    tags = {prover.value: code_tag(ISK, prover, SHARES).hex()[:16] for prover in Prover}
    assert tags == {1: "66c9f9e0175e0e1d", 2: "25c8d01afe6d6ace"}


@pytest.mark.parametrize(
    ("isk", "prover", "shares"),
    [
        (bytes(64), Prover.DIALER, SHARES),
        (ISK, Prover.LISTENER, SHARES),
        (ISK, Prover.DIALER, Shares(SHARES.listener, SHARES.dialer)),
        (ISK, Prover.DIALER, Shares(SHARES.dialer, SHARES.dialer)),
    ],
)
def test_a_tag_holds_for_one_key_side_and_exchange(isk: bytes, prover: Prover, shares: Shares) -> None:
    with pytest.raises(WrongKeyError):
        check_code_tag(code_tag(ISK, Prover.DIALER, SHARES), isk, prover, shares)


def test_the_channel_is_what_the_document_says() -> None:
    expected = b"warp-portal code v1" + b"E" * 32 + b"D" * 32 + b"L" * 32 + b"\x3f\x42\x0f\x00"
    assert channel_identifier(LINK, 999_999) == expected
    assert Link(b"E" * 32, DIALER, LISTENER) == LINK


def test_a_link_of_other_lengths_is_refused() -> None:
    with pytest.raises(UsageError):
        Link(b"E" * 31, DIALER, LISTENER)


def test_a_number_is_taken_while_its_code_is_open() -> None:
    time = clock()
    at = door(time)
    with pytest.raises(UsageError):
        at.show(WRONG)
    time.advance(CODE_LIFE_S)
    at.show(WRONG)
    at.hide(WRONG.nameplate)
    at.show(CODE)
    assert shake(dialer(claims()["code"]), listener(at))[1].error is None


def test_a_guess_is_counted_for_who_listens_and_who_made_it_is_told_to_look_for_a_slip() -> None:
    at = door()
    for number in (1, 2, 3):
        listening = listener(at)
        assert listening.is_silent
        left, _ = shake(dialer(ByCode(WRONG)), listening)
        assert (listening.guesses, listening.is_silent) == (number, False)
        assert "look for a mistyped word and try again" in str(left.error)
    assert at.is_spent(WRONG.nameplate)


def test_a_code_that_was_used_is_not_spent_and_one_that_is_too_old_is() -> None:
    time = clock()
    used, old = door(time), door(time)
    shake(dialer(claims()["code"]), listener(used))
    assert not old.is_spent(CODE.nameplate)
    time.advance(CODE_LIFE_S)
    assert old.is_spent(CODE.nameplate)
    assert not used.is_spent(CODE.nameplate)
