"""What sessions without I/O cost where trees and archives are very large: memory that does not grow with pages, and counts beyond 2^32.

100 TB are six million pages of 16 MiB, and 1.5 G fragments; an archive of that size has 100 M chunks.
"""

import tracemalloc
from itertools import pairwise

import pytest

from tests.unit.protocol.common import DIGEST
from tests.unit.protocol.dialogue import OFFER, public_key, sign
from tests.unit.protocol.trees import WINDOW
from warp_portal.cli.progress import Meter
from warp_portal.clock import VirtualClock
from warp_portal.protocol.exchange import MAX_TREE_FRAGMENTS
from warp_portal.protocol.messages import PROVED, parse
from warp_portal.protocol.offers import Mode
from warp_portal.protocol.ranges import Ranges
from warp_portal.protocol.session import Output, Outputs, Send
from warp_portal.protocol.sink import Sink
from warp_portal.protocol.source import KeptNow, Source
from warp_portal.protocol.tree import CatalogueEnd, Finished

PAGES_AN_EPOCH = 16  # 256 MiB
WARM_UP = 10 * PAGES_AN_EPOCH
SESSION_BYTES = 128 * 1024  # an epoch's messages on their way
TB = 10**12


class Pair:
    """A source and a sink that answer each other at once, over bytes."""

    def __init__(self) -> None:
        self.source, self.sink = Source(OFFER, sign), Sink(public_key())
        self.told: list[Output] = []

    def carry(self, outputs: Outputs, receiver: Source | Sink) -> None:
        for output in outputs:
            if isinstance(output, Send):
                other = self.sink if receiver is self.source else self.source
                self.carry(receiver.receive(parse(output.message.serialize(), PROVED)), other)
            else:
                self.told.append(output)

    def begin(self) -> None:
        self.carry(self.source.start(), self.sink)
        self.carry(self.sink.accept(Mode.WANTED, WINDOW), self.source)

    def epoch(self, first: int, wanted: Ranges) -> None:
        pages = range(first, first + PAGES_AN_EPOCH)
        for page in pages:
            self.source.page(MAX_TREE_FRAGMENTS)
            self.carry(self.sink.want(page, wanted), self.source)
        self.carry(self.sink.durable(1 + first // PAGES_AN_EPOCH, dict.fromkeys(pages, wanted)), self.source)


@pytest.mark.parametrize("pages", [4_800, pytest.param(6_000_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("wanted", [Ranges.whole(MAX_TREE_FRAGMENTS), Ranges(((3, 700), (701, 2048)))])
@pytest.mark.timeout(7200)
def test_a_session_of_very_many_pages_keeps_nothing_of_them(pages: int, wanted: Ranges) -> None:
    pair = Pair()
    pair.begin()
    tracemalloc.start()
    for first in range(0, pages, PAGES_AN_EPOCH):
        pair.told.clear()
        pair.epoch(first, wanted)
        if first == WARM_UP:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < SESSION_BYTES
    assert pair.told[-1] == KeptNow(pages // PAGES_AN_EPOCH, last(pages, wanted), pages * wanted.count)
    pair.carry(pair.source.catalogue_done(CatalogueEnd(pages, DIGEST, 10**10, 100 * TB), 0), pair.sink)
    pair.carry(pair.sink.restored(DIGEST, 10**10, 0), pair.source)
    assert [one for one in pair.told if isinstance(one, Finished)] == [Finished(False, 10**10, 0)] * 2


def last(pages: int, wanted: Ranges) -> dict[int, Ranges]:
    return dict.fromkeys(range(pages - PAGES_AN_EPOCH, pages), wanted)


@pytest.mark.parametrize("rate", [10**6, 10**9, 10**11])
def test_the_time_left_of_100_tb_is_right_all_the_way(rate: int) -> None:
    clock = VirtualClock()
    meter, total = Meter(clock), 100 * TB
    found = list[float]()
    for percent in range(1, 100):
        for _ in range(100):
            clock.advance(total / rate / 10**4)
            meter.update(int(clock.monotonic_s() * rate))
        left = meter.left_s(total * percent // 100, total)
        assert left is not None
        found.append(left)
        assert left == pytest.approx(total / rate * (100 - percent) / 100, rel=0.01, abs=1)
    assert all(later < earlier for earlier, later in pairwise(found))
