"""Every command of the documentation that can be run is run, and prints and ends as the page says."""

import re
import shutil
from pathlib import Path

import pytest

from tests.cookbook.pages import Block, Section, sections
from tests.cookbook.sandbox import SCENES, Sandbox

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "recovery": ROOT / "docs" / "recovery.md",
    "cookbook": ROOT / "docs" / "cookbook.md",
    "readme": ROOT / "README.md",
}
# What only some machines have; a section that calls one is skipped without it.
TOOLS = ("jq", "rsync", "ddrescue", "crontab")
SECTIONS = [
    pytest.param(page, section, id=f"{page}-{section.slug}")
    for page, path in PAGES.items()
    for section in sections(path)
]


@pytest.mark.parametrize(("page", "section"), SECTIONS)
def test_a_page_says_what_its_commands_do(
    page: str, section: Section, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Blocks of a section run in order, in one sandbox."""
    for tool in TOOLS:
        if any(re.search(rf"\b{tool}\b", block.commands) for block in section.blocks) and not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    sandbox = Sandbox(tmp_path)
    request.addfinalizer(sandbox.tear_down)
    sandbox.set_up(page, section.slug)
    for block in section.blocks:
        ran = sandbox.run(block.commands)
        said = f"$ {block.commands}\n--- the page says ({block.code}):\n{block.output}\n--- it is ({ran.code}):\n{ran.output}"
        if ran.code != block.code or not block.prints(ran.output):
            pytest.fail(said, pytrace=False)


def test_every_scene_belongs_to_a_section() -> None:
    known = {(page, section.slug) for page, path in PAGES.items() for section in sections(path)}
    assert {(scene.parent.name, scene.stem) for scene in SCENES.glob("*/*.sh")} <= known


@pytest.mark.parametrize(
    ("output", "actual", "same"),
    [
        ("one\ntwo", "one\ntwo\n", True),
        ("one\ntwo", "one\nthree\n", False),
        ("o…e\n…\nend", "ore\nx\ny\nend", True),
        ("o…e\n…\nend", "ore\nend", True),
        ("…\nend", "x\ny\nend", True),
        ("…\nend", "end", True),
        ("one\n…", "one\nmore", True),
        ("one\n…", "two\none", False),
        ("a…c", "a\nc", False),
        ("", "noise", False),
    ],
)
def test_an_ellipsis_stands_for_what_a_page_leaves_out(output: str, actual: str, same: bool) -> None:
    assert Block("", output, 0).prints(actual) is same
