"""`warp diff`: what changed between two snapshots, or from one to the files as they are."""

import os
from itertools import takewhile
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin, matched
from warp_portal.errors import EXIT_DIFFERENT, EXIT_OK, NotFoundError, PartialError, UsageError

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader, LiveOptions, Tally

# As --snapshot of other commands has it.
LATEST = "latest"


@click.command("diff", epilog=epilog("diff"))
@options.archive
@click.argument("words", metavar="[SNAPSHOT [SNAPSHOT]] [PATTERN]…", nargs=-1)
@click.option("--tree", is_flag=True, help="Compare a snapshot (default: the newest) with the files as they are.")
@click.option("-C", "--directory", metavar="DIR", help="With --tree: they lie below DIR, not where they were packed.")
@click.option("--content", is_flag=True, help="With --tree: read every file, even where its metadata did not change.")
@click.option(
    "--top",
    metavar="N",
    type=click.IntRange(min=1),
    help="Instead of all changes show the N files and directories that grew or shrank most.",
)
@click.option("--exit-code", is_flag=True, help="End with code 4 if there are differences.")
@options.recovery
@options.trust
@options.opening
@options.work
@options.common
def command(
    output: Output,
    archive: str,
    words: tuple[str, ...],
    tree: bool,
    directory: str | None,
    content: bool,
    top: int | None,
    exit_code: bool,
    recover: bool,
    expect_commit: bytes | None,
    **flags: object,
) -> int:
    """Show what changed between two snapshots of ARCHIVE (the last two, passing over changes of keys; from the one named
    to the newest), or with --tree from one to the files as they are, where they were packed and without what was excluded then.

    Up to two numbers, or the word latest, are snapshots, the words after them patterns as in .gitignore (one that is a
    number: '[7]').

    \b
      + path  (5.00 kB)                added, with its size
      - path  (5.00 kB)                removed
      M path  (content, size +1.2 kB)  changed, and what of it

    \b
    With --top N, the largest change first:
      +12.3 MB  path/      (12 added, 1 removed)  the files beneath it, together
      -1.20 MB  path/file
    """  # noqa: D301  # click wants the character, not two
    settings = begin(output, "diff", **flags)
    from warp_portal.archive import LiveOptions
    from warp_portal.cli import reading

    numbers, patterns = divided(words)
    if any(word.isdecimal() and int(word) == 0 for word in words[: len(numbers)]):
        raise UsageError("snapshots are numbered from 1: see `warp info`")
    if tree and len(numbers) == 2:
        raise UsageError("--tree compares one snapshot with the files: name one")
    if not tree and (content or directory is not None):
        raise UsageError("-C and --content say how to look at the files: give --tree with them")
    with reading.opened(output, settings, archive, recover=recover, expect_commit=expect_commit) as reader:
        if not tree:
            tally, problems = _snapshots(output, archive, reader, (numbers, patterns), top), 0
        else:
            look = LiveOptions(content, patterns, settings.threads, settings.memory)
            chosen = reader.at(numbers[0]) if numbers and numbers[0] else reader
            tally, problems = _tree(output, chosen, directory, look, top)
    if exit_code and tally.total:
        return EXIT_DIFFERENT
    return PartialError.exit_code if problems else EXIT_OK


def divided(words: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Snapshots and patterns: up to two leading numbers are snapshots, and so is the word latest, as 0.

    >>> divided(("1", "2", "3", "*.txt"))
    ((1, 2), ('3', '*.txt'))
    """
    chosen = tuple(takewhile(lambda word: word == LATEST or (word.isascii() and word.isdecimal()), words[:2]))
    return tuple(0 if word == LATEST else int(word) for word in chosen), words[len(chosen) :]


def _snapshots(
    output: Output,
    archive: str,
    reader: "ArchiveReader",
    chosen: tuple[tuple[int, ...], tuple[str, ...]],
    top: int | None,
) -> "Tally":
    from warp_portal.archive import compare_snapshots
    from warp_portal.cli import changes

    numbers, patterns = chosen
    first, second = _chosen_pair(archive, reader, numbers)
    pair = reader.at(first), reader.at(second)
    tally = changes.show(output, compare_snapshots(*pair, patterns), top)
    if not tally.total:
        matched(patterns, sum(len(chosen) for each in pair for _, chosen in each.matching(patterns)))
    text = f"{archive}: from snapshot {first} to {second}: {changes.account(tally)}"
    output.summary(text, archive=archive, old=first, new=second, **changes.totals(tally))
    return tally


def _tree(
    output: Output, reader: "ArchiveReader", directory: str | None, look: "LiveOptions", top: int | None
) -> "tuple[Tally, int]":
    """Compare with the files; also how many of these could not be read."""
    from warp_portal.cli import changes

    archive, number = os.fsdecode(reader.file.path), reader.snapshot.number
    tally, problems = changes.show_live(output, reader, directory, look, top)
    if not tally.total:
        matched(look.patterns, sum(len(chosen) for _, chosen in reader.matching(look.patterns)))
    text = f"{archive}: from snapshot {number} to the files: {changes.account(tally)}{changes.unread(problems)}"
    output.summary(text, archive=archive, old=number, new=None, problems=problems, **changes.totals(tally))
    return tally, problems


def _chosen_pair(archive: str, reader: "ArchiveReader", numbers: tuple[int, ...]) -> tuple[int, int]:
    """The numbers of the two snapshots: as given, or else the newest and what was before it."""
    newest = reader.snapshot.number
    if numbers:
        first, second = (*(number or newest for number in numbers), newest)[:2]
        return first, second
    # A change of keys repeats the snapshot before it: two that show the same state would never differ.
    states = reader.states()
    next(states)
    before = next(states, None)
    if before is None:
        raise NotFoundError(
            f"{archive} has one snapshot of its files and nothing to compare it with: append another, or give --tree"
        )
    return before, newest
