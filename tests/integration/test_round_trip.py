"""Every type and attribute survives create, append and extract: rsync finds nothing to do."""

import os
from pathlib import Path

import pytest

from tests.trees import IS_ROOT, add_socket, differences, every_type
from warp_portal.archive import ExtractRequest, Lock, Source, Unlock, append, create, extract, open_archive
from warp_portal.archive.options import PackOptions
from warp_portal.primitives.compression import policy
from warp_portal.primitives.cutting import PROFILES

KEY = bytes(range(32))
UNLOCK = Unlock(archive_key=KEY)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    every_type(root)
    monkeypatch.chdir(root)
    return root


def restore(archive: Path, target: Path, unlock: Unlock) -> dict[str, int]:
    target.mkdir()
    with open_archive(archive, unlock) as reader:
        report = extract(reader, target, ExtractRequest(setuid=True))
    assert report.problems == ()
    return report.skips


@pytest.mark.parametrize("suite", [None, 1, 2], ids=["plain", "chacha20-poly1305", "aes-256-gcm"])
def test_every_type_and_attribute_comes_back(tree: Path, tmp_path: Path, suite: int | None) -> None:
    archive = tmp_path / "a.warp"
    lock = None if suite is None else Lock(passphrases=("secret",), suite=suite)
    report = create(archive, Source.of(["."]), lock=lock, archive_key=KEY if lock else None)
    assert report.problems == ()
    restore(archive, tmp_path / "out", UNLOCK if lock else Unlock())
    assert differences(tree, tmp_path / "out") == ""


def test_an_appended_tree_comes_back_as_it_is_now_and_as_it_was(tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.warp"
    create(archive, Source.of(["."]), lock=Lock(passphrases=("secret",)), archive_key=KEY)
    before = tmp_path / "before"
    os.system(f"cp -a --sparse=always '{tree}' '{before}'")
    (tree / "small-05").unlink()
    (tree / "medium").write_bytes(b"shorter now")
    (tree / "order" / "new").write_bytes(os.urandom(3_000_000))
    (tree / "one").rename(tree / "renamed")
    append(archive, Source.of(["."]), unlock=UNLOCK)
    restore(archive, tmp_path / "now", UNLOCK)
    assert differences(tree, tmp_path / "now") == ""
    with open_archive(archive, UNLOCK, snapshot=1) as reader:
        extract(reader, tmp_path / "then", ExtractRequest(setuid=True))
    assert differences(before, tmp_path / "then") == ""


def test_many_fragment_sizes_and_codecs_come_back(tree: Path, tmp_path: Path) -> None:
    for profile in PROFILES:
        for codec in ("none", "lz4", "zstd:9"):
            archive = tmp_path / f"{profile}-{codec}.warp"
            options = PackOptions(cutting=PROFILES[profile], policy=policy(codec))
            create(archive, Source.of(["."]), options)
            restore(archive, tmp_path / f"{profile}-{codec}", Unlock())
            assert differences(tree, tmp_path / f"{profile}-{codec}") == ""


def test_sockets_are_recorded_and_counted_as_skipped(tree: Path, tmp_path: Path) -> None:
    add_socket(tree)
    create(tmp_path / "a.warp", Source.of(["."]))
    skips = restore(tmp_path / "a.warp", tmp_path / "out", Unlock())
    assert skips["socket"] == 1
    assert not (tmp_path / "out" / "socket").exists()


def test_setuid_is_dropped_unless_asked_for(tree: Path, tmp_path: Path) -> None:
    create(tmp_path / "a.warp", Source.of(["."]))
    with open_archive(tmp_path / "a.warp") as reader:
        report = extract(reader, tmp_path / "out")
    assert (tmp_path / "out" / "setuid").stat().st_mode & 0o7777 == 0o755
    assert report.skips["setuid"] >= 1


@pytest.mark.skipif(not IS_ROOT, reason="needs root to read as another user")
def test_an_unreadable_file_is_listed_and_the_rest_is_packed(tree: Path, tmp_path: Path) -> None:
    """As nobody: the file without permissions becomes a problem, everything else is there."""
    archive = tmp_path / "shared" / "a.warp"
    archive.parent.mkdir()
    archive.parent.chmod(0o777)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.owner() == "root" and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            report = create(archive, Source.of(["."]))
            failed = {problem.path: problem.errno for problem in report.problems}
            status = 0 if failed.get(b"secret") == 13 and b"small-09" not in failed else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with open_archive(archive) as reader:
        assert reader.find("secret") is None
        assert reader.find("text") is not None
