import contextlib
import json
from pathlib import Path

import pytest
from tests.unit.cli.runs import only, records

from warp_portal import config
from warp_portal.cli.config_command import SIZES
from warp_portal.cli.main import main
from warp_portal.errors import UsageError
from warp_portal.keys import Identity


def test_a_setting_is_set_shown_and_says_where_it_is_from(
    own_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "set", "memory", "1G"]) == 0
    assert main(["config", "set", "exclude", "*.o", "*.tmp"]) == 0
    assert (own_settings / "config.toml").read_text() == 'memory = "1G"\nexclude = ["*.o", "*.tmp"]\n'
    capsys.readouterr()
    assert main(["config", "get", "memory"]) == 0
    assert capsys.readouterr().out == "1073741824\n"
    assert main(["config", "list", "--json"]) == 0
    records = {r["name"]: r for r in map(json.loads, capsys.readouterr().out.splitlines()) if r["type"] == "setting"}
    assert records["memory"]["origin"] == str(own_settings / "config.toml")
    assert records["exclude"]["value"] == ["*.o", "*.tmp"]
    assert records["threads"]["origin"] == "default"


def test_a_wrong_value_is_refused_and_nothing_written(own_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set", "threads", "many"]) == 2
    assert main(["config", "set", "compression", "gzip"]) == 2
    assert "whole number" in capsys.readouterr().err
    assert not (own_settings / "config.toml").exists()


def test_an_unknown_setting_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "get", "nothing"]) == 10
    assert "config list" in capsys.readouterr().err


def test_the_files_are_listed(own_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "path"]) == 0
    out = capsys.readouterr().out
    assert ".warp-portal.toml  (not there)" in out
    assert str(own_settings / "config.toml") in out


def test_an_unset_setting_is_what_the_other_sources_say(own_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_settings / "config.toml").write_text("# mine\nthreads = 3\nmemory = 1000000\n")
    assert main(["config", "unset", "threads"]) == 0
    assert "threads is no longer set there" in capsys.readouterr().err
    assert (own_settings / "config.toml").read_text() == "# mine\nmemory = 1000000\n"
    assert main(["config", "unset", "threads"]) == 0
    assert "threads was not set there" in capsys.readouterr().err
    assert only(records(capsys, "config", "get", "threads"), "setting")["origin"] == "default"


def test_what_no_setting_is_called_can_be_unset_where_it_stands(
    own_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_settings / "config.toml").write_text("thread = 3\n")
    assert main(["config", "list"]) == 2
    assert main(["config", "unset", "thread"]) == 0
    assert main(["config", "list"]) == 0
    capsys.readouterr()
    assert main(["config", "unset", "thread"]) == 10
    assert "did you mean 'threads'?" in capsys.readouterr().err


def test_names_of_files_hold_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    key = str(Identity.generate("x25519").recipient)
    for name, values, kept in (
        ("passphrase_file", ["secret"], str(tmp_path / "secret")),
        ("sign", ["~/sign.key"], str(tmp_path / "home" / "sign.key")),
        ("identity", ["keys/a", "/keys/b"], [str(tmp_path / "keys" / "a"), "/keys/b"]),
        ("recipient", [key, "warp.pub"], [key, str(tmp_path / "warp.pub")]),
        ("exclude", ["a/b"], ["a/b"]),
    ):
        assert main(["config", "set", name, *values]) == 0
        assert only(records(capsys, "config", "get", name), "setting")["value"] == kept


def test_a_file_that_is_not_there_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "me.key").touch()
    key = str(Identity.generate("x25519").recipient)
    assert main(["config", "set", "recipient", key, str(tmp_path / "me.key"), str(tmp_path / "gone.pub")]) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")] == [
        f"note: {tmp_path}/gone.pub is not there"
    ]


def test_a_long_value_is_shortened_for_people_and_whole_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    key = str(Identity.generate("xwing").recipient)
    assert main(["config", "set", "recipient", key]) == 0
    capsys.readouterr()
    assert main(["config", "list"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("recipient ")]
    assert line.split()[1] == f"{key[:20]}…{key[-19:]}"
    settings = [record for record in records(capsys, "config", "list") if record["type"] == "setting"]
    assert [record["value"] for record in settings if record["name"] == "recipient"] == [[key]]
    assert main(["config", "get", "recipient"]) == 0
    assert capsys.readouterr().out == f"{key}\n"


def test_a_file_may_be_called_like_a_key(own_settings: Path) -> None:
    assert main(["config", "set", "identity", "/keys/warp-identity.key"]) == 0
    assert main(["config", "set", "exclude", "warp-identity*", "warp-signing-key"]) == 0


def test_another_setting_that_does_not_do_is_told_beside_the_one_that_is_stored(
    own_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = own_settings / "config.toml"
    file.write_text("threads = 99999\n")
    assert main(["config", "set", "profile", "fine"]) == 0
    assert file.read_text() == 'threads = 99999\nprofile = "fine"\n'
    assert capsys.readouterr().err.splitlines() == [
        f"{file}: profile = fine",
        "warning: profile is stored, but another setting there stops every command until it is set anew or unset: "
        f"{file}: threads = 99999: expected a whole number from 0 to 1024",
    ]
    found = records(capsys, "config", "set", "profile", "bulk")
    assert only(found, "setting")["value"] == "bulk"
    assert [record["message"][:34] for record in found if record["type"] == "status"][1:] == [
        "warning: profile is stored, but an"
    ]
    assert main(["config", "set", "threads", "9"]) == 0
    assert "warning" not in capsys.readouterr().err


def test_sizes_are_listed_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set", "memory", "1000000"]) == 0
    capsys.readouterr()
    assert main(["config", "list"]) == 0
    shown = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert (shown["memory"], shown["checkpoint_bytes"]) == ("1000000", "256M")
    found = [record for record in records(capsys, "config", "list") if record["type"] == "setting"]
    assert {record["name"]: record["value"] for record in found}["checkpoint_bytes"] == 256 << 20


def test_every_setting_that_is_a_size_is_known_as_one() -> None:
    def is_size(name: str) -> bool:
        with contextlib.suppress(UsageError):
            return config.parse(name, "1G", "it") == 1 << 30
        return False

    assert tuple(filter(is_size, config.SETTINGS)) == SIZES
