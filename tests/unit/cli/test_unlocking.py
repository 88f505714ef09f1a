import io
import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.runs import Captured, records

from warp_portal.archive import Unlock
from warp_portal.cli import unlocking
from warp_portal.cli.main import main
from warp_portal.cli.output import Output
from warp_portal.config import Config
from warp_portal.errors import KeyRequiredError, NotFoundError, UsageError, WrongKeyError
from warp_portal.keys import Identity, SigningKey


@pytest.fixture
def output() -> Output:
    return Output(json_lines=False, stdout=io.StringIO(), stderr=io.StringIO())


def said(output: Output) -> str:
    assert isinstance(output.stderr, io.StringIO)
    return output.stderr.getvalue()


def secret(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o600)
    return str(path)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    remaining = iter(answers)
    monkeypatch.setattr(unlocking, "on_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(remaining))


@pytest.mark.parametrize("content", [b"pass phrase\n", b"pass phrase", b"pass phrase\r\n", b"pass phrase\nremark\n"])
def test_a_passphrase_is_the_first_line_of_its_file(content: bytes, output: Output, tmp_path: Path) -> None:
    assert unlocking.read_passphrase(output, secret(tmp_path / "p", content)) == "pass phrase"
    assert said(output) == ""


def test_a_passphrase_file_that_others_can_read_is_said(output: Output, tmp_path: Path) -> None:
    path = secret(tmp_path / "p", b"pass phrase\n")
    Path(path).chmod(0o644)
    unlocking.read_passphrase(output, path)
    assert "chmod 600" in said(output)


def test_a_bad_passphrase_file_is_refused(output: Output, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        unlocking.read_passphrase(output, str(tmp_path / "none"))
    for content in (b"", b"\nlater", b"\xff\xfe"):
        with pytest.raises(UsageError):
            unlocking.read_passphrase(output, secret(tmp_path / "p", content))


def test_keys_come_from_files_and_the_environment(
    output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = Identity.generate("x25519")
    identity.save(tmp_path / "id")
    settings = Config(passphrase_file=secret(tmp_path / "p", b"from file\n"), identity=(str(tmp_path / "id"),))
    unlock = unlocking.given(output, settings)
    assert unlock.passphrases == ("from file",)
    assert [found.recipient for found in unlock.identities] == [identity.recipient]
    monkeypatch.setenv("WARP_PASSPHRASE", "from environment")
    assert unlocking.given(output, Config()).passphrases == ("from environment",)
    assert "WARP_PASSPHRASE_FILE" in said(output)
    assert "from environment" not in said(output)


def test_a_plain_archive_is_made_without_keys_or_on_request(output: Output, tmp_path: Path) -> None:
    assert unlocking.lock_for(output, Config(), None) is None
    configured = Config(passphrase_file=secret(tmp_path / "p", b"word\n"))
    assert unlocking.lock_for(output, configured, False) is None
    lock = unlocking.lock_for(output, configured, None)
    assert lock is not None
    assert (lock.passphrases, lock.suite) == (("word",), 1)


def test_a_recipient_needs_no_passphrase(output: Output) -> None:
    recipient = Identity.generate("x25519").recipient
    lock = unlocking.lock_for(output, Config(recipient=(str(recipient),), cipher="aes-256-gcm"), None)
    assert lock is not None
    assert (lock.passphrases, lock.recipients, lock.suite) == ((), (recipient,), 2)


def test_a_new_passphrase_is_asked_for_twice(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "one phrase", "one phrase")
    lock = unlocking.lock_for(output, Config(), True)
    assert lock is not None
    assert lock.passphrases == ("one phrase",)
    for answers, words in ((("one", "other"), "differ"), (("",), "empty")):
        answering(monkeypatch, *answers)
        with pytest.raises(UsageError, match=words):
            unlocking.ask_twice()


def test_without_a_terminal_nobody_is_asked(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlocking, "on_terminal", lambda: False)

    def attempt(unlock: Unlock) -> None:
        raise KeyRequiredError("the archive is encrypted")

    with pytest.raises(KeyRequiredError, match="--passphrase-file"):
        unlocking.unlocked(output, Config(), attempt)
    with pytest.raises(KeyRequiredError, match="terminal"):
        unlocking.ask_twice()


def attempts_until(right: str, tried: list[tuple[str, ...]]) -> Callable[[Unlock], str]:
    def attempt(unlock: Unlock) -> str:
        tried.append(unlock.passphrases)
        if not unlock:
            raise KeyRequiredError("encrypted")
        if unlock.passphrases != (right,):
            raise WrongKeyError("none of the given keys opens this archive")
        return "open"

    return attempt


def test_a_person_gets_three_tries(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, ...]] = []
    answering(monkeypatch, "a", "b", "right")
    assert unlocking.unlocked(output, Config(), attempts_until("right", tried)) == "open"
    assert tried == [(), ("a",), ("b",), ("right",)]
    answering(monkeypatch, "a", "b", "c", "right")
    with pytest.raises(WrongKeyError):
        unlocking.unlocked(output, Config(), attempts_until("right", tried))


def test_a_given_key_that_is_wrong_is_not_asked_again(
    output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    settings = Config(passphrase_file=secret(tmp_path / "p", b"wrong\n"))
    tried: list[tuple[str, ...]] = []
    with pytest.raises(WrongKeyError):
        unlocking.unlocked(output, settings, attempts_until("right", tried))
    assert tried == [("wrong",)]


def test_a_signing_key_is_loaded_where_one_is_set(tmp_path: Path) -> None:
    assert unlocking.signing_key(Config()) is None
    key = SigningKey.generate()
    key.save(tmp_path / "sign")
    loaded = unlocking.signing_key(Config(sign=str(tmp_path / "sign")))
    assert loaded is not None
    assert loaded.public == key.public


def test_the_terminal_is_asked_without_echo(tmp_path: Path) -> None:
    program = (
        "from warp_portal.cli import unlocking; print(unlocking.on_terminal(), unlocking.ask('Passphrase: ')[::-1])"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])
    heard = b""
    while b"Passphrase: " not in heard:
        heard += os.read(terminal, 1024)
    os.write(terminal, b"secret word\n")
    try:
        while piece := os.read(terminal, 1024):
            heard += piece
    except OSError:  # how Linux says that the other side of a terminal has closed
        pass
    os.waitpid(child, 0)
    os.close(terminal)
    assert b"True drow terces" in heard
    assert b"secret word" not in heard


def test_an_empty_passphrase_in_the_environment_is_refused(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARP_PASSPHRASE", "")
    with pytest.raises(UsageError, match="WARP_PASSPHRASE is empty"):
        unlocking.lock_for(output, Config(), None)
    with pytest.raises(UsageError, match="WARP_PASSPHRASE is empty"):
        unlocking.given(output, Config())


def test_recipients_of_the_command_replace_the_passphrase_of_the_settings(
    tree: Path, tmp_path: Path, own_settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    word = secret(tmp_path / "p", b"word\n")
    (own_settings / "config.toml").write_text(f'passphrase_file = "{word}"\n')
    recipient = str(Identity.generate("x25519").recipient)

    def kinds(name: str, *words: str) -> list[str]:
        archive = str(tmp_path / name)
        assert main(["create", archive, str(tree), *words]) == 0
        return [record["kind"] for record in records(capsys, "key", "list", archive) if record["type"] == "slot"]

    assert kinds("settings.warp") == ["passphrase"]
    assert kinds("given.warp", "-r", recipient, "-p", word) == ["passphrase", "x25519"]
    assert kinds("asked.warp", "-r", recipient, "--encrypt") == ["passphrase", "x25519"]
    assert main(["create", str(tmp_path / "noted.warp"), str(tree), "-r", recipient]) == 0
    assert "warning: your passphrase (passphrase_file in the settings) will not open it" in capsys.readouterr().err
    assert kinds("theirs.warp", "-r", recipient) == ["x25519"]
    monkeypatch.setenv("WARP_PASSPHRASE_FILE", secret(tmp_path / "q", b"other word\n"))
    assert kinds("run.warp", "-r", recipient) == ["passphrase", "x25519"]
