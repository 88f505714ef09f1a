"""A stream of 1 TiB, and more than 2^40 bytes, packs in bounded memory and is read back as it was sent."""

from pathlib import Path

import pytest

from tests.scale.logical_stream import GIB, MIB, LogicalStream, Shape
from tests.scale.streaming import StreamRun, far_offsets
from warp_portal.primitives.cutting import cutting

GENERAL = cutting()
# A little more than a TiB, so that there are bytes behind offset 2^40; about 20 GiB of it are new.
TIB = Shape(1024 * GIB + 96 * MIB + 12345, unique=20 * GIB, history=GIB)
SMALL = Shape(256 * MIB + 12345, unique=16 * MIB, history=32 * MIB)
BESIDE_THE_BUDGET = 192 * MIB  # the interpreter, Argon2id's 64 MiB, and what allocators keep


@pytest.mark.parametrize(
    ("shape", "memory"),
    [(SMALL, 64), pytest.param(TIB, 512, marks=pytest.mark.soak)],
    ids=["256MiB", "1TiB"],
)
def test_a_long_stream_of_repeats_comes_back_as_it_was_sent(tmp_path: Path, shape: Shape, memory: int) -> None:
    run = StreamRun(tmp_path / "a.warp", LogicalStream(shape), f"{memory}M")
    run.create()
    # Where a piece ends and the next begins, a fragment or two are new.
    assert run.archive.stat().st_size < shape.unique + len(run.stream.pieces) * 2 * GENERAL.fragment.mean
    run.check_ranges(far_offsets(shape.size, 20), 64 * 1024 + 1)
    run.verify("data")
    run.verify("deep")
    assert run.cat() == run.sent
    assert max(run.peaks.values()) < memory * MIB + BESIDE_THE_BUDGET, run.peaks


def test_any_range_of_the_stream_is_what_was_sent() -> None:
    """Otherwise the far offsets of an archive would be compared with something else."""
    stream = LogicalStream(Shape(24 * MIB + 7, unique=6 * MIB, history=4 * MIB, seed=3))
    whole = b"".join(map(bytes, stream.buffers()))
    assert len(whole) == stream.shape.size
    assert any(piece.source is None for piece in stream.pieces)
    for offset, length in ((0, len(whole)), (12345, 7654321), (len(whole) - 5, 5)):
        assert stream.at(offset, length) == whole[offset : offset + length]
