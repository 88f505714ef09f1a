"""Changes of a tree as lines for people and as records for programs, some hundred in one write."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from warp_portal.archive import (
    ArchiveReader,
    Aspect,
    Change,
    Entry,
    Kind,
    LiveOptions,
    LiveProgress,
    LiveTree,
    Tally,
    recorded_source,
)
from warp_portal.cli.output import Output
from warp_portal.cli.progress import Reporter, Step
from warp_portal.cli.text import count_of, path_fields, printable_all
from warp_portal.units import format_bytes

BLOCK_CHANGES = 512


def show(output: Output, changes: Iterable[Change]) -> Tally:
    """Write all as they come; how many there were."""
    tally, stream = Tally(), iter(changes)
    while block := list(islice(stream, BLOCK_CHANGES)):
        for change in block:
            tally.count(change)
        if output.json_lines:
            output.records("change", [fields(change) for change in block])
        else:
            output.results(lines(block))
    return tally


def show_live(output: Output, reader: ArchiveReader, directory: str | None, look: LiveOptions) -> tuple[Tally, int]:
    """As `show`, from a snapshot to the files as they are; also how many paths could not be read, of which the first are named."""
    source = recorded_source(reader, None if directory is None else os.fsencode(directory))
    with contextlib.ExitStack() as stack:
        if not output.results_on_terminal:
            reporter = stack.enter_context(Reporter(output, "compare"))
            look = replace(look, progress=reporter.following(step_of))
        live = LiveTree(reader, source, look)
        tally = show(output, live.changes())
    output.problems(live.problems.kept, live.problems.count)
    return tally, live.problems.count


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
    more = new.size - old.size
    grown = f"size {'+' if more > 0 else '-'}{format_bytes(abs(more))}"
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
