"""What an archive of very many chunks still lacks is known in little memory: 100 M chunks of 1 MiB are 100 TB."""

import tracemalloc
from array import array
from itertools import groupby

import pytest

from warp_portal._native import blake3
from warp_portal.archive import pages
from warp_portal.archive.limits import DIGEST_BYTES, KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.toc import PageRef
from warp_portal.archive.wanted import Bounds, MetadataPlaces, WantedChunks

MIB = 1 << 20
FIRST = 1 << 16
WINDOW = 64 * MIB
PAGE_BYTES = 1000  # of memory, for each locator page
AT_HAND_BYTES = 4 * MIB


def stored(number: int, chunks: int) -> bytes:
    """A locator page of chunks of a MiB, side by side."""
    first = number * PAGE_RECORDS
    count = min(PAGE_RECORDS, chunks - first)
    offsets = array("Q", range(FIRST + first * MIB, FIRST + (first + count) * MIB, MIB)).tobytes()
    lengths = (array("I", [MIB]) * count).tobytes()
    cids = blake3(number.to_bytes(8, "little"), length=count * DIGEST_BYTES)
    return pages.store_payload(pages.IndexPage(first, (offsets, lengths, cids)).serialize(pages.LOCATOR_WIDTHS))


def ref(number: int, chunks: int) -> PageRef:
    """What the TOC says of that page, which lies behind all chunks."""
    raw = stored(number, chunks)
    page = pages.IndexPage.parse(pages.open_store_payload(raw), pages.LOCATOR_WIDTHS)
    records, offset = page.count(pages.LOCATOR_WIDTHS), FIRST + chunks * MIB + number * pages.MAX_LOCATOR_BYTES
    return PageRef(KIND_LOCATOR, records, offset, len(raw), blake3(raw), pages.locator_root(page))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("chunks", [100_003, pytest.param(100_000_003, marks=pytest.mark.soak)])
def test_each_chunk_is_asked_for_once_within_the_window(chunks: int) -> None:
    count = -(-chunks // PAGE_RECORDS)
    refs = tuple(ref(number, chunks) for number in range(count))
    bounds = Bounds(FIRST, refs[-1].offset + refs[-1].stored_bytes)
    places = MetadataPlaces(bounds)
    places.close()
    numbers = {each.offset: number for number, each in enumerate(refs)}
    tracemalloc.start()
    wanted = WantedChunks(bounds, refs, places)
    wanted.resume({number: [(7, PAGE_RECORDS)] for number in range(0, count - 1, 3)})
    for number in reversed(range(count)):
        wanted.locators(number, stored(number, chunks))
    assert wanted.all_came
    received, asked = 0, 0
    while not wanted.all_asked:
        now = list(wanted.ask(WINDOW, received * MIB, lambda page: stored(numbers[page.offset], chunks)))
        news = {
            number: [span for _, spans, _ in each for span in spans]
            for number, each in groupby(now, lambda one: one[0])
        }
        amount = sum(end - start for spans in news.values() for start, end in spans)
        assert 0 < amount <= WINDOW // MIB + 1
        asked, received = asked + amount, received + amount
        wanted.keep(news)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert asked == chunks - len(range(0, count - 1, 3)) * (PAGE_RECORDS - 7)
    assert wanted.done
    assert peak < count * PAGE_BYTES + AT_HAND_BYTES
