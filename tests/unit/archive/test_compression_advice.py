"""Which compression is advised, of offers that are made up."""

from dataclasses import replace
from pathlib import Path

import pytest

from warp_portal.archive import AnalyzeOptions, PackOptions, Source
from warp_portal.archive.advice import advise
from warp_portal.archive.estimate import Alternative, Estimate, estimate
from warp_portal.archive.survey import Findings, look

PACK = PackOptions()


@pytest.fixture
def told(tmp_path: Path) -> tuple[Findings, Estimate]:
    """Of a small tree: some bytes are new."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.txt").write_text("some text\n" * 10_000)
    found = look(Source.of([tmp_path / "tree"]), AnalyzeOptions(suite="plain", passphrase=False))
    return found, estimate(found, PACK)


def advised(told: tuple[Findings, Estimate], **offers: tuple[int, float]) -> tuple[str, str]:
    """Compression and reason, for bytes and seconds by name (`zstd9` is zstd:9)."""
    named = [Alternative(name.replace("zstd", "zstd:"), *offer) for name, offer in offers.items()]
    advice = advise(*told, named, PACK)
    return advice.compression, advice.compression_reason


def test_auto_stays_where_a_smaller_archive_takes_much_longer(told: tuple[Findings, Estimate]) -> None:
    name, why = advised(told, none=(1000, 5), auto=(500, 20), zstd5=(440, 40), zstd9=(400, 60))
    assert name == "auto"
    assert why == "zstd:9 would be 20 % smaller, in 1:00 instead of 0:20"


def test_auto_stays_where_little_is_saved(told: tuple[Findings, Estimate]) -> None:
    assert advised(told, none=(1000, 5), auto=(500, 20), zstd9=(430, 21))[0] == "auto"


def test_a_much_smaller_archive_in_little_more_time_is_advised(told: tuple[Findings, Estimate]) -> None:
    name, why = advised(told, none=(1000, 5), auto=(500, 20), zstd5=(425, 24), zstd9=(400, 26))
    assert (name, why) == ("zstd:5", "15 % smaller than auto, in 0:24 instead of 0:20")


def test_a_few_seconds_more_do_not_matter(told: tuple[Findings, Estimate]) -> None:
    assert advised(told, none=(1000, 0.1), auto=(500, 0.5), zstd9=(400, 2.0))[0] == "zstd:9"


def test_none_is_advised_where_auto_saves_hardly_anything(told: tuple[Findings, Estimate]) -> None:
    name, why = advised(told, none=(1000, 5), auto=(985, 8), zstd9=(980, 60))
    assert (name, why) == ("none", "compressing would save 1.5 % only")


def test_little_is_left_to_auto(told: tuple[Findings, Estimate]) -> None:
    found, made = told
    name, why = advised((found, replace(made, new_bytes=3)), none=(1000, 1), auto=(1000, 1))
    assert (name, why) == ("auto", "there is little to compress")


def test_nothing_new_needs_no_compression(told: tuple[Findings, Estimate]) -> None:
    found, made = told
    name, _ = advised((found, replace(made, new_bytes=0)), none=(10, 1), auto=(10, 1))
    assert name == "auto"
