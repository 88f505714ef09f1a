"""Changing one setting of a settings file, and nothing else of it."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from warp_portal.cli import settings_file
from warp_portal.config import MAX_FILE, ConfigFile, load
from warp_portal.errors import BusyError, UsageError


def test_storing_keeps_comments_and_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.toml"
    settings_file.store("memory", ["512M"], path)
    path.write_text("# mine\n" + path.read_text() + "threads = 2 # few\n")
    settings_file.store("threads", ["3"], path)
    settings_file.store("exclude", ["*.o", "a b"], path)
    assert path.read_text() == '# mine\nmemory = "512M"\nthreads = 3 # few\nexclude = ["*.o", "a b"]\n'
    loaded = load(files=(ConfigFile(str(path)),), environ={}).config
    assert (loaded.memory, loaded.threads, loaded.exclude) == (512 << 20, 3, ("*.o", "a b"))


def test_storing_refuses_what_would_not_load(tmp_path: Path) -> None:
    for name, values in (("threads", ["x"]), ("threads", ["1", "2"]), ("nothing", ["1"])):
        with pytest.raises(UsageError):
            settings_file.store(name, values, tmp_path / "c.toml")
    assert not (tmp_path / "c.toml").exists()


@pytest.mark.parametrize("content", [b"threads =", b"\xff", b"a = {b = 1, b = 2}", b"a = " + b"[" * 5000])
def test_storing_into_what_is_no_settings_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not valid TOML"):
        settings_file.store("threads", ["1"], path)
    with pytest.raises(UsageError, match="not valid TOML"):
        settings_file.remove("threads", path)
    assert path.read_bytes() == content


def test_storing_keeps_a_link_and_the_mode(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    real.write_text("threads = 1\n")
    real.chmod(0o600)
    link.symlink_to(real)
    settings_file.store("threads", ["2"], link)
    assert link.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("threads = 2\n", 0o600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "dotfiles.toml"]


def test_storing_what_is_not_utf_8_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / os.fsdecode(b"caf\xe9")
    place.mkdir()
    monkeypatch.chdir(place)
    for name, value in (("passphrase_file", "pw"), ("exclude", os.fsdecode(b"caf\xe9"))):
        with pytest.raises(UsageError, match=r"caf.* is not UTF-8, as a settings file must be: give another name"):
            settings_file.store(name, [value], tmp_path / "c.toml")
    settings_file.store("passphrase_file", ["/pw"], tmp_path / "c.toml")
    assert [path.name for path in tmp_path.iterdir() if path != place] == ["c.toml"]


def test_storing_a_name_where_the_directory_is_gone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match=r"^pw: the working directory is gone: give a name that begins with /"):
        settings_file.store("passphrase_file", ["pw"], tmp_path / "c.toml")


def test_what_is_no_settings_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for change in (
        lambda path: settings_file.store("threads", ["1"], path),
        lambda path: settings_file.remove("threads", path),
    ):
        with pytest.raises(UsageError, match="regular file"):
            change(tmp_path / "fifo")


def test_a_size_is_kept_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for written, kept in (("512M", 'memory = "512M"'), ("1048576", "memory = 1048576")):
        settings_file.store("memory", [written], path)
        assert path.read_text().strip() == kept
    with pytest.raises(UsageError, match="expected 1MB or more"):
        settings_file.store("memory", ["1"], path)


def test_storing_does_not_make_a_file_that_is_too_large_to_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    content = "#" * (MAX_FILE - 20) + "\n"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"with this exclude it would be larger than 1 MiB.*nothing was stored"):
        settings_file.store("exclude", ["a pattern"], path)
    assert path.read_text() == content
    settings_file.store("threads", ["1"], path)
    assert load(files=(ConfigFile(str(path)),), environ={}).config.threads == 1


def test_storing_gives_the_value_whatever_else_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("threads = 99999\nnothing = 1\n[profile]\nfine = 1\n")
    assert settings_file.store("profile", ["fine"], path) == "fine"
    assert path.read_text() == 'threads = 99999\nnothing = 1\nprofile = "fine"\n'


CHANGING = """
import sys
from pathlib import Path
from warp_portal.cli import settings_file
name, path = sys.argv[1], Path(sys.argv[2])
settings_file.LOCK_WAIT_S = 60.0  # who takes the lock again and again leaves others little of a slow disk
print("ready", flush=True)
sys.stdin.read()
for count in range(1, 21):
    settings_file.store(name, [f"{count}000000"], path)
    assert f"{name} = {count}000000" in path.read_text(), f"{name} is lost"
