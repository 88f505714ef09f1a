"""A code or ticket that a person gives, where nobody else sees it; and the way that it, a name or an address stands for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from warp_portal.cli.output import Output
from warp_portal.config import environment_code
from warp_portal.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from warp_portal.transport.routes import Route

# Longer than any ticket; what is longer is not read.
_MOST_CHARACTERS: Final = 1 << 16
_KINDS: Final = "code (7-WORD-WORD-WORD), no ticket (warp-ticket:…) and no HOST:PORT"
_NEEDED: Final = "a code or ticket is needed: as argument, from stdin, or in WARP_CODE"


def asked(output: Output, given: str | None) -> str:
    """What was given, or is asked for: in WARP_CODE, at the terminal, or as the first line of stdin. Raises UsageError."""
    found = given_word(given)
    if found is not None:
        return found
    if not sys.stdin.isatty():
        return first_line()
    output.flush()
    return str(click.prompt("Code or ticket", err=True))


def given_word(argument: str | None) -> str | None:
    """The argument, or for `-` the first line of stdin; without one what WARP_CODE holds; None if that is nothing. Raises UsageError."""
    if argument == "-":
        return first_line()
    return argument if argument is not None else environment_code()


def first_line() -> str:
    """The first line of stdin. Raises UsageError if it is empty."""
    line = sys.stdin.readline(_MOST_CHARACTERS).strip()
    if not line:
        raise UsageError(_NEEDED)
    return line


def route_of(text: str, state: Path) -> "Route":
    """By a ticket, HOST:PORT, a code, or the name of a saved machine. Raises UsageError, NotFoundError, PolicyError, VersionError."""
    from warp_portal.protocol.code import ShortCode
    from warp_portal.transport import routes

    if routes.is_ticket(text):
        return routes.by_ticket(text)
    if not text[:1].isdigit() or _is_address(text):
        return _to_peer(text, state)
    from warp_portal.transport.discovery import LocalNetwork

    return routes.by_code(ShortCode.parse(text), LocalNetwork())


def _to_peer(text: str, state: Path) -> "Route":
    from warp_portal.transport import routes

    if ":" in text and not _is_address(text):
        raise UsageError(f"this is no {_KINDS}")
    try:
        return routes.to_peer(text, state)
    except NotFoundError as error:
        raise NotFoundError(f"{error}; it is no {_KINDS} either") from None


def is_secret(text: str) -> bool:
    """Whether it is a ticket or a code, which open something, and no name or address."""
    from warp_portal.transport.routes import is_ticket

    return is_ticket(text) or (text[:1].isdigit() and not _is_address(text))


def _is_address(text: str) -> bool:
    """Codes too may be written with colons, but a host is no number."""
    from warp_portal.protocol.addresses import Address

    try:
        return bool(Address.parse(text))
    except UsageError:
        return False
