"""`warp forget`: choose the snapshots that stay, and write the archive anew without the others."""

from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.errors import UsageError
from warp_portal.units import parse_span

if TYPE_CHECKING:
    from warp_portal.archive import Selection

_COUNT = click.IntRange(min=1)


@click.command("forget", epilog=epilog("forget"))
@options.archive
@click.option("--keep-last", metavar="N", type=_COUNT, help="Keep the N newest snapshots.")
@click.option(
    "--keep-daily", metavar="N", type=_COUNT, help="Keep the newest of each of the last N days that have one."
)
@click.option("--keep-weekly", metavar="N", type=_COUNT, help="… of each of the last N weeks.")
@click.option("--keep-monthly", metavar="N", type=_COUNT, help="… of each of the last N months.")
@click.option("--keep-yearly", metavar="N", type=_COUNT, help="… of each of the last N years.")
@click.option(
    "--keep-within", metavar="SPAN", help="Keep all that are at most 36h, 30d, 8w or 1y older than the newest."
)
@click.option(
    "-s", "--snapshot", metavar="N", type=_COUNT, multiple=True, help="Forget this one, whatever keeps it; repeatable."
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would go and be freed, and change nothing, be --compact given or not."
)
@click.option("--compact", is_flag=True, help="Do it: write the archive anew. This cannot be undone.")
@options.rewriting
@options.opening
@options.common
def command(
    output: Output,
    archive: str,
    keep_last: int | None,
    keep_daily: int | None,
    keep_weekly: int | None,
    keep_monthly: int | None,
    keep_yearly: int | None,
    keep_within: str | None,
    snapshot: tuple[int, ...],
    dry_run: bool,
    compact: bool,
    slot_passphrase_file: tuple[str, ...],
    recipient: tuple[str, ...],
    drop_slots: bool,
    **flags: object,
) -> int:
    """Forget snapshots of ARCHIVE: those that no --keep option keeps, or those named with --snapshot; never the newest.

    What only they hold goes with its chunk; in a chunk that is used otherwise it stays, so that this is no way to destroy
    a secret. An archive cannot lose anything in place, so it is written anew, as `warp compact` does: see there for the room and the
    keys that takes. Give --compact to do it, --dry-run to see what would go (with both, nothing is done). Numbers of the
    snapshots that stay change. A snapshot that a change of keys made holds what the one before holds: no rule counts it.
    """
    settings = begin(output, "forget", **flags)
    from warp_portal.cli import compacting

    within_s = parse_span(keep_within) if keep_within else None
    selection = _selection((keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly, within_s), snapshot)
    if not (compact or dry_run):
        raise UsageError(
            "to forget, the archive is written anew: say --compact to do that, or --dry-run to see what would go"
        )
    choice = compacting.SlotChoice(slot_passphrase_file, recipient, drop_slots, tolerant=not flags["passphrase_file"])
    request = compacting.request_for(output, settings, selection, choice, dry_run=dry_run)
    report = compacting.run(output, settings, archive, request)
    if dry_run or not output.quiet:  # with --dry-run they are the result
        compacting.show_fates(output, report)
    return compacting.conclude(output, settings, archive, request, report)


def _selection(counts: tuple[int | None, ...], named: tuple[int, ...]) -> "Selection":
    """From the values of the rules, in the order of `KeepRules`, and the snapshots named."""
    from warp_portal.archive import KeepRules, Selection

    rules = KeepRules(*(count or 0 for count in counts))
    if not (rules or named):
        raise UsageError("say what to keep (--keep-last 3, --keep-within 30d, …) or what to forget (--snapshot 2)")
    return Selection(rules, frozenset(named))