"""


def test_of_those_who_change_settings_at_once_none_undoes_what_another_did(tmp_path: Path) -> None:
    path = tmp_path / "none yet" / "c.toml"
    names = ("memory", "checkpoint_bytes", "checkpoint_seconds")
    changing = [
        subprocess.Popen(
            [sys.executable, "-c", CHANGING, name, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for one in changing:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in changing:
        assert one.stdin is not None
        one.stdin.close()
        one.stdin = None
    for one in changing:
        _, said = one.communicate(timeout=60)
        assert (one.returncode, said) == (0, "")
    loaded = load(files=(ConfigFile(str(path)),), environ={}).config
    assert (loaded.memory, loaded.checkpoint_bytes, loaded.checkpoint_seconds) == (20_000_000, 20_000_000, 20e6)
    assert [file.name for file in path.parent.iterdir()] == ["c.toml"]


def test_who_holds_the_lock_for_good_is_not_waited_for_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.toml"
    path.write_text("threads = 1\n")
    monkeypatch.setattr(settings_file, "LOCK_WAIT_S", 0.1)
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    for change in (
        lambda: settings_file.store("threads", ["2"], path),
        lambda: settings_file.remove("threads", path),
    ):
        with pytest.raises(
            BusyError, match=r"another program has held the lock of its directory for 0\.1 s: nothing was"
        ):
            change()
    assert path.read_text() == "threads = 1\n"
    os.close(fd)
    settings_file.store("threads", ["2"], path)
    assert path.read_text() == "threads = 2\n"


@pytest.mark.parametrize(("mode", "made_with"), [(0o600, 0o600), (0o640, 0o600), (None, 0o644)])
def test_at_no_moment_can_others_read_a_file_that_they_may_not(
    mode: int | None, made_with: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = tmp_path / "c.toml", []
    if mode is not None:
        path.touch(mode)
        path.chmod(mode)
    write = os.open

    def watched(name: str, flags: int, *rest: int, **more: int) -> int:
        fd = write(name, flags, *rest, **more)
        if flags & os.O_CREAT:
            made.append((os.fstat(fd).st_mode & 0o777, bool(flags & os.O_EXCL)))
        return fd

    before = os.umask(0o022)
    try:
        monkeypatch.setattr(os, "open", watched)
        settings_file.store("threads", ["1"], path)
    finally:
        os.umask(before)
    assert made == [(made_with, True)]
    assert path.stat().st_mode & 0o777 == (mode or 0o644)


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path: Path) -> None:
    (tmp_path / "c.toml").symlink_to(tmp_path / "dotfiles" / "warp.toml")
    settings_file.store("threads", ["1"], tmp_path / "c.toml")
    assert (tmp_path / "dotfiles" / "warp.toml").read_text() == "threads = 1\n"


def test_a_failure_to_write_names_the_file_and_not_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("c" * 250)
    path.write_text("threads = 1\n")
    with pytest.raises(OSError, match="too long") as failed:
        settings_file.store("threads", ["2"], path)
    assert failed.value.filename == str(path)
    assert path.read_text() == "threads = 1\n"


def test_taking_out_of_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    assert not settings_file.remove("threads", tmp_path / "none" / "c.toml")
    assert list(tmp_path.iterdir()) == []
