"""What is said of an offer, and how an interrupted receive goes on."""

import io
from pathlib import Path
from typing import Any

import pytest
from tests.unit.protocol.dialogue import CODE, OFFER, TICKET
from tests.unit.transport.common import MACHINE

from warp_portal.cli import offering, receive_command
from warp_portal.cli.output import Output
from warp_portal.protocol.claims import ByCode, ByTicket, Claim
from warp_portal.protocol.hello import Role
from warp_portal.protocol.ticket import Ticket
from warp_portal.transport.identity import machine_key
from warp_portal.transport.routes import Route
from warp_portal.transport.taking import TakeRules
from warp_portal.transport.waiting import Waiting, WaitPlan
from warp_portal.transport.ways import Way


class Said:
    """What a command says to a person."""

    def __init__(self, out: io.StringIO | None = None) -> None:
        self._out, self._err = out or io.StringIO(), io.StringIO()
        self.output = Output(json_lines=False, stdout=self._out, stderr=self._err)

    @property
    def out(self) -> str:
        return self._out.getvalue()

    @property
    def err(self) -> str:
        return self._err.getvalue()


def announced(said: Said, place: Path, **more: Any) -> Ticket:
    waiting = Waiting(machine_key(place), Role.SOURCE, WaitPlan(), lambda _: None)
    with waiting.prepare(bytes(16), Way()):
        waiting.code = CODE
        offering.announce(said.output, waiting, offering.TO_ONE, more.get("qr", False), False)
        return waiting.ticket


def test_an_offer_says_how_long_it_waits_and_what_it_gives_is_good(tmp_path: Path) -> None:
    said = Said()
    ticket = announced(said, tmp_path)
    assert f"warp receive {CODE.text()}" in said.out
    assert f"warp receive {ticket.text()}" in said.out
    assert "until one machine has everything" in said.err
    assert "the code is good for 10 minutes and one use, the ticket is good for 7 days" in said.err


def route(claim: Claim) -> Route:
    return Route((), None, claim, None, Way())


@pytest.mark.parametrize("takes", [True, False])
def test_who_came_by_a_code_is_told_the_session_to_go_on_with(takes: bool) -> None:
    said = Said()
    rules = receive_command._hinting(said.output, TakeRules(lambda *_: takes), route(ByCode(CODE)))
    assert said.output.resume_hint == ""
    assert rules.accept(OFFER, MACHINE) == takes
    assert (f"warp sessions resume {OFFER.session.hex()[:8]}" in said.output.resume_hint) == takes


def test_who_came_by_a_ticket_runs_the_same_command_again() -> None:
    said = Said()
    receive_command._hinting(said.output, TakeRules(lambda *_: True), route(ByTicket(TICKET)))
    assert "run the same command again" in said.output.resume_hint


def test_a_qr_code_into_a_pipe_has_no_colours(tmp_path: Path) -> None:
    said = Said()
    announced(said, tmp_path, qr=True)
    assert "█" in said.out
    assert "\x1b" not in said.out


class Terminal(io.StringIO):
    """A standard output that a person watches."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "no_color", "shows"), [("200", "", "\x1b"), ("200", "1", "█"), ("20", "", None)])
def test_a_terminal_without_room_or_colours_gets_the_ticket_all_the_same(
    columns: str, no_color: str, shows: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", no_color)
    said = Said(Terminal())
    ticket = announced(said, tmp_path, qr=True)
    assert ticket.text() in said.out
    assert ("█" in said.out) == (shows is not None)
    assert ("\x1b" in said.out) == (shows == "\x1b")
    assert ("wider than this terminal (20 columns)" in said.err) == (shows is None)
