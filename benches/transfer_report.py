"""What a run of the transfer bench says, as Markdown; from its results alone.

./dev bench report benches/results/transfer.json
"""

import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benches.bars import Bar, Measure, Verdict, verdicts
from benches.report import Result, median

_HEADS = ("tool", "wall s", "ready s", "MB/s", "CPU s: sender", "receiver", "peak MB: sender", "receiver", "network MB")
_RATIOS = {Measure.WHOLE: "whole command", Measure.TRANSPORT: "connection", Measure.NETWORK: "bytes on the network"}


def markdown(name: str, result: Result) -> Iterator[str]:
    """One load: a table a step, what failed, and what arrived otherwise than it was sent."""
    yield f"## {name}"
    rounds = result["rounds"]
    yield f"{result['files']:,} files, {result['bytes'] / 1e9:.3f} GB; {rounds} round{'s' * (rounds > 1)}."
    for step in dict.fromkeys(row["step"] for row in result["rows"]):
        yield from ["", f"**{step}**", ""]
        yield from step_table(result, step)
    yield from failure_lines(result)
    yield from arrived_lines(result)


def step_table(result: Result, step: str) -> Iterator[str]:
    """Medians over the rounds, a row a tool; of wall seconds the range too."""
    rows = [row for row in result["rows"] if row["step"] == step]
    more = ["sent again MB"] if any(_median(row, "again_bytes") is not None for row in rows) else []
    heads = [*_HEADS, *more]
    yield "| " + " | ".join(heads) + " |"
    yield "|-" * len(heads) + "|"
    for row in rows:
        yield "| " + " | ".join([row["tool"], *_cells(row, result["bytes"], bool(more))]) + " |"


def _cells(row: Result, size: int, cut: bool) -> Iterator[str]:
    walls = [run["wall_s"] for run in row["runs"]]
    yield f"{median(row):.2f} ({min(walls):.2f}–{max(walls):.2f})"
    yield f"{median(row, 'ready_s'):.2f}"
    # Of what was sent over an older version, or in part, a rate says nothing.
    yield f"{size / median(row) / 1e6:.0f}" if row["step"] == "send" else ""
    # A side that is none, or whose figures come with the resume, has no peak.
    peaks = {side: median(row, f"{side}_peak_bytes") for side in ("sender", "receiver")}
    yield from (f"{median(row, f'{side}_cpu_s'):.2f}" if peak else "" for side, peak in peaks.items())
    yield from (f"{peak / 1e6:.0f}" if peak else "" for peak in peaks.values())
    for figure in ("wire_bytes", "again_bytes")[: 1 + cut]:
        value = _median(row, figure)
        yield "" if value is None else f"{value / 1e6:.1f}"


def _median(row: Result, figure: str) -> float | None:
    """The median where every run has the figure."""
    figures = [run.get(figure) for run in row["runs"]]
    return None if None in figures else float(statistics.median(figures))


def failure_lines(result: Result) -> Iterator[str]:
    """What failed, once for each tool and step, with what was said the first time."""
    times = Counter((each["tool"], each["step"]) for each in result["failures"])
    for (tool, step), count in times.items():
        said = next(each["error"] for each in result["failures"] if (each["tool"], each["step"]) == (tool, step))
        yield f"\n**Failed**{f' {count} times' * (count > 1)}: {tool}, {step}:\n```\n{said.strip()}\n```"


def arrived_lines(result: Result) -> Iterator[str]:
    """Whether what arrived is what was sent."""
    equal = [which for which, (count, _) in result["arrived"].items() if not count]
    if equal:
        yield f"\nArrived as it was sent, byte for byte: {'; '.join(equal)}."
    for which, (count, shown) in result["arrived"].items():
        if count:
            yield f"\n**{which}**: what arrived differs in {count} paths, the first: `{shown[0]}`."


def bar_lines(results: dict[str, Any]) -> Iterator[str]:
    """Each bar that could be judged, with the size it was judged at."""
    found = verdicts(results["sets"])
    if not found:
        return
    if results["scale"] != 1:
        yield f"**At {results['scale']:g} of the size that the bars speak of.**\n"
    yield f"| load | step | compared | ours : theirs | ratio | bar | on {results['network']} |"
    yield "|-|-|-|-|-|-|-|"
    yield from map(_verdict_line, found)


def _verdict_line(found: Verdict) -> str:
    bar = found.bar
    sign = "≤" if bar.measure is Measure.NETWORK else "≥"
    cells = [bar.load, bar.step, _RATIOS[bar.measure], f"`{bar.ours}` : {bar.theirs}", _shown(bar, found.ratio)]
    return "| " + " | ".join([*cells, f"{sign} {_shown(bar, bar.bound)}", "met" if found.met else "**missed**"]) + " |"


def _shown(bar: Bar, ratio: float) -> str:
    return f"{ratio * 100:.0f} %" if bar.measure is Measure.TRANSPORT else f"{ratio:.3g}×"
