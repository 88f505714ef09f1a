"""Cutting profiles, compression policies and signatures."""

import pytest

from warp_portal.errors import SignatureError, UsageError
from warp_portal.primitives import signing
from warp_portal.primitives.compression import LZ4, STORE, ZSTD, policy
from warp_portal.primitives.cutting import BUZHASH64, FIXED, KIB, MIB, PROFILES, Cutting, Sizes, cutting


@pytest.mark.parametrize(
    ("profile", "fragment", "chunk"),
    [("fine", 16 * KIB, 256 * KIB), ("general", 64 * KIB, MIB), ("bulk", MIB, 4 * MIB)],
)
def test_a_profile_names_the_means(profile: str, fragment: int, chunk: int) -> None:
    found = cutting(profile)
    assert found == PROFILES[profile]
    assert found.algorithm == BUZHASH64
    assert found.fragment == (fragment // 4, fragment, 4 * fragment)
    assert found.chunk == (chunk // 2, chunk, 2 * chunk)
    assert found.defect() is None


def test_means_can_be_replaced_and_fixed() -> None:
    found = cutting("general", fixed=True, fragment_mean=128 * KIB, chunk_mean=2 * MIB)
    assert found.algorithm == FIXED
    assert set(found.fragment) == {128 * KIB}
    assert found.chunk.mean == 2 * MIB


@pytest.mark.parametrize(
    ("profile", "fragment", "chunk"),
    [
        ("huge", None, None),
        ("general", 5000, None),
        ("general", 2 * KIB, None),
        ("general", 16 * MIB, None),
        ("fine", None, 32 * KIB),
    ],
)
def test_sizes_outside_the_format_are_refused(profile: str, fragment: int | None, chunk: int | None) -> None:
    with pytest.raises(UsageError):
        cutting(profile, fragment_mean=fragment, chunk_mean=chunk)


@pytest.mark.parametrize(
    "wrong",
    [
        Cutting(9, PROFILES["fine"].fragment, PROFILES["fine"].chunk),
        Cutting(FIXED, Sizes(4 * KIB, 8 * KIB, 8 * KIB), PROFILES["fine"].chunk),
        Cutting(BUZHASH64, Sizes(63, 8 * KIB, 8 * KIB), PROFILES["fine"].chunk),
        Cutting(BUZHASH64, Sizes(9 * KIB, 8 * KIB, 8 * KIB), PROFILES["fine"].chunk),
        Cutting(BUZHASH64, PROFILES["fine"].fragment, Sizes(MIB, 16 * MIB, 65 * MIB)),
    ],
)
def test_defects_are_named(wrong: Cutting) -> None:
    assert wrong.defect()


def test_policies_are_tables() -> None:
    assert policy("none").rows == ((9.0, STORE, 0),)
    assert policy("lz4").rows[0][1] == LZ4
    assert policy("zstd").rows == ((9.0, ZSTD, 3),)
    assert policy("zstd:-5").rows == ((9.0, ZSTD, -5),)
    auto = policy("auto")
    assert [row[1:] for row in auto.rows] == [(ZSTD, 2), (ZSTD, 3), (STORE, 0)]
    assert (auto.version, policy("lz4").version) == (2, 1)


@pytest.mark.parametrize("text", ["gzip", "", "lz4:3", "zstd:0", "zstd:23", "zstd:x", "auto:1"])
def test_unknown_policies_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        policy(text)


def test_a_signature_is_by_one_key_over_one_message() -> None:
    seed = signing.new_seed()
    public, signature = signing.public_key(seed), signing.sign(seed, b"message")
    signing.verify(public, signature, b"message")
    other = signing.public_key(signing.new_seed())
    for case in (
        (other, signature, b"message"),
        (public, signature, b"massage"),
        (public, signature[:-1], b"message"),
        (b"short", signature, b"message"),
    ):
        with pytest.raises(SignatureError):
            signing.verify(*case)
