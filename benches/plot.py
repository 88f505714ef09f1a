"""Draw a run of the archive bench: bars by tool, a panel for each step and for the size, as SVG.

    ./dev bench plot FILE.json [-o docs/images/NAME.svg] [--set tree] [--tools "warp,restic,…"]

The background is transparent and every colour is of medium lightness, so that the figure can be read on white and on near
black alike, whatever the page does: contrast of the text ≥ 4 : 1 on #ffffff and on #0d1117. Shorter bars are better; each
panel begins at 0 and has its own scale. A step that failed says so, one that a tool does not have is a dash.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from benches.report import Result, by_step, median, sizes, tools_of
from benches.rounds import CREATE, EXTRACT, SECOND, UNCHANGED, VERIFY

TEXT, OURS, THEIRS, LINE = "#787b80", "#2f81f7", "#8f949b", "#8f949b"
FONT: Final = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
LABELS: Final = 170  # px for the names of tools
PANEL, GAP = 94, 24  # px: a panel's bars, and what parts it from the next, where the longest bar's figure stands
VALUE: Final = 42  # px for a figure behind its bar
HEAD, ROW, BAR, FOOT = 62, 24, 13, 30  # px
STEPS: Final = ((CREATE, "create, s"), (SECOND, "2nd version, s"), (UNCHANGED, "unchanged, s"), (VERIFY, "verify, s"))
LAST: Final = (EXTRACT, "extract, s")


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure of all tools; a value is a number, or a word that says why there is none."""

    title: str
    values: dict[str, float | str]
    digits: int

    def most(self) -> float:
        """The longest bar."""
        return max((value for value in self.values.values() if isinstance(value, float)), default=1.0)

    def text(self, tool: str) -> str:
        """The figure or word behind a bar."""
        value = self.values[tool]
        if isinstance(value, str):
            return value
        return f"{value:.{self.digits if value < 99.95 else 0}f}"


def panels(result: Result, tools: Sequence[str]) -> list[Panel]:
    """The steps that anyone did, and the size."""
    rows = by_step(result)
    failed = {(each["tool"], each["step"]) for each in result.get("failures", ())}
    found = []
    for step, title in (*STEPS, LAST):
        values: dict[str, float | str] = {}
        for tool in tools:
            row = rows.get((tool, step))
            # A step that failed in one round is no figure, even if it went well in another.
            values[tool] = "failed" if (tool, step) in failed else median(row) if row else "–"
        if any(isinstance(value, float) for value in values.values()):
            found.append(Panel(title, values, 1))
    stored = sizes(result)
    found.append(Panel("size, MB", {tool: stored[tool][0] / 1e6 if tool in stored else "–" for tool in tools}, 0))
    return found


def draw(result: Result, tools: Sequence[str], title: str) -> str:
    """The figure."""
    shown = panels(result, tools)
    width = LABELS + len(shown) * (PANEL + GAP) + GAP
    height = HEAD + len(tools) * ROW + FOOT
    body = [*_labels(tools, title, height), *(line for at, each in enumerate(shown) for line in _bars(each, at, tools))]
    said = "; ".join(f"{tool}: " + ", ".join(f"{each.title} {each.text(tool)}" for each in shown) for tool in tools)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="{FONT}" font-size="12.5" fill="{TEXT}">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(said)}</desc>",
            *body,
            "</svg>\n",
        ]
    )


def _labels(tools: Sequence[str], title: str, height: int) -> Iterator[str]:
    yield f'<text x="12" y="20" font-size="14" font-weight="600">{escape(title)}</text>'
    for number, tool in enumerate(tools):
        weight = ' font-weight="600"' if _is_ours(tool) else ""
        yield f'<text x="{LABELS - 10}" y="{_middle(number)}" text-anchor="end"{weight}>{escape(_name(tool))}</text>'
    yield f'<text x="12" y="{height - 8}" font-size="11">Medians; shorter is better; each panel has its own scale.</text>'


def _bars(panel: Panel, at: int, tools: Sequence[str]) -> Iterator[str]:
    left = LABELS + at * (PANEL + GAP)
    longest = PANEL - VALUE + GAP
    yield f'<text x="{left}" y="{HEAD - 14}" font-weight="600">{escape(panel.title)}</text>'
    yield f'<path d="M{left - 0.5} {HEAD - 6}V{HEAD + len(tools) * ROW}" stroke="{LINE}" opacity=".5"/>'
    for number, tool in enumerate(tools):
        value, length = panel.values[tool], 0.0
        if isinstance(value, float):
            length = max(1.0, value / panel.most() * longest)
            colour = OURS if _is_ours(tool) else THEIRS
            top = HEAD + number * ROW + (ROW - BAR) / 2
            yield f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
        yield f'<text x="{left + length + 5:.1f}" y="{_middle(number)}">{escape(panel.text(tool))}</text>'


def _middle(number: int) -> float:
    """The baseline of a row's text."""
    return HEAD + number * ROW + ROW / 2 + 4.5


def _is_ours(tool: str) -> bool:
    return tool.startswith("warp")


def _name(tool: str) -> str:
    return tool.replace("|", " | ")


def heading(name: str, result: Result, machine: dict[str, Any]) -> str:
    """What was packed, and on what."""
    size = f": {result['files']:,} files, {result['bytes'] / 1e9:.2f} GB" if "files" in result else ""
    what = {"tree": "Linux source tree", "image": "disk image", "small": "small files"}.get(name, name)
    return f"{what}{size}; {machine['cores']} cores, {machine['cpu']}"


def main() -> None:
    """Draw one set of a results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="results of ./dev bench archive")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/archive-tree.svg"))
    parser.add_argument("--set", default="tree")
    parser.add_argument("--tools", help="names as in the tables, divided by commas; default: all but variants of warp")
    args = parser.parse_args()
    results = json.loads(args.file.read_text())
    if args.set not in results["sets"]:
        raise SystemExit(f"{args.file} has no set {args.set}; it has {', '.join(results['sets'])}")
    result = results["sets"][args.set]
    there = tools_of(result)
    tools = args.tools.split(",") if args.tools else [tool for tool in there if not tool.startswith("warp-")]
    if unknown := [tool for tool in tools if tool not in there]:
        raise SystemExit(f"{args.file} has no tool {', '.join(unknown)}; it has {', '.join(there)}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(draw(result, tools, heading(args.set, result, results["machine"])))
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
