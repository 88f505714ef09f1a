"""`warp list`: the entries of a snapshot, as `ls -l` would show them."""

from typing import TYPE_CHECKING, cast

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, matched

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader


@click.command("list", epilog=epilog("list"))
@options.archive
@click.argument("patterns", metavar="[PATTERN]…", nargs=-1)
@click.option("--paths", is_flag=True, help="Show the paths alone.")
@options.recovery
@options.snapshot
@options.trust
@options.opening
@options.common
def command(
    output: Output,
    archive: str,
    patterns: tuple[str, ...],
    paths: bool,
    recover: bool,
    snapshot: int | None,
    expect_commit: bytes | None,
    **flags: object,
) -> int:
    """List the entries of ARCHIVE that match each PATTERN (as in .gitignore), or all of them.

    What a terminal would not simply show in a name is escaped; --json gives names exactly.
    """
    settings = begin(output, "list", **flags)
    from warp_portal.cli import reading

    with reading.opened(
        output, settings, archive, snapshot=snapshot, recover=recover, expect_commit=expect_commit
    ) as reader:
        show = _show_records if output.json_lines else _show_lines
        number = show(output, reader, patterns, paths)
        output.flush()
        matched(patterns, number, reader)
    return 0


def _show_lines(output: Output, reader: "ArchiveReader", patterns: tuple[str, ...], paths: bool) -> int:
    """For people; how many there are."""
    from warp_portal.cli import listing

    lines = listing.shown_paths if paths else listing.long_lines(reader.summary.owners)
    number = 0
    for table, indices in listing.blocks(reader, patterns):
        number += len(indices)
        output.results(lines(table, indices))
    return number


def _show_records(output: Output, reader: "ArchiveReader", patterns: tuple[str, ...], _paths: bool) -> int:
    """For programs, with a summary; how many there are."""
    from warp_portal.cli import listing

    number = size = 0
    entries = listing.entry_fields(reader.summary.owners)
    for table, indices in listing.blocks(reader, patterns):
        number += len(indices)
        found = list(entries(table, indices))
        size += sum(cast(int, entry["size"]) for entry in found if entry["kind"] == "file")
        output.records("entry", found)
    output.record("summary", entries=number, bytes=size)
    return number
