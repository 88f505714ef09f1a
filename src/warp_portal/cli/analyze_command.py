"""`warp analyze`: what a create of the same paths would give, without doing it."""

import time
from typing import TYPE_CHECKING, Final

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import columns, count_of, printable
from warp_portal.errors import EXIT_OK, PartialError, UsageError
from warp_portal.units import format_bytes, format_duration

if TYPE_CHECKING:
    from warp_portal.archive import Analysis, AnalyzeProgress
    from warp_portal.cli.progress import Step

# People see the types that hold most bytes; programs see all.
SHOWN_TYPES: Final = 12
# Above, other work on the machine is worth a word.
BUSY: Final = 1.2
# Above, a share says nothing: hardly anything is packed.
MOST_SHARE: Final = 2


@click.command("analyze", epilog=epilog("analyze"))
@click.argument("paths", metavar="PATH…", nargs=-1)
@options.selecting
@click.option("-z", "--compression", metavar="POLICY", help="As of create (default: auto); others are shown beside it.")
@click.option("--profile", metavar="NAME", help="As of create: fine, general (default) or bulk.")
@click.option("--plain", is_flag=True, help="Tell it of a plain archive, not of one with a passphrase.")
@click.option("--full", is_flag=True, help="Read everything, not a part of large trees: finds all duplicates.")
@options.work
@options.common
def command(
    output: Output,
    paths: tuple[str, ...],
    directory: str | None,
    exclude_from: tuple[str, ...],
    plain: bool,
    full: bool,
    **flags: object,
) -> int:
    """Tell what `warp create` of each PATH would give: types of files, duplicates, size, time, memory, and options that suit.

    Trees above some hundred megabytes are read in part. Nothing is written.
    """
    settings = begin(output, "analyze", **flags)
    from warp_portal.archive import AnalyzeOptions, Stream, analyze
    from warp_portal.cli import packing
    from warp_portal.cli.progress import Reporter

    if paths in ((), ("-",)):
        raise UsageError("nothing to analyze: name files or directories (standard input can be read only once)")
    source = packing.chosen_source(settings, paths, directory, exclude_from, None)
    assert not isinstance(source, Stream)
    with Reporter(output, "analyze") as reporter:
        found = analyze(
            source,
            AnalyzeOptions(
                packing.pack_options(settings, None),
                full=full,
                suite="plain" if plain else settings.cipher,
                passphrase=not plain,
                start_s=time.process_time(),  # a create starts alike, and loads as much
                progress=reporter.following(step_of),
            ),
        )
    output.problems(found.problems, found.failed)
    _record(output, found)
    if not output.json_lines:
        output.results(_lines(found))
    _conclude(output, found)
    return PartialError.exit_code if found.failed else EXIT_OK


def step_of(progress: "AnalyzeProgress") -> "Step":
    """Progress for display."""
    from warp_portal.cli.progress import Step

    note = count_of(progress.entries, "entry", "entries")
    return Step(progress.read_bytes, progress.total_bytes, note, fields={"entries": progress.entries})


def _record(output: Output, found: "Analysis") -> None:
    output.records(
        "file_type",
        [
            {
                "extension": kind.extension,
                "files": kind.files,
                "bytes": kind.bytes,
                "entropy": None if kind.entropy is None else round(kind.entropy, 3),
                "compressed_share": None if kind.compressed_share is None else round(kind.compressed_share, 4),
            }
            for kind in found.types
        ],
    )
    output.records(
        "compression",
        [
            {"compression": one.compression, "archive_bytes": one.archive_bytes, "seconds": round(one.seconds, 3)}
            for one in found.alternatives
        ],
    )
    made = found.estimate
    names = ("data_bytes", "duplicate_bytes", "new_bytes", "stored_bytes", "archive_bytes", "fragments", "chunks")
    output.record(
        "estimate",
        **{name: getattr(made, name) for name in names},
        ratio=round(made.ratio, 5),
        seconds=round(made.seconds, 3),
        seconds_low=round(made.seconds_low, 3),
        seconds_high=round(made.seconds_high, 3),
        quiet_seconds=round(made.quiet_seconds, 3),
        cpu_seconds={name.replace(" ", "_"): round(seconds, 4) for name, seconds in made.cpu_s.items()},
        memory_bytes=made.memory_bytes,
        index_bytes=made.index_bytes,
        contention=round(made.contention, 3),
    )
    advice = found.advice
    output.record(
        "advice",
        profile=advice.profile,
        profile_reason=advice.profile_reason,
        compression=advice.compression,
        compression_reason=advice.compression_reason,
        memory_bytes=advice.memory_bytes,
    )


