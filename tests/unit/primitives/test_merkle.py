"""Proofs over the Merkle tree, against the oracle's tree and against tampering."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import warp_formats as oracle

from warp_portal._native import Frontier, blake3, merkle_leaves, merkle_root
from warp_portal.errors import IntegrityError, UsageError
from warp_portal.primitives import merkle

MILLION = 1_000_000
PAGE = 4096


def leaves(count: int) -> bytes:
    return b"".join(blake3(number.to_bytes(4, "little")) for number in range(count))


def split(joined: bytes) -> list[bytes]:
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


@given(st.integers(1, 130), st.data())
def test_an_inclusion_proof_leads_to_the_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    tree = leaves(size)
    root = oracle.merkle_root(split(tree))
    proof = merkle.inclusion_proof(index, size, merkle.range_roots(tree))
    merkle.verify_inclusion(split(tree)[index], index, size, proof, root)
    for wrong in (proof[:-32], proof + bytes(32), proof[:-1], bytes(len(proof))):
        if wrong != proof:
            with pytest.raises(IntegrityError):
                merkle.verify_inclusion(split(tree)[index], index, size, wrong, root)
    if size > 1:
        with pytest.raises(IntegrityError):
            merkle.verify_inclusion(split(tree)[index], (index + 1) % size, size, proof, root)


@given(st.integers(1, 130), st.data())
def test_a_consistency_proof_leads_to_both_roots(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    tree = leaves(size)
    old_root, root = oracle.merkle_root(split(tree)[:old]), oracle.merkle_root(split(tree))
    proof = merkle.consistency_proof(old, size, merkle.range_roots(tree))
    merkle.verify_consistency(old, old_root, size, root, proof)
    wrong_cases = [
        (old, bytes(32), root, proof),
        (old, old_root, bytes(32), proof),
        (old, old_root, root, proof + bytes(32)),
    ]
    if proof:
        wrong_cases.append((old, old_root, root, proof[:-32]))
    if old > 1:
        wrong_cases.append((old - 1, old_root, root, proof))
    for wrong_old, wrong_old_root, wrong_root, wrong_proof in wrong_cases:
        with pytest.raises(IntegrityError):
            merkle.verify_consistency(wrong_old, wrong_old_root, size, wrong_root, wrong_proof)


@settings(max_examples=30)
@given(st.integers(1, 200), st.data())
def test_proofs_from_page_roots_are_the_same(size: int, data: st.DataObject) -> None:
    tree = leaves(size)
    pages = [tree[at : at + 16 * 32] for at in range(0, len(tree), 16 * 32)]
    paged = merkle.paged_range_roots(b"".join(map(merkle_root, pages)), 16, size, pages.__getitem__)
    whole = merkle.range_roots(tree)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert merkle.inclusion_proof(index, size, paged) == merkle.inclusion_proof(index, size, whole)
    assert merkle.consistency_proof(old, size, paged) == merkle.consistency_proof(old, size, whole)


@given(st.integers(0, 70))
def test_leaves_roots_and_frontiers_are_the_oracles(size: int) -> None:
    cids = split(leaves(size))
    lengths = b"".join((7 * number).to_bytes(4, "little") for number in range(size))
    joined = merkle_leaves(b"".join(cids), lengths)
    assert split(joined) == [oracle.leaf(cid, 7 * number) for number, cid in enumerate(cids)]
    assert merkle_root(joined) == oracle.merkle_root(split(joined))
    frontier = Frontier()
    frontier.append(joined)
    assert split(frontier.nodes()) == oracle.frontier(split(joined))
    assert frontier.root() == oracle.merkle_root(split(joined))


def test_one_chunk_more_in_a_tree_of_a_million_costs_log_n() -> None:
    tree = leaves(MILLION)
    before = Frontier()
    before.append(tree)
    old_root = before.root()
    after = Frontier(before.size, before.nodes())
    new_leaf = blake3(b"the new one")
    after.append(new_leaf)
    root = after.root()
    assert after.hashed <= 2 * MILLION.bit_length()

    grown = tree + new_leaf
    pages = [grown[at : at + PAGE * 32] for at in range(0, len(grown), PAGE * 32)]
    asked: list[int] = []

    def page_leaves(page: int) -> bytes:
        asked.append(page)
        return pages[page]

    paged = merkle.paged_range_roots(b"".join(map(merkle_root, pages)), PAGE, MILLION + 1, page_leaves)
    proof = merkle.consistency_proof(MILLION, MILLION + 1, paged)
    assert len(proof) <= 32 * (MILLION.bit_length() + 1)
    assert len(set(asked)) <= 2
    merkle.verify_consistency(MILLION, old_root, MILLION + 1, root, proof)


def test_proofs_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError):
        merkle.inclusion_proof(3, 3, merkle.range_roots(leaves(3)))
    with pytest.raises(UsageError):
        merkle.consistency_proof(0, 3, merkle.range_roots(leaves(3)))
    with pytest.raises(IntegrityError):
        merkle.verify_inclusion(bytes(32), 3, 3, b"", bytes(32))
    with pytest.raises(IntegrityError):
        merkle.verify_consistency(4, bytes(32), 3, bytes(32), b"")
