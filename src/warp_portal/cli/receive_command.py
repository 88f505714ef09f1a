"""`warp receive`: receive files, directories or an archive from another machine."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warp_portal.cli import offering, options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, heed_ends
from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.errors import UsageError

if TYPE_CHECKING:
    from warp_portal.config import Config
    from warp_portal.keys.machines import Machine
    from warp_portal.protocol.offers import Offer
    from warp_portal.transport.destinations import Destination
    from warp_portal.transport.routes import Route
    from warp_portal.transport.taking import ReceiveReport, TakeRules


@click.command("receive", epilog=epilog("receive"))
@click.argument("code", metavar="[CODE|TICKET|NAME|HOST:PORT]", required=False)
@click.option("-C", "--directory", metavar="DIR", help="Receive into DIR (default: here).")
@click.option(
    "-o",
    "--output",
    "file",
    metavar="FILE",
    help="Receive an archive, or one file, as FILE (`-`: to standard output); or files packed into the new archive FILE.warp.",
)
@click.option("--restore", is_flag=True, help="Restore what is in an archive into DIR, instead of keeping the archive.")
@click.option("--overwrite", metavar="WHEN", help="Existing files: never (default), changed, or always.")
@click.option("--owners/--no-owners", default=None, help="Restore owners and groups (default: as root).")
@click.option("--devices/--no-devices", default=None, help="Restore device nodes (default: as root).")
@click.option("--setuid", is_flag=True, help="Restore setuid and setgid bits, and attributes of security and trusted.")
@click.option("-y", "--yes", is_flag=True, help="Take what is offered without asking.")
@offering.going
@offering.connecting
@click.option("--listen", is_flag=True, help="Wait here for a machine that runs `warp send --to`.")
@offering.waiting
@click.option("--code/--no-code", "shows_code", default=True, help="With --listen: make a short code (default: yes).")
@options.opening
@click.option(
    "-r", "--recipient", metavar="KEY", multiple=True, help="With -o FILE.warp: encrypt to this key; repeatable."
)
@click.option("--plain", is_flag=True, help="With -o FILE.warp: leave it unencrypted, and say nothing of that.")
@options.trust
@options.signed
@click.option("--session", hidden=True)
@options.work
@options.common
def command(
    output: Output,
    code: str | None,
    listen: bool,
    yes: bool,
    session: str | None,
    **flags: Any,
) -> int:
    """Receive what another machine offers with `warp send` or `warp serve`.

    CODE or TICKET is what that prints. Both are secrets: whoever sees this command line while it runs could be faster.
    Without an argument it is asked for, or read from stdin or from WARP_CODE. A machine saved by `warp peers` is named
    instead, if it lets this one in (--for). Files appear under their names only when they are whole; every piece is checked
    before it is written. After a cut it goes on by itself, and after a kill with the same ticket; a code is good for one
    time, so after a kill take the ticket instead, or `warp sessions resume`.
    """
    here = {key: flags.pop(key) for key in ("qr", "port", "guests", "shows_code", "carrier", "connections", *_PLACES)}
    settings = begin(output, "receive", **flags)
    heed_ends()
    from warp_portal.cli import again, arriving, asking
    from warp_portal.cli.progress import Reporter
    from warp_portal.transport.receiver import Receiver

    if listen and code is not None:
        raise click.UsageError("--listen waits for the other side: it takes no code or ticket")
    with Reporter(output, "receive") as reporter:
        destination = arriving.destination(output, settings, reporter, here)
        secrets = [code] if code is not None and asking.is_secret(code) else []
        rules = arriving.rules(output, settings, reporter, here, again.noted(output, secrets, ("--session",)), yes)
        began = SYSTEM_CLOCK.monotonic_s()
        if listen:
            report = _listen(output, settings, destination, rules, here)
        else:
            route = _route(output, settings, code, session)
            rules = _hinting(output, rules, route)
            network = offering.network(here["carrier"], here["connections"])
            receiver = Receiver(Path(settings.state_path()), destination, output.note, rules, network)
            report = receiver.run(route)
        return arriving.conclude(output, destination, report, SYSTEM_CLOCK.monotonic_s() - began)


_PLACES = ("directory", "file", "restore", "owners", "devices", "setuid", "plain", "expect_commit", "signer")


def _listen(
    output: Output, settings: "Config", destination: "Destination", rules: "TakeRules", here: dict[str, Any]
) -> "ReceiveReport":
    from warp_portal.transport.receiver import WaitingReceiver, finish_before

    output.resume_hint = ": run the same command again to go on, its ticket stays good"
    state = Path(settings.state_path())
    done = finish_before(state, destination, rules)
    if done is not None:
        return done
    wait = offering.wait_plan(state, {**here, "code": here["shows_code"]})
    with WaitingReceiver(state, destination, output.note, rules, wait) as receiver:
        offering.announce(output, receiver.waiting, offering.FROM_ONE, here["qr"], receiver.resumed)
        return receiver.run()


def _hinting(output: Output, rules: "TakeRules", route: "Route") -> "TakeRules":
    """The rules; after an interrupt it is told how to go on, for which a code is of no use."""
    from warp_portal.protocol.claims import ByCode

    if not isinstance(route.claim, ByCode):
        output.resume_hint = ": run the same command again to go on"
        return rules

    def accept(offer: "Offer", machine: "Machine") -> bool:
        taken = rules.accept(offer, machine)
        if taken:
            output.resume_hint = f": the code is used up; to go on run `warp sessions resume {offer.session.hex()[:8]}`"
        return taken

    return replace(rules, accept=accept)


def _route(output: Output, settings: "Config", code: str | None, session: str | None) -> "Route":
    from warp_portal.cli.asking import asked, route_of
    from warp_portal.transport.routes import by_way
    from warp_portal.transport.ways import Way

    state = Path(settings.state_path())
    if session is None:
        return route_of(asked(output, code), state)
    way = Way.load(state / "sessions" / session)
    if way.port:
        raise UsageError("this session waits for the other side: run it again with --listen")
    return by_way(way, bytes.fromhex(session))