def _lines(found: "Analysis") -> list[str]:
    made, advice = found.estimate, found.advice
    share = f", {100 * made.ratio:.1f} % of" if 0 < made.ratio <= MOST_SHARE else " for"
    size = f"{format_bytes(made.archive_bytes)}{share} {format_bytes(found.bytes)}"
    low, high = format_duration(made.seconds_low), format_duration(made.seconds_high)
    busy = (
        ""
        if made.contention < BUSY
        else f", on which other work runs: {format_duration(made.quiet_seconds)} without it"
    )
    duplicates = f"{'' if found.complete else 'at least '}{format_bytes(made.duplicate_bytes)}"
    facts = [
        ("archive", size),
        ("duplicates", f"{duplicates}; new: {format_bytes(made.new_bytes)} in {count_of(made.chunks, 'chunk')}"),
        ("time", f"{format_duration(made.seconds)} ({low} to {high}) from the page cache on this machine{busy}"),
        ("memory", f"about {format_bytes(made.memory_bytes)}"),
        ("profile", f"--profile {advice.profile}: {advice.profile_reason}"),
        ("compression", f"--compression {advice.compression}: {advice.compression_reason}"),
    ]
    if advice.more_memory:
        facts.append(("more memory", f"--memory {advice.memory_bytes >> 20}M: holds the ids of all fragments"))
    return [*_types(found), "", *_compressions(found), "", *columns([(f"{name}:", text) for name, text in facts])]


def _types(found: "Analysis") -> list[str]:
    rows = [("type", "files", "size", "bits a byte", "compressed already")]
    for kind in found.types[:SHOWN_TYPES]:
        entropy = "" if kind.entropy is None else f"{kind.entropy:.2f}"
        share = "" if kind.compressed_share is None else f"{100 * kind.compressed_share:.0f} %"
        name = f".{printable(kind.extension)}" if kind.extension else "(none)"
        rows.append((name, f"{kind.files:,}", format_bytes(kind.bytes), entropy, share))
    rest = found.types[SHOWN_TYPES:]
    if rest:
        files, size = sum(kind.files for kind in rest), sum(kind.bytes for kind in rest)
        rows.append((f"{len(rest):,} more", f"{files:,}", format_bytes(size), "", ""))
    return columns(rows, right=(1, 2, 3, 4))


def _compressions(found: "Analysis") -> list[str]:
    rows = [("compression", "archive", "time")]
    rows += [
        (one.compression, format_bytes(one.archive_bytes), format_duration(one.seconds)) for one in found.alternatives
    ]
    return columns(rows, right=(1, 2))


def _conclude(output: Output, found: "Analysis") -> None:
    part = "all of it" if found.complete else format_bytes(found.read_bytes)
    text = f"{count_of(found.files, 'file')}, {format_bytes(found.bytes)}; read {part} in {format_duration(found.elapsed_s)}"
    output.summary(
        text,
        entries=found.entries,
        files=found.files,
        bytes=found.bytes,
        read_bytes=found.read_bytes,
        complete=found.complete,
        seconds=round(found.elapsed_s, 3),
        problems=found.failed,
        unlisted=found.failed - len(found.problems),
    )
