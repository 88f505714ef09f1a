"""Sets of ordinals: their bytes, what is refused, and that their size does not matter."""

import pytest

from warp_portal.errors import ProtocolError
from warp_portal.protocol.ranges import Ranges

EXAMPLES = {
    "": (),
    "0001": ((0, 1),),
    "00030401": ((0, 3), (7, 8)),
    "0501": ((5, 6),),
    "7f01": ((127, 128),),
    "800101": ((128, 129),),
    "008020": ((0, 4096),),
}
REFUSED = {
    "one number": "00",
    "a number without its end": "0080",
    "three numbers": "000101",
    "nothing taken": "0500",
    "nothing taken at the end": "00010500",
    "nothing left between": "00010001",
    "zero in two bytes": "800001",
    "one in two bytes": "008100",
    "a number of eleven bytes": "00" + "80" * 10 + "01",
    "a number without end": "00" + "ff" * 40,
    "one beyond the page": "00ff1f0001",
    "more than the page": "008120",
    "left beyond the page": "802001",
}


@pytest.mark.parametrize("hexed", EXAMPLES)
def test_a_set_has_these_bytes(hexed: str) -> None:
    raw = bytes.fromhex(hexed)
    ranges = Ranges.parse(raw, 4096)
    assert ranges == Ranges(EXAMPLES[hexed])
    assert ranges.serialize() == raw


@pytest.mark.parametrize("what", REFUSED)
def test_other_bytes_are_refused(what: str) -> None:
    with pytest.raises(ProtocolError):
        Ranges.parse(bytes.fromhex(REFUSED[what]), 4096)


def test_the_page_bounds_the_set() -> None:
    raw = bytes.fromhex("0501")
    assert Ranges.parse(raw, 6).end == 6
    with pytest.raises(ProtocolError, match="beyond"):
        Ranges.parse(raw, 5)
    assert Ranges.parse(b"", 0) == Ranges.whole(0) == Ranges()


def test_a_billion_ordinals_cost_what_one_span_costs() -> None:
    vast = Ranges.whole(10**18)
    hole = Ranges(((10**9, 2 * 10**9),))
    assert vast.count == 10**18
    assert vast - hole == Ranges(((0, 10**9), (2 * 10**9, 10**18)))
    assert (vast - hole) | hole == vast
    assert (vast & hole) == hole
    assert 10**17 in vast
    assert 10**18 not in vast
    assert Ranges.parse(vast.serialize(), 10**18) == vast


def test_spans_may_touch_overlap_and_be_empty() -> None:
    assert Ranges.of_spans([(0, 3), (2, 3), (3, 5), (7, 7), (9, 11), (9, 10)]) == Ranges(((0, 5), (9, 11)))


def test_a_bitmap_begins_with_the_lowest_bit() -> None:
    assert Ranges.of_bits(b"\x87\x01") == Ranges.of_ordinals([0, 1, 2, 7, 8])
    assert Ranges.of_bits(b"") == Ranges.of_bits(bytes(512)) == Ranges()


def test_a_run_is_held_only_by_one_span() -> None:
    ranges = Ranges(((2, 5), (6, 9)))
    assert ranges.holds(2, 5)
    assert ranges.holds(7, 8)
    assert not any(ranges.holds(*span) for span in ((1, 3), (4, 7), (5, 6), (8, 10), (0, 1), (20, 21)))
