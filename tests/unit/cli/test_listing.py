"""Lines and fields of entries of every kind, and that blocks do not show in them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.runs import Captured, records

from warp_portal.archive import Entry, Kind
from warp_portal.archive.filetable import table_of
from warp_portal.cli import listing
from warp_portal.cli.main import main
from warp_portal.cli.text import printable, printable_all

OWNERS = ({0: b"root", 7: b"\x1bseven"}, {0: b"wheel"})
TIME_NS = 1_700_000_000_123_456_789
ENTRIES = [
    Entry(b"", Kind.DIRECTORY, 0o755, mtime_ns=TIME_NS),
    Entry(b"block", Kind.BLOCK_DEVICE, 0o660, 7, 7, rdev=os.makedev(8, 17), mtime_ns=TIME_NS),
    Entry(b"file", Kind.FILE, 0o4755, 7, 0, 123_456_789_012_345, mtime_ns=-1),
    Entry(b"hard", Kind.HARDLINK, 0o644, 0, 0, 3, link=b"fi\nle", mtime_ns=TIME_NS),
    Entry(b"raw\xff", Kind.FIFO, 0o600, 12345678, 0, mtime_ns=TIME_NS),
    Entry(b"soft", Kind.SYMLINK, 0o777, link=b"\xffwhere", mtime_ns=TIME_NS),
]


@given(st.lists(st.binary(max_size=8) | st.text("ab/\n\\é", max_size=4).map(os.fsencode)))
def test_names_looked_at_together_are_shown_as_each_alone(names: list[bytes]) -> None:
    assert printable_all(names) == [printable(name) for name in names]


def test_lines_show_each_kind_as_ls_would() -> None:
    lines = list(listing.long_lines(OWNERS)(table_of(ENTRIES), range(len(ENTRIES))))
    starts = [
        "drwxr-xr-x root     wheel               0 2023-11-1",
        "brw-rw---- \\x1bseven 7                8,17 2023-11-1",
        "-rwsr-xr-x \\x1bseven wheel    123456789012345 19",
        "-rw-r--r-- root     wheel               3 2023-11-1",
        "prw------- 12345678 wheel               0 2023-11-1",
        "lrwxrwxrwx root     wheel               0 2023-11-1",
    ]
    ends = [" .", " block", " file", " hard link to fi\\x0ale", " raw\\xff", " soft -> \\xffwhere"]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 6
    assert [line.endswith(end) for line, end in zip(lines, ends, strict=True)] == [True] * 6


def test_a_time_beyond_the_calendar_is_shown_in_seconds() -> None:
    for seconds in (2**63 - 1, -(2**63)):
        (line,) = listing.long_lines(OWNERS)(table_of([Entry(b"f", Kind.FILE, 0o644, mtime_ns=seconds * 10**9)]), [0])
        assert line.endswith(f" 0 @{seconds} f")


def test_fields_say_all_of_an_entry() -> None:
    fields = list(listing.entry_fields(OWNERS)(table_of(ENTRIES), range(len(ENTRIES))))
    assert [entry["kind"] for entry in fields] == [entry.kind.name.lower() for entry in ENTRIES]
    assert [entry["mtime_ns"] for entry in fields] == [entry.mtime_ns for entry in ENTRIES]
    assert (fields[1]["major"], fields[1]["minor"], "group" in fields[1]) == (8, 17, False)
    assert (fields[2]["owner"], fields[2]["group"]) == ("\x1bseven", "wheel")
    assert (fields[3]["link"], fields[5]["link_b64"]) == ("fi\nle", "/3doZXJl")
    assert not {"owner", "link", "major"} & fields[4].keys()


def test_blocks_do_not_show(plain: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for size in (512, 3):
        monkeypatch.setattr(listing, "BLOCK_ENTRIES", size)
        assert main(["list", plain]) == 0
        lines = capsys.readouterr().out
        assert main(["list", plain, "--paths", "sub", "*.txt"]) == 0
        seen.append((lines, capsys.readouterr().out, records(capsys, "list", plain)))
    assert seen[0] == seen[1]
    assert len(seen[0][0].splitlines()) == 8
