"""`warp compact`: write an archive anew without what no snapshot uses."""

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin


@click.command("compact", epilog=epilog("compact"))
@options.archive
@click.option("--dry-run", is_flag=True, help="Show what would be left out, and change nothing.")
@options.rewriting
@options.opening
@options.common
def command(
    output: Output,
    archive: str,
    dry_run: bool,
    slot_passphrase_file: tuple[str, ...],
    recipient: tuple[str, ...],
    drop_slots: bool,
    **flags: object,
) -> int:
    """Write ARCHIVE anew without chunks that no snapshot uses, such as a run leaves that was stopped and not resumed.

    All snapshots stay, and so does what lies in one chunk with something that is used: the account says how much that is.
    The new file takes the old one's place once it is whole; it needs room beside it, and has a new uuid.
    Every key slot must be made again: give all passphrases, identities or public keys, or --drop-slots.
    """
    settings = begin(output, "compact", **flags)
    from warp_portal.archive import Selection
    from warp_portal.cli import compacting

    choice = compacting.SlotChoice(slot_passphrase_file, recipient, drop_slots, tolerant=not flags["passphrase_file"])
    request = compacting.request_for(output, settings, Selection(), choice, dry_run=dry_run)
    report = compacting.run(output, settings, archive, request)
    return compacting.conclude(output, settings, archive, request, report)
