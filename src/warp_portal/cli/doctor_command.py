"""`warp doctor`: what holds transfers up here, or on the way to another machine, and what to do about it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from warp_portal.cli import options
from warp_portal.cli.asking import given_word
from warp_portal.cli.bench_command import collect
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import count_of, printable
from warp_portal.errors import EXIT_OK, NotFoundError, PartialError
from warp_portal.units import format_rate

if TYPE_CHECKING:
    from warp_portal.transport.doctoring.checks import Check
    from warp_portal.transport.doctoring.verdict import Verdict

# Enough to be more than caches hold of one core, and compressed in a fraction of a second.
_SAMPLE_BYTES: Final = 8 << 20
_MARK_WIDTH: Final = 6  # of the longest grade


@click.command("doctor", epilog=epilog("doctor"))
@click.argument("target", metavar="[TICKET|HOST:PORT]", required=False)
@click.option("-C", "--directory", metavar="DIR", default=".", help="Look at the disk of DIR (default: here).")
@options.common
def command(output: Output, target: str | None, directory: str, **flags: object) -> int:
    """Find out what holds transfers up: disk, processor, buffers, network or path.

    It measures each for a second or two, with files that are removed again, and names the slowest. With a ticket, or the
    address of a `warp send`, it looks at the way there too, without using the ticket up. A ticket is a secret, and whoever
    sees this command line could be faster: `-` reads it from stdin, and WARP_CODE may hold it.
    """
    settings = begin(output, "doctor", **flags)
    from warp_portal.transport.doctoring.examination import Examination, Plan
    from warp_portal.transport.doctoring.path import Target

    word = given_word(target)
    towards = None if word is None else Target.parse(word)
    if not os.path.isdir(directory):
        raise NotFoundError(f"{directory}: no such directory: check -C")
    sample = collect(None, _SAMPLE_BYTES).data
    plan = Plan(Path(directory).absolute(), Path(settings.state_path()), sample, towards)
    examination = Examination(plan, lambda what: output.status(f"looking at {what} …"))
    for check in examination.checks():
        _show(output, check)
    verdict = examination.verdict()
    _conclude(output, verdict)
    if examination.failure is not None:
        raise examination.failure
    if verdict.failed:
        raise PartialError(f"{count_of(verdict.failed, 'check')} could not be made: see above")
    return EXIT_OK


def _show(output: Output, check: "Check") -> None:
    output.record(
        "check",
        part=check.part.value,
        name=check.name,
        grade=check.grade.value,
        message=check.says,
        advice=check.advice or None,
        **check.figures,
    )
    output.result(f"{check.grade.value:<{_MARK_WIDTH}}  {printable(check.says)}")
    output.flush()


def _conclude(output: Output, verdict: "Verdict") -> None:
    output.record(
        "summary",
        bottleneck=verdict.bottleneck.value if verdict.bottleneck else None,
        message=verdict.says,
        sends=None if verdict.sends is None else round(verdict.sends),
        receives=None if verdict.receives is None else round(verdict.receives),
        stages=[{"part": stage.part.value, "says": stage.says, "rate": round(stage.rate)} for stage in verdict.stages],
        advice=list(verdict.advice),
        failed=verdict.failed,
    )
    output.results(["", printable(verdict.says)])
    if verdict.sends is not None and verdict.receives is not None:
        output.result(
            f"so at best this machine sends about {format_rate(verdict.sends)}, and receives about {format_rate(verdict.receives)}"
        )
    output.results(f"  {number}. {printable(line)}" for number, line in enumerate(verdict.advice, 1))
