"""Key slots: their bytes, and who gets in."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warp_portal._native import ScopeKeys
from warp_portal.archive.slots import (
    PASSPHRASE,
    X25519,
    XWING,
    Slot,
    SlotCopy,
    open_with_identity,
    open_with_passphrase,
    seal_for_passphrase,
    seal_for_recipient,
)
from warp_portal.errors import FormatError, IntegrityError, UsageError
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity

UUID = bytes(range(16))
KEY = b"k" * 32
CHEAP = Argon2Cost(passes=2, lanes=1)
BODY_BYTES = {PASSPHRASE: 124, X25519: 8 + 32 + 80, XWING: 8 + 32 + 1168}


@st.composite
def slots(draw: st.DrawFn) -> Slot:
    kind = draw(st.sampled_from([PASSPHRASE, X25519, XWING, 4, 200]))
    length = BODY_BYTES.get(kind, draw(st.integers(0, 50)))
    return Slot(
        kind,
        draw(st.binary(min_size=8, max_size=8)),
        (draw(st.binary(max_size=9)) * length).ljust(length, b".")[:length],
    )


COPIES = st.builds(
    SlotCopy,
    st.integers(0, 2**32 - 1),
    st.lists(slots(), max_size=6, unique_by=lambda slot: slot.slot_id).map(tuple),
    st.binary(min_size=32, max_size=32),
)


@given(COPIES)
def test_a_copy_survives_its_bytes(copy: SlotCopy) -> None:
    raw = copy.serialize(16384)
    assert SlotCopy.parse(raw) == copy
    assert SlotCopy.parse(raw).serialize(16384) == raw


@given(COPIES, st.data())
def test_a_changed_copy_is_refused_or_fails_its_mac(copy: SlotCopy, data: st.DataObject) -> None:
    keys = ScopeKeys(KEY, 1)
    sealed = SlotCopy(copy.generation, copy.slots, keys.slot_mac(copy.body()))
    sealed.check_mac(keys)
    raw = bytearray(sealed.serialize(16384))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        SlotCopy.parse(bytes(raw)).check_mac(keys)


@given(st.binary(max_size=400))
def test_other_bytes_are_a_format_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        SlotCopy.parse(raw)


def test_slots_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError):
        SlotCopy(1, (Slot(PASSPHRASE, bytes(8), bytes(124)),)).serialize(128)


@settings(max_examples=2)
@given(st.text(min_size=1, max_size=20))
def test_a_passphrase_opens_its_slot_in_any_normal_form(passphrase: str) -> None:
    slot = seal_for_passphrase(KEY, UUID, unicodedata.normalize("NFD", passphrase), CHEAP)
    assert open_with_passphrase(slot, UUID, unicodedata.normalize("NFC", passphrase)) == KEY
    assert open_with_passphrase(slot, UUID, passphrase + "x") is None


def test_a_slot_is_bound_to_its_archive() -> None:
    slot = seal_for_passphrase(KEY, UUID, "geheim", CHEAP)
    assert open_with_passphrase(slot, bytes(16), "geheim") is None


def test_a_cost_outside_the_limits_is_refused_before_it_is_paid() -> None:
    slot = seal_for_passphrase(KEY, UUID, "geheim", CHEAP)
    for at, value in ((32, 2**31), (32, 8), (36, 1), (36, 10**6), (40, 0), (40, 99)):
        body = slot.body[:at] + value.to_bytes(4, "little") + slot.body[at + 4 :]
        with pytest.raises(FormatError):
            open_with_passphrase(Slot(PASSPHRASE, slot.slot_id, body), UUID, "geheim")


@pytest.mark.parametrize("kind", ["x25519", "xwing"])
def test_an_identity_opens_what_is_for_its_recipient(kind: str) -> None:
    identity, other = Identity.generate(kind), Identity.generate(kind)
    slot = seal_for_recipient(KEY, UUID, identity.recipient)
    assert open_with_identity(slot, UUID, identity) == KEY
    assert open_with_identity(slot, UUID, other) is None
    assert open_with_identity(slot, bytes(16), identity) is None
    assert open_with_identity(slot, UUID, Identity.generate("x25519" if kind == "xwing" else "xwing")) is None
    damaged = Slot(slot.type, slot.slot_id, slot.body[:8] + bytes(32) + slot.body[40:])
    with pytest.raises(IntegrityError, match="commitment"):
        open_with_identity(damaged, UUID, identity)
