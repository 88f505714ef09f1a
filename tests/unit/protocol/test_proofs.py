"""Tags of tickets, against the library `blake3` of the BLAKE3 team as a second implementation."""

import dataclasses

import blake3
import pytest

from warp_portal.errors import UsageError, WrongKeyError
from warp_portal.protocol.proofs import TICKET_CONTEXT, Binding, Prover, check_ticket_tag, ticket_tag

SECRET = bytes(range(32))
BINDING = Binding(b"E" * 32, b"d" * 32, b"l" * 32, b"s" * 16)


@pytest.mark.parametrize("prover", Prover)
def test_a_tag_is_what_the_document_says(prover: Prover) -> None:
    key = blake3.blake3(SECRET, derive_key_context="warp-portal 2026-11 ticket proof v1").digest()
    message = bytes([prover]) + b"E" * 32 + b"d" * 32 + b"l" * 32 + b"s" * 16
    assert ticket_tag(SECRET, prover, BINDING) == blake3.blake3(message, key=key).digest()
    check_ticket_tag(ticket_tag(SECRET, prover, BINDING), SECRET, prover, BINDING)


def test_the_tags_are_pinned() -> None:
    assert TICKET_CONTEXT == "warp-portal 2026-11 ticket proof v1"
    tags = {prover.value: ticket_tag(SECRET, prover, BINDING).hex()[:16] for prover in Prover}
    assert tags == {1: "554ab0def74a254f", 2: "8f1031a735938a87"}


def test_a_tag_can_not_be_sent_back() -> None:
    with pytest.raises(WrongKeyError, match="listener"):
        check_ticket_tag(ticket_tag(SECRET, Prover.DIALER, BINDING), SECRET, Prover.LISTENER, BINDING)


@pytest.mark.parametrize("part", ["exporter", "dialer", "listener", "session"])
def test_a_tag_holds_for_one_connection_pair_and_session(part: str) -> None:
    other = dataclasses.replace(BINDING, **{part: bytes(len(getattr(BINDING, part)))})
    with pytest.raises(WrongKeyError):
        check_ticket_tag(ticket_tag(SECRET, Prover.DIALER, BINDING), SECRET, Prover.DIALER, other)


def test_the_keys_are_not_exchangeable() -> None:
    turned = Binding(BINDING.exporter, BINDING.listener, BINDING.dialer, BINDING.session)
    assert ticket_tag(SECRET, Prover.DIALER, turned) != ticket_tag(SECRET, Prover.DIALER, BINDING)


def test_any_flipped_bit_of_a_tag_is_noticed() -> None:
    tag = ticket_tag(SECRET, Prover.DIALER, BINDING)
    for bit in range(256):
        changed = bytearray(tag)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WrongKeyError):
            check_ticket_tag(bytes(changed), SECRET, Prover.DIALER, BINDING)


@pytest.mark.parametrize("tag", [b"", bytes(31), bytes(33)])
def test_a_tag_of_another_length_is_wrong(tag: bytes) -> None:
    with pytest.raises(WrongKeyError):
        check_ticket_tag(tag, SECRET, Prover.DIALER, BINDING)


def test_parts_of_other_lengths_are_refused() -> None:
    with pytest.raises(UsageError):
        Binding(b"E" * 31, b"d" * 33, b"l" * 32, b"s" * 16)
    with pytest.raises(UsageError):
        ticket_tag(bytes(16), Prover.DIALER, BINDING)


def test_a_binding_shows_nothing() -> None:
    assert "EEEE" not in repr(BINDING)
