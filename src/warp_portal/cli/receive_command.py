"""`warp receive`: receive files and directories from another machine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import count_of, printable
from warp_portal.config import environment_code
from warp_portal.errors import EXIT_OK, PartialError, UsageError
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from warp_portal.cli.progress import Step
    from warp_portal.keys.machines import Machine
    from warp_portal.protocol.offers import Offer
    from warp_portal.transport.receiver import Accept, ReceiveReport, Route
    from warp_portal.transport.receiving import ReceiveProgress


@click.command("receive", epilog=epilog("receive"))
@click.argument("code", metavar="[CODE|TICKET]", required=False)
@click.option("-C", "--directory", metavar="DIR", default=".", help="Receive into DIR (default: here).")
@click.option("--overwrite", metavar="WHEN", help="Existing files: never (default), changed, or always.")
@click.option("--owners/--no-owners", default=None, help="Restore owners and groups (default: as root).")
@click.option("--devices/--no-devices", default=None, help="Restore device nodes (default: as root).")
@click.option("--setuid", is_flag=True, help="Restore setuid and setgid bits.")
@click.option("-y", "--yes", is_flag=True, help="Take what is offered without asking.")
@options.work
@options.common
def command(
    output: Output,
    code: str | None,
    directory: str,
    owners: bool | None,
    devices: bool | None,
    setuid: bool,
    yes: bool,
    **flags: object,
) -> int:
    """Receive what another machine offers with `warp send`.

    CODE or TICKET is what that prints. Both are secrets: whoever sees this command line while it runs could be faster.
    Without an argument it is asked for, or read from stdin or from WARP_CODE. Files appear under their names only when
    they are whole; every piece is checked before it is written. After a cut it goes on by itself, and after a kill with
    the same ticket; a code is good for one time, so after a kill take the ticket instead.
    """
    settings = begin(output, "receive", **flags)
    from warp_portal.archive import Overwrite
    from warp_portal.cli.progress import Reporter
    from warp_portal.clock import SYSTEM_CLOCK
    from warp_portal.transport.receiver import Receiver
    from warp_portal.transport.receiving import ReceiveOptions

    route = _route(_asked(output, code))
    with Reporter(output, "receive") as reporter:
        work = ReceiveOptions(
            overwrite=Overwrite[settings.overwrite.upper()],
            owners=owners,
            devices=devices,
            setuid=setuid,
            threads=settings.threads,
            checkpoint_bytes=settings.checkpoint_bytes,
            checkpoint_s=settings.checkpoint_seconds,
            progress=reporter.following(step_of),
        )
        same = "run the same command again" if route.way.ticket else "run it with the ticket, for the code is used up,"
        output.resume_hint = f": {same} to go on"
        accept = _taken(output) if yes or output.json_lines or not sys.stdin.isatty() else _question(output, directory)
        receiver = Receiver(Path(settings.state_path()), Path(directory), output.note, accept, work)
        began = SYSTEM_CLOCK.monotonic_s()
        report = receiver.run(route)
        return _conclude(output, directory, report, SYSTEM_CLOCK.monotonic_s() - began)


def _asked(output: Output, given: str | None) -> str:
    """What was given, or is asked for."""
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


def _route(text: str) -> "Route":
    from warp_portal.protocol.code import ShortCode
    from warp_portal.protocol.ticket import LABEL
    from warp_portal.transport import receiver

    if text.strip().lower().startswith(LABEL + ":"):
        return receiver.by_ticket(text)
    from warp_portal.transport.discovery import LocalNetwork

    return receiver.by_code(ShortCode.parse(text), LocalNetwork())


def _taken(output: Output) -> "Accept":
    def accept(offer: "Offer", machine: "Machine") -> bool:
        output.record("offer", title=offer.title, machine=str(machine), entries=offer.entries, bytes=offer.size_bytes)
        output.status(f"receiving {_described(offer)}")
        return True

    return accept


def _question(output: Output, directory: str) -> "Accept":
    def accept(offer: "Offer", machine: "Machine") -> bool:
        output.flush()
        place = "here" if directory == "." else f"into {directory}"
        return click.confirm(f"Receive {_described(offer)} {place} from {machine}?", default=True, err=True)

    return accept


def _described(offer: "Offer") -> str:
    size = "" if offer.size_bytes is None else f" ({format_bytes(offer.size_bytes)}"
    if offer.entries is not None and size:
        size += f", {count_of(offer.entries, 'entry', 'entries')}"
    return printable(offer.title.encode(errors="replace")) + (f"{size})" if size else "")


def step_of(progress: "ReceiveProgress") -> "Step":
    """Progress for display."""
    from warp_portal.cli.progress import Step

    fields = {
        name: value
        for name in ("entries", "files", "bytes_received", "fragments_kept", "bytes_wire", "total_entries")
        if (value := getattr(progress, name)) is not None
    }
    note = f"{progress.files:,} files, {format_bytes(progress.bytes_wire)} received"
    return Step(progress.bytes_written, progress.total_bytes, note, b"", fields)


def _conclude(output: Output, directory: str, report: "ReceiveReport", seconds: float) -> int:
    output.problems(report.problems.kept, report.problems.count)
    output.summary(
        f"received {count_of(report.restored, 'entry', 'entries')} into {directory}: {count_of(report.files, 'file')}, "
        f"{format_bytes(report.bytes_written)}, in {format_duration(seconds)}: "
        f"{format_rate(report.bytes_written / max(seconds, 1e-3))}, over the network {format_bytes(report.bytes_wire)}, "
        f"{format_rate(report.bytes_wire / max(seconds, 1e-3))}",
        restored=report.restored,
        failed=report.failed,
        files=report.files,
        bytes=report.bytes_written,
        bytes_received=report.bytes_received,
        bytes_wire=report.bytes_wire,
        seconds=round(seconds, 3),
        skipped=report.skipped,
    )
    if report.failed:
        raise PartialError(f"{count_of(report.failed, 'entry', 'entries')} could not be restored")
    if report.partial:
        raise PartialError("the other side could not read everything: it says there what")
    return EXIT_OK
