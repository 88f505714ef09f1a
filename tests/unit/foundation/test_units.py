import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.errors import UsageError
from warp_portal.units import format_bytes, format_duration, format_rate, parse_bytes, parse_span, typed_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("4096", 4096), ("7B", 7), ("64K", 65536), ("64k", 65536), ("1.5M", 1572864), (".5K", 512),
        ("1GB", 10**9), ("1GiB", 2**30), ("1 gib", 2**30), (" 2T ", 2**41), ("9007199254740993", 9007199254740993),
    ],
)  # fmt: skip
def test_sizes_are_read_with_binary_letters(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "1X", "-1", "1e6", "1,5M", "0x10", "9E9", "99999999999E", "1 2", "1iB"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match=r"size|larger"):
        parse_bytes(text)


@given(st.integers(0, 2**62))
def test_printing_keeps_three_digits(size: int) -> None:
    text = format_bytes(size)
    number, unit = text.split()
    factor = 1000 ** ["B", "kB", "MB", "GB", "TB", "PB", "EB"].index(unit)
    assert abs(float(number) * factor - size) <= 0.0051 * size
    assert len(number.replace(".", "")) <= 3 or float(number) == 1000


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1_340_000_000, "1.34 GB"),
    ],
)
def test_sizes_are_printed_decimal(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_a_rate_is_a_size_a_second() -> None:
    assert format_rate(2.5e9) == "2.50 GB/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1.0 s"),
        (9.94, "9.9 s"),
        (42, "0:42"),
        (59.7, "1:00"),
        (3725, "1:02:05"),
        (180000, "2 d 2 h"),
    ],
)
def test_durations_suit_their_length(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("36h", 129_600), ("30d", 2_592_000), (" 2 W ", 1_209_600), ("1y", 31_536_000)]
)
def test_spans_of_time_are_read(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5d", "3m", "9999999999d", "30 days"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no span"):
        parse_span(text)


@pytest.mark.parametrize(
    ("size", "typed"), [(0, "0"), (1023, "1023"), (1024, "1K"), (1537, "1537"), (256 << 20, "256M"), (3 << 30, "3G")]
)
def test_a_size_is_shown_as_it_is_typed(size: int, typed: str) -> None:
    assert typed_bytes(size) == typed


@given(st.integers(0, 2**63 - 1))
def test_what_is_shown_as_typed_is_read_back(size: int) -> None:
    assert parse_bytes(typed_bytes(size)) == size
