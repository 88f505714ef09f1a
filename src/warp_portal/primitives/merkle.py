"""Proofs over the Merkle tree of an archive's chunks: RFC 6962 shape with BLAKE3, as RFC 9162 §2.1.3–2.1.4 words it.

Leaves are `BLAKE3(0x00 ‖ cid ‖ u32 stored length)`, nodes `BLAKE3(0x01 ‖ left ‖ right)`; an odd node is promoted. Hashes are
32 bytes and travel joined in one byte string. Generating a proof asks for roots of ranges of leaves, so that a
tree of a billion leaves is proven from the roots that its index pages already carry:

    inclusion_proof(3, 8, ranges)  →  leaf 2 ‖ root of 0..2 ‖ root of 4..8
"""

from collections.abc import Callable
from typing import Final

from warp_portal._native import blake3, merkle_root
from warp_portal.errors import IntegrityError, UsageError

DIGEST_BYTES: Final = 32
RangeRoot = Callable[[int, int], bytes]
"""(first leaf, end) → root of the subtree over those leaves; asked only for ranges that are nodes of the tree."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node."""
    return blake3(b"\x01" + left + right)


def range_roots(leaves: bytes) -> RangeRoot:
    """Range roots computed from all leaves."""
    return lambda first, end: merkle_root(memoryview(leaves)[first * DIGEST_BYTES : end * DIGEST_BYTES])


def paged_range_roots(roots: bytes, page_leaves: int, size: int, leaves: Callable[[int], bytes]) -> RangeRoot:
    """Range roots of a tree of `size` leaves from the joined roots of its pages of `page_leaves` (a power of two) each.

    `leaves(page)` is asked only for ranges smaller than a page: at most two pages a proof.
    """

    def root(first: int, end: int) -> bytes:
        page, inside = divmod(first, page_leaves)
        if inside == 0 and (end - first >= page_leaves or end == size):
            last = -(-end // page_leaves)
            return merkle_root(memoryview(roots)[page * DIGEST_BYTES : last * DIGEST_BYTES])
        first_byte = inside * DIGEST_BYTES
        return merkle_root(memoryview(leaves(page))[first_byte : first_byte + (end - first) * DIGEST_BYTES])

    return root


def inclusion_proof(index: int, size: int, root: RangeRoot) -> bytes:
    """The path that proves leaf `index` of a tree of `size` leaves, joined, leaf end first."""
    if not 0 <= index < size:
        raise UsageError(f"leaf {index} is outside a tree of {size}")
    path: list[bytes] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            path.append(root(middle, end))
            end = middle
        else:
            path.append(root(first, middle))
            first = middle
    return b"".join(reversed(path))


def consistency_proof(old_size: int, size: int, root: RangeRoot) -> bytes:
    """The proof that the tree of `size` leaves extends the one of its first `old_size` leaves."""
    if not 0 < old_size <= size:
        raise UsageError(f"a tree of {size} leaves does not extend one of {old_size}")
    return b"".join(_subproof(old_size, 0, size, True, root))


def _subproof(old_size: int, first: int, end: int, whole: bool, root: RangeRoot) -> list[bytes]:
    """RFC 9162 SUBPROOF over leaves first..end; `whole`: the old tree's root is the verifier's own."""
    size = end - first
    if old_size == size:
        return [] if whole else [root(first, end)]
    half = _split(size)
    middle = first + half
    if old_size <= half:
        return [*_subproof(old_size, first, middle, whole, root), root(middle, end)]
    return [*_subproof(old_size - half, middle, end, False, root), root(first, middle)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: bytes, root: bytes) -> None:
    """Check that `leaf` is leaf `index` of the tree with `root`; raises IntegrityError."""
    path = _hashes(proof)
    node, last = index, size - 1
    value = leaf
    if not 0 <= index < size:
        raise IntegrityError("inclusion proof: the leaf is outside the tree")
    for sibling in path:
        if last == 0:
            raise IntegrityError("inclusion proof: too long")
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            node, last = _climb(node, last)
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or value != root:
        raise IntegrityError("inclusion proof: does not lead to the root")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: bytes) -> None:
    """Check that the tree (size, root) extends the tree (old_size, old_root); raises IntegrityError."""
    path = _hashes(proof)
    if not 0 < old_size <= size:
        raise IntegrityError("consistency proof: the sizes do not grow")
    if old_size == size:
        _require(not path and old_root == root)
        return
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    _require(bool(path))
    old_value, value = _extend(old_size - 1, size - 1, path)
    _require(old_value == old_root and value == root)


def _extend(node: int, last: int, path: list[bytes]) -> tuple[bytes, bytes]:
    """The two roots that a consistency path leads to (RFC 9162 §2.1.4.2 steps 4–6)."""
    while node & 1:
        node, last = node >> 1, last >> 1
    old_value = value = path[0]
    for sibling in path[1:]:
        _require(last != 0)
        if node & 1 or node == last:
            old_value, value = node_hash(sibling, old_value), node_hash(sibling, value)
            node, last = _climb(node, last)
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    _require(last == 0)
    return old_value, value


def _climb(node: int, last: int) -> tuple[int, int]:
    """Skip the levels on which an even last node is promoted."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _split(size: int) -> int:
    """The largest power of two below `size` (≥ 2)."""
    return 1 << (size - 1).bit_length() - 1


def _hashes(proof: bytes) -> list[bytes]:
    if len(proof) % DIGEST_BYTES:
        raise IntegrityError("proof: not a whole number of hashes")
    return [proof[start : start + DIGEST_BYTES] for start in range(0, len(proof), DIGEST_BYTES)]


def _require(condition: bool) -> None:
    if not condition:
        raise IntegrityError("consistency proof: does not lead to the two roots")
