"""The header: every value survives its bytes, every accepted byte string survives its value, nothing else gets through."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.archive.header import HEADER_BYTES, Header
from warp_portal.errors import FormatError, VersionError
from warp_portal.primitives.cutting import BUZHASH64, FIXED, KIB, MAX_CHUNK, Cutting, Sizes

U64 = st.integers(0, 2**64 - 1)


@st.composite
def cuttings(draw: st.DrawFn) -> Cutting:
    algorithm = draw(st.sampled_from([BUZHASH64, FIXED]))
    fragment_mean = 1 << draw(st.integers(12, 22))
    maximum = (
        fragment_mean
        if algorithm == FIXED
        else draw(st.integers(fragment_mean, min(4 * fragment_mean, MAX_CHUNK // 2)))
    )
    minimum = fragment_mean if algorithm == FIXED else draw(st.integers(64, fragment_mean))
    chunk_mean = 1 << draw(st.integers(12, 24))
    chunk_max = draw(st.integers(max(chunk_mean, 2 * maximum), MAX_CHUNK))
    chunk = Sizes(draw(st.integers(64, chunk_mean)), chunk_mean, chunk_max)
    return Cutting(algorithm, Sizes(minimum, fragment_mean, maximum), chunk)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    suite = draw(st.sampled_from([0, 1, 2]))
    return Header(
        uuid=draw(st.binary(min_size=16, max_size=16)),
        suite=suite,
        cutting=draw(cuttings()),
        slot_copy_bytes=256 * draw(st.integers(1, 128)) if suite else 0,
        key_commitment=draw(st.binary(min_size=32, max_size=32)) if suite else bytes(32),
        created_ns=draw(st.integers(-(2**63), 2**63 - 1)),
        writer_features=draw(U64),
        optional_features=draw(U64),
        minor=draw(st.integers(0, 2**16 - 1)),
        mac=draw(st.binary(min_size=32, max_size=32)),
    )


@given(headers())
def test_a_header_survives_its_bytes(header: Header) -> None:
    raw = header.serialize()
    assert len(raw) == HEADER_BYTES
    assert Header.parse(raw) == header
    assert Header.parse(raw).serialize() == raw


@given(headers(), st.integers(0, HEADER_BYTES * 8 - 1))
def test_a_header_with_a_flipped_bit_is_refused_or_says_something_else(header: Header, bit: int) -> None:
    raw = bytearray(header.serialize())
    raw[bit // 8] ^= 1 << bit % 8
    try:
        parsed = Header.parse(bytes(raw))
    except (FormatError, VersionError):
        return
    assert parsed != header
    assert parsed.serialize() == bytes(raw)


@given(st.binary(max_size=HEADER_BYTES + 8))
def test_other_bytes_are_a_format_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        Header.parse(raw)


def test_another_major_version_is_told_apart() -> None:
    header = Header(
        bytes(16), 0, Cutting(BUZHASH64, Sizes(KIB, 4 * KIB, 8 * KIB), Sizes(KIB, 4 * KIB, 16 * KIB)), 0, bytes(32), 0
    )
    raw = bytearray(header.serialize())
    raw[8] = 2
    with pytest.raises(VersionError, match="version 2"):
        Header.parse(bytes(raw))
    raw[8], raw[16] = 1, 2
    with pytest.raises(VersionError, match="feature"):
        Header.parse(bytes(raw))


def test_a_plain_header_with_slots_is_refused() -> None:
    header = Header(
        bytes(16), 0, Cutting(BUZHASH64, Sizes(KIB, 4 * KIB, 8 * KIB), Sizes(KIB, 4 * KIB, 16 * KIB)), 0, bytes(32), 0
    )
    with pytest.raises(FormatError, match="key slots"):
        Header.parse(replace(header, slot_copy_bytes=256).serialize())
