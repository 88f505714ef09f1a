"""Only those pages of the file table are read that may hold what was asked for."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from warp_portal._native import Matcher
from warp_portal.archive import ExtractRequest, extract, open_archive
from warp_portal.archive.content import Page, read_table
from warp_portal.archive.limits import DIGEST_BYTES, KIND_TABLE
from warp_portal.archive.options import PACK_DEFAULTS, Source
from warp_portal.archive.reach import pages_below, pages_matching, reach
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.toc import PageRef
from warp_portal.archive.writer import create
from warp_portal.errors import IntegrityError, UsageError

COMPONENTS = st.sampled_from(["a", "b", "ab", "a b", " a", "a ", "b\\", "é", "a.x", "#", "!", "*"])
PATHS = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)


@st.composite
def patterns_for(draw: st.DrawFn, path: str) -> str:
    """A pattern that mostly matches a path: its first components, some written otherwise, and what may stand around them."""
    components = path.split("/")[: draw(st.integers(1, 4))]
    for number, component in enumerate(components):
        components[number] = draw(st.sampled_from([component] * 12 + ways_to_write(component)))
    before = draw(st.sampled_from(["/"] * 9 + ["", "**/", " "]))
    return before + "/".join(components) + draw(st.sampled_from([""] * 6 + ["/", " ", "\\ "]))


def ways_to_write(component: str) -> list[str]:
    """Patterns that match a component, most of them in other characters than its own."""
    escaped = "".join("\\" + c if c in "\\*#! " else c for c in component)
    return ["*", "?" + component[1:], "[" + component[0] + "]" + component[1:], "\\" + component, escaped]


@settings(max_examples=400, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data(), PATHS, st.booleans())
def test_whatever_patterns_match_lies_within_their_reach(data: st.DataObject, path: str, is_directory: bool) -> None:
    """400 matches that may not lie anywhere; what else is drawn, three in four, says nothing and is not counted."""
    patterns = [data.draw(patterns_for(path)), *data.draw(st.lists(PATHS.flatmap(patterns_for), max_size=1))]
    if data.draw(st.booleans()):
        patterns.append("!" + data.draw(PATHS))
    try:
        matches = Matcher(patterns).matches(path.encode(), is_directory)
    except UsageError:
        reject()  # no pattern
    found = reach(patterns)
    assume(matches and found is not None)
    assert found is not None
    assert within(path, found), (patterns, path, found)


def within(path: str, places: list[bytes]) -> bool:
    return any(path.encode() == place or path.encode().startswith(place + b"/") for place in places)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("a/b ", "a/b"),
        ("a/b\\ ", "a/b "),
        ("/\\a", "a"),
        ("a/\\b", "a/b"),
        ("a\\ b/c", "a b/c"),
        ("a/[b]", "a/b"),
        ("a/?", "a/b"),
        ("a/**", "a/b"),
        ("/**/b", "a/b"),
        ("**/b/c", "a/b/c"),
        ("\\#/a", "#/a"),
        ("\\!/a", "!/a"),
    ],
)
def test_what_is_not_written_as_it_is_reaches_its_match(pattern: str, path: str) -> None:
    assert Matcher([pattern]).matches(path.encode(), False)
    found = reach([pattern])
    assert found is None or within(path, found)


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


def below(path: bytes, directory: bytes) -> bool:
    return path == directory or path.startswith(directory + b"/")


# What sorts before, between and behind "/" and the end of a component.
NAMES = st.sampled_from(["a", "a\x01", "a!", "a.", "a0", "aa", "b"])
DEEP_PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/".join(names).encode())


@given(st.sets(DEEP_PATHS, min_size=1, max_size=60), st.sets(st.integers(1, 59)), DEEP_PATHS)
def test_the_pages_below_a_path_are_those_that_hold_it(paths: set[bytes], cuts: set[int], prefix: bytes) -> None:
    ordered = sorted(paths, key=lambda path: path.split(b"/"))
    starts = sorted({0, *(cut for cut in cuts if cut < len(ordered))})
    listed = [ordered[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    ref = PageRef(KIND_TABLE, 1, 0, 1, bytes(DIGEST_BYTES), b"")
    found = set(pages_below([Page(ref, b"", first_path=each[0]) for each in listed], prefix))
    needed = {number for number, each in enumerate(listed) if any(below(path, prefix) for path in each)}
    assert needed <= found
    # The page that its place lies in may turn out not to hold it.
    assert len(found - needed) <= 1


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


def holding(reader: ArchiveReader, directory: bytes) -> list[int]:
    """The file-table pages with entries at or below a directory, by all of their entries."""
    tables = [read_table(reader.file, reader.keys, page) for page in reader.content.pages[KIND_TABLE]]
    paths = [[table.path(index) for index in range(len(table))] for table in tables]
    return [number for number, listed in enumerate(paths) if any(below(path, directory) for path in listed)]


def damage_all_but(reader: ArchiveReader, directory: str, copy: Path) -> None:
    """Break every file-table page of `copy` that does not hold entries of a directory."""
    table_pages = reader.content.pages[KIND_TABLE]
    needed = holding(reader, directory.encode())
    assert len(needed) == 2 < len(table_pages)
    with open(copy, "r+b") as file:
        for number, page in enumerate(table_pages):
            if number not in needed:
                file.seek(page.ref.offset + page.ref.stored_bytes // 2)
                file.write(b"\xff\xfe\xfd")


@pytest.fixture(scope="module")
def seam(archive: Path) -> str:
    """A directory that begins in one page and ends in the next."""
    with open_archive(archive) as reader:
        names = [f"t/{number:02}" for number in range(30)]
        return next(name for name in names if len(holding(reader, name.encode())) == 2)


@pytest.fixture
def broken(archive: Path, seam: str, tmp_path: Path) -> Path:
    copy = tmp_path / "broken.warp"
    copy.write_bytes(archive.read_bytes())
    with open_archive(archive) as reader:
        damage_all_but(reader, seam, copy)
    return copy


def test_a_directory_is_listed_from_its_own_pages(broken: Path, seam: str) -> None:
    with open_archive(broken) as reader:
        assert len(list(reader.entries([seam]))) == 601
        with pytest.raises(IntegrityError):
            list(reader.entries([seam.removeprefix("t/")]))


def test_a_directory_is_extracted_from_its_own_pages(broken: Path, seam: str, tmp_path: Path) -> None:
    with open_archive(broken) as reader:
        report = extract(reader, tmp_path / "out", ExtractRequest(patterns=(seam,)))
    assert report.progress.entries == 601
    assert len(list((tmp_path / "out" / seam).iterdir())) == 600


def test_every_directory_is_listed_whole(archive: Path) -> None:
    with open_archive(archive) as reader:
        everything = [entry.path for entry in reader]
        for name in [b"t", *(b"t/%02d" % number for number in range(30))]:
            expected = [path for path in everything if below(path, name)]
            assert [entry.path for entry in reader.entries([f"/{name.decode()}"])] == expected
            assert [entry.path for entry in reader.entries(prefix=name)] == expected


def test_pages_of_several_patterns_come_once_and_in_order(archive: Path) -> None:
    with open_archive(archive) as reader:
        table_pages = reader.content.pages[KIND_TABLE]
        found = pages_matching(table_pages, ["t/17/0*", "t/03", "t/17"])
        numbers = [table_pages.index(page) for page in found]
        assert numbers == sorted(set(numbers))
        assert set(numbers) >= {*holding(reader, b"t/03"), *holding(reader, b"t/17")}
        assert len(numbers) < len(table_pages)
        names = [entry.path for entry in reader.entries(["t/17/0*", "t/03", "t/17"])]
        assert len(names) == 2 * 601
