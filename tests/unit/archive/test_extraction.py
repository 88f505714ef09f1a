"""Which entries are restored, and into what room."""

import os
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, grow

from warp_portal.archive import problems
from warp_portal.archive.extraction import ExtractProgress, ExtractRequest, Overwrite, extract, plan
from warp_portal.archive.filetable import Kind
from warp_portal.archive.options import Source
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.writer import create
from warp_portal.errors import StorageFullError, UsageError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 30, 9000)
    for name in ("d1/hard", "d5/hard-1", "d5/hard-2", "d6/hard-3"):
        os.link(root / "d1" / "f0001", root / name)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def archive(tree: Path, tmp_path: Path) -> Path:
    create(tmp_path / "a.warp", Source.of(["."]), OFTEN)
    return tmp_path / "a.warp"


def planned(reader: ArchiveReader, *patterns: str) -> list[tuple[bytes, int, bytes]]:
    found = []
    for table, indices in plan(reader, ExtractRequest(patterns)):
        for index in range(len(table)) if indices is None else indices:
            entry = table.entry(index)
            found.append((entry[0], entry[1], entry[10]))
    return found


def test_everything_is_planned_without_patterns(archive: Path) -> None:
    with open_archive(archive) as reader:
        assert [entry[0] for entry in planned(reader)] == [entry.path for entry in reader]


def test_links_whose_file_is_left_out_become_that_file(archive: Path, tree: Path, tmp_path: Path) -> None:
    with open_archive(archive) as reader:
        assert (b"d5/hard-1", Kind.FILE, b"") in planned(reader, "d5")
        assert (b"d5/hard-2", Kind.HARDLINK, b"d5/hard-1") in planned(reader, "d5")
        assert (b"d6/hard-3", Kind.HARDLINK, b"d5/hard-1") in planned(reader, "d5", "d6")
        assert (b"d5/hard-1", Kind.HARDLINK, b"d1/f0001") in planned(reader, "d5", "d1")
        paths = [entry[0] for entry in planned(reader, "d5", "d6")]
        assert paths == sorted(paths, key=lambda path: path.split(b"/"))
        report = extract(reader, tmp_path / "out", ExtractRequest(("d5", "d6")))
    assert report.problems == ()
    content = (tree / "d1" / "f0001").read_bytes()
    inodes = {(tmp_path / "out" / name).stat().st_ino for name in ("d5/hard-1", "d5/hard-2", "d6/hard-3")}
    assert len(inodes) == 1
    assert (tmp_path / "out" / "d6" / "hard-3").read_bytes() == content
    assert not (tmp_path / "out" / "d1").exists()


def test_progress_and_totals_are_told(archive: Path, tmp_path: Path) -> None:
    seen: list[ExtractProgress] = []
    with open_archive(archive) as reader:
        report = extract(reader, tmp_path / "out", progress=seen.append)
        assert report.progress.entries == report.progress.total_entries == reader.summary.entries
        assert report.progress.bytes_written == report.progress.total_bytes
        again = extract(reader, tmp_path / "out")
    assert seen[-1].files == report.progress.files
    assert again.skips["exists"] > 0
    assert again.progress.bytes_written == 0


def test_what_is_there_stays_unless_asked(archive: Path, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with open_archive(archive) as reader:
        extract(reader, target)
        (target / "d2" / "f0002").write_bytes(b"mine")
        extract(reader, target)
        assert (target / "d2" / "f0002").read_bytes() == b"mine"
        extract(reader, target, ExtractRequest(overwrite=Overwrite.CHANGED))
        assert (target / "d2" / "f0002").read_bytes() == (tree / "d2" / "f0002").read_bytes()
        extract(reader, target, ExtractRequest(("d2",), overwrite=Overwrite.ALWAYS))


def test_too_little_room_is_said_before_anything_is_written(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        f_bavail, f_frsize = 1, 4096

    (tmp_path / "out").mkdir()
    with open_archive(archive) as reader:
        monkeypatch.setattr(os, "fstatvfs", lambda _: Full)
        with pytest.raises(StorageFullError, match="4,096 are free"):
            extract(reader, tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []
        extract(reader, tmp_path / "out", ExtractRequest(check_space=False))
        extract(reader, tmp_path / "out")


def test_the_target_is_a_directory(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with open_archive(archive) as reader, pytest.raises((UsageError, FileExistsError)):
        extract(reader, tmp_path / "file")


def test_failures_are_counted_all_and_kept_as_far_as_there_is_room(
    archive: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(path.relative_to(tree) for path in (tree / "d1").iterdir() if path.is_file())
    for name in names:  # a directory that is not empty is never removed for a file
        (tmp_path / "out" / name / "in-the-way").mkdir(parents=True)
    monkeypatch.setattr(problems, "KEPT_BYTES", 2 * (problems.PROBLEM_BYTES + len("d1/f0001")))
    with open_archive(archive) as reader:
        report = extract(reader, tmp_path / "out", ExtractRequest(("d1",), overwrite=Overwrite.ALWAYS))
    assert (report.failed, report.damaged, len(report.problems)) == (len(names), 0, 2)
