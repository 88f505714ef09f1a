"""The TOC: clear part, sealed part, and the frame around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.archive import packed
from warp_portal.archive.limits import KIND_LOCATOR
from warp_portal.archive.toc import TOC, ClearTOC, PageRef, SealedTOC
from warp_portal.errors import FormatError, VersionError

U64 = st.integers(0, 2**64 - 1)
DIGEST = st.binary(min_size=32, max_size=32)


@st.composite
def page_refs(draw: st.DrawFn) -> PageRef:
    kind = draw(st.integers(1, 4))
    root = draw(DIGEST) if kind == KIND_LOCATOR else b""
    return PageRef(kind, draw(st.integers(1, 4096)), draw(U64), draw(U64), draw(DIGEST), root)


@st.composite
def clear_tocs(draw: st.DrawFn) -> ClearTOC:
    chunks = draw(st.integers(0, 2**40))
    return ClearTOC(
        active_copy=draw(st.integers(0, 1)),
        header_digest=draw(DIGEST),
        slots_digest=draw(DIGEST),
        previous_digest=draw(DIGEST),
        chunks=chunks,
        frontier=b"n" * (32 * chunks.bit_count()),
        pages=tuple(sorted(draw(st.lists(page_refs(), max_size=8)), key=lambda page: page.kind)),
    )


ARGUMENTS: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    st.text(max_size=8),
    st.recursive(st.text(max_size=5) | st.binary(max_size=5) | st.booleans() | U64, st.lists, max_leaves=6),
)
OWNERS = st.dictionaries(st.integers(0, 2**32 - 1), st.binary(max_size=8), max_size=4)


@st.composite
def sealed_tocs(draw: st.DrawFn) -> SealedTOC:
    return SealedTOC(
        fragments=draw(U64),
        entries=draw(U64),
        logical_bytes=draw(U64),
        dps=tuple(draw(st.lists(DIGEST, max_size=5))),
        first_fragments=tuple(draw(st.lists(U64, max_size=5))),
        first_paths=tuple(draw(st.lists(st.binary(max_size=9), max_size=5))),
        signer=draw(st.sampled_from([b"", b"p" * 32])),
        time_ns=draw(st.integers(0, 2**63 - 1)),
        arguments=draw(ARGUMENTS),
        owners=(draw(OWNERS), draw(OWNERS)),
        position=draw(st.binary(max_size=20)),
    )


@given(clear_tocs())
def test_a_clear_part_survives_its_bytes(clear: ClearTOC) -> None:
    raw = clear.serialize()
    assert ClearTOC.parse(raw) == clear
    assert ClearTOC.parse(raw).serialize() == raw


@given(sealed_tocs())
def test_a_sealed_part_survives_its_bytes(sealed: SealedTOC) -> None:
    raw = sealed.serialize()
    assert SealedTOC.parse(raw) == sealed
    assert SealedTOC.parse(raw).serialize() == raw


@given(clear_tocs(), DIGEST, st.binary(max_size=80))
def test_a_toc_survives_its_bytes(clear: ClearTOC, dp: bytes, sealed: bytes) -> None:
    toc = TOC(clear, dp, sealed)
    assert TOC.parse(toc.serialize(), 1 << 70) == toc


@given(clear_tocs(), st.data())
def test_a_changed_clear_part_is_refused_or_says_something_else(clear: ClearTOC, data: st.DataObject) -> None:
    raw = bytearray(clear.serialize())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = ClearTOC.parse(bytes(raw))
    except (FormatError, VersionError):
        return
    assert parsed.serialize() == bytes(raw)


@given(clear_tocs(), st.data())
def test_a_shortened_clear_part_is_refused(clear: ClearTOC, data: st.DataObject) -> None:
    raw = clear.serialize()
    with pytest.raises(FormatError):
        ClearTOC.parse(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(sealed_tocs(), st.data())
def test_a_changed_sealed_part_is_refused_or_says_something_else(sealed: SealedTOC, data: st.DataObject) -> None:
    raw = bytearray(sealed.serialize())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = SealedTOC.parse(bytes(raw))
    except FormatError:
        return
    assert parsed.serialize() == bytes(raw)


@given(st.binary(max_size=300))
def test_other_bytes_are_a_format_error(raw: bytes) -> None:
    for parse in (lambda raw: TOC.parse(raw, 1 << 70), ClearTOC.parse, SealedTOC.parse):
        with pytest.raises((FormatError, VersionError)):
            parse(raw)


def test_a_number_in_a_longer_form_is_refused() -> None:
    raw = packed.pack({"a": 1})
    assert packed.unpack_map(raw, "a map") == {"a": 1}
    with pytest.raises(FormatError):
        packed.unpack_map(raw[:-1] + b"\xcc\x01", "a map")


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(FormatError):
        packed.unpack_map(b"\x82\xa1a\x01\xa1a\x02", "a map")
