"""From a Markdown page to what can be run of it: the fenced blocks of each section, with the outputs it claims.

A block marked `sh` is run by bash, one marked `python` by Python. A block marked `text` that follows it is what it prints, on either stream; `…` in it stands
for anything within a line, and a line `…` alone for any number of lines. A last line `exit code N` says how it ends (else 0).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^##+ (.+)$", re.MULTILINE)
_CODE: Final = re.compile(r"\n?^exit code (\d+)\n?\Z", re.MULTILINE)
_ANYTHING: Final = "…"
_RUN: Final = {"sh": "{}", "python": "python3 - <<'PYTHON'\n{}PYTHON\n"}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of one fence, and what the page says of them; `output` is None where it says nothing."""

    commands: str
    output: str | None
    code: int

    def prints(self, actual: str) -> bool:
        """Whether that is what the page claims."""
        return self.output is None or _same(self.output.split("\n"), actual.strip("\n").split("\n"))


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the blocks below it, in order: they share one sandbox."""

    slug: str
    blocks: tuple[Block, ...]


def sections(page: Path) -> list[Section]:
    """Those sections of a page that hold something to run."""
    parts = _HEADING.split(page.read_text(encoding="utf-8"))
    found = [Section(slug(title), tuple(_blocks(body))) for title, body in zip(parts[1::2], parts[2::2], strict=True)]
    return [section for section in found if section.blocks]


def slug(title: str) -> str:
    """A heading as a name of a file.

    >>> slug("3. Add a second key, take one away")
    'add-a-second-key-take-one-away'
    """
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"^\d+\. ", "", title).lower()).strip("-")


def _blocks(body: str) -> Iterator[Block]:
    for (kind, commands), (follows, text) in pairwise([*_FENCE.findall(body), ("", "")]):
        if kind in _RUN:
            yield _block(_RUN[kind].format(commands), text if follows == "text" else None)


def _block(commands: str, text: str | None) -> Block:
    if text is None:
        return Block(commands, None, 0)
    ending = _CODE.search(text)
    output = text[: ending.start()] if ending else text
    return Block(commands, output.strip("\n"), int(ending[1]) if ending else 0)


def _same(expected: list[str], actual: list[str]) -> bool:
    """Whether the lines are those claimed; a claimed line `…` stands for any number of them."""
    reached = {0}  # how many actual lines the claims so far may stand for
    for line in expected:
        if line == _ANYTHING:
            reached = set(range(min(reached, default=len(actual) + 1), len(actual) + 1))
        else:
            shape = re.compile(".*".join(map(re.escape, line.split(_ANYTHING))))
            reached = {number + 1 for number in reached if number < len(actual) and shape.fullmatch(actual[number])}
    return len(actual) in reached
