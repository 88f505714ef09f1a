"""`warp serve`: keep offering files or an archive to many machines."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warp_portal.cli import offering, options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, heed_ends
from warp_portal.cli.text import count_of
from warp_portal.errors import EXIT_OK
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from warp_portal.transport.serving import Served


@click.command("serve", epilog=epilog("serve"))
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@offering.sending
@offering.waiting
@click.option("--code/--no-code", default=False, help="Make a short code too, for the first to come (default: no).")
@click.option(
    "--receivers", type=click.IntRange(1), metavar="N", help="End when N transfers are complete (default: never)."
)
@click.option(
    "--at-once", type=click.IntRange(1, 64), default=8, metavar="N", help="Serve N machines at a time (default: 8)."
)
@offering.connecting
@click.option("--session", hidden=True)
@options.common
def command(
    output: Output,
    paths: tuple[str, ...],
    as_file: bool,
    receivers: int | None,
    at_once: int,
    session: str | None,
    compress: str,
    limit: str | None,
    congestion: str,
    exclude: tuple[str, ...],
    exclude_from: tuple[str, ...],
    exclude_caches: bool,
    one_file_system: bool,
    **flags: Any,
) -> int:
    """Offer PATHs, or one .warp archive, to every machine that comes with the ticket, until it is stopped.

    The other sides run `warp receive` with it, also again later: each gets what PATHs are then. Nothing is ever written
    into PATHs. The ticket is good for seven days. After Ctrl-C the same command again has the same ticket. --limit is for all machines together.
    """
    door = {key: flags.pop(key) for key in ("qr", "port", "guests", "code", "connections")}
    settings = begin(output, "serve", **flags)
    heed_ends()
    from dataclasses import replace

    from warp_portal.cli import again
    from warp_portal.cli.progress import Reporter
    from warp_portal.transport.giving import SendPlan
    from warp_portal.transport.serving import Server

    selection: dict[str, Any] = {
        "exclude": exclude,
        "exclude_from": exclude_from,
        "exclude_caches": exclude_caches,
        "one_file_system": one_file_system,
    }
    with Reporter(output, "serve") as reporter:
        cargo = offering.cargo_of(output, paths, reporter, None, as_file, **selection)
        work = replace(offering.send_options(settings, reporter, compress, limit), progress=None)
        state = Path(settings.state_path())
        wait = replace(offering.wait_plan(state, door, congestion), most_at_once=at_once)
        number = None if session is None else bytes.fromhex(session)
        plan = SendPlan(cargo, work, wait, number, again.noted(output, options=("--session",)))
        output.resume_hint = ": the same command again has the same ticket"
        with Server(state, plan, output.note, _teller(output)) as server:
            offering.announce(output, server.waiting, offering.TO_MANY, door["qr"], server.resumed)
            server.run(receivers)
    output.summary(f"served {count_of(server.complete, 'transfer')}", transfers=server.complete)
    return EXIT_OK


def _teller(output: Output) -> Any:
    """Tells of each transfer, one at a time."""
    lock = threading.Lock()

    def tell(served: "Served") -> None:
        report = served.report
        wire, rate = report.bytes_wire, report.bytes_wire / max(served.seconds, 1e-3)
        with lock:
            output.record(
                "served",
                address=served.address,
                machine=served.machine,
                bytes_wire=wire,
                seconds=round(served.seconds, 3),
                restored=report.restored,
                failed=report.failed,
            )
            output.problems(report.problems.kept, report.problems.count)
            if not output.json_lines:
                output.status(
                    f"{served.address} has everything: {format_bytes(wire)} over the network in "
                    f"{format_duration(served.seconds)}, {format_rate(rate)}"
                )

    return tell
