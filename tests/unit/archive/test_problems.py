"""Paths that fail by the million: all are counted, and only so many kept."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from warp_portal.archive import problems
from warp_portal.archive.analysis import analyze
from warp_portal.archive.livetree import LiveOptions, LiveTree, recorded_source
from warp_portal.archive.options import Source
from warp_portal.archive.packing import Feed
from warp_portal.archive.problems import Problem, ProblemList, Rest
from warp_portal.archive.reader import open_archive
from warp_portal.archive.survey import AnalyzeOptions
from warp_portal.archive.writer import create
from warp_portal.cli import packing
from warp_portal.cli.output import Output
from warp_portal.errors import PartialError

COUNT = 50
PLAIN = AnalyzeOptions(suite="plain", passphrase=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number in range(COUNT):
        (tmp_path / "tree" / "files").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / "files" / f"{number:02}").write_bytes(b"x")
    return tmp_path / "tree"


@pytest.fixture
def vanishing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files are gone once they are found, before one is read; two of them may be kept as problems."""
    walk = Feed.walk

    def walk_and_remove(feed: Feed) -> None:
        walk(feed)
        remove_files(tree)

    monkeypatch.setattr(Feed, "walk", walk_and_remove)
    length = len(os.fsencode(tree / "files" / "00").lstrip(b"/"))
    monkeypatch.setattr(problems, "KEPT_BYTES", 2 * (problems.PROBLEM_BYTES + length))
    return tree


def remove_files(tree: Path) -> None:
    for path in (tree / "files").iterdir():
        path.unlink()


def test_what_is_kept_of_many_problems_is_bounded() -> None:
    found, path = ProblemList(), b"p" * 1000
    found.extend((path, "read", number % 2) for number in range(100_000))
    assert (found.count, found.without_errno) == (100_000, 50_000)
    assert len(found.kept) == problems.KEPT_BYTES // (problems.PROBLEM_BYTES + 1000)
    assert found.kept[0] == Problem(path, "read", 0)


def test_the_places_of_damaged_files_give_way_to_paths() -> None:
    found, lost = ProblemList(), [(2 * n, 2 * n + 1) for n in range(4096)]
    for number in range(1000):
        found.add(Problem(b"%d" % number, "damaged data", 0, Rest("kept", None, lost, 4096)))
    assert [problem.path for problem in found.kept] == [b"%d" % number for number in range(1000)]
    kept = [problem.rest for problem in found.kept if problem.rest]
    assert len(kept) == 1000
    assert (len(kept[0].lost), kept[0].lost_bytes) == (4096, 4096)
    assert sum(len(rest.lost) for rest in kept) == problems.MOST_PLACES


def looked(tree: Path, _: Path) -> tuple[int, int]:
    found = analyze(Source.of([tree]), replace(PLAIN, progress=lambda _: remove_files(tree)))
    return found.failed, len(found.problems)


def created(tree: Path, archive: Path) -> tuple[int, int]:
    report = create(archive, Source.of([tree]))
    return report.failed, len(report.problems)


@pytest.mark.parametrize("run", [looked, created])
def test_a_run_counts_all_and_keeps_the_first(
    run: Callable[[Path, Path], tuple[int, int]], vanishing: Path, archive: Path
) -> None:
    assert run(vanishing, archive) == (COUNT, 2)


def test_a_comparison_calls_nothing_removed_that_could_not_be_read(
    tree: Path, archive: Path, request: pytest.FixtureRequest
) -> None:
    create(archive, Source.of([tree]))
    request.getfixturevalue("vanishing")
    with open_archive(archive) as reader:
        live = LiveTree(reader, recorded_source(reader), LiveOptions(read_all=True))
        assert [change.path for change in live.changes() if change.new is None] == []
        assert (live.problems.count, len(live.problems.kept), len(live.unreadable)) == (COUNT, 2, COUNT)


def test_what_is_not_listed_is_counted_and_ends_with_the_same_code(
    vanishing: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = create(archive, Source.of([vanishing]))
    assert packing.conclude(Output(json_lines=False), report) == PartialError.exit_code
    said = capsys.readouterr().err
    assert f"… and {COUNT - 2} more paths failed" in said
    assert f"{COUNT} paths not packed" in said
    assert packing.conclude(Output(json_lines=True), report) == PartialError.exit_code
    assert f'"problems":{COUNT},"unlisted":{COUNT - 2},' in capsys.readouterr().out
