"""Links between the project's pages lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them: lower case, without punctuation, spaces as hyphens."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for path, anchor in _LINK.findall(_CODE.sub("", page.read_text())):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_test_that_the_threat_model_names_is_there() -> None:
    """A claim that names a test is worth as much as that."""
    named = set(re.findall(r"`((?:test_|an?_)\w+)`", (ROOT / "docs" / "security.md").read_text()))
    named |= set(re.findall(r"`(setuid_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    sources = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("rust/**/*.rs")]
    found = {name for path in sources for name in re.findall(r"\b(?:def|fn) (\w+)", path.read_text())}
    assert len(named) > 30
    assert named <= found
