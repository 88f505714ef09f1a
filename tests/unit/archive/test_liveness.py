"""Which chunks are live, and how runs are numbered without the others."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.archive.filetable import decode_runs, encode_runs
from warp_portal.archive.liveness import BLOCK, Liveness
from warp_portal.errors import FormatError

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=30)


@given(st.data(), SIZES)
def test_runs_lead_to_the_same_fragments_as_before(data: st.DataObject, sizes: list[int]) -> None:
    total = sum(sizes)
    ends = data.draw(st.lists(st.tuples(st.integers(0, total - 1), st.integers(1, total)), max_size=8))
    runs = [(first, min(count, total - first)) for first, count in ends]
    liveness = Liveness(sizes)
    liveness.use(runs, total)
    live = liveness.live()
    chunk_of = [chunk for chunk, size in enumerate(sizes) for _ in range(size)]
    used = {ordinal for first, count in runs for ordinal in range(first, first + count)}
    assert [bool(flag) for flag in live.flags] == [any(chunk_of[o] == c for o in used) for c in range(len(sizes))]
    left = [ordinal for ordinal in range(total) if live.flags[chunk_of[ordinal]]]
    for first, count in runs:
        new, same = live.renumbered((first, count))
        assert left[new : new + same] == list(range(first, first + count))
    assert liveness.used_bytes(0, [1] * total) == len(used)


@given(SIZES, st.data())
def test_spans_are_the_live_chunks_of_a_range(sizes: list[int], data: st.DataObject) -> None:
    liveness = Liveness(sizes)
    for chunk in data.draw(st.sets(st.integers(0, len(sizes) - 1))):
        liveness.use([(liveness.starts[chunk], 1)], sum(sizes))
    live = liveness.live()
    first = data.draw(st.integers(0, len(sizes)))
    end = data.draw(st.integers(first, len(sizes)))
    spans = live.spans(first, end)
    assert [c for start, stop in spans for c in range(start, stop)] == [c for c in range(first, end) if live.flags[c]]
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert live.count == sum(live.flags)


@given(st.lists(st.tuples(st.integers(0, 5 * BLOCK), st.integers(0, 5 * BLOCK)), max_size=5))
def test_long_runs_use_each_of_their_fragments(ends: list[tuple[int, int]]) -> None:
    total = 5 * BLOCK
    liveness = Liveness([total])
    liveness.use([(min(pair), max(pair) - min(pair)) for pair in ends], total)
    used = {ordinal for pair in ends for ordinal in range(min(pair), max(pair))}
    assert [liveness.used_bytes(ordinal, [1]) for ordinal in range(total)] == [
        ordinal in used for ordinal in range(total)
    ]


def test_many_runs_of_the_same_many_fragments_take_the_time_of_their_number() -> None:
    """Byte by byte these would be 10^13: some twenty minutes."""
    total = 10_000_000
    liveness = Liveness([total])
    liveness.use(((number, total - number) for number in range(1_000_000)), total)
    assert liveness.used_bytes(0, [1] * 1000) == 1000


def test_a_recipe_beyond_its_snapshot_is_malformed() -> None:
    liveness = Liveness([3, 3])
    liveness.use([(0, 3)], 3)
    with pytest.raises(FormatError, match="does not have"):
        liveness.use([(2, 2)], 3)


@given(st.lists(st.tuples(st.integers(0, 2**63), st.integers(1, 2**32)), max_size=20))
def test_runs_come_back_from_their_column(runs: list[tuple[int, int]]) -> None:
    assert list(decode_runs(encode_runs(runs))) == runs
