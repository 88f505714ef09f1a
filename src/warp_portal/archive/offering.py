"""An archive that goes to another machine as it is stored (docs/transfer-protocol.md §7): what is offered, sent and found of it.

    header, key slots │ TOC of the newest snapshot │ commit before it, its TOC │ …  back to one that the other machine has

What lies behind the newest snapshot is passed over, be it damage or a writer's work. No key is needed.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from warp_portal.archive.commit import Commit
from warp_portal.archive.content import read_stored
from warp_portal.archive.limits import KIND_LOCATOR, PAGE_RECORDS
from warp_portal.archive.opening import Opened, commit_at, history, newest, read_header, read_toc, slot_copy_offset
from warp_portal.archive.storage import AnyPath, ArchiveFile
from warp_portal.archive.toc import TOC, PageRef
from warp_portal.errors import BeginningError, IntegrityError, UsageError

# A frame takes no larger chunk; no profile makes them.
MAX_CHUNK: Final = 8 * 1024 * 1024
# A TOC is held in memory to be checked, before anything else vouches for who sends it. One of a million pages has some 100 MB.
MAX_SENT_TOC: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """A commit on the way back: what of it is sent, as pieces with their offsets, and how many pages its TOC lists."""

    pieces: tuple[tuple[int, bytes], ...]
    pages: int


class Offering:
    """The newest snapshot of an archive, with all before it; a context manager."""

    def __init__(self, path: AnyPath) -> None:
        """Open it.

        Raises:
            NotFoundError, UsageError: there is no such archive, or it has chunks that are too large to be sent.
            FormatError, VersionError, IntegrityError: its beginning is damaged, or no snapshot is whole.
        """
        self.file = ArchiveFile(path)
        try:
            self._opened = _newest(self.file)
        except BaseException:
            self.file.close()
            raise
        self._firsts, self._commits = (
            array("Q"),
            array("Q"),
        )  # of each TOC that was sent: number of its first page, its commit's offset
        self._last: tuple[int, TOC] | None = None
        self.whole_chain = True
        """Whether all older TOCs could be read; known when `steps` has ended."""

    @property
    def commit(self) -> Commit:
        """The commit that is offered."""
        return self._opened.commit

    @property
    def locators(self) -> tuple[PageRef, ...]:
        """Where the pages are that tell of its chunks."""
        return self._opened.toc.clear.of_kind(KIND_LOCATOR)

    def beginning(self) -> bytes:
        """Header and key slots; the copy that is not in use is zero, for it may hold slots that were taken away."""
        header, active = self._opened.header, self._opened.toc.clear.active_copy
        copies = [bytes(header.slot_copy_bytes)] * 2
        if header.encrypted:
            offset = slot_copy_offset(header, active)
            copies[active] = self.file.read(offset, header.slot_copy_bytes, "the key slots")
        return header.serialize() + b"".join(copies)

    def find(self, digest: bytes | None) -> Commit | None:
        """The commit with this digest, if it is one of the chain."""
        try:
            return next((commit for commit in history(self.file, self.commit) if commit.digest() == digest), None)
        except IntegrityError:
            return None

    def steps(self, known: Commit | None) -> Iterator[Step]:
        """From the newest commit back to the one behind `known`, each checked by the digest in its successor's TOC.

        It ends before a commit that is damaged; `whole_chain` tells.
        """
        self._firsts, self._commits, first = array("Q"), array("Q"), 0
        expected = self.commit.digest()
        try:
            for commit in history(self.file, self.commit):
                if commit == known:
                    return
                if commit.digest() != expected:
                    raise IntegrityError(f"commit {commit.sequence} is not the one that its successor names")
                toc = self._toc(commit)
                expected = toc.clear.previous_digest
                self._firsts.append(first)
                self._commits.append(commit.offset)
                first += len(toc.clear.pages)
                yield Step(self._pieces(commit, toc), len(toc.clear.pages))
        except IntegrityError:
            self.whole_chain = False

    def first_locator(self, known: Commit | None) -> int:
        """The first page that is sent: that of the first chunk behind those of a commit; none if that is the newest."""
        if known == self.commit:
            return len(self.locators)
        return known.chunks // PAGE_RECORDS if known else 0

    def locator(self, number: int) -> bytes:
        """A locator page as it is stored; raises DamagedPageError."""
        return read_stored(self.file, self.locators[number])

    def page(self, number: int) -> PageRef:
        """A metadata page by its place among all that the TOCs of `steps` list, one after the other; raises UsageError, IntegrityError."""
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            raise UsageError(f"page {number} was not sent")
        if self._last is None or self._last[0] != at:
            self._last = at, self._toc(commit_at(self.file, self._commits[at]))
        pages = self._last[1].clear.pages
        if number - self._firsts[at] >= len(pages):
            raise UsageError(f"page {number} was not sent")
        return pages[number - self._firsts[at]]

    def _toc(self, commit: Commit) -> TOC:
        if commit == self.commit:
            return self._opened.toc
        if commit.toc_bytes > MAX_SENT_TOC:
            raise IntegrityError(f"the TOC of commit {commit.sequence} is too long to be sent")
        return read_toc(self.file, commit)

    def _pieces(self, commit: Commit, toc: TOC) -> tuple[tuple[int, bytes], ...]:
        """A commit goes before its TOC, which it makes valid; the newest went with the offer."""
        own = () if commit == self.commit else ((commit.offset, commit.serialize()),)
        return (*own, (commit.toc_offset, toc.serialize()))

    def close(self) -> None:
        """Close the file; idempotent."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _newest(file: ArchiveFile) -> Opened:
    header = read_header(file)
    opened = newest(file, header, recover=True)
    if opened.slots is not None and not opened.slots.whole:
        raise BeginningError(
            f"{file.name}: the key slots are damaged, and nobody could open a copy: put them back first"
        )
    if header.cutting.chunk.maximum > MAX_CHUNK:
        raise UsageError(
            f"{file.name} has chunks of more than {MAX_CHUNK >> 20} MiB, which are not sent: copy the file"
        )
    if opened.commit.toc_bytes > MAX_SENT_TOC:
        raise UsageError(f"{file.name} has a table of contents of more than {MAX_SENT_TOC >> 20} MiB: copy the file")
    return opened
