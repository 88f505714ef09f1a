"""Where a code or ticket comes from: an argument, standard input or the environment."""

import io
from pathlib import Path

import pytest

from warp_portal.cli.asking import given_word, route_of
from warp_portal.errors import NotFoundError, UsageError


@pytest.mark.parametrize(
    ("argument", "stdin", "variable", "found"),
    [
        ("7-a-b-c", "other\n", "more", "7-a-b-c"),
        ("-", " 7-a-b-c \nrest", "more", "7-a-b-c"),
        (None, "other\n", "7-a-b-c", "7-a-b-c"),
        (None, "other\n", "", None),
    ],
)
def test_an_argument_goes_before_the_environment(
    argument: str | None, stdin: str, variable: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    monkeypatch.setenv("WARP_CODE", variable)
    assert given_word(argument) == found


@pytest.mark.parametrize("stdin", ["", "\n", "  \n7-a-b-c"])
def test_an_empty_line_is_none(stdin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    with pytest.raises(UsageError, match="is needed"):
        given_word("-")


def test_a_line_without_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = io.StringIO("x" * (1 << 20))
    monkeypatch.setattr("sys.stdin", endless)
    assert len(given_word("-") or "") < 1 << 17
    assert endless.tell() < 1 << 17


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ("garbage", NotFoundError, "no peer is called 'garbage': see `warp peers list`; it is no code"),
        ("warp-tickt:abc", UsageError, "this is no code"),
        ("nas.local:port", UsageError, "no HOST:PORT"),
    ],
)
def test_what_leads_nowhere_is_told_what_would(given: str, kind: type[Exception], says: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=says) as caught:
        route_of(given, tmp_path)
    assert "warp-ticket:" in str(caught.value)
