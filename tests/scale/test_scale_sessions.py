"""What sessions without I/O cost where trees and archives are very large: memory that does not grow with pages, and counts beyond 2^32.

100 TB are six million pages of 16 MiB, and 1.5 G fragments; an archive of that size has 100 M chunks.
"""

import os
import tracemalloc
from itertools import pairwise
from pathlib import Path

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
WARM_UP, EPOCHS, EPOCHS_OF_100_TB = 10, 300, 6_000_000 // PAGES_AN_EPOCH
SESSION_BYTES = 128 * 1024  # an epoch's messages on their way
TB = 10**12
WANTED = Ranges.whole(MAX_TREE_FRAGMENTS), Ranges(((3, 700), (701, 2048)))


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


def drive(pair: Pair, epochs: range, wanted: Ranges) -> None:
    """So many epochs, of which nothing but the last outputs is remembered."""
    for epoch in epochs:
        pair.told.clear()
        pair.epoch(epoch * PAGES_AN_EPOCH, wanted)


def end(pair: Pair, pages: int, wanted: Ranges) -> None:
    """All that was counted is right."""
    assert pair.told[-1] == KeptNow(pages // PAGES_AN_EPOCH, last(pages, wanted), pages * wanted.count)
    pair.carry(pair.source.catalogue_done(CatalogueEnd(pages, DIGEST, 10**10, 100 * TB), 0), pair.sink)
    pair.carry(pair.sink.restored(DIGEST, 10**10, 0), pair.source)
    assert [one for one in pair.told if isinstance(one, Finished)] == [Finished(False, 10**10, 0)] * 2


@pytest.mark.parametrize("wanted", WANTED)
def test_a_session_keeps_nothing_of_its_pages(wanted: Ranges) -> None:
    pair = Pair()
    pair.begin()
    tracemalloc.start()
    drive(pair, range(WARM_UP), wanted)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    drive(pair, range(WARM_UP, EPOCHS), wanted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < SESSION_BYTES
    end(pair, EPOCHS * PAGES_AN_EPOCH, wanted)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_session_of_100_tb_keeps_nothing_of_its_pages() -> None:
    """With as many fragments as a page may have: 12 G."""
    pair = Pair()
    pair.begin()
    drive(pair, range(EPOCHS), WANTED[0])
    before = resident_bytes()
    drive(pair, range(EPOCHS, EPOCHS_OF_100_TB), WANTED[0])
    assert resident_bytes() - before < EPOCHS_OF_100_TB
    end(pair, EPOCHS_OF_100_TB * PAGES_AN_EPOCH, WANTED[0])


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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
