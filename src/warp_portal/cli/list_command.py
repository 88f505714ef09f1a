"""`warp list`: the entries of a snapshot, as `ls -l` would show them."""

import os
import stat
import time
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, matched
from warp_portal.cli.text import path_fields, printable

if TYPE_CHECKING:
    from warp_portal.archive import Entry, Summary


@click.command("list")
@click.argument("archive")
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
        owners, groups = reader.summary.owners
        number = size = 0
        for entry in reader.entries(patterns):
            number, size = number + 1, size + (entry.size if entry.kind.name == "FILE" else 0)
            if output.json_lines:
                output.record("entry", **entry_fields(entry, reader.summary))
            else:
                output.result(printable(entry.path) or "." if paths else long_line(entry, owners, groups))
    output.flush()
    output.record("summary", entries=number, bytes=size)
    matched(patterns, number)
    return 0


def long_line(entry: "Entry", owners: dict[int, bytes], groups: dict[int, bytes]) -> str:
    """Mode, owner, group, size or device, time (local) and path."""
    mode = stat.filemode(entry.st_mode)
    owner = printable(owners.get(entry.uid, b"")) or str(entry.uid)
    group = printable(groups.get(entry.gid, b"")) or str(entry.gid)
    size = f"{os.major(entry.rdev)},{os.minor(entry.rdev)}" if entry.kind.name.endswith("DEVICE") else str(entry.size)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.mtime_ns // 1_000_000_000))
    return f"{mode} {owner:<8} {group:<8} {size:>12} {when} {printable(entry.path) or '.'}{_target(entry)}"


def entry_fields(entry: "Entry", summary: "Summary") -> dict[str, object]:
    """An entry for programs, without loss."""
    owners, groups = summary.owners
    fields: dict[str, object] = {
        **path_fields(entry.path),
        "kind": entry.kind.name.lower(),
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
    }
    if entry.uid in owners:
        fields |= path_fields(owners[entry.uid], "owner")
    if entry.gid in groups:
        fields |= path_fields(groups[entry.gid], "group")
    if entry.link:
        fields |= path_fields(entry.link, "link")
    if entry.kind.name.endswith("DEVICE"):
        fields |= {"major": os.major(entry.rdev), "minor": os.minor(entry.rdev)}
    return fields


def _target(entry: "Entry") -> str:
    if entry.kind.name == "SYMLINK":
        return f" -> {printable(entry.link)}"
    return f" link to {printable(entry.link)}" if entry.kind.name == "HARDLINK" else ""
