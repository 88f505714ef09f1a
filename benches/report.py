"""What a run of the archive bench says, for people and as Markdown for docs/performance.md; both from its results alone. What
one of the transfer bench says is in transfer_report.py.

./dev bench report benches/results/archive.json
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benches import limit
from benches.rounds import CREATE, SECOND, STEPS

Result = dict[str, Any]


def markdown(name: str, result: Result) -> Iterator[str]:
    """One data set: a row a tool, what failed, ratios, limits and eta."""
    yield f"## {name}"
    if "files" in result:
        yield f"{result['files']:,} files, {result['bytes'] / 1e9:.2f} GB; {result['rounds']} round{'s' * (result['rounds'] > 1)}.\n"
    yield from tool_table(result)
    for failure in result.get("failures", ()):
        yield f"\n**Failed**: {failure['tool']}, {failure['step']}:\n```\n{failure['error'].strip()}\n```"
    yield ""
    yield from ratio_table(result)
    yield from restored_lines(result)
    yield from efficiency_lines(result)


def tool_table(result: Result) -> Iterator[str]:
    """Seconds of each step, median and range; bytes stored; CPU seconds of create, and the largest peak of any step."""
    rows, stored = by_step(result), sizes(result)
    steps = [step for step in STEPS if any(known == step for _, known in rows)]
    grows = any(more is not None for _, more in stored.values())
    growth = ["second version + MB"] if grows else []
    heads = [*(f"{step}, s" for step in steps), "stored MB", *growth, "CPU s of create", "peak MB"]
    yield "| tool | " + " | ".join(heads) + " |"
    yield "|-" * (len(heads) + 1) + "|"
    for tool in tools_of(result):
        own = {step: row for (name, step), row in rows.items() if name == tool and step in STEPS}
        first, more = stored.get(tool, (None, None))
        cells = [
            *(_seconds(own[step]) if step in own else "" for step in steps),
            *("" if size is None else f"{size / 1e6:.1f}" for size in ((first, more) if grows else (first,))),
            f"{median(own[CREATE], 'cpu_s'):.2f}" if CREATE in own else "",
            f"{max(median(row, 'peak_bytes') for row in own.values()) / 1e6:.0f}",
        ]
        yield f"| {_cell(tool)} | " + " | ".join(cells) + " |"


def _seconds(row: Result) -> str:
    walls = [run["wall_s"] for run in row["runs"]]
    return f"{median(row):.2f} ({min(walls):.2f}–{max(walls):.2f})"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def median(row: Result, value: str = "wall_s") -> float:
    """The median over the runs of a step."""
    return float(statistics.median(run[value] for run in row["runs"]))


def by_step(result: Result) -> dict[tuple[str, str], Result]:
    """Rows by tool and step."""
    return {(row["tool"], row["step"]): row for row in result["rows"]}


def tools_of(result: Result) -> list[str]:
    """The tools, in their order."""
    return list(dict.fromkeys(row["tool"] for row in result["rows"]))


def ratio_table(result: Result, ours: str = "warp") -> Iterator[str]:
    """How many times as long each other tool takes."""
    rows = by_step(result)
    steps = [step for step in STEPS if (ours, step) in rows]
    yield f"| time : `{ours}` | " + " | ".join(steps) + " |"
    yield "|-" * (len(steps) + 1) + "|"
    for tool in (each for each in tools_of(result) if each != ours):
        cells = [
            f"{median(rows[(tool, step)]) / median(rows[(ours, step)]):.2f}×" if (tool, step) in rows else ""
            for step in steps
        ]
        yield f"| {_cell(tool)} | " + " | ".join(cells) + " |"


def size_lines(result: Result) -> Iterator[str]:
    """Stored bytes after the first version, and what the second adds."""
    for tool, (first, more) in sizes(result).items():
        growth = "" if more is None else f", second version + {more / 1e6:.1f} MB"
        yield f"- {tool}: {first / 1e6:.1f} MB{growth}"


def sizes(result: Result) -> dict[str, tuple[int, int | None]]:
    """Per tool, the stored bytes of the first version and the growth by the second, or None."""
    rows = by_step(result)
    found: dict[str, tuple[int, int | None]] = {}
    for tool in tools_of(result):
        first, second = rows.get((tool, CREATE)), rows.get((tool, SECOND))
        if first:
            stored = first["sizes"]["stored_bytes"]
            found[tool] = stored, second["sizes"]["stored_bytes"] - stored if second else None
    return found


def restored_lines(result: Result) -> Iterator[str]:
    """Whether what each tool restored equals the tree."""
    restored = result.get("restored", {})
    equal = [tool for tool, (count, _) in restored.items() if not count]
    if equal:
        yield f"\nRestored trees that rsync finds equal: {', '.join(equal)}."
    for tool, (count, shown) in restored.items():
        if count:
            yield f"{tool}: the restored tree differs in {count} paths, the first: `{shown[0]}`."


def efficiency_lines(result: Result) -> Iterator[str]:
    """The limits of the host, and eta."""
    if not result.get("efficiency"):
        return
    yield ""
    for step, parts in result["efficiency"]["limits_cpu_s"].items():
        yield limit.line(step, parts) + "."
    parts = [
        f"{name}: **{statistics.median(etas):.2f}** ({min(etas):.2f}–{max(etas):.2f})"
        for name, etas in result["efficiency"]["etas"].items()
    ]
    yield "eta: " + " · ".join(parts) + "."


def main() -> None:
    """Print the Markdown of a results file."""
    from benches import transfer_report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="results of ./dev bench archive or transfer")
    results = json.loads(parser.parse_args().file.read_text())
    print(f"Machine: {json.dumps(results['machine'])}")
    print(f"Versions: {json.dumps(results.get('versions', {}))}")
    if "own_peak_bytes" in results:
        print(f"Peaks up to {results['own_peak_bytes'] / 1e6:.0f} MB are the bench's own.")
    for key, why in results.get("absent", {}).items():
        print(f"Absent: {key}: {why}")
    moved = results.get("bench") == "transfer"
    for name, result in results["sets"].items():
        print("\n" + "\n".join(transfer_report.markdown(name, result) if moved else markdown(name, result)))
    if moved:
        print("\n" + "\n".join(transfer_report.bar_lines(results)))


if __name__ == "__main__":
    main()
