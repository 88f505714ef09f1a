"""Which files damaged chunks belong to, in whatever snapshot they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from warp_portal._native import EntryTable
from warp_portal.archive.content import Page, open_content, read_table
from warp_portal.archive.filetable import Entry, Kind
from warp_portal.archive.limits import KIND_TABLE
from warp_portal.archive.opening import Opened, open_earlier
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.states import snapshot_commits
from warp_portal.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Finding:
    """In one file-table page: paths of files that use a damaged fragment, and (path, target) of all hard links."""

    files: tuple[bytes, ...] = ()
    links: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class AffectedFiles:
    """The search through the open snapshot and all before it, which share chunks and most pages.

    `ranges` are the damaged fragments, sorted; `note` takes what cannot be read on the way.
    """

    reader: ArchiveReader
    ranges: list[tuple[int, int]]
    note: Callable[[str], None]
    _pages: dict[int, Finding] = field(default_factory=dict)

    def paths(self) -> tuple[bytes, ...]:
        """Each path once: the open snapshot's in archive order, then what only earlier ones hold."""
        return tuple(dict.fromkeys(path for opened in self._snapshots() for path in self._of_snapshot(opened)))

    def _snapshots(self) -> Iterator[Opened]:
        """The newest first; one that cannot be opened is passed over."""
        reader = self.reader
        yield reader.opened
        try:
            commits = snapshot_commits(reader.file, reader.commit)[:-1]
        except IntegrityError as error:
            self.note(str(error))
            return
        for commit in reversed(commits):
            try:
                yield open_earlier(reader.file, reader.opened, commit)
            except IntegrityError as error:
                self.note(str(error))

    def _of_snapshot(self, opened: Opened) -> Iterator[bytes]:
        try:
            table_pages = open_content(opened, self.reader.keys).pages[KIND_TABLE]
        except IntegrityError as error:
            self.note(str(error))
            return
        found = [self._of_page(page) for page in table_pages]
        damaged = {path for finding in found for path in finding.files}
        for finding in found:
            yield from finding.files
            yield from (path for path, target in finding.links if target in damaged)

    def _of_page(self, page: Page) -> Finding:
        finding = self._pages.get(page.ref.offset)
        if finding is None:
            try:
                finding = self._find(read_table(self.reader.file, self.reader.keys, page))
            except IntegrityError as error:
                self.note(str(error))
                finding = Finding()
            self._pages[page.ref.offset] = finding
        return finding

    def _find(self, table: EntryTable) -> Finding:
        kinds = table.to_columns()["k"]
        assert isinstance(kinds, bytes)
        links = (Entry.of(table, index) for index, kind in enumerate(kinds) if kind == Kind.HARDLINK)
        files = tuple(table.path(index) for index in table.using(self.ranges))
        return Finding(files, tuple((entry.path, entry.link) for entry in links))
