"""Archives with damaged pages: what needs none of them is restored, and recovery finds the last whole snapshot."""

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, grow

from warp_portal._native import EntryTable
from warp_portal.archive.chunkindex import MOST_MISSING, IndexReading
from warp_portal.archive.extraction import ExtractReport, ExtractRequest, Overwrite, extract
from warp_portal.archive.filetable import Entry
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR, KIND_TABLE
from warp_portal.archive.options import Source
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.toc import PageRef
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.cli.main import main
from warp_portal.errors import DamagedPageError, FormatError

RECORDS = 4096


@dataclass(frozen=True)
class Packed:
    """An archive of two snapshots, the second of which adds a file, and where its pages lie."""

    directory: Path
    archive: Path
    pages: dict[int, list[PageRef]]  # of the second snapshot, by kind
    chunks: dict[bytes, set[int]]  # of each file that has data
    fragments: dict[bytes, set[int]]

    def damaged(self, *refs: PageRef) -> Path:
        """A copy in which a byte of each of these pages is another."""
        raw = bytearray(self.archive.read_bytes())
        for ref in refs:
            raw[ref.offset + ref.stored_bytes // 2] ^= 1
        copy = self.directory / "damaged.warp"
        copy.write_bytes(raw)
        return copy


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    home = tmp_path_factory.mktemp("metadata")
    # About 4,500 chunks of a fragment each, and 1,500 entries without data: two pages of each kind.
    grow(home / "tree", 300, 120_000)
    for number in range(1_500):
        (home / "tree" / "d0" / f"empty-{number:04}-{'n' * 200}").touch()
    with contextlib.chdir(home / "tree"):
        create(home / "a.warp", Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY)
        Path("z-new").write_bytes(b"new" * 1000)
        append(home / "a.warp", Source.of(["."]), OFTEN, unlock=UNLOCK)
    with open_archive(home / "a.warp", UNLOCK) as reader:
        pages = {kind: [page.ref for page in found] for kind, found in reader.content.pages.items()}
        chunks = {entry.path: chunks_of(reader, entry) for entry in reader if entry.size}
        fragments = {entry.path: fragments_of(reader, entry) for entry in reader if entry.size}
    return Packed(home, home / "a.warp", pages, chunks, fragments)


def chunks_of(reader: ArchiveReader, entry: Entry) -> set[int]:
    runs = [reader.index.locate(first, count) for first, count in entry.runs]
    return {chunk for run in runs for chunk, _, _ in run}


def fragments_of(reader: ArchiveReader, entry: Entry) -> set[int]:
    """Those of all chunks that a file needs."""
    ranges = [range(*reader.index.chunk_fragments(chunk)) for chunk in chunks_of(reader, entry)]
    return {fragment for found in ranges for fragment in found}


def restored(packed: Packed, archive: Path, target: Path, *, recover: bool = False) -> tuple[set[bytes], ExtractReport]:
    """Paths of the files with data that were restored, each of which is as it was packed."""
    with open_archive(archive, UNLOCK, recover=recover) as reader:
        report = extract(reader, target, ExtractRequest(threads=2))
    found = {path.relative_to(target) for path in target.rglob("*") if path.is_file() and path.stat().st_size}
    for path in found:
        assert (target / path).read_bytes() == (packed.directory / "tree" / path).read_bytes()
    return {bytes(path) for path in found}, report


@pytest.mark.parametrize("kind", [KIND_LOCATOR, KIND_CHUNK, KIND_FRAGMENT])
@pytest.mark.parametrize("number", [0, 1])
def test_a_page_of_places_costs_what_it_tells_of_and_no_more(
    packed: Packed, tmp_path: Path, kind: int, number: int
) -> None:
    assert len(packed.pages[kind]) == 2
    found, report = restored(packed, packed.damaged(packed.pages[kind][number]), tmp_path / "out")
    needed = packed.fragments if kind == KIND_FRAGMENT else packed.chunks
    whole = {path for path, records in needed.items() if all(record // RECORDS != number for record in records)}
    assert 0 < len(whole) < len(needed)
    assert found == whole
    assert {problem.path for problem in report.problems} == set(needed) - whole
    assert report.damaged == report.failed == len(needed) - len(whole)
    assert all("damaged index: the places of this are lost" in problem.what for problem in report.problems)
    assert len(list((tmp_path / "out" / "d0").glob("empty-*"))) == 1_500


def test_pages_of_all_kinds_may_be_damaged(packed: Packed, tmp_path: Path) -> None:
    refs = [packed.pages[KIND_LOCATOR][0], packed.pages[KIND_CHUNK][1], packed.pages[KIND_FRAGMENT][1]]
    found, report = restored(packed, packed.damaged(*refs), tmp_path / "out")
    assert not found
    assert report.damaged == len(packed.chunks)


def test_a_page_of_names_costs_its_entries_and_is_told(packed: Packed, tmp_path: Path) -> None:
    pages = packed.pages[KIND_TABLE]
    archive = packed.damaged(pages[1])
    with open_archive(packed.archive, UNLOCK) as reader:
        tables = [names(table) for table in reader.tables()]
    found, report = restored(packed, archive, tmp_path / "out")
    assert found == set(packed.chunks) - tables[1]
    assert [(problem.path in tables[1], problem.errno) for problem in report.problems] == [(True, 0)]
    assert f"{len(tables[1]):,} entries from here on are lost" in report.problems[0].what
    assert report.damaged == 1
    with open_archive(archive, UNLOCK) as reader, pytest.raises(DamagedPageError, match="--recover"):
        list(reader)


def names(table: EntryTable) -> set[bytes]:
    return {table.path(index) for index in range(len(table))}


@pytest.mark.parametrize("kind", [KIND_LOCATOR, KIND_CHUNK, KIND_FRAGMENT, KIND_TABLE])
def test_recovery_reads_the_last_snapshot_whose_pages_are_whole(packed: Packed, tmp_path: Path, kind: int) -> None:
    archive = packed.damaged(packed.pages[kind][-1])
    with open_archive(archive, UNLOCK, recover=True) as reader:
        assert (reader.snapshot.number, reader.damaged_snapshots) == (1, 1)
    found, report = restored(packed, archive, tmp_path / "out", recover=True)
    assert found == set(packed.chunks) - {b"z-new"}
    assert not report.failed
    assert not verify(archive, Level.DEEP, unlock=UNLOCK).ok
    assert verify(archive, Level.DEEP, unlock=UNLOCK, snapshot=1).ok


def test_recovery_stays_with_the_newest_where_none_is_whole_or_it_is(packed: Packed) -> None:
    with open_archive(packed.damaged(packed.pages[KIND_FRAGMENT][0]), UNLOCK, recover=True) as reader:
        assert (reader.snapshot.number, reader.damaged_snapshots) == (2, 0)
        assert reader.none_whole
    with open_archive(packed.archive, UNLOCK, recover=True) as reader:
        assert (reader.snapshot.number, reader.damaged_snapshots, reader.none_whole) == (2, 0, False)


@pytest.mark.parametrize("level", [Level.INDEX, Level.DATA, Level.DEEP])
def test_each_damaged_page_is_told_once(packed: Packed, level: Level) -> None:
    ref = packed.pages[KIND_FRAGMENT][0]
    report = verify(packed.damaged(ref), level, unlock=UNLOCK)
    assert report.metadata_damage == (f"fragment page at {ref.offset}: its bytes are not those of its digest",)


def test_a_file_of_lies_about_its_pages_does_not_get_memory_for_them(packed: Packed) -> None:
    with open_archive(packed.damaged(packed.pages[KIND_LOCATOR][0]), UNLOCK) as reader:
        content = reader.content
        lie = replace(
            content, pages={**content.pages, KIND_LOCATOR: content.pages[KIND_LOCATOR][:1] * (MOST_MISSING + 1)}
        )
        with pytest.raises(DamagedPageError):
            IndexReading(reader.file, reader.keys, lie, 8192).run(tolerant=True)
        few = replace(content, pages={**content.pages, KIND_LOCATOR: content.pages[KIND_LOCATOR][:1] * 2})
        with pytest.raises(FormatError):
            IndexReading(reader.file, reader.keys, few, 8192).run(tolerant=True)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """An archive in which the entry of a file that has a further name, and of its directory, lies in a damaged page."""
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d").chmod(0o711)
    (tree / "d" / "a").write_bytes(b"of both names")
    for number in range(1_500):
        (tree / "d" / f"empty-{number:04}-{'n' * 200}").touch()
    os.link(tree / "d" / "a", tree / "z-link")
    archive = tmp_path / "a.warp"
    with contextlib.chdir(tree):
        create(archive, Source.of(["."]), OFTEN)
    with open_archive(archive) as reader:
        assert len(reader.content.pages[KIND_TABLE]) > 1
        ref = reader.content.pages[KIND_TABLE][0].ref
    raw = bytearray(archive.read_bytes())
    raw[ref.offset + ref.stored_bytes // 2] ^= 1
    archive.write_bytes(raw)
    return archive


@pytest.mark.parametrize("patterns", [(), ("/z-link",)])
@pytest.mark.parametrize("overwrite", list(Overwrite))
def test_a_link_whose_files_entry_is_lost_is_made_to_nothing_else(
    linked: Path, tmp_path: Path, patterns: tuple[str, ...], overwrite: Overwrite
) -> None:
    target = tmp_path / "out"
    (target / "d").mkdir(parents=True)
    (target / "d" / "a").write_bytes(b"foreign")
    with open_archive(linked) as reader:
        report = extract(reader, target, ExtractRequest(patterns, overwrite))
    problems = {problem.path: problem for problem in report.problems}
    assert problems[b"z-link"] == (b"z-link", "damaged data: it is a name of d/a, whose entry is lost", 0, None)
    assert not (target / "z-link").exists()
    assert (target / "d" / "a").read_bytes() == b"foreign"


def test_a_directory_whose_entry_is_lost_is_made_for_its_owner_alone(linked: Path, tmp_path: Path) -> None:
    with open_archive(linked) as reader:
        extract(reader, tmp_path / "out")
        extract(reader, tmp_path / "chosen", ExtractRequest(("d/empty-1499*",)))
    assert (tmp_path / "out" / "d").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "chosen" / "d").stat().st_mode & 0o777 == 0o755


def test_a_dry_run_tells_of_lost_entries_too(linked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(linked), "-C", str(tmp_path / "out"), "--dry-run"]) == 13
    said = capsys.readouterr().err
    assert "entries from here on are lost" in said
    assert "warp: z-link: damaged data: it is a name of d/a, whose entry is lost" in said


def test_recovery_says_where_no_snapshot_is_whole(linked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(linked), "--recover"]) == 0
    assert "warning: pages of every snapshot are damaged: this is the newest" in capsys.readouterr().err
