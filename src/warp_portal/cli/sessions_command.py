"""`warp sessions`: transfers and creates that were not finished, and what is kept of them."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import columns, count_of, local_time, printable, shortened
from warp_portal.errors import NotFoundError, UsageError
from warp_portal.units import format_bytes

if TYPE_CHECKING:
    from warp_portal.cli.creates import Create
    from warp_portal.transport.state import Listed, SessionStore

_SHORT = 8  # characters of a session's number in the list: enough to name it by
_PATH_WIDTH = 48
_STDOUT = b"/dev/stdout"  # what the record of `receive -o -` has for its place


@click.group("sessions")
def command() -> None:
    """List, resume and discard what was not finished: sends, receives, what is served, and creates.

    Each also goes on with the command that began it: `warp send` and `warp create` with the same paths, `warp receive` with
    the same ticket. What is kept until then lies in the state directory; files that came in part lie where they are to be,
    as `.warp-….part`.
    """


@command.command("list", epilog=epilog("sessions list"))
@options.common
def list_sessions(output: Output) -> int:
    """List what was not finished: number, kind, when it was last active, how much is done, disk use, what and where."""
    settings = begin(output, "sessions list")
    found = _all(Path(settings.state_path()))
    output.records("session", [one.fields for one in found])
    header = ("SESSION", "KIND", "LAST ACTIVE", "DONE", "ON DISK", "STATE", "PATHS")
    output.results(columns([header, *(one.row for one in found)]) if found else ["nothing is unfinished"])
    return 0


@command.command("resume", epilog=epilog("sessions resume"))
@click.argument("session")
@options.common
def resume_session(output: Output, session: str) -> int:
    """Go on with the one whose number begins with SESSION, with the options and in the directory of before."""
    settings = begin(output, "sessions resume")
    from warp_portal.cli import again

    one = _one(Path(settings.state_path()), session)
    return again.run(output, one.again, one.more)


@command.command("discard", epilog=epilog("sessions discard"))
@click.argument("session")
@options.common
def discard_session(output: Output, session: str) -> int:
    """Forget the one whose number begins with SESSION; `all` forgets every one.

    Its ticket opens nothing any more. Of a receive, files that came in part are removed; those that came whole stay. Of a
    create, what there is of the archive is removed.
    """
    settings = begin(output, "sessions discard")
    state = Path(settings.state_path())
    for one in _all(state) if session == "all" else [_one(state, session)]:
        removed = one.discard()
        output.record("discarded", session=one.number, parts_removed=removed)
        parts = f", and {count_of(removed, 'file')} that came in part" if removed else ""
        output.status(f"discarded {one.number[:_SHORT]}{parts}")
    return 0


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """One line of the list, and what can be done with it."""

    number: str
    fields: dict[str, object]
    row: tuple[str, ...]
    again: Path
    more: tuple[str, ...]
    discard: Callable[[], int]


def _all(state: Path) -> list[_Unfinished]:
    from warp_portal.cli import creates
    from warp_portal.transport.state import SessionStore

    store = SessionStore(state)
    transfers = [_transfer(store, listed, state) for listed in store.list()]
    return transfers + [_create(state, one) for one in creates.unfinished(state)]


def _one(state: Path, number: str) -> _Unfinished:
    """The one whose number begins so. Raises NotFoundError, UsageError."""
    chosen = [one for one in _all(state) if one.number.startswith(number.lower())]
    if not chosen:
        raise NotFoundError(f"nothing unfinished has the number {printable(number.encode())}: see `warp sessions list`")
    if len(chosen) > 1:
        raise UsageError(f"{len(chosen)} of them begin with {printable(number.encode())}: write more of the number")
    return chosen[0]


def _transfer(store: "SessionStore", listed: "Listed", state: Path) -> _Unfinished:
    from warp_portal.archive import StateStore
    from warp_portal.transport.discarding import discard
    from warp_portal.transport.record import Kind
    from warp_portal.transport.state import AGAIN

    number = listed.session.hex()
    directory = state / "sessions" / number
    if listed.record is not None and listed.record.kind is not Kind.RECEIVE:
        listed = replace(listed, record=replace(listed.record, disk_bytes=_size(directory)))
    more = ("--session", number)
    return _Unfinished(
        number,
        _fields(listed),
        _row(listed),
        directory / AGAIN,
        more,
        lambda: discard(store, listed, StateStore(state)),
    )


def _size(directory: Path) -> int:
    """Bytes of the files below a directory, as standard input that was read; some may go meanwhile."""
    size = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.lstat().st_size
    return size


def _create(state: Path, create: "Create") -> _Unfinished:
    from warp_portal.cli import creates

    size = create.size_bytes
    fields: dict[str, object] = {
        "session": create.number,
        "kind": "create",
        "paths": [create.archive],
        "active_s": create.active_s,
        "disk_bytes": size,
    }
    when, path = local_time(create.active_s, "%Y-%m-%d %H:%M"), shortened(create.archive, _PATH_WIDTH)
    row = (create.number[:_SHORT], "create", when, "-", format_bytes(size), "-", path)
    return _Unfinished(create.number, fields, row, create.note, (), lambda: creates.discard(state, create))


def _fields(listed: "Listed") -> dict[str, object]:
    record = listed.record
    shown = {"session": listed.session.hex()} if record is None else record.shown()
    paths = [printable(path) for path in record.paths] if record else []
    return {**shown, "paths": paths, "busy": listed.busy, "problem": listed.problem or None}


def _row(listed: "Listed") -> tuple[str, ...]:
    number, record = listed.session.hex()[:_SHORT], listed.record
    state = "running" if listed.busy else "stopped"
    if record is None:
        return number, "-", "-", "-", "-", "damaged", shortened(listed.problem, _PATH_WIDTH)
    total = "" if record.bytes_total is None else f" of {format_bytes(record.bytes_total)}"
    return (
        number,
        record.kind.name.lower(),
        local_time(record.active_s, "%Y-%m-%d %H:%M"),
        format_bytes(record.bytes_done) + total,
        format_bytes(record.disk_bytes),
        state,
        shortened(_places(record.paths), _PATH_WIDTH),
    )


def _places(paths: tuple[bytes, ...]) -> str:
    return " ".join("(standard output)" if path == _STDOUT else printable(path) for path in paths)
