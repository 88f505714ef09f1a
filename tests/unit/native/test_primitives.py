"""The native primitives against Python implementations of docs/format.md §4–6 and §9."""

import mmap
import os
import struct
from pathlib import Path

import blake3
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from warp_portal import _native as native
from warp_portal.errors import FormatError, IntegrityError, UsageError

KEY = bytes(range(32))
STORE, ZSTD = 0, 1
AEADS: dict[int, type[ChaCha20Poly1305] | type[AESGCM]] = {1: ChaCha20Poly1305, 2: AESGCM}


def derive(purpose: str, secret: bytes) -> bytes:
    return blake3.blake3(secret, derive_key_context=f"warp-portal 2026-11 {purpose} v1").digest()


def scope_secret(suite: int) -> bytes:
    return derive("archive scope", KEY) if suite else bytes(32)


def scope(suite: int) -> native.ScopeKeys:
    return native.ScopeKeys(KEY if suite else None, suite)


def rfc6962_root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else bytes(32)
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return blake3.blake3(b"\1" + rfc6962_root(leaves[:k]) + rfc6962_root(leaves[k:])).digest()


@given(st.binary(max_size=3000), st.integers(0, 200))
def test_blake3_agrees_in_all_modes(data: bytes, length: int) -> None:
    assert native.blake3(data) == blake3.blake3(data).digest()
    assert native.blake3(data, length=length) == blake3.blake3(data).digest(length=length)
    assert native.blake3(data, key=KEY, length=length) == blake3.blake3(data, key=KEY).digest(length=length)
    context = "a context"
    assert native.blake3(data, context=context) == blake3.blake3(data, derive_key_context=context).digest()


def test_blake3_refuses_a_short_key_and_two_modes() -> None:
    with pytest.raises(UsageError):
        native.blake3(b"", key=b"short")
    with pytest.raises(UsageError):
        native.blake3(b"", key=KEY, context="x")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken(kind: type) -> None:
    assert native.blake3(kind(b"data")) == blake3.blake3(b"data").digest()


def test_a_map_is_taken_and_a_buffer_with_gaps_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert native.blake3(mapped) == blake3.blake3(b"data").digest()
    with pytest.raises((UsageError, BufferError)):
        native.blake3(memoryview(b"data")[::2])


@given(
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1)), max_size=40), st.integers(0, 40)
)
def test_merkle_tree_has_the_shape_of_rfc_6962(chunks: list[tuple[bytes, int]], split: int) -> None:
    leaves = [blake3.blake3(b"\0" + cid + struct.pack("<I", stored)).digest() for cid, stored in chunks]
    joined = native.merkle_leaves(
        b"".join(cid for cid, _ in chunks), struct.pack(f"<{len(chunks)}I", *(n for _, n in chunks))
    )
    assert joined == b"".join(leaves)
    assert native.merkle_root(joined) == rfc6962_root(leaves)
    first = native.Frontier()
    first.append(b"".join(leaves[:split]))
    second = native.Frontier(first.size, first.nodes())
    second.append(b"".join(leaves[split:]))
    assert (second.size, second.root()) == (len(leaves), rfc6962_root(leaves))


def test_a_frontier_with_a_wrong_number_of_nodes_is_malformed() -> None:
    with pytest.raises(FormatError):
        native.Frontier(3, bytes(32))


