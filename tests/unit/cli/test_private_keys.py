"""A private key given where the name of its file belongs is refused, and neither stored nor repeated."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tests.unit.cli.runs import Captured

from warp_portal.cli.main import main

KINDS = ("signing", "x25519", "xwing")
MODES: tuple[list[str], ...] = ([], ["--json"], ["-vv"])
REFUSED = "this is a private key itself: name the file that holds it"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(params=KINDS)
def key(request: pytest.FixtureRequest, tmp_path: Path, capsys: Captured) -> str:
    """The text of a key file, as `$(cat me.key)` gives it."""
    assert main(["key", "keygen", str(tmp_path / "me.key"), "--kind", request.param]) == 0
    capsys.readouterr()
    return (tmp_path / "me.key").read_text().rstrip("\n")


def line_of(key: str) -> str:
    return key.splitlines()[-1]


def forms_of(key: str) -> list[str]:
    line = line_of(key)
    return [key, line, line.upper(), f" {line}", f"./{line}", f"foo/{line}/", f"key:{line}", line.replace(":", " :")]


def said_of(words: list[str], key: str, capsys: Captured, code: int = 2) -> str:
    """What a run says that refuses, in each way of saying it; none may give the secret away."""
    secret = line_of(key).partition(":")[2]
    assert len(secret) > 50
    everything = ""
    for mode in MODES:
        assert main([*words, *mode]) == code
        said = capsys.readouterr()
        everything += said.out + said.err
        assert secret not in (said.out + said.err).lower()
        assert secret[:12] not in (said.out + said.err).lower()
    return everything


@pytest.mark.parametrize(
    "name",
    ["sign", "identity", "recipient", "exclude", "passphrase_file", "state_dir", "compression", "memory", "nothing"],
)
def test_a_private_key_is_not_stored(name: str, key: str, own_settings: Path, capsys: Captured) -> None:
    for form in forms_of(key):
        assert REFUSED in said_of(["config", "set", name, form], key, capsys)
    assert REFUSED in said_of(["config", "set", name, *key.split()], key, capsys)
    assert not (own_settings / "config.toml").exists()


def test_a_private_key_as_the_name_of_a_setting_is_not_repeated(key: str, own_settings: Path, capsys: Captured) -> None:
    for form in forms_of(key):
        assert REFUSED in said_of(["config", "set", form, "1"], key, capsys)
        assert REFUSED in said_of(["config", "get", form], key, capsys, 10)
        assert REFUSED in said_of(["config", "unset", form], key, capsys, 10)
    assert not (own_settings / "config.toml").exists()


@pytest.mark.parametrize(
    "words",
    [
        "create ARCHIVE.new TREE --sign KEY",
        "create ARCHIVE.new TREE -r KEY",
        "create ARCHIVE.new TREE -p KEY",
        "create ARCHIVE.new TREE -x KEY",
        "append ARCHIVE TREE -i KEY",
        "append ARCHIVE TREE --sign KEY",
        "extract ARCHIVE -i KEY",
        "extract ARCHIVE --signer KEY",
        "cat ARCHIVE a.txt --signer KEY",
        "list ARCHIVE -i KEY",
        "verify ARCHIVE --signer KEY",
        "compact ARCHIVE -r KEY",
        "compact ARCHIVE --slot-passphrase-file KEY",
        "key add ARCHIVE -r KEY",
        "key add ARCHIVE --new-passphrase-file KEY",
        "key add ARCHIVE --sign KEY",
    ],
)
def test_a_private_key_as_an_option_is_not_repeated(
    words: str, key: str, plain: str, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tree.parent)
    stand_for = {"ARCHIVE": plain, "ARCHIVE.new": f"{plain}.new", "TREE": "tree"}
    for form in forms_of(key):
        given = [form if word == "KEY" else stand_for.get(word, word) for word in words.split()]
        assert REFUSED in said_of(given, key, capsys)
    assert not Path(f"{plain}.new").exists()


@pytest.mark.parametrize(
    "variable", ["WARP_SIGN", "WARP_IDENTITY", "WARP_RECIPIENT", "WARP_PASSPHRASE_FILE", "WARP_EXCLUDE", "WARP_CONFIG"]
)
def test_a_private_key_in_a_variable_is_not_repeated(
    variable: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for form in forms_of(key):
        monkeypatch.setenv(variable, form)
        for words in (["create", str(tmp_path / "new.warp"), str(tmp_path)], ["config", "list"]):
            assert f"{variable}: {REFUSED}" in said_of(words, key, capsys)
    assert not (tmp_path / "new.warp").exists()


def test_a_private_key_in_a_settings_file_is_not_repeated(key: str, own_settings: Path, capsys: Captured) -> None:
    for form in forms_of(key):
        text = json.dumps(form)
        for line in (
            f"sign = {text}",
            f"identity = ['a', {text}]",
            f"threads = {{a = [{text}]}}",
            f"memory.{text} = 1",
            f"{text} = 1",
        ):
            (own_settings / "config.toml").write_text(line)
            assert REFUSED in said_of(["config", "list"], key, capsys)
            assert "profile is stored" in said_of(["config", "set", "profile", "fine"], key, capsys, 0)
        twice = f"[{text}]\n[{text}]\n"
        (own_settings / "config.toml").write_text(twice)
        assert "not valid TOML" in said_of(["config", "list"], key, capsys)
        assert "not valid TOML" in said_of(["config", "set", "profile", "fine"], key, capsys)


def test_a_private_key_that_is_stored_already_can_be_taken_out(key: str, own_settings: Path, capsys: Captured) -> None:
    file = own_settings / "config.toml"
    for name in ("sign", key):
        file.write_text(f"{json.dumps(name)} = {json.dumps(key)}\n")
        assert main(["config", "unset", name]) == 0
        said = capsys.readouterr()
        assert line_of(key).partition(":")[2] not in said.out + said.err
        assert file.read_text() == ""


@pytest.mark.parametrize("words", ["KEY", "create NEW KEY", "verify NEW -s KEY", "config KEY", "key keygen LINE/x"])
def test_a_private_key_in_any_other_place_is_not_repeated(
    words: str, key: str, tmp_path: Path, capsys: Captured
) -> None:
    stand_for = {"KEY": key, "NEW": str(tmp_path / "new.warp"), "LINE/x": f"{line_of(key)}/x"}
    given = [stand_for.get(word, word) for word in words.split()]
    code = 10 if words.startswith(("create", "key")) else 2
    assert "[redacted]" in said_of(given, key, capsys, code)
