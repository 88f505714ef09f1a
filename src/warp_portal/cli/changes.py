"""Changes of a tree, or what grew most by them, as lines for people and as records for programs, some hundred in one write."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from warp_portal.archive import (
    ArchiveReader,
    Aspect,
    Change,
    Entry,
    Growth,
    Kind,
    LiveOptions,
    LiveProgress,
    LiveTree,
    Tally,
    largest_growths,
    recorded_source,
)
from warp_portal.cli.output import Output
from warp_portal.cli.progress import Reporter, Step
from warp_portal.cli.text import columns, count_of, path_fields, printable_all
from warp_portal.units import format_bytes

BLOCK_CHANGES = 512
FILE_COUNTS = ("added", "removed", "changed")


def show(output: Output, changes: Iterable[Change], top: int | None = None) -> Tally:
    """Write all as they come, or at their end the `top` files and directories that grew most; how many changes there were."""
    tally = Tally()
    stream = _counted(changes, tally)
    if top is None:
        _show_all(output, stream)
    else:
        _show_growths(output, largest_growths(stream, top))
    return tally


def show_live(
    output: Output, reader: ArchiveReader, directory: str | None, look: LiveOptions, top: int | None = None
) -> tuple[Tally, int]:
    """As `show`, from a snapshot to the files as they are; also how many paths could not be read, of which the first are named."""
    source = recorded_source(reader, None if directory is None else os.fsencode(directory))
    with contextlib.ExitStack() as stack:
        if top is not None or not output.results_on_terminal:
            reporter = stack.enter_context(Reporter(output, "compare"))
            look = replace(look, progress=reporter.following(step_of))
        live = LiveTree(reader, source, look)
        tally = show(output, _ending(live.changes(), stack), top)
    output.problems(live.problems.kept, live.problems.count)
    return tally, live.problems.count


def _counted(changes: Iterable[Change], tally: Tally) -> Iterator[Change]:
    for change in changes:
        tally.count(change)
        yield change


def _ending(changes: Iterable[Change], stack: contextlib.ExitStack) -> Iterator[Change]:
    """The changes; progress ends with them, so that a bar is gone before a result that follows is written."""
    yield from changes
    stack.close()


def _show_all(output: Output, changes: Iterator[Change]) -> None:
    while block := list(islice(changes, BLOCK_CHANGES)):
        if output.json_lines:
            output.records("change", [fields(change) for change in block])
        else:
            output.results(lines(block))


def _show_growths(output: Output, growths: list[Growth]) -> None:
    if output.json_lines:
        output.records("growth", [growth_fields(growth) for growth in growths])
    else:
        output.results(growth_lines(growths))


def step_of(progress: LiveProgress) -> Step:
    """Progress for display."""
    counters = {"files": progress.files, "bytes_read": progress.bytes_read, "bytes_reused": progress.bytes_reused}
    done = progress.bytes_read + progress.bytes_reused
    return Step(done, progress.total_bytes, f"{progress.files:,} files", progress.current, counters)


def lines(changes: list[Change]) -> list[str]:
    """`+ path  (5.00 kB)`, `- path  (5.00 kB)`, `M path  (content, size +1.00 kB, mtime)`."""
    names = printable_all([change.path for change in changes])
    return [line(change, name or ".") for change, name in zip(changes, names, strict=True)]


def line(change: Change, name: str) -> str:
    """One line, of a name that is escaped already; sizes are those of files."""
    old, new = change.old, change.new
    if old is None or new is None:
        entry = old or new
        size = f"  ({format_bytes(entry.size)})" if entry is not None and entry.kind is Kind.FILE else ""
        return f"{'+' if old is None else '-'} {name}{size}"
    grown = f"size {_signed(new.size - old.size)}"
    return f"M {name}  ({', '.join(grown if each is Aspect.SIZE else each for each in change.aspects)})"


def fields(change: Change) -> dict[str, object]:
    """For programs, without loss; `old` and `new` are null where there is none."""
    what = "added" if change.old is None else "removed" if change.new is None else "changed"
    return {
        **path_fields(change.path),
        "change": what,
        "aspects": [str(aspect) for aspect in change.aspects],
        "old": _entry_fields(change.old),
        "new": _entry_fields(change.new),
    }


def _entry_fields(entry: Entry | None) -> dict[str, object] | None:
    if entry is None:
        return None
    found: dict[str, object] = {"kind": entry.kind.name.lower()}
    found |= {name: getattr(entry, name) for name in ("mode", "uid", "gid", "size", "mtime_ns")}
    return found | path_fields(entry.link, "link") if entry.link else found


def growth_lines(growths: list[Growth]) -> list[str]:
    """`+12.3 MB  path/  (12 added, 1 removed)` of a directory, `+8.00 MB  path` of a file, in columns."""
    names = printable_all([growth.path for growth in growths])
    rows = [
        (_signed(growth.sums.grown_bytes), f"{name}/" if growth.directory else name, _beneath(growth))
        for growth, name in zip(growths, names, strict=True)
    ]
    return columns(rows, right=(0,))


def _beneath(growth: Growth) -> str:
    """How many files beneath a directory changed."""
    counts = {word: getattr(growth.sums, word) for word in FILE_COUNTS}
    return f"({', '.join(f'{count:,} {word}' for word, count in counts.items() if count)})" if growth.directory else ""


def growth_fields(growth: Growth) -> dict[str, object]:
    """For programs."""
    counts = {word: getattr(growth.sums, word) for word in FILE_COUNTS}
    return {
        **path_fields(growth.path),
        "directory": growth.directory,
        "bytes": growth.sums.grown_bytes,
        **counts,
    }


def _signed(count: int) -> str:
    return f"{'+' if count > 0 else '-'}{format_bytes(abs(count))}"


def account(tally: Tally) -> str:
    """`2 added (1.20 MB), 1 removed (5.00 kB), 3 changed (1.00 kB of new content)`."""
    if not tally.total:
        return "no differences"
    return (
        f"{count_of(tally.added, 'entry', 'entries')} added ({format_bytes(tally.bytes_added)}), "
        f"{tally.removed:,} removed ({format_bytes(tally.bytes_removed)}), "
        f"{tally.changed:,} changed ({format_bytes(tally.bytes_changed)} in files of other content)"
    )


def unread(problems: int) -> str:
    """What an account says of paths that could not be compared."""
    return f"; {count_of(problems, 'path')} could not be read as they were: see above" if problems else ""


def totals(tally: Tally) -> dict[str, int]:
    """The numbers for programs."""
    names = ("added", "removed", "changed", "bytes_added", "bytes_removed", "bytes_changed")
    return {name: getattr(tally, name) for name in names}
