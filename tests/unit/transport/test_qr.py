"""QR codes of tickets, read back from what a terminal would show by another library."""

import re

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.transport.common import ADDRESSES, MACHINE, SCOPE, SESSION

from warp_portal.keys import text
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import Ticket
from warp_portal.transport.qr import ticket_code

TICKET = Ticket(ADDRESSES, MACHINE.raw, SESSION, SCOPE, 1_800_000_000)
WIDE = 200
SCALE = 4
LINE = re.compile(r"\x1b\[38;5;16;48;5;231m([ ▀▄█]+)\x1b\[0m")


def shown(lines: list[str]) -> list[list[int]]:
    """The modules as a terminal paints them: 1 is black."""
    painted = []
    for line in lines:
        match = LINE.fullmatch(line)
        assert match
        painted.append([int(character in "▀█") for character in match[1]])
        painted.append([int(character in "▄█") for character in match[1]])
    return painted


def read(modules: list[list[int]]) -> str:
    rows = [
        bytes(0 if module else 255 for module in row for _ in range(SCALE)) for row in modules for _ in range(SCALE)
    ]
    image = memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0])))
    found = zxingcpp.read_barcodes(image)
    assert [each.format for each in found] == [zxingcpp.BarcodeFormat.QRCode]
    return str(found[0].text)


def test_a_ticket_is_read_back_from_the_terminal() -> None:
    lines = ticket_code(TICKET.text(), WIDE)
    assert lines
    assert Ticket.parse(read(shown(lines)), 0) == TICKET


@settings(max_examples=30)
@given(st.binary(max_size=900))
def test_any_ticket_is_read_back(content: bytes) -> None:
    line = text.encode("warp-ticket", content)
    lines = ticket_code(line, WIDE)
    assert lines
    assert read(shown(lines)) == line.upper()


def test_without_colours_the_white_is_drawn() -> None:
    lines = ticket_code(TICKET.text(), WIDE, colours=False)
    assert lines
    assert set("".join(lines)) <= set("█▀▄ ")
    modules = [[int(character in light) for character in line] for line in lines for light in (" ▄", " ▀")]
    assert Ticket.parse(read(modules), 0) == TICKET


def test_a_code_has_white_around_it_on_any_terminal() -> None:
    lines = ticket_code(TICKET.text(), WIDE)
    assert lines
    modules = shown(lines)
    inside = [row[4:-4] for row in modules[4:]]
    assert not any(map(any, modules[:4]))
    assert not any(any(row[:4] + row[-4:]) for row in modules)
    assert inside[0][:7] == [1] * 7  # the finder pattern begins there
    assert not any(map(any, modules[4 + len(inside[0]) :]))
    assert len(modules) - 4 - len(inside[0]) >= 4


def test_a_usual_ticket_fits_on_a_usual_terminal() -> None:
    four = tuple(Address(f"192.0.2.{n}", 4433) for n in range(4))
    lines = ticket_code(Ticket(four, MACHINE.raw, SESSION, SCOPE, 1_800_000_000).text(), 80)
    assert lines
    assert len(lines) <= 34


def test_a_terminal_that_is_too_narrow_gets_none() -> None:
    lines = ticket_code(TICKET.text(), WIDE)
    assert lines
    width = len(shown(lines)[0])
    assert ticket_code(TICKET.text(), width) == lines
    assert ticket_code(TICKET.text(), width - 1) is None
    assert ticket_code(TICKET.text(), 0) is None


def test_a_ticket_that_is_too_long_for_any_code_gets_none() -> None:
    assert ticket_code(text.encode("warp-ticket", bytes(5000)), 10_000) is None


def test_capitals_make_it_smaller() -> None:
    lines = ticket_code(TICKET.text(), WIDE)
    assert lines
    import segno

    as_bytes = segno.make_qr(TICKET.text(), error="l").symbol_size(border=4)[0]
    assert len(shown(lines)[0]) < as_bytes


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for line in ticket_code(TICKET.text(), columns) or []:
        match = LINE.fullmatch(line)
        assert match
        assert len(match[1]) <= columns
