"""`warp verify`: check an archive for damage and forgery."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import DAMAGED_PATHS, Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import count_of, path_fields, printable
from warp_portal.errors import EXIT_DIFFERENT, EXIT_OK, IntegrityError, PartialError, UsageError, WarpPortalError
from warp_portal.units import format_bytes

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader, Tally, VerifyProgress, VerifyReport
    from warp_portal.cli.progress import Step

SOURCE = "source"
LEVELS = ("quick", "index", "data", "deep", SOURCE)


@click.command("verify", epilog=epilog("verify"))
@options.archive
@click.option(
    "-l",
    "--level",
    type=click.Choice(LEVELS),
    default="data",
    show_default=True,
    help="How much is checked; see above.",
)
@click.option(
    "-C", "--directory", metavar="DIR", help="With level source: the files lie below DIR, not where they were packed."
)
@options.snapshot
@options.trust
@options.signed
@options.opening
@click.option("-j", "--threads", metavar="N", help="Threads to work on (default: one a core).")
@options.common
def command(
    output: Output,
    archive: str,
    level: str,
    directory: str | None,
    signer: str | None,
    snapshot: int | None,
    expect_commit: bytes | None,
    **flags: object,
) -> int:
    """Check ARCHIVE; ends with code 13 if it is not what it was when written, with 4 if it is whole and the files differ.

    \b
      quick   header, newest commit, table of contents, signature
      index   all metadata as well
      data    every stored byte against its digest; needs no key
      deep    every chunk opened and decoded, every fragment against its id
      source  deep, then every file where it was packed read and compared with the snapshot
    """  # noqa: D301  # click wants the character, not two
    settings = begin(output, "verify", **flags)
    from warp_portal import archive as archives
    from warp_portal.cli import changes, unlocking
    from warp_portal.cli.progress import Reporter
    from warp_portal.keys import load_signer

    if directory is not None and level != SOURCE:
        raise UsageError("-C says where the files to compare with are: give --level source with it")
    wanted = None if signer is None else load_signer(signer)
    state = archives.StateStore(settings.state_path(), output.warning)
    depth = archives.Level.DEEP if level == SOURCE else archives.Level[level.upper()]
    used = archives.Unlock()

    def attempt(unlock: archives.Unlock) -> archives.VerifyReport:
        nonlocal used
        used = unlock
        with Reporter(output, "verify") as reporter:
            return archives.verify(
                archive,
                depth,
                unlock=unlock,
                signer=wanted,
                expect_commit=expect_commit,
                snapshot=snapshot,
                state=state,
                threads=settings.threads,
                progress=reporter.following(step_of),
            )

    output.resume_hint = ": nothing was changed"
    report = unlocking.unlocked(output, settings, attempt)
    if level != SOURCE:
        return _conclude(output, archive, report, level)
    # The snapshot that was checked, even if another run has appended since.
    reopened = partial(
        archives.open_archive, archive, used, snapshot=report.snapshot, expect_commit=expect_commit, state=state
    )
    look = archives.LiveOptions(read_all=True, threads=settings.threads)
    return _compare(output, archive, report, reopened, partial(changes.show_live, directory=directory, look=look))


def _compare(
    output: Output,
    archive: str,
    report: "VerifyReport",
    reopened: "Callable[[], ArchiveReader]",
    show: "Callable[[Output, ArchiveReader], tuple[Tally, int]]",
) -> int:
    """Compare the files with an archive that is whole, then conclude."""
    if not report.ok:
        output.status("the files were not compared: what is damaged could not vouch for them")
        return _conclude(output, archive, report, SOURCE)
    try:
        with reopened() as reader:
            compared = show(output, reader)
    except WarpPortalError:
        _conclude(output, archive, report, SOURCE)  # of the archive all is known
        raise
    return _conclude(output, archive, report, SOURCE, compared)


def step_of(progress: "VerifyProgress") -> "Step":
    """Progress for display."""
    from warp_portal.cli.progress import Step

    fields = {"chunks": progress.chunks, "chunks_total": progress.total_chunks}
    return Step(
        progress.bytes, progress.total_bytes, f"{progress.chunks:,} of {progress.total_chunks:,} chunks", b"", fields
    )


def _conclude(
    output: Output, archive: str, report: "VerifyReport", level: str, compared: "tuple[Tally, int] | None" = None
) -> int:
    """Say what was found in the archive at the `level` asked for and, if the files were `compared`, of these; the exit code."""
    from warp_portal.cli.reading import signature_text

    for reason in report.metadata_damage:
        output.record("damage", what="metadata", message=reason)
        output.remark(f"warp: metadata: {printable(reason)}")
    for chunk in report.damaged_chunks:
        reason = chunk.reason.removeprefix(f"damaged chunk {chunk.ordinal}: ")
        where = {"chunk": chunk.ordinal, "offset": chunk.offset, "stored_bytes": chunk.stored_bytes}
        output.record("damage", what="chunk", message=reason, **where)
        end = chunk.offset + chunk.stored_bytes
        output.remark(f"warp: chunk {chunk.ordinal} (bytes {chunk.offset} to {end} of the archive): {reason}")
    shown = DAMAGED_PATHS * len(report.damaged_chunks)
    for number, path in enumerate(report.damaged_files):
        output.record("damage", what="file", message="its content is damaged", **path_fields(path))
        if number < shown:
            output.remark(f"warp: {printable(path)}: its content is damaged")
    output.more(len(report.damaged_files) - shown)
    output.summary(
        _account(archive, report, level) + f"; {signature_text(report.signature)}" + _comparison(compared),
        archive=archive,
        ok=report.ok,
        level=level,
        keyed=report.keyed,
        snapshot=report.snapshot,
        snapshots=report.snapshots,
        commit=report.commit_hash.hex(),
        signature=report.signature.name.lower(),
        chunks=report.chunks,
        bytes=report.bytes,
        damaged_chunks=len(report.damaged_chunks),
        damaged_files=len(report.damaged_files),
        metadata_damage=len(report.metadata_damage),
        **_comparison_fields(compared),
    )
    if not report.ok:
        return IntegrityError.exit_code
    tally, problems = compared or (None, 0)
    if tally and tally.total:
        return EXIT_DIFFERENT
    return PartialError.exit_code if problems else EXIT_OK


def _comparison(compared: "tuple[Tally, int] | None") -> str:
    if compared is None:
        return ""
    from warp_portal.cli import changes

    tally, problems = compared
    if tally.total:
        said = f"the archive is whole, but THE FILES DIFFER from it: {changes.account(tally)}"
    else:
        said = f"the files{' that could be read' if problems else ''} are what it holds"
    return f"\n  {said}{changes.unread(problems)}"


def _comparison_fields(compared: "tuple[Tally, int] | None") -> dict[str, object]:
    if compared is None:
        return {}
    from warp_portal.cli import changes

    tally, problems = compared
    return {"source": {"same": not (tally.total or problems), "problems": problems, **changes.totals(tally)}}


def _account(archive: str, report: "VerifyReport", level: str) -> str:
    checked = f"{archive}: snapshot {report.snapshot}, level {level}"
    if report.chunks:
        checked += f", {count_of(report.chunks, 'chunk')} ({format_bytes(report.bytes)})"
    if report.ok:
        return f"{checked}: no damage found{'' if report.keyed else ' (without a key)'}"
    parts = [
        count_of(len(found), *names)
        for found, *names in (
            (report.damaged_chunks, "chunk"),
            (report.damaged_files, "file"),
            (report.metadata_damage, "piece of metadata", "pieces of metadata"),
        )
        if found
    ]
    named = "" if report.keyed or not report.damaged_chunks else " (with a key, their files are named)"
    rest = "--recover (the last snapshot whose metadata is whole)" if report.metadata_damage else "--keep-damaged"
    return f"{checked}: DAMAGED: {', '.join(parts)}{named}: fetch the archive again, or save the rest with `warp extract {rest}`"
