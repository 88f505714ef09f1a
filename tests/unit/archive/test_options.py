"""Which file a path on the command line means, and under which name it is stored."""

import os
from pathlib import Path

import pytest

from warp_portal.archive.options import Source, thread_count
from warp_portal.errors import NotFoundError, UsageError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`link` leads to `far/deep`; a `file` lies here and in `far`."""
    root = tmp_path.resolve()
    (root / "far" / "deep").mkdir(parents=True)
    (root / "file").write_text("near")
    (root / "far" / "file").write_text("far")
    (root / "link").symlink_to("far/deep")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    ("path", "stored", "disk"),
    [
        ("file", "file", "file"), ("./far//deep/", "far/deep", "far/deep"), (".", "", "."), ("far/..", "", "."),
        ("link", "link", "link"), ("link/", "link", "far/deep"), ("link/.", "link", "far/deep"),
        ("link/../file", "file", "far/file"), ("link/..", "", "far"), ("far/../link", "link", "link"),
    ],
)  # fmt: skip
def test_a_path_means_what_it_means_to_the_kernel(place: Path, path: str, stored: str, disk: str) -> None:
    assert Source.of([path]).roots == ((stored.encode(), os.fsencode(place / disk)),)


def test_an_empty_path_and_one_that_is_not_there_are_refused(place: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        Source.of([""])
    for path in ("none", "none/../file", "file/"):
        with pytest.raises(NotFoundError):
            Source.of([path])


def test_threads_are_counted_where_no_affinity_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert thread_count(0) == (os.cpu_count() or 1)
    assert thread_count(3) == 3


@pytest.mark.parametrize("wanted", [-1, 1025, 100_000])
def test_too_many_threads_are_refused(wanted: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 1024"):
        thread_count(wanted)
