"""What `send`, `serve` and `receive --listen` have in common: what is sent, who may come, and what is said of it."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from warp_portal.cli import options
from warp_portal.cli.output import Output
from warp_portal.cli.progress import Reporter, Step
from warp_portal.cli.starting import read_patterns
from warp_portal.config import Config
from warp_portal.errors import UsageError
from warp_portal.units import format_bytes

if TYPE_CHECKING:
    from warp_portal.transport.dialing import Network
    from warp_portal.transport.sending import Cargo, SendOptions, SendProgress
    from warp_portal.transport.waiting import Waiting, WaitPlan

_CARRIERS = ("quic", "tcp")
AUTO = "auto"
COMPRESSIONS = ("adaptive", "always", "none")
F = TypeVar("F", bound=Callable[..., Any])


def sending(function: F) -> F:
    """What of the paths is sent, and how."""
    for decorator in reversed(
        (
            click.option(
                "-x",
                "--exclude",
                metavar="PATTERN",
                multiple=True,
                help="Leave out what matches, as in .gitignore; repeatable.",
            ),
            click.option(
                "--exclude-from",
                metavar="FILE",
                multiple=True,
                help="Leave out what matches a line of FILE; repeatable.",
            ),
            click.option("--exclude-caches", is_flag=True, help="Leave out what CACHEDIR.TAG marks as a cache."),
            click.option("--one-file-system", is_flag=True, help="Do not go into other file systems."),
            click.option("--as-file", is_flag=True, help="Send a .warp archive as any other file, not chunk by chunk."),
            click.option(
                "--compress",
                type=click.Choice(COMPRESSIONS),
                default="adaptive",
                help="Compress while the network is what all waits for (adaptive, default), always, or none.",
            ),
            click.option(
                "--limit",
                metavar="RATE",
                help="Send at most so fast, as 10MiB/s; or by the time of day (`man warp-send`).",
            ),
            click.option(
                "--congestion",
                type=click.Choice(("cubic", "bbr")),
                default="cubic",
                help="How QUIC finds its rate: cubic (default), or bbr for long paths that lose packets.",
            ),
            options.work,
        )
    ):
        function = decorator(function)
    return function


def going(function: F) -> F:
    """By which carrier to go to the other side."""
    return click.option(
        "--carrier",
        type=click.Choice(("any", *_CARRIERS)),
        default="any",
        help="Go by quic or tcp alone; any (default) takes the one that is likely the faster, or gets through.",
    )(function)


def connecting(function: F) -> F:
    """How many connections one session uses."""
    return click.option(
        "--connections",
        type=click.Choice((AUTO, *map(str, range(1, 9)))),
        default=AUTO,
        metavar="N",
        help="Use N connections (1 to 8), each with a core of its own; auto (default): more while one core is the limit.",
    )(function)


def number_of(connections: str) -> int:
    """What `--connections` says as the transport layer takes it: 0 for auto."""
    return 0 if connections == AUTO else int(connections)


def network(carrier: str, connections: str, congestion: str = "cubic") -> "Network":
    """What is tried, and how."""
    from warp_portal.protocol.ticket import Carriers
    from warp_portal.transport.dialing import ANY_CARRIER, Network

    carriers = ANY_CARRIER if carrier == "any" else Carriers[carrier.upper()]
    return Network(carriers, congestion, number_of(connections))


def waiting(function: F) -> F:
    """Who may come, and where."""
    for decorator in reversed(
        (
            click.option("--qr", is_flag=True, help="Show the ticket as a QR code too."),
            click.option(
                "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Listen on this UDP and TCP port."
            ),
            click.option(
                "--for",
                "guests",
                metavar="NAME",
                multiple=True,
                help="Let in the saved machine NAME without ticket or code; repeatable.",
            ),
        )
    ):
        function = decorator(function)
    return function


def cargo_of(
    output: Output, paths: tuple[str, ...], reporter: Reporter, name: str | None, as_file: bool, **selection: Any
) -> "Cargo":
    """What these paths stand for: standard input, an archive, or a tree. Raises NotFoundError, UsageError, IntegrityError."""
    from warp_portal.transport.archive_sending import ArchiveCargo, is_archive
    from warp_portal.transport.stream_sending import StreamCargo
    from warp_portal.transport.tree_sending import TreeCargo, shared

    excludes = (*selection.pop("exclude"), *read_patterns(selection.pop("exclude_from")))
    if paths == ("-",):
        is_open = sys.stdin is not None and not sys.stdin.isatty()
        return StreamCargo(0 if is_open else None, name or "stdin", reporter.following(_read_step, "read"))
    if name is not None:
        raise UsageError("--name is for standard input: give - as the only path")
    if len(paths) == 1 and not as_file and is_archive(paths[0]):
        if excludes:
            raise UsageError("an archive is sent as it is, without excludes: --as-file sends it as any other file")
        output.note(f"{paths[0]} is sent as an archive, chunk by chunk: what the other side has of it does not travel")
        return ArchiveCargo(paths[0])
    return TreeCargo(shared(paths, excludes=excludes, **selection))


def _read_step(done: int) -> Step:
    return Step(done, None, "of standard input read")


def send_options(settings: Config, reporter: Reporter, compress: str, limit: str | None) -> "SendOptions":
    """Settings as the transport layer takes them. Raises UsageError for a limit that is none."""
    from warp_portal.transport.ratelimit import RateLimit
    from warp_portal.transport.sending import SendOptions

    return SendOptions(
        compression=compress,
        threads=settings.threads,
        memory=settings.memory,
        limit=None if limit is None else RateLimit.parse(limit),
        progress=reporter.following(step_of, "send"),
    )


def wait_plan(state: Path, door: dict[str, Any], congestion: str = "cubic") -> "WaitPlan":
    """Who may come. Raises NotFoundError for a machine that is not saved."""
    from warp_portal.transport.peers import PeerStore
    from warp_portal.transport.waiting import WaitPlan

    peers = PeerStore(state)
    saved = tuple(peers.named(name).machine.raw for name in door["guests"])
    rendezvous = None
    if door["code"]:
        # Imported for codes only: it takes longer to load than all else.
        from warp_portal.transport.discovery import LocalNetwork

        rendezvous = LocalNetwork()
    connections = number_of(door["connections"])
    return WaitPlan(rendezvous, door["port"], peers=saved, congestion=congestion, connections=connections)


class Invitation(NamedTuple):
    """What is to be run at the other side, with {} for the ticket or code, and until when this side waits."""

    command: str
    until: str


TO_ONE: Final = Invitation("warp receive {}", "until one machine has everything")
TO_MANY: Final = Invitation("warp receive {}", "for any number of machines, until Ctrl-C")
FROM_ONE: Final = Invitation("warp send --to {} PATH…", "until all has come from one machine")


def announce(output: Output, waiting: "Waiting", invitation: Invitation, qr: bool, resumed: bool) -> None:
    """Say how the other side comes here, and how long that is good."""
    ticket = waiting.ticket.text()
    code = None if waiting.code is None else waiting.code.text()
    output.record("offer", session=waiting.ticket.session.hex(), ticket=ticket, code=code, resumed=resumed)
    if resumed:
        output.note("going on with a session that was not finished: its ticket is the one of before")
    lines = ["On the other machine, run:", ""]
    if code is not None:
        lines += [f"    {invitation.command.format(code)}", "", "or, from another network:", ""]
    lines += [f"    {invitation.command.format(ticket)}", ""]
    if qr:
        lines += _qr(output, ticket)
    output.results(lines)
    output.flush()
    if not output.json_lines:
        output.status(f"this waits {invitation.until}; {_lives(code is not None)}")


def _lives(has_code: bool) -> str:
    from warp_portal.protocol.door import CODE_LIFE_S
    from warp_portal.transport.waiting import TICKET_LIFE_S

    ticket = f"the ticket is good for {TICKET_LIFE_S // (24 * 3600)} days"
    return f"the code is good for {CODE_LIFE_S / 60:.0f} minutes and one use, {ticket}" if has_code else ticket


def _qr(output: Output, ticket: str) -> list[str]:
    from warp_portal.config import colours_wanted
    from warp_portal.transport.qr import ticket_code

    shown = output.results_on_terminal
    # What is not a terminal has no width.
    columns = shutil.get_terminal_size().columns if shown else sys.maxsize
    picture = ticket_code(ticket, columns, shown and colours_wanted())
    if picture is None:
        output.note(
            f"the QR code is wider than this terminal ({columns} columns): make it wider and run the command again"
        )
        return []
    return [*picture, ""]


def step_of(progress: "SendProgress") -> Step:
    """Progress for display."""
    fields = {
        name: value
        for name in ("entries", "files", "fragments_kept", "bytes_wire", "connections", "total_entries")
        if (value := getattr(progress, name)) is not None
    }
    note = f"{progress.files:,} files, {format_bytes(progress.bytes_wire)} sent{over(progress.connections)}"
    return Step(progress.bytes_settled, progress.total_bytes, note, b"", fields)


def over(connections: int) -> str:
    """Over how many connections, if it is not one."""
    return f" over {connections} connections" if connections > 1 else ""