@pytest.mark.parametrize("suite", [0, 1, 2])
def test_scope_keys_follow_the_format(suite: int) -> None:
    keys, secret = scope(suite), scope_secret(suite)
    assert keys.suite == suite
    assert keys.commitment() == (derive("key commitment", secret) if suite else bytes(32))
    assert keys.header_mac(b"x") == blake3.blake3(b"x", key=derive("header mac", secret)).digest()
    assert keys.slot_mac(b"x") == blake3.blake3(b"x", key=derive("slot mac", secret)).digest()
    mac = blake3.blake3(b"x", key=derive("commit mac", secret)).digest(length=16)
    assert keys.commit_mac(b"x") == (mac if suite else bytes(16))
    assert repr(keys).startswith("ScopeKeys { suite:")


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize(
    ("kind", "name"), [(native.OBJECT_CHUNK, "chunk"), (native.OBJECT_PAGE, "page"), (native.OBJECT_TOC, "toc")]
)
def test_a_seal_is_that_of_the_format(suite: int, kind: int, name: str) -> None:
    raw, secret = b"some raw bytes", scope_secret(suite)
    stored, dp = scope(suite).seal(kind, raw, STORE, 0)
    payload = struct.pack("<BxxxQQ", STORE, len(raw), len(raw)) + raw
    assert dp == blake3.blake3(payload, key=derive(f"{name} payload digest", secret)).digest()
    header = bytes([suite, 0, 0, 0])
    okm = blake3.blake3(header + dp, key=derive(f"{name} key", secret)).digest(length=76)
    prefix = header + okm[44:]
    assert stored == prefix + AEADS[suite](okm[:32]).encrypt(okm[32:44], payload, prefix)


@given(st.binary(max_size=5000), st.sampled_from([0, 1, 2]), st.sampled_from([(0, 0), (1, 1), (2, 0), (3, 0)]))
def test_what_was_sealed_opens(raw: bytes, suite: int, codec: tuple[int, int]) -> None:
    stored, dp = scope(suite).seal(native.OBJECT_PAGE, raw * 3, *codec)
    assert scope(suite).open(native.OBJECT_PAGE, stored, dp, 3 * len(raw)) == raw * 3


def test_damage_another_key_and_too_much_are_told_apart() -> None:
    stored, dp = scope(1).seal(native.OBJECT_PAGE, bytes(1000), ZSTD, 3)
    damaged = stored[:-1] + bytes([stored[-1] ^ 1])
    with pytest.raises(IntegrityError):
        scope(1).open(native.OBJECT_PAGE, damaged, dp, 1000)
    with pytest.raises(IntegrityError):
        native.ScopeKeys(bytes(32), 1).open(native.OBJECT_PAGE, stored, dp, 1000)
    with pytest.raises(FormatError):
        scope(1).open(native.OBJECT_PAGE, stored, dp, 999)
    with pytest.raises(UsageError):
        native.ScopeKeys(None, 1)


def test_cuts_are_the_same_for_any_segment_and_threads() -> None:
    data = os.urandom(1 << 20)
    sizes = (16 << 10, 64 << 10, 256 << 10)
    ends = native.cut(data, scope(1), 1, sizes, len(data), 1)
    assert ends[-1] == len(data)
    assert ends == sorted(set(ends))
    for segment, threads in [(1000, 2), (65536, 3), (10 << 20, 8)]:
        assert native.cut(data, scope(1), 1, sizes, segment, threads) == ends
    assert native.cut(data, scope(2), 1, sizes, 65536, 2) == ends
    assert native.cut(data, scope(0), 1, sizes, 65536, 2) != ends
    assert native.cut(data[:65536], scope(1), 1, sizes, 65536, 2) == [65536]
    assert native.cut(b"", scope(1), 1, sizes, 65536, 2) == []
    with pytest.raises(UsageError):
        native.cut(data, scope(1), 1, (1, 2, 3), 65536, 1)


def test_fragment_ids_load_in_order_and_spill(tmp_path: Path) -> None:
    index = native.FragmentIndex(0, os.fsencode(tmp_path))
    index.load(0, os.urandom(24 * 10_000))
    index.load(10_000, b"")
    assert len(index) == 10_000
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError):
        index.load(0, bytes(24))
    missing = native.FragmentIndex(0, os.fsencode(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        missing.load(0, os.urandom(24 * 10_000))


def test_a_measurement_counts_raw_bytes() -> None:
    count, seconds = native.measure("roundtrip:zstd:2", bytes(3 << 20), 2, 0.0)
    assert count == 2 * (3 << 20)
    assert seconds > 0
    with pytest.raises(UsageError):
        native.measure("md5", b"x", 1, 0.0)
