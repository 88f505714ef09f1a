"""`warp send`: send files, directories, archives or standard input to another machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warp_portal.cli import offering, options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, heed_ends
from warp_portal.cli.text import count_of
from warp_portal.errors import EXIT_OK, PartialError
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from warp_portal.config import Config
    from warp_portal.transport.giving import SendPlan
    from warp_portal.transport.routes import Route
    from warp_portal.transport.sending import SendReport


@click.command("send", epilog=epilog("send"))
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@offering.sending
@offering.waiting
@click.option("--code/--no-code", default=True, help="Make a short code for machines on this network (default: yes).")
@click.option(
    "--to",
    metavar="WHERE",
    help="Go to where `warp receive --listen` waits: its ticket or code, a saved machine's name, or HOST:PORT.",
)
@offering.going
@offering.connecting
@click.option("--name", metavar="NAME", help="With - as PATH: the name that the file has there (default: stdin).")
@click.option("--session", hidden=True)
@options.common
def command(
    output: Output,
    paths: tuple[str, ...],
    name: str | None,
    as_file: bool,
    to: str | None,
    session: str | None,
    compress: str,
    limit: str | None,
    congestion: str,
    carrier: str,
    exclude: tuple[str, ...],
    exclude_from: tuple[str, ...],
    exclude_caches: bool,
    one_file_system: bool,
    **flags: Any,
) -> int:
    """Wait for a machine to receive PATHs, and send them to it, each under its own name.

    The other side runs `warp receive` with the code (on this network) or the ticket (anywhere from where this machine can
    be reached) that this command prints; whoever has one of them gets the files. The code is good for ten minutes and one use,
    the ticket for seven days. This waits until one machine has everything, and serves one at a time (`warp serve` serves many).
    A single .warp archive is sent chunk by
    chunk: of one that the other side has in an older state only what is new travels. `-` sends standard input. Everything is
    encrypted between the two, and checked as it arrives. After a cut it goes on where it stopped, whichever side was
    restarted: the same command again takes up the unfinished session, and its ticket stays valid.
    """
    door = {key: flags.pop(key) for key in ("qr", "port", "guests", "code", "connections")}
    settings = begin(output, "send", **flags)
    heed_ends()
    from warp_portal.cli import again
    from warp_portal.cli.progress import Reporter
    from warp_portal.transport.giving import SendPlan

    with Reporter(output, "send") as reporter:
        cargo = offering.cargo_of(
            output,
            paths,
            reporter,
            name,
            as_file,
            exclude=exclude,
            exclude_from=exclude_from,
            exclude_caches=exclude_caches,
            one_file_system=one_file_system,
        )
        work = offering.send_options(settings, reporter, compress, limit)
        state = Path(settings.state_path())
        door["code"] &= to is None
        wait = offering.wait_plan(state, door, congestion)
        number = None if session is None else bytes.fromhex(session)
        plan = SendPlan(
            cargo,
            work,
            wait,
            number,
            again.noted(output, options=("--to", "--session")),
            offering.network(carrier, door["connections"], congestion),
        )
        route = _route(settings, to, number)
        return _go(output, state, plan, route) if route else _wait(output, state, plan, door["qr"])


def _route(settings: "Config", to: str | None, session: bytes | None) -> "Route | None":
    """Where to go; None: wait here."""
    from warp_portal.cli.asking import route_of
    from warp_portal.transport.routes import by_way
    from warp_portal.transport.ways import Way

    if to is not None:
        return route_of(to, Path(settings.state_path()))
    if session is None:
        return None
    way = Way.load(Path(settings.state_path()) / "sessions" / session.hex())
    return None if way.port else by_way(way, None)


def _wait(output: Output, state: Path, plan: "SendPlan", qr: bool) -> int:
    from warp_portal.transport.sender import Sender

    output.resume_hint = ": run the same command again to go on"
    with Sender(state, plan, output.note) as sender:
        offering.announce(output, sender.waiting, offering.TO_ONE, qr, sender.resumed)
        report = sender.run()
        return conclude(output, report, sender.seconds)


def _go(output: Output, state: Path, plan: "SendPlan", route: "Route") -> int:
    from warp_portal.transport.sender import GoingSender

    output.resume_hint = ": run the same command again to go on"
    sender = GoingSender(state, plan, output.note)
    report = sender.run(route)
    return conclude(output, report, sender.seconds)


def conclude(output: Output, report: "SendReport", seconds: float) -> int:
    """Give the account of one machine's transfer; its exit code, or PartialError."""
    effective = report.bytes_read / max(seconds, 1e-3)
    wire = report.bytes_wire / max(seconds, 1e-3)
    output.problems(report.problems.kept, report.problems.count)
    what = count_of(report.entries, "entry", "entries") if report.is_tree else count_of(report.entries, "chunk")
    output.summary(
        f"sent {what}, {format_bytes(report.bytes_read)}, in "
        f"{format_duration(seconds)}: {format_rate(effective)}, over the network {format_bytes(report.bytes_wire)}, "
        f"{format_rate(wire)}",
        kind="tree" if report.is_tree else "archive",
        entries=report.entries,
        bytes=report.bytes_read,
        bytes_packed=report.bytes_packed,
        bytes_wire=report.bytes_wire,
        seconds=round(seconds, 3),
        restored=report.restored,
        failed=report.failed,
    )
    pieces = "entry", "entries"
    if report.failed:
        what = count_of(report.failed, *pieces) if report.is_tree else count_of(report.failed, "piece")
        raise PartialError(f"{what} could not be {'restored' if report.is_tree else 'had'} on the other side")
    if report.partial:
        raise PartialError(
            f"{count_of(report.problems.count, 'path')} could not be read whole"
            if report.is_tree
            else "the archive is damaged here"
        )
    return EXIT_OK
