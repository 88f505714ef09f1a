"""Index pages, the payload frame of locator pages, and what a page costs to grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.archive import pages
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR, PAGE_RECORDS
from warp_portal.errors import FormatError

KINDS = st.sampled_from([(KIND_LOCATOR, True), (KIND_CHUNK, True), (KIND_CHUNK, False), (KIND_FRAGMENT, True)])


@st.composite
def index_pages(draw: st.DrawFn) -> tuple[pages.IndexPage, tuple[int, ...]]:
    widths = pages.widths(*draw(KINDS))
    count = draw(st.integers(1, 40) | st.just(PAGE_RECORDS))
    fill = draw(st.binary(min_size=1, max_size=64))
    columns = tuple((fill * (count * width // len(fill) + 1))[: count * width] for width in widths)
    return pages.IndexPage(PAGE_RECORDS * draw(st.integers(0, 2**50)), columns), widths


@given(index_pages())
def test_an_index_page_survives_its_bytes(case: tuple[pages.IndexPage, tuple[int, ...]]) -> None:
    page, widths = case
    raw = page.serialize(widths)
    assert pages.IndexPage.parse(raw, widths) == page
    assert pages.IndexPage.parse(raw, widths).serialize(widths) == raw


@given(index_pages(), st.integers(0, 15), st.integers(0, 7))
def test_a_changed_head_is_refused_or_moves_the_page(
    case: tuple[pages.IndexPage, tuple[int, ...]], byte: int, bit: int
) -> None:
    page, widths = case
    raw = bytearray(page.serialize(widths))
    raw[byte] ^= 1 << bit
    try:
        parsed = pages.IndexPage.parse(bytes(raw), widths)
    except FormatError:
        return
    assert parsed.first != page.first
    assert parsed.first % PAGE_RECORDS == 0


@given(st.binary(max_size=200), KINDS)
def test_other_bytes_are_a_format_error_or_a_page(raw: bytes, kind: tuple[int, bool]) -> None:
    widths = pages.widths(*kind)
    try:
        page = pages.IndexPage.parse(raw, widths)
    except FormatError:
        return
    assert page.serialize(widths) == raw


@given(st.binary(max_size=300))
def test_a_store_payload_gives_back_its_content(raw: bytes) -> None:
    assert pages.open_store_payload(pages.store_payload(raw)) == raw


@given(st.binary(max_size=100))
def test_other_payloads_are_a_format_error(raw: bytes) -> None:
    try:
        content = pages.open_store_payload(raw)
    except FormatError:
        return
    assert pages.store_payload(content) == raw


def test_a_page_with_too_many_records_is_refused() -> None:
    widths = pages.widths(KIND_FRAGMENT, True)
    columns = tuple(bytes((PAGE_RECORDS + 1) * width) for width in widths)
    with pytest.raises(FormatError):
        pages.IndexPage.parse(pages.IndexPage(0, columns).serialize(widths), widths)
