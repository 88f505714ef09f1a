"""The file table as it grows, and what earlier ones say of unchanged files.

A page equal to one of an earlier snapshot or run is listed where it lies and not written again; most of an append's
pages are that.
"""

import grp
import pwd
from collections.abc import Iterable, Iterator
from typing import Final

from warp_portal._native import OBJECT_PAGE, Baseline, EntryTable, ScopeKeys, WalkBatch, blake3
from warp_portal.archive import filetable
from warp_portal.archive.base import Layer
from warp_portal.archive.content import Page, checked_table, read_raw
from warp_portal.archive.indexlog import Emit
from warp_portal.archive.limits import KIND_TABLE
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.toc import PageRef
from warp_portal.primitives.compression import ZSTD

TABLE_LEVEL: Final = 6  # zstd: read and rewritten whole by every append that changes it


class TableLog:
    """The file-table pages of one run."""

    def __init__(self, keys: ScopeKeys, emit: Emit) -> None:
        self._keys = keys
        self._emit = emit
        self._known: dict[bytes, Page] = {}
        self._pages: list[Page] = []
        self._partial: Page | None = None
        self._listed = 0
        self._totals = (0, 0)
        self._partial_totals = (0, 0)
        self._owners: tuple[set[int], set[int]] = (set(), set())
        self.position = b""

    def know(self, raw: bytes, page: Page) -> None:
        """A page that lies in the archive, with its raw content."""
        self._known[blake3(raw)] = page

    def add(self, tables: Iterable[EntryTable]) -> None:
        """Complete pages, in order."""
        for table in tables:
            self._pages.append(self._place(table))
            entries, logical = _totals(table)
            self._totals = (self._totals[0] + entries, self._totals[1] + logical)

    def set_partial(self, table: EntryTable | None) -> None:
        """The complete entries of the page still open, at a checkpoint."""
        self._partial = self._place(table) if table else None
        self._partial_totals = _totals(table) if table else (0, 0)

    @property
    def totals(self) -> tuple[int, int]:
        """Entries and logical bytes so far."""
        return self._totals[0] + self._partial_totals[0], self._totals[1] + self._partial_totals[1]

    def pages(self, news: bool) -> list[Page]:
        """The pages that a checkpoint (`news`) or a snapshot lists."""
        complete = self._pages[self._listed :] if news else self._pages
        return complete + ([self._partial] if self._partial else [])

    def listed(self) -> None:
        """A commit lists all that there is now; a partial page is listed again until it is complete."""
        self._listed = len(self._pages)

    def owner_names(self) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """Names of the owners and groups of all entries, as this machine knows them now."""
        users = {uid: name for uid in sorted(self._owners[0]) if (name := _user_name(uid))}
        groups = {gid: name for gid in sorted(self._owners[1]) if (name := _group_name(gid))}
        return users, groups

    def _place(self, table: EntryTable) -> Page:
        """List an equal page that there is, or seal and append this one."""
        for names, numbers in zip(self._owners, table.owners(), strict=True):
            names.update(numbers)
        self.position = table.path(len(table) - 1)
        raw = filetable.encode(table)
        digest = blake3(raw)
        if digest not in self._known:
            stored, dp = self._keys.seal(OBJECT_PAGE, raw, ZSTD, TABLE_LEVEL)
            ref = PageRef(KIND_TABLE, len(table), self._emit(stored), len(stored), blake3(stored), b"")
            self._known[digest] = Page(ref, dp, first_path=table.path(0))
        return self._known[digest]


def _totals(table: EntryTable) -> tuple[int, int]:
    return len(table), table.totals()[1]


def _user_name(uid: int) -> bytes:
    try:
        return pwd.getpwuid(uid).pw_name.encode("utf-8", "surrogateescape")
    except KeyError:
        return b""


def _group_name(gid: int) -> bytes:
    try:
        return grp.getgrgid(gid).gr_name.encode("utf-8", "surrogateescape")
    except KeyError:
        return b""


class Unchanged:
    """What earlier layers say of a walk's batches: each is a baseline with its own scan time, read page by page."""

    def __init__(self, file: ArchiveFile, keys: ScopeKeys, layers: list[Layer], log: TableLog | None = None) -> None:
        self._file = file
        self._keys = keys
        self._log = log
        # The newest first: where two layers know a file, its recipe there is as good and nearer.
        self._baselines = [(Baseline(layer.scan_time_ns), self._tables(layer.tables)) for layer in reversed(layers)]

    def apply(self, batch: WalkBatch) -> int:
        """Mark the unchanged entries of a batch; how many."""
        marked = 0
        for baseline, tables in self._baselines:
            while baseline.behind(batch):
                table = next(tables, None)
                if table is None:
                    baseline.finish()
                    break
                baseline.push(table)
            marked += baseline.apply(batch)
        return marked

    def _tables(self, table_pages: list[Page]) -> Iterator[EntryTable]:
        for page in table_pages:
            raw = read_raw(self._file, self._keys, page)
            if self._log:
                self._log.know(raw, page)
            yield checked_table(raw, page)
