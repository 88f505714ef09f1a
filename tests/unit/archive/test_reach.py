"""Only those pages of the file table are read that may hold what was asked for."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal._native import Matcher
from warp_portal.archive import ExtractRequest, extract, open_archive
from warp_portal.archive.limits import KIND_TABLE
from warp_portal.archive.options import PACK_DEFAULTS, Source
from warp_portal.archive.reach import pages_below, pages_matching, reach
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.writer import create
from warp_portal.errors import IntegrityError

COMPONENTS = st.sampled_from(["a", "b", "ab", "a b", "é", "a.x", "#", "!"])
PATHS = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(
    ["a", "b", "ab", "a b", "é", "*", "?", "**", "a*", "[ab]", "{a,b}", "\\a", "a.x", "#", "", ".", " "]
)
PATTERNS = st.tuples(
    st.sampled_from(["", "/", "!", "#", "\\!", " "]), st.lists(PARTS, min_size=1, max_size=4).map("/".join),
    st.sampled_from(["", "/", " ", "\\ "]),
).map("".join)  # fmt: skip


@given(st.lists(PATTERNS, min_size=1, max_size=3), PATHS, st.booleans())
def test_whatever_patterns_match_lies_within_their_reach(patterns: list[str], path: str, is_directory: bool) -> None:
    try:
        matches = Matcher(patterns).matches(path.encode(), is_directory)
    except ValueError:
        return  # no pattern
    found = reach(patterns)
    if matches and found is not None:
        assert any(path.encode() == prefix or path.encode().startswith(prefix + b"/") for prefix in found)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["a/b"], [b"a/b"]),
        (["/a"], [b"a"]),
        (["a/b/*.txt", "/c/"], [b"a/b", b"c"]),
        (["a/b", "!a/b/c"], [b"a/b"]),
        (["a/b", "c"], None),
        (["a/"], None),
        (["*/b"], None),
    ],
)
def test_reach_is_the_literal_start_of_anchored_patterns(patterns: list[str], expected: list[bytes] | None) -> None:
    assert reach(patterns) == expected


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories 00 … 29 with 600 empty files each: some ten pages."""
    root = tmp_path_factory.mktemp("many")
    for directory in range(30):
        (root / "t" / f"{directory:02}").mkdir(parents=True)
        for file in range(600):
            (root / "t" / f"{directory:02}" / f"{file:03}").touch()
    archive = root / "a.warp"
    create(archive, Source(((b"t", os.fsencode(root / "t")),)), PACK_DEFAULTS)
    return archive


def damage_all_but(reader: ArchiveReader, directory: str, copy: Path) -> None:
    """Break every file-table page of `copy` that does not hold entries of a directory."""
    table_pages = reader.content.pages[KIND_TABLE]
    needed = pages_below(table_pages, directory.encode())
    assert len(needed) <= 2 < len(table_pages)
    with open(copy, "r+b") as file:
        for number, page in enumerate(table_pages):
            if number not in needed:
                file.seek(page.ref.offset + page.ref.stored_bytes // 2)
                file.write(b"\xff\xfe\xfd")


@pytest.fixture
def broken(archive: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "broken.warp"
    copy.write_bytes(archive.read_bytes())
    with open_archive(archive) as reader:
        damage_all_but(reader, "t/17", copy)
    return copy


def test_a_directory_is_listed_from_its_own_pages(broken: Path) -> None:
    with open_archive(broken) as reader:
        assert len(list(reader.entries(["t/17"]))) == 601
        with pytest.raises(IntegrityError):
            list(reader.entries(["17"]))


def test_a_directory_is_extracted_from_its_own_pages(broken: Path, tmp_path: Path) -> None:
    with open_archive(broken) as reader:
        report = extract(reader, tmp_path / "out", ExtractRequest(patterns=("t/17",)))
    assert report.progress.entries == 601
    assert len(list((tmp_path / "out" / "t" / "17").iterdir())) == 600


def test_pages_of_several_patterns_come_once_and_in_order(archive: Path) -> None:
    with open_archive(archive) as reader:
        table_pages = reader.content.pages[KIND_TABLE]
        found = pages_matching(table_pages, ["t/17/0*", "t/03", "t/17"])
        numbers = [table_pages.index(page) for page in found]
        assert numbers == sorted(set(numbers))
        assert found[0] in [table_pages[number] for number in pages_below(table_pages, b"t/03")]
        names = [entry.path for entry in reader.entries(["t/17/0*", "t/03", "t/17"])]
        assert len(names) == 2 * 601
