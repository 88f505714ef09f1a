"""What a writer goes on from: the state at the archive's last commit, gathered over the checkpoints since its last snapshot.

    snapshot 7 ◀─ checkpoint 8 ◀─ checkpoint 9        pages of 7, then the news of 8 and 9

Index pages: a checkpoint lists pages from the one that held the commit before's last record on; they replace what was
there. File-table pages: those of the snapshot and of each run since (checkpoints with the same scan time) make a
*layer*; a partial page is replaced by the next with the same first path. Each layer can tell what has not changed
since its scan, so a run that was killed twice still reads nothing again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from warp_portal._native import ScopeKeys
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import Content, Page, open_content
from warp_portal.archive.filetable import order_key
from warp_portal.archive.limits import (
    KIND_CHUNK,
    KIND_FRAGMENT,
    KIND_LOCATOR,
    KIND_TABLE,
    PAGE_RECORDS,
)
from warp_portal.archive.opening import Opened, history, open_earlier
from warp_portal.archive.storage import ArchiveFile
from warp_portal.errors import FormatError, IntegrityError

INDEX_KINDS = (KIND_LOCATOR, KIND_CHUNK, KIND_FRAGMENT)


@dataclass(slots=True)
class Layer:
    """The file-table pages of one run, whose scan began at `scan_time_ns`."""

    scan_time_ns: int
    tables: list[Page] = field(default_factory=list)

    def add(self, news: list[Page]) -> None:
        """The pages of the run's next checkpoint."""
        if news and self.tables and self.tables[-1].first_path == news[0].first_path:
            self.tables.pop()
        self.tables += news
        keys = [order_key(page.first_path) for page in self.tables[-len(news) - 1 :]]
        if any(before >= after for before, after in pairwise(keys)):
            raise FormatError("file-table pages of a checkpoint are out of order")


@dataclass(slots=True)
class Base:
    """The archive before a writer adds to it; a new one is all empty."""

    commit: Commit | None = None
    commit_digest: bytes = bytes(32)
    active_copy: int = 0
    slots_digest: bytes = bytes(32)
    frontier: bytes = b""
    fragments: int = 0
    index: dict[int, list[Page]] = field(default_factory=lambda: {kind: [] for kind in INDEX_KINDS})
    layers: list[Layer] = field(default_factory=list)
    arguments: dict[str, object] = field(default_factory=dict)
    """Of the checkpoints' run; empty if the last commit is a snapshot."""

    @property
    def chunks(self) -> int:
        """Chunks so far."""
        return self.commit.chunks if self.commit else 0

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of them."""
        return self.commit.stored_bytes if self.commit else 0

    @property
    def unfinished(self) -> bool:
        """Whether the last commit is a checkpoint."""
        return self.commit is not None and not self.commit.snapshot


def load_base(file: ArchiveFile, opened: Opened, keys: ScopeKeys) -> Base:
    """Gather the state at `opened`; raises FormatError, IntegrityError."""
    chain = [open_content(step, keys) for step in _since_snapshot(file, opened, keys)]
    base = Base(
        commit=opened.commit,
        commit_digest=opened.commit.digest(),
        active_copy=opened.toc.clear.active_copy,
        slots_digest=opened.toc.clear.slots_digest,
        frontier=opened.toc.clear.frontier,
        fragments=chain[0].sealed.fragments,
    )
    chunks = fragments = 0
    for content in reversed(chain):
        _add_index(base, content, chunks, fragments)
        _add_tables(base, content)
        chunks, fragments = content.commit.chunks, content.sealed.fragments
    return base


def _since_snapshot(file: ArchiveFile, opened: Opened, keys: ScopeKeys) -> Iterator[Opened]:
    """The commits from `opened` back to the last snapshot, each checked by the digest in its successor's TOC."""
    after: Opened | None = None
    for commit in history(file, opened.commit):
        commit.check_mac(keys)
        if after is not None and after.toc.clear.previous_digest != commit.digest():
            raise IntegrityError(f"{file.name}: commit {commit.sequence} is not the one that its successor names")
        after = open_earlier(file, opened, commit)
        yield after
        if commit.snapshot:
            return


def _add_index(base: Base, content: Content, chunks: int, fragments: int) -> None:
    """Replace the index pages from the one after which nothing was complete."""
    totals = {
        KIND_LOCATOR: content.commit.chunks,
        KIND_CHUNK: content.commit.chunks,
        KIND_FRAGMENT: content.sealed.fragments,
    }
    before = {KIND_LOCATOR: chunks, KIND_CHUNK: chunks, KIND_FRAGMENT: fragments}
    for kind in INDEX_KINDS:
        if content.commit.snapshot:
            base.index[kind] = list(content.pages[kind])
        elif content.pages[kind]:
            del base.index[kind][before[kind] // PAGE_RECORDS :]
            base.index[kind] += content.pages[kind]
        check_full_pages(base.index[kind], totals[kind])


def check_full_pages(index_pages: list[Page], records: int) -> None:
    """Raises FormatError unless all pages but the last are full and they hold `records` in all."""
    counts = [page.ref.records for page in index_pages]
    if sum(counts) != records or any(count != PAGE_RECORDS for count in counts[:-1]):
        raise FormatError("the index pages of a commit do not hold all its records")


def _add_tables(base: Base, content: Content) -> None:
    if not content.commit.snapshot:
        base.arguments = content.sealed.arguments
    if not base.layers or base.layers[-1].scan_time_ns != content.sealed.time_ns:
        base.layers.append(Layer(content.sealed.time_ns))
    base.layers[-1].add(content.pages[KIND_TABLE])
