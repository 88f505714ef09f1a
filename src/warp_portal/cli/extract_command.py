"""`warp extract`: restore files from an archive."""

from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, matched
from warp_portal.cli.text import count_of, left_out, path_fields, printable
from warp_portal.errors import EXIT_OK, IntegrityError, PartialError
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader, ExtractProgress, ExtractReport, ExtractRequest
    from warp_portal.cli.progress import Step


@click.command("extract", epilog=epilog("extract"))
@options.archive
@click.argument("patterns", metavar="[PATTERN]…", nargs=-1)
@click.option("-C", "--directory", metavar="DIR", default=".", help="Restore below DIR (default: here).")
@click.option("--overwrite", metavar="WHEN", help="Existing files: never (default), changed, or always.")
@click.option(
    "-n", "--dry-run", is_flag=True, help="Only list what is selected; what is there already is not looked at."
)
@click.option("--owners/--no-owners", default=None, help="Restore owners and groups (default: as root).")
@click.option("--devices/--no-devices", default=None, help="Restore device nodes (default: as root).")
@click.option("--setuid", is_flag=True, help="Restore setuid and setgid bits, and attributes of security and trusted.")
@click.option(
    "--keep-damaged",
    is_flag=True,
    help="Keep what is left of a damaged file as NAME.damaged-…, with zeros for what is lost.",
)
@click.option("--no-space-check", is_flag=True, help="Begin even if the file system seems too small.")
@options.recovery
@options.snapshot
@options.trust
@options.signed
@options.opening
@options.work
@options.common
def command(
    output: Output,
    archive: str,
    patterns: tuple[str, ...],
    directory: str,
    dry_run: bool,
    recover: bool,
    owners: bool | None,
    devices: bool | None,
    setuid: bool,
    keep_damaged: bool,
    no_space_check: bool,
    snapshot: int | None,
    expect_commit: bytes | None,
    signer: str | None,
    **flags: object,
) -> int:
    """Restore what matches each PATTERN (as in .gitignore), or everything, from ARCHIVE.

    Files appear under their names only when they are whole. The same command again goes on where an interrupted one stopped.
    """
    settings = begin(output, "extract", **flags)
    from warp_portal import archive as archives
    from warp_portal.cli import reading
    from warp_portal.cli.progress import Reporter

    request = archives.ExtractRequest(
        patterns=patterns,
        overwrite=archives.Overwrite[settings.overwrite.upper()],
        owners=owners,
        devices=devices,
        setuid=setuid,
        keep_damaged=keep_damaged,
        threads=settings.threads,
        memory=settings.memory,
        check_space=not no_space_check,
    )
    with reading.opened(
        output, settings, archive, snapshot=snapshot, recover=recover, expect_commit=expect_commit, signer=signer
    ) as reader:
        if dry_run:
            return _preview(output, reader, request)
        output.resume_hint = ": run the same command again to go on"
        found = archives.ProblemList()
        try:
            with Reporter(output, "extract") as reporter:
                report = archives.extract(reader, directory, request, reporter.following(step_of), found)
        except BaseException:
            output.damage(found.kept, found.count)
            raise
        if not report.failed:
            matched(patterns, report.progress.entries)
        code = _conclude(output, directory, report)
        if not report.failed:
            matched(patterns, report.progress.entries, reader)
    return code


def step_of(progress: "ExtractProgress") -> "Step":
    """Progress for display."""
    from warp_portal.cli.progress import Step

    fields = {
        name: getattr(progress, name)
        for name in ("entries", "files", "skipped", "bytes_read", "chunks", "total_entries")
    }
    note = f"{progress.files:,} files"
    return Step(progress.bytes_written, progress.total_bytes, note, b"", fields)


def _preview(output: Output, reader: "ArchiveReader", request: "ExtractRequest") -> int:
    from warp_portal.archive import ProblemList, plan

    found = ProblemList()
    entries = files = size = 0
    for table, indices in plan(reader, request, found.add):
        for index in range(len(table)) if indices is None else indices:
            path, kind, _, _, _, length, *_ = table.entry(index)
            output.result(printable(path) or ".")
            output.record("entry", size=length, **path_fields(path))
            entries, files, size = entries + 1, files + (kind == 0), size + (length if kind == 0 else 0)
    matched(request.patterns, entries)
    text = (
        f"selected {count_of(entries, 'entry', 'entries')}: {count_of(files, 'file')}, {format_bytes(size)}; "
        "what is there already was not looked at (--overwrite)"
    )
    output.damage(found.kept, found.count)
    output.summary(text, dry_run=True, entries=entries, files=files, bytes=size, damaged=found.count)
    matched(request.patterns, entries, reader)
    return IntegrityError.exit_code if found.count else EXIT_OK


def _conclude(output: Output, directory: str, report: "ExtractReport") -> int:
    progress = report.progress
    unlisted = report.failed - len(report.problems)
    output.damage(report.problems, report.failed)
    written = progress.bytes_written - progress.bytes_discarded
    lines = [f"{directory}: {count_of(progress.files, 'file')}, {_work(written, progress.elapsed_s)}"]
    lines += [f"  {line}" for line in left_out(report.skips)]
    if report.failed:
        kept = f" (of {progress.kept:,} what is left is kept)" if progress.kept else ""
        lines.append(
            f"  {count_of(report.failed, 'path')} failed, {report.damaged:,} of them for damaged data{kept}: see above"
        )
    output.summary(
        "\n".join(lines),
        directory=directory,
        entries=progress.entries,
        files=progress.files,
        skipped=progress.skipped,
        bytes=written,
        seconds=round(progress.elapsed_s, 3),
        skips=dict(report.skips),
        problems=report.failed,
        unlisted=unlisted,
        damaged=report.damaged,
        kept=progress.kept,
    )
    if report.damaged:
        return IntegrityError.exit_code
    return PartialError.exit_code if report.failed else EXIT_OK


def _work(written: int, seconds: float) -> str:
    speed = f" ({format_rate(written / seconds)})" if written and seconds > 0 else ""
    return f"{format_bytes(written)} in {format_duration(seconds)}{speed}"
