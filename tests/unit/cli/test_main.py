import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from warp_portal.cli import main as entry
from warp_portal.cli.main import main
from warp_portal.errors import BusyError


def warp(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "warp_portal", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(entry.LazyGroup, "get_command", lambda *_: command)


def test_help_names_every_command_and_imports_none() -> None:
    ran = warp("--help")
    assert ran.returncode == 0
    for _, commands in entry.SECTIONS:
        assert all(name in ran.stdout for name, _ in commands)
    listed = subprocess.run(
        [sys.executable, "-c", "import sys; from warp_portal.cli.main import main; main(['--help']); print(*sys.modules, sep='\\n')"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    heavy = {
        "rich",
        "cryptography",
        "msgpack",
        "structlog",
        "tomlkit",
        "platformdirs",
        "warp_portal._native",
        "warp_portal.archive",
    }
    assert not heavy & set(listed)


@pytest.mark.parametrize("name", [name for _, commands in entry.SECTIONS for name, _ in commands])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Usage: warp " + name in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("key",), ("config",), ("bench",)])
def test_what_a_group_lists_fits_on_a_terminal_of_80_columns(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*words, "--help"]) == 0
    _usage, *lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.endswith("...") or len(line) > 80]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("warp 0.")


@pytest.mark.parametrize(
    "words", [["nothing"], ["create"], ["create", "--nothing"], ["verify", "a", "--level", "most"], []]
)
def test_wrong_usage_ends_with_2_and_points_to_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "--help" in captured.err
    assert "Traceback" not in captured.err


def test_every_json_run_ends_with_its_exit_record(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "none.warp")
    runs = (
        ["config", "list", "--json"],
        ["create", "--json"],
        ["config", "get", "zzz", "--json"],
        ["bench", "cpu", "--data", missing, "--json"],
    )
    for words, code in zip(runs, (0, 2, 10, 10), strict=True):
        assert main(words) == code
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert records[-1] == {"type": "exit", "schema": 1, "code": code}
        assert all(record["schema"] == 1 for record in records)
        if code:
            assert (records[-2]["type"], records[-2]["fatal"], records[-2]["code"]) == ("error", True, code)


def test_json_behind_two_dashes_is_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "get", "--", "--json"]) == 10
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BusyError("a.warp: in use: wait"), 11, "warp: a.warp: in use: wait"),
        (KeyboardInterrupt(), 130, "warp: interrupted"),
        (EOFError(), 130, "warp: interrupted"),
        (
            FileNotFoundError(2, "No such file or directory", "f"),
            10,
            "warp: f: No such file or directory: check the path",
        ),
        (
            OSError(5, "write archive: Input/output error (os error 5)"),
            1,
            "warp: write archive: Input/output error: the",
        ),
        (KeyError("k"), 1, "warp: internal error: KeyError: 'k'"),
    ],
)
def test_a_failure_is_one_line_and_its_code(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert main(["create"]) == code
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(words)


def test_a_traceback_is_shown_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ValueError("inside"))
    monkeypatch.setenv("WARP_DEBUG", "1")
    with pytest.raises(ValueError, match="inside"):
        main(["create"])


def test_a_reader_that_leaves_ends_it_quietly_with_141() -> None:
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "warp_portal", "config", "list"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_windows_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["--help"]) == 16
    assert "Windows is not supported" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_warp(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_WARP_COMPLETE" in capsys.readouterr().out


def test_a_shell_gets_commands_and_options() -> None:
    ran = warp(_WARP_COMPLETE="bash_complete", COMP_WORDS="warp ver", COMP_CWORD="1")
    assert "plain,verify" in ran.stdout
    ran = warp(_WARP_COMPLETE="bash_complete", COMP_WORDS="warp verify --lev", COMP_CWORD="2")
    assert "plain,--level" in ran.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "    warp create home.warp work --encrypt     pack a tree"),
        (("verify",), "    quick   header, newest commit, table of contents, signature"),
        (("key", "keygen"), "    signing         for --signer (public) and --sign (private)"),
        (("completion",), '    bash   eval "$(warp completion bash)"      in ~/.bashrc'),
    ],
)
def test_tables_in_help_are_not_wrapped(words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert line in out.splitlines()
    assert "\b" not in out
    assert "\\b" not in out
