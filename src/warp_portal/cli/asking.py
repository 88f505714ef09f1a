"""A code or ticket from wherever it is given, and the way that it, a name or an address stands for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from warp_portal.cli.output import Output
from warp_portal.config import environment_code
from warp_portal.errors import UsageError

if TYPE_CHECKING:
    from warp_portal.transport.routes import Route


def asked(output: Output, given: str | None) -> str:
    """What was given, or is asked for: from WARP_CODE, at the terminal, or the first line of standard input. Raises UsageError."""
    if given is not None and given != "-":
        return given
    if given is None and (found := environment_code()) is not None:
        return found
    if given is None and sys.stdin.isatty():
        output.flush()
        return str(click.prompt("Code or ticket", err=True))
    line = sys.stdin.readline().strip()
    if not line:
        raise UsageError("a code or ticket is needed: as argument, from stdin, or in WARP_CODE")
    return line


def route_of(text: str, state: Path) -> "Route":
    """By a ticket, HOST:PORT, a code, or the name of a saved machine. Raises UsageError, NotFoundError, PolicyError, VersionError."""
    from warp_portal.protocol.code import ShortCode
    from warp_portal.transport import routes

    if routes.is_ticket(text):
        return routes.by_ticket(text)
    if not text[:1].isdigit() or _is_address(text):
        return routes.to_peer(text, state)
    from warp_portal.transport.discovery import LocalNetwork

    return routes.by_code(ShortCode.parse(text), LocalNetwork())


def _is_address(text: str) -> bool:
    """Codes too may be written with colons, but a host is no number."""
    from warp_portal.protocol.addresses import Address

    try:
        return bool(Address.parse(text))
    except UsageError:
        return False
