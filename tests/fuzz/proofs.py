"""Target: Merkle proofs. A proof that is not the one the tree gives never holds.

Parts: `u16` size, `u16` earlier size, `u16` index │ a proof of inclusion │ a proof of consistency.
"""

from functools import cache

from tests.fuzz import sections
from warp_portal._native import blake3, merkle_root
from warp_portal.errors import WarpPortalError
from warp_portal.primitives import merkle

_MOST_LEAVES = 600
_VAST = 1 << 40


def proof(data: bytes) -> None:
    """Given proofs against a small tree and a vast one, and the tree's own."""
    numbers, inclusion, consistency = sections.split_into(data, 3)
    size, old, index = (int.from_bytes(numbers[at : at + 2], "little") for at in (0, 2, 4))
    size = 1 + size % _MOST_LEAVES
    old, index = 1 + old % size, index % size
    leaves = _leaves(size)
    leaf, root, old_root = leaves[32 * index :][:32], merkle_root(leaves), merkle_root(leaves[: 32 * old])
    mine = merkle.inclusion_proof(index, size, merkle.range_roots(leaves))
    merkle.verify_inclusion(leaf, index, size, mine, root)
    assert _holds(lambda: merkle.verify_inclusion(leaf, index, size, inclusion, root)) == (inclusion == mine)
    ours = merkle.consistency_proof(old, size, merkle.range_roots(leaves))
    merkle.verify_consistency(old, old_root, size, root, ours)
    assert _holds(lambda: merkle.verify_consistency(old, old_root, size, root, consistency)) == (consistency == ours)
    assert not _holds(lambda: merkle.verify_inclusion(leaf, index, _VAST + size, inclusion, root))
    assert not _holds(lambda: merkle.verify_consistency(old, old_root, _VAST + size, root, consistency))


def _holds(check: object) -> bool:
    try:
        check()  # type: ignore[operator]  # a call of a verification
    except WarpPortalError:
        return False
    return True


@cache
def _leaves(size: int) -> bytes:
    return b"".join(blake3(number.to_bytes(4, "little")) for number in range(size))
