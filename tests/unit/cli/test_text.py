import base64
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.cli.output import Output
from warp_portal.cli.text import columns, count_of, defanged, local_time, path_fields, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain name.txt", "plain name.txt"),
        ("größe/日本".encode(), "größe/日本"),
        (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        (b"a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        (b"back\\slash", "back\\\\slash"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("evil\u202egnp.exe".encode(), "evil\\u202egnp.exe"),
        ("wide\u2003blank".encode(), "wide\\u2003blank"),
        ("tag\U000e0041".encode(), "tag\\U000e0041"),
        ("\u0085".encode(), "\\x85"),
    ],
)
def test_what_a_terminal_would_not_simply_show_is_escaped(name: bytes, shown: str) -> None:
    assert printable(name) == shown


@given(st.binary())
def test_nothing_printed_controls_a_terminal(name: bytes) -> None:
    assert all(unicodedata.category(character)[0] in "LMNPSZ" for character in printable(name))


def test_a_message_keeps_its_escapes_and_loses_what_controls() -> None:
    assert defanged("no 'a\\x1b' in größe\x1b]0;t\x07\n\u202e\udcff") == (
        "no 'a\\x1b' in größe\\x1b]0;t\\x07\n\\u202e\\xff"
    )


def test_errors_and_remarks_cannot_control_a_terminal() -> None:
    stderr = io.StringIO()
    output = Output(json_lines=False, stdout=io.StringIO(), stderr=stderr)
    output.failure("\x1b[2Ja\nwarp: forged is a fifo", "UsageError", 2)
    output.remark("two\nlines\x07")
    assert stderr.getvalue() == "warp: \\x1b[2Ja warp: forged is a fifo\ntwo\nlines\\x07\n"


@given(st.binary(), st.binary())
def test_different_names_look_different(one: bytes, other: bytes) -> None:
    if one.isascii() and other.isascii():
        assert (printable(one) == printable(other)) == (one == other)


@given(st.binary())
def test_json_says_every_path_exactly(path: bytes) -> None:
    fields = path_fields(path, "link")
    exact = base64.b64decode(fields["link_b64"]) if "link_b64" in fields else fields["link"].encode()
    assert exact == path


def test_json_holds_no_half_of_a_surrogate_pair() -> None:
    stdout = io.StringIO()
    output = Output(json_lines=True, stdout=stdout, stderr=io.StringIO())
    output.record("x", message="raw\udcff \ud800", many=["\udcfe", {"deep": "\udcfd"}], kept="\\udcff 😀 한", number=1)
    found = json.loads(stdout.getvalue())
    assert (found["message"], found["many"]) == ("raw\\xff \\ud800", ["\\xfe", {"deep": "\\xfd"}])
    assert (found["kept"], found["number"]) == ("\\udcff 😀 한", 1)


def test_a_time_is_local_or_in_seconds_where_the_calendar_ends() -> None:
    assert local_time(1_700_000_000).startswith("2023-11-1")
    assert local_time(-(2**63), "%Y %z") == "@-9223372036854775808"


def test_columns_are_aligned() -> None:
    assert columns([("a", "10"), ("bcd", "5")], right=(1,)) == ["a    10", "bcd   5"]
    assert columns([]) == []


def test_counts_agree_with_their_noun() -> None:
    assert [count_of(1, "file"), count_of(1200, "file"), count_of(0, "entry", "entries")] == [
        "1 file",
        "1,200 files",
        "0 entries",
    ]
