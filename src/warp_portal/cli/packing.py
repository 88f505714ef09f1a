"""What `create` and `append` have in common: from options to the archive layer's values, progress, and the account at the end."""

import contextlib
import os
from typing import TYPE_CHECKING, Final

from warp_portal.archive import PackOptions, PackProgress, PackReport, Source, Stream
from warp_portal.cli.output import Output
from warp_portal.cli.progress import Step
from warp_portal.cli.starting import read_patterns
from warp_portal.cli.text import count_of, printable
from warp_portal.config import Config
from warp_portal.errors import EXIT_OK, NotFoundError, PartialError, UsageError
from warp_portal.primitives.compression import policy
from warp_portal.primitives.cutting import cutting
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from warp_portal.keys import SigningKey

# A note is one line.
NAMED_EXCLUDES = 5
MEGABYTE = 1_000_000


def chosen_source(
    settings: Config,
    paths: tuple[str, ...],
    directory: str | None,
    exclude_from: tuple[str, ...],
    stdin_name: str | None,
) -> Source | Stream:
    """The paths, or standard input under a name."""
    reads_stdin = stdin_name is not None or paths == ("-",)
    if reads_stdin and paths not in ((), ("-",)):
        raise UsageError("--stdin-name packs standard input alone: give no paths with it")
    if reads_stdin and not stdin_name:
        raise UsageError("standard input needs a name in the archive: give --stdin-name NAME")
    if stdin_name:
        return Stream(os.fsencode(stdin_name))
    if not paths:
        raise UsageError("nothing to pack: give a PATH, or --stdin-name to read standard input")
    excludes = settings.exclude + read_patterns(exclude_from)
    with _inside(directory):
        return Source.of(
            paths, excludes=excludes, exclude_caches=settings.exclude_caches, one_file_system=settings.one_file_system
        )


def no_longer_excluded(previous: dict[str, object], source: Source) -> list[str]:
    """What the snapshot before left out of the same trees and `source` does not; `previous` are its recorded arguments."""
    roots, excludes = previous.get("roots"), previous.get("excludes")
    if not isinstance(roots, list) or not isinstance(excludes, list):
        return []
    if [root[:1] for root in roots if isinstance(root, list)] != [[stored] for stored, _ in source.roots]:
        return []
    found = [pattern for pattern in excludes if isinstance(pattern, str) and pattern not in source.excludes]
    if previous.get("exclude_caches") is True and not source.exclude_caches:
        found.append("directories marked by a CACHEDIR.TAG (--exclude-caches)")
    return found


def note_excludes(output: Output, excludes: list[str]) -> None:
    """Say that an append does not take them over."""
    if not excludes:
        return
    names = ", ".join(map(printable, excludes[:NAMED_EXCLUDES]))
    more = f" and {len(excludes) - NAMED_EXCLUDES:,} more" if len(excludes) > NAMED_EXCLUDES else ""
    output.note(f"the last snapshot excluded {names}{more}: repeat -x to exclude them again")


def pack_options(settings: Config, signing_key: "SigningKey | None") -> PackOptions:
    """Settings as the archive layer takes them."""
    return PackOptions(
        cutting=cutting(settings.profile, fixed=settings.cutter == "fixed"),
        policy=policy(settings.compression),
        threads=settings.threads,
        memory=settings.memory,
        verify=settings.verify_writes,
        checkpoint_bytes=settings.checkpoint_bytes,
        checkpoint_s=settings.checkpoint_seconds,
        signing_key=signing_key,
    )


RATIO_BYTES: Final = 1 << 16  # below, the frame of a chunk outweighs what was saved
KNOWN_RATIO: Final = 1000  # a deduplication from here on says only that almost nothing was new


def step_of(progress: PackProgress) -> Step:
    """Progress for display; the total is known once the walk is done."""
    total = progress.walked_bytes if progress.walk_done else None
    return Step(
        progress.bytes_read + progress.bytes_reused, total, ratios(progress), progress.current, counters(progress)
    )


def counters(progress: PackProgress) -> dict[str, int]:
    """The numbers that programs may want."""
    names = ("entries", "files", "bytes_read", "bytes_reused", "bytes_duplicate", "bytes_raw", "bytes_stored", "chunks")
    return {name: getattr(progress, name) for name in (*names, "fragments", "archive_bytes", "checkpoints")}


def ratios(progress: PackProgress) -> str:
    """`dedup 1.42×, compression 3.01×`, as far as there is something to compare."""
    parts = []
    # Of what was read: what did not change, or was packed before the run was resumed, says nothing of the data.
    if 0 < progress.bytes_raw <= progress.bytes_read < KNOWN_RATIO * progress.bytes_raw:
        parts.append(f"dedup {progress.bytes_read / progress.bytes_raw:.2f}×")
    if progress.bytes_stored >= RATIO_BYTES:
        parts.append(f"compression {progress.bytes_raw / progress.bytes_stored:.2f}×")
    return ", ".join(parts)


def known(progress: PackProgress) -> str:
    """Where next to nothing of what was read was new, that it is so."""
    if progress.bytes_read == 0 or progress.bytes_read < KNOWN_RATIO * progress.bytes_raw:
        return ""
    return f"{'over 99.9 %' if progress.bytes_raw else 'all'} of what was read was there already"


def conclude(output: Output, report: PackReport) -> int:
    """Give the account of a finished run; its exit code."""
    progress = report.progress
    output.problems(report.problems, report.failed)
    for warning in report.warnings:
        output.warning(warning)
    for notice in report.notices:
        output.note(notice)
    name = os.fsdecode(report.path) if report.path is not None else "standard output"
    read = progress.bytes_read
    # Of a run that read next to nothing a rate says nothing.
    speed = f" ({format_rate(read / progress.elapsed_s)} read)" if read > MEGABYTE and progress.elapsed_s > 0 else ""
    lines = [
        f"{name}: snapshot {report.snapshot}{' (resumed)' if report.resumed else ''}: {count_of(report.files, 'file')}, "
        f"{format_bytes(report.bytes)} in {format_duration(progress.elapsed_s)}{speed}",
        f"  new: {format_bytes(progress.bytes_raw)} in {count_of(progress.chunks, 'chunk')}, stored as "
        + "; ".join(filter(None, (format_bytes(progress.bytes_stored), known(progress), ratios(progress)))),
    ]
    if report.failed:
        lines.append(f"  {count_of(report.failed, 'path')} not packed, or not as it was: see above")
    output.summary(
        "\n".join(lines),
        archive=name,
        uuid=report.uuid.hex(),
        snapshot=report.snapshot,
        commit=report.commit_hash.hex(),
        resumed=report.resumed,
        entries=report.entries,
        files=report.files,
        bytes=report.bytes,
        seconds=round(progress.elapsed_s, 3),
        problems=report.failed,
        unlisted=report.failed - len(report.problems),
        encrypted=report.encrypted,
        notices=list(report.notices),
        warnings=list(report.warnings),
        totals=counters(progress),
    )
    return PartialError.exit_code if report.failed else EXIT_OK


def _inside(directory: str | None) -> contextlib.AbstractContextManager[None]:
    if directory is None:
        return contextlib.nullcontext()
    if not os.path.isdir(directory):
        raise NotFoundError(f"{directory}: no such directory: check -C")
    return contextlib.chdir(directory)
