import json
from pathlib import Path

import pytest

from warp_portal.cli.main import main


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
