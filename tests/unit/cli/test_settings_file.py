"""Changing one setting of a settings file, and nothing else of it."""

import os
from pathlib import Path

import pytest

from warp_portal.cli import settings_file
from warp_portal.config import ConfigFile, load
from warp_portal.errors import UsageError


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


@pytest.mark.parametrize("content", [b"threads =", b"\xff", b"a = " + b"[" * 5000])
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
