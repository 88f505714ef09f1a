"""`warp send`: send files and directories to another machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, read_patterns
from warp_portal.cli.text import count_of
from warp_portal.errors import EXIT_OK, PartialError, UsageError
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from warp_portal.cli.progress import Step
    from warp_portal.transport.rendezvous import Rendezvous
    from warp_portal.transport.sender import Sender
    from warp_portal.transport.sending import SendProgress, SendReport

_COMPRESSIONS = ("adaptive", "always", "none")


@click.command("send", epilog=epilog("send"))
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@click.option(
    "-x", "--exclude", metavar="PATTERN", multiple=True, help="Leave out what matches, as in .gitignore; repeatable."
)
@click.option(
    "--exclude-from", metavar="FILE", multiple=True, help="Leave out what matches a line of FILE; repeatable."
)
@click.option("--exclude-caches", is_flag=True, help="Leave out what CACHEDIR.TAG marks as a cache.")
@click.option("--one-file-system", is_flag=True, help="Do not go into other file systems.")
@click.option("--code/--no-code", default=True, help="Make a short code for machines on this network (default: yes).")
@click.option("--qr", is_flag=True, help="Show the ticket as a QR code too.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Listen on this UDP and TCP port.")
@click.option(
    "--compress",
    type=click.Choice(_COMPRESSIONS),
    default="adaptive",
    help="Compress while the network is what all waits for (adaptive, default), always, or none.",
)
@click.option(
    "--limit", metavar="RATE", help="Send at most so fast, as 10MiB/s; or by the time of day (`man warp-send`)."
)
@options.work
@options.common
def command(
    output: Output,
    paths: tuple[str, ...],
    exclude: tuple[str, ...],
    exclude_from: tuple[str, ...],
    exclude_caches: bool,
    one_file_system: bool,
    code: bool,
    qr: bool,
    port: int,
    compress: str,
    limit: str | None,
    **flags: object,
) -> int:
    """Wait for a machine to receive PATHs, and send them to it, each under its own name.

    The other side runs `warp receive` with the code (on this network) or the ticket (anywhere from where this machine can
    be reached) that this command prints; whoever has one of them gets the files. Everything is encrypted between the two,
    and checked as it arrives. After a cut it goes on where it stopped, whichever side was restarted: the same command
    again takes up the unfinished session, and its ticket stays valid.
    """
    settings = begin(output, "send", **flags)
    from warp_portal.cli.progress import Reporter
    from warp_portal.transport.ratelimit import RateLimit
    from warp_portal.transport.sender import Sender, SendPlan, shared
    from warp_portal.transport.sending import SendOptions

    excludes = (*exclude, *read_patterns(exclude_from))
    source = shared(paths, excludes=excludes, exclude_caches=exclude_caches, one_file_system=one_file_system)
    with Reporter(output, "send") as reporter:
        work = SendOptions(
            compression=compress,
            threads=settings.threads,
            memory=settings.memory,
            limit=None if limit is None else RateLimit.parse(limit),
            progress=reporter.following(step_of),
        )
        plan = SendPlan(source, work, _network() if code else None, port)
        output.resume_hint = ": run the same command again to go on"
        with Sender(Path(settings.state_path()), plan, output.note) as sender:
            _announce(output, sender, qr)
            report = sender.run()
            return _conclude(output, report, sender.seconds)


def _network() -> "Rendezvous":
    """Imported for codes only: it takes longer to load than all else."""
    from warp_portal.transport.discovery import LocalNetwork

    return LocalNetwork()


def step_of(progress: "SendProgress") -> "Step":
    """Progress for display."""
    from warp_portal.cli.progress import Step

    fields = {
        name: value
        for name in ("entries", "files", "fragments_kept", "bytes_wire", "total_entries")
        if (value := getattr(progress, name)) is not None
    }
    note = f"{progress.files:,} files, {format_bytes(progress.bytes_wire)} sent"
    return Step(progress.bytes_read, progress.total_bytes, note, b"", fields)


def _announce(output: Output, sender: "Sender", qr: bool) -> None:
    ticket = sender.ticket.text()
    code = None if sender.code is None else sender.code.text()
    output.record("offer", session=sender.ticket.session.hex(), ticket=ticket, code=code, resumed=sender.resumed)
    if sender.resumed:
        output.note("going on with a session that was not finished: its ticket is the one of before")
    lines = ["On the other machine, run:", ""]
    if code is not None:
        lines += [f"    warp receive {code}", "", "or, from another network:", ""]
    lines += [f"    warp receive {ticket}", ""]
    if qr:
        lines += _qr(sender)
    output.results(lines)
    output.flush()


def _qr(sender: "Sender") -> list[str]:
    import shutil

    from warp_portal.transport.qr import ticket_code

    columns = shutil.get_terminal_size().columns
    picture = ticket_code(sender.ticket.text(), columns)
    if picture is None:
        raise UsageError(f"the QR code of the ticket is wider than this terminal ({columns} columns)")
    return [*picture, ""]


def _conclude(output: Output, report: "SendReport", seconds: float) -> int:
    effective = report.bytes_read / max(seconds, 1e-3)
    wire = report.bytes_wire / max(seconds, 1e-3)
    output.problems(report.problems.kept, report.problems.count)
    output.summary(
        f"sent {count_of(report.entries, 'entry', 'entries')}, {format_bytes(report.bytes_read)}, in "
        f"{format_duration(seconds)}: {format_rate(effective)}, over the network {format_bytes(report.bytes_wire)}, "
        f"{format_rate(wire)}",
        entries=report.entries,
        bytes=report.bytes_read,
        bytes_packed=report.bytes_packed,
        bytes_wire=report.bytes_wire,
        seconds=round(seconds, 3),
        restored=report.restored,
        failed=report.failed,
    )
    if report.failed:
        raise PartialError(f"{count_of(report.failed, 'entry', 'entries')} could not be restored on the other side")
    if report.problems.count:
        raise PartialError(f"{count_of(report.problems.count, 'path')} could not be read")
    return EXIT_OK
