"""How a command is noted to be run again: without what is secret, and read as if a stranger had written it."""

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warp_portal.cli import again
from warp_portal.cli.asking import is_secret
from warp_portal.cli.output import Output
from warp_portal.errors import FormatError, NotFoundError, UsageError

TICKET = "warp-ticket:agtacwban"
WORDS = ["config", "path"]


def output(*words: str) -> Output:
    made = Output(json_lines=True, stdout=io.StringIO(), stderr=io.StringIO())
    made.words = words
    return made


def words(noted: bytes) -> list[str]:
    content = json.loads(noted)
    assert content["cwd"] == os.getcwd()
    return list(content["words"])


def note(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_secrets_and_options_of_one_run_are_left_out() -> None:
    kept = again.noted(output("receive", TICKET, "-C", "inbox", "-y"), [TICKET], ["--session"])
    assert words(kept) == ["receive", "-C", "inbox", "-y"]
    for given_as in (["--to", TICKET], [f"--to={TICKET}"]):
        kept = again.noted(output("send", "a", *given_as, "--qr"), options=("--to", "--session"))
        assert words(kept) == ["send", "a", "--qr"]
    kept = again.noted(output("send", "--session", "00", "--to", "bob", "a"), options=("--to", "--session"))
    assert words(kept) == ["send", "a"]


def test_a_name_or_an_address_is_no_secret() -> None:
    assert is_secret(TICKET)
    assert is_secret("7-apple-river-stone")
    assert not is_secret("alice")
    assert not is_secret("127.0.0.1:4433")
    assert not is_secret("[::1]:4433")


def test_names_that_are_no_text_come_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff")
    assert words(again.noted(output("send", name))) == ["send", name]


def test_a_command_is_run_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    content = json.dumps({"cwd": str(tmp_path / "there"), "words": WORDS}).encode()
    run = output("sessions", "resume", "00")
    assert again.run(run, note(tmp_path / "again", content)) == 0
    assert Path.cwd() == tmp_path / "there"
    assert run.words == tuple(WORDS)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["cwd", "words"]), inner),
        max_leaves=4,
    ).map(lambda value: json.dumps(value).encode())
)
@example(b'{"cwd": "/", "words": []}')
@example(b'{"cwd": "/", "words": ["send", 7]}')
@example(b'{"cwd": 7, "words": ["send"]}')
@example(b'{"cwd": "/", "words": "send"}')
@example(b"[" * 100_000)
def test_what_says_nothing_is_a_typed_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = note(tmp_path_factory.mktemp("notes") / "again", content)
    with pytest.raises(FormatError, match="run the same command again"):
        again.run(output("sessions", "resume", "00"), path)


def test_what_is_not_noted_or_not_there_any_more_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="run the same command again"):
        again.run(output("sessions", "resume", "00"), tmp_path / "again")
    gone = json.dumps({"cwd": str(tmp_path / "gone"), "words": WORDS}).encode()
    with pytest.raises(UsageError, match="can't be entered now"):
        again.run(output("sessions", "resume", "00"), note(tmp_path / "again", gone))


def test_what_others_may_write_is_not_run(tmp_path: Path) -> None:
    path = note(tmp_path / "again", json.dumps({"cwd": "/", "words": WORDS}).encode())
    path.chmod(0o666)
    with pytest.raises(UsageError):
        again.run(output("sessions", "resume", "00"), path)
