"""`warp sessions`: transfers that were not finished, and what is kept of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import columns, local_time, printable, shortened
from warp_portal.errors import NotFoundError, UsageError
from warp_portal.units import format_bytes

if TYPE_CHECKING:
    from warp_portal.transport.state import Listed

_SHORT = 8  # characters of a session's number in the list: enough to name it by
_PATH_WIDTH = 48


@click.group("sessions")
def command() -> None:
    """List and discard transfers that were not finished.

    A transfer that was cut goes on with the command that began it: `warp send` with the same paths, `warp receive` with
    the same ticket. What is kept until then lies in the state directory; files that came in part lie where they are to be,
    as `.warp-….part`.
    """


@command.command("list", epilog=epilog("sessions list"))
@options.common
def list_sessions(output: Output) -> int:
    """List unfinished transfers: number, what is done, when it was last active, how much came, what and where."""
    settings = begin(output, "sessions list")
    from warp_portal.transport.state import SessionStore

    found = SessionStore(Path(settings.state_path())).list()
    output.records("session", [_fields(listed) for listed in found])
    rows = [_row(listed) for listed in found]
    header = ("SESSION", "KIND", "LAST ACTIVE", "DONE", "STATE", "PATHS")
    output.results(columns([header, *rows]) if rows else ["no transfer is unfinished"])
    return 0


@command.command("discard", epilog=epilog("sessions discard"))
@click.argument("session")
@options.common
def discard_session(output: Output, session: str) -> int:
    """Forget the unfinished transfer whose number begins with SESSION; `all` forgets every one.

    Its ticket opens nothing any more. Of a receive, files that came in part are removed; those that came whole stay.
    """
    settings = begin(output, "sessions discard")
    from warp_portal.transport.discarding import discard
    from warp_portal.transport.state import SessionStore

    store = SessionStore(Path(settings.state_path()))
    chosen = [listed for listed in store.list() if session == "all" or listed.session.hex().startswith(session.lower())]
    if not chosen:
        raise NotFoundError(
            f"no unfinished transfer has the number {printable(session.encode())}: see `warp sessions list`"
        )
    if len(chosen) > 1 and session != "all":
        raise UsageError(f"{len(chosen)} transfers begin with {printable(session.encode())}: write more of the number")
    for listed in chosen:
        removed = discard(store, listed)
        output.record("discarded", session=listed.session.hex(), parts_removed=removed)
        output.status(f"discarded {listed.session.hex()[:_SHORT]}, and {removed} files that came in part")
    return 0


def _fields(listed: "Listed") -> dict[str, object]:
    record = listed.record
    shown = {"session": listed.session.hex()} if record is None else record.shown()
    paths = [printable(path) for path in record.paths] if record else []
    return {**shown, "paths": paths, "busy": listed.busy, "problem": listed.problem or None}


def _row(listed: "Listed") -> tuple[str, ...]:
    number, record = listed.session.hex()[:_SHORT], listed.record
    state = "running" if listed.busy else "stopped"
    if record is None:
        return number, "-", "-", "-", "damaged", shortened(listed.problem, _PATH_WIDTH)
    total = "" if record.bytes_total is None else f" of {format_bytes(record.bytes_total)}"
    return (
        number,
        record.kind.name.lower(),
        local_time(record.active_s, "%Y-%m-%d %H:%M"),
        format_bytes(record.bytes_done) + total,
        state,
        shortened(" ".join(map(printable, record.paths)), _PATH_WIDTH),
    )
