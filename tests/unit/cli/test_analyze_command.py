from pathlib import Path

import pytest
from tests.unit.cli.runs import Captured, only, records

from warp_portal.cli.main import main


def test_programs_get_types_compressions_an_estimate_and_advice(tree: Path, capsys: Captured) -> None:
    found = records(capsys, "analyze", "-C", str(tree.parent), "tree")
    types = {record["extension"]: record for record in found if record["type"] == "file_type"}
    assert types["bin"]["bytes"] == 600_000
    # The last cut may leave a piece too short to be told from text: 4 KiB of random bytes have the 7.95 bits that count.
    assert types["bin"]["compressed_share"] == pytest.approx(1, abs=4096 / 300_000)
    assert types["txt"]["entropy"] < 4
    estimate = only(found, "estimate")
    assert estimate["duplicate_bytes"] == 300_000
    assert estimate["seconds_low"] < estimate["seconds"] < estimate["seconds_high"]
    assert {record["compression"] for record in found if record["type"] == "compression"} == {
        "none", "lz4", "auto", "zstd:5", "zstd:9",
    }  # fmt: skip
    assert only(found, "advice")["profile"] == "general"
    summary = only(found, "summary")
    assert (summary["complete"], summary["problems"]) == (True, 0)


def test_the_estimate_is_near_the_archive(tree: Path, plain: str, capsys: Captured) -> None:
    estimate = only(records(capsys, "analyze", "--plain", "-C", str(tree.parent), "tree"), "estimate")
    assert estimate["archive_bytes"] / Path(plain).stat().st_size == pytest.approx(1, abs=0.1)


def test_people_get_tables_and_options_to_use(tree: Path, capsys: Captured) -> None:
    assert main(["analyze", str(tree)]) == 0
    captured = capsys.readouterr()
    for word in ("compressed already", ".bin", "zstd:9", "archive:", "time:", "--profile general", "--compression"):
        assert word in captured.out
    assert "read all of it" in captured.err


def test_excludes_are_those_of_create(tree: Path, capsys: Captured) -> None:
    found = records(capsys, "analyze", str(tree), "-x", "*.bin")
    assert "bin" not in {record["extension"] for record in found if record["type"] == "file_type"}


def test_the_present_options_are_what_is_told_of(tree: Path, capsys: Captured) -> None:
    found = records(capsys, "analyze", str(tree), "--compression", "zstd:15", "--profile", "fine")
    assert "zstd:15" in {record["compression"] for record in found if record["type"] == "compression"}
    assert "only with it" in only(found, "advice")["profile_reason"]


@pytest.mark.parametrize(
    ("words", "code"), [((), 2), (("-",), 2), (("/no/such/path",), 10), ((".", "--compression", "best"), 2)]
)
def test_what_cannot_be_analyzed_is_refused(words: tuple[str, ...], code: int, capsys: Captured) -> None:
    records(capsys, "analyze", *words, code=code)


def test_ctrl_c_ends_it_with_130(tree: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("warp_portal.archive.survey._run", interrupted)
    assert records(capsys, "analyze", str(tree), code=130)[-2]["type"] == "error"


@pytest.mark.parametrize("words", [[], ["-"]])
def test_standard_input_is_not_analyzed(words: list[str], capsys: Captured) -> None:
    assert main(["analyze", *words]) == 2
    assert "name files or directories" in capsys.readouterr().err


def test_nothing_is_written_anywhere(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert main(["analyze", str(tree)]) == 0
