"""The commit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal._native import ScopeKeys
from warp_portal.archive.commit import CHECKPOINT, COMMIT_BYTES, SNAPSHOT, Commit
from warp_portal.errors import FormatError, IntegrityError, SignatureError
from warp_portal.keys.signers import SigningKey

U64 = st.integers(0, 2**64 - 1)
DIGEST = st.binary(min_size=32, max_size=32)
UUID = bytes(range(16))
KEYS = ScopeKeys(b"k" * 32, 1)
SIGNING_KEY = SigningKey(b"s" * 32)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    sequence = draw(st.integers(1, 2**64 - 1))
    previous = 4096 * draw(st.integers(1, 2**40)) if sequence > 1 else 0
    toc_offset = previous + 256 + draw(st.integers(0, 2**40))
    toc_bytes = draw(st.integers(1, 2**20))
    chunks = draw(U64)
    return Commit(
        sequence=sequence,
        previous=previous,
        offset=toc_offset + toc_bytes + -(toc_offset + toc_bytes) % 4096,
        toc_offset=toc_offset,
        toc_bytes=toc_bytes,
        toc_digest=draw(DIGEST),
        chunks=chunks,
        root=draw(DIGEST.filter(any)) if chunks else bytes(32),
        stored_bytes=draw(U64),
        flags=draw(st.sampled_from([CHECKPOINT, SNAPSHOT])),
        time_ns=draw(st.integers(-(2**63), 2**63 - 1)),
    ).sealed(ScopeKeys(draw(DIGEST), 1), UUID, draw(st.sampled_from([None, SIGNING_KEY])))


@given(commits())
def test_a_commit_survives_its_bytes(commit: Commit) -> None:
    raw = commit.serialize()
    assert len(raw) == COMMIT_BYTES
    assert Commit.parse(raw) == commit
    assert Commit.parse(raw).serialize() == raw


@given(commits(), st.integers(0, COMMIT_BYTES * 8 - 1))
def test_any_flipped_bit_is_seen_without_a_key(commit: Commit, bit: int) -> None:
    raw = bytearray(commit.serialize())
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError):
        Commit.parse(bytes(raw))


@given(st.binary(max_size=COMMIT_BYTES + 8))
def test_other_bytes_are_a_format_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        Commit.parse(raw)


@given(commits())
def test_the_mac_binds_a_commit_to_the_archive_key(commit: Commit) -> None:
    sealed = commit.sealed(KEYS, UUID, None)
    sealed.check_mac(KEYS)
    with pytest.raises(IntegrityError):
        sealed.check_mac(ScopeKeys(b"x" * 32, 1))
    with pytest.raises(IntegrityError):
        replace(sealed, stored_bytes=sealed.stored_bytes ^ 1).check_mac(KEYS)


@given(commits())
def test_the_signature_binds_a_commit_to_signer_and_archive(commit: Commit) -> None:
    sealed = commit.sealed(KEYS, UUID, SIGNING_KEY)
    sealed.check_signature(UUID, SIGNING_KEY.public)
    with pytest.raises(SignatureError):
        sealed.check_signature(bytes(16), SIGNING_KEY.public)
    with pytest.raises(SignatureError):
        sealed.check_signature(UUID, SigningKey(b"t" * 32).public)
    with pytest.raises(SignatureError):
        replace(sealed, chunks=sealed.chunks ^ 1).check_signature(UUID, SIGNING_KEY.public)


def test_a_plain_commit_has_no_mac() -> None:
    plain = Commit(1, 0, 4096, 300, 100, bytes(32), 0, bytes(32), 0, SNAPSHOT, 5).sealed(ScopeKeys(None, 0), UUID, None)
    assert plain.mac == bytes(16)
    plain.check_mac(ScopeKeys(None, 0))


@pytest.mark.parametrize(
    "change",
    [
        {"flags": 3},
        {"flags": 0},
        {"sequence": 2},
        {"previous": 4096},
        {"offset": 8192},
        {"offset": 4097},
        {"root": b"r" * 32},
        {"signature": b"s" * 64},
        {"toc_bytes": 2**31},
    ],
)
def test_contradictions_are_refused(change: dict[str, int | bytes]) -> None:
    commit = Commit(1, 0, 4096, 300, 100, bytes(32), 0, bytes(32), 0, SNAPSHOT, 5)
    Commit.parse(commit.serialize())
    with pytest.raises(FormatError):
        Commit.parse(replace(commit, **change).serialize())  # type: ignore[arg-type]  # one value of the right type each
