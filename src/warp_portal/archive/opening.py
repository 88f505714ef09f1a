"""From a file to its newest valid commit (docs/format.md §10): header, last commit, TOC, and each one's digest by the next.

Nothing here needs a key; what a key adds (MACs, the sealed part) is checked in `unlock` and `state`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from warp_portal._native import blake3
from warp_portal.archive.commit import COMMIT_BYTES, MAGIC, Commit
from warp_portal.archive.header import HEADER_BYTES, Header
from warp_portal.archive.limits import ALIGNMENT, ZERO_DIGEST
from warp_portal.archive.slots import SlotCopy
from warp_portal.archive.storage import ArchiveFile, Readable
from warp_portal.archive.toc import TOC
from warp_portal.errors import BeginningError, BusyError, DamagedTailError, FormatError, IntegrityError

_SCAN_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Opened:
    """A commit with its TOC, checked against the header and the slot copy that it names."""

    header: Header
    commit: Commit
    toc: TOC
    slots: SlotCopy | None


def read_header(file: ArchiveFile) -> Header:
    """The header; raises FormatError, VersionError."""
    if file.size() < HEADER_BYTES:
        raise FormatError(f"{file.name} is no Warp archive: too short for a header")
    try:
        return Header.parse(file.read(0, HEADER_BYTES, "the header"))
    except FormatError as error:
        raise FormatError(
            f"{file.name}: {error}: if it was an archive, its first bytes are damaged, and a copy of them makes it whole again"
        ) from None


def commit_at(file: Readable, offset: int) -> Commit:
    """The commit that lies at `offset` and says so; raises FormatError, IntegrityError."""
    commit = Commit.parse(file.read(offset, COMMIT_BYTES, "a commit"))
    if commit.offset != offset:
        raise FormatError(f"commit {commit.sequence} belongs at another offset")
    return commit


def last_commit(file: ArchiveFile) -> Commit | None:
    """The commit that ends the file, or None if its end is something else."""
    try:
        return commit_at(file, file.size() - COMMIT_BYTES) if file.size() >= COMMIT_BYTES else None
    except IntegrityError:
        return None


def candidates_before(file: ArchiveFile, end: int) -> Iterator[Commit]:
    """Valid-looking commits that end at or before `end`, newest first: a scan on the 4096-byte steps where they may lie."""
    top = (end - COMMIT_BYTES) // ALIGNMENT * ALIGNMENT
    while top > 0:
        bottom = max(0, top - _SCAN_BYTES)
        block = file.read(bottom, top + COMMIT_BYTES - bottom, "the scanned range")
        for offset in range(top, bottom - 1, -ALIGNMENT):
            raw = block[offset - bottom : offset - bottom + COMMIT_BYTES]
            if raw.startswith(MAGIC) and offset and (commit := _parsed(raw, offset)):
                yield commit
        top = bottom - ALIGNMENT


def _parsed(raw: bytes, offset: int) -> Commit | None:
    try:
        commit = Commit.parse(raw)
    except FormatError:
        return None
    return commit if commit.offset == offset else None


def open_commit(file: Readable, header: Header, commit: Commit, *, recover: bool = False) -> Opened:
    """Read and check the TOC of a commit, and the header and slots by it; raises FormatError, IntegrityError.

    With `recover`, what is left of the slots will do: the header's commitment tells the right key.
    """
    toc = read_toc(file, commit)
    clear = toc.clear
    if clear.header_digest != blake3(header.serialize()):
        raise BeginningError(
            f"{file.name}: the header is damaged, or was changed after commit {commit.sequence}: {_beginning(header)}"
        )
    if clear.chunks != commit.chunks or (clear.previous_digest == ZERO_DIGEST) != (commit.previous == 0):
        raise FormatError(f"commit {commit.sequence} and its TOC contradict each other")
    try:
        return Opened(header, commit, toc, _slots(file, header, toc))
    except IntegrityError:
        if not recover or not header.encrypted:
            raise
        return Opened(header, commit, toc, _salvaged(file, header, clear.active_copy))


def open_earlier(file: ArchiveFile, opened: Opened, commit: Commit) -> Opened:
    """An earlier commit beside an open one. The slots it names may have been exchanged since, so only its TOC is checked."""
    return opened if commit == opened.commit else Opened(opened.header, commit, read_toc(file, commit), opened.slots)


def read_toc(file: Readable, commit: Commit) -> TOC:
    """The TOC of a commit, checked by its digest."""
    raw = file.read(commit.toc_offset, commit.toc_bytes, "a TOC")
    if blake3(raw) != commit.toc_digest:
        raise IntegrityError(
            f"{file.name}: the TOC of commit {commit.sequence} is damaged: fetch the archive again, or read the last whole "
            "snapshot with --recover (cat, extract, info, list)"
        )
    return TOC.parse(raw, commit.toc_offset)


def _slots(file: Readable, header: Header, toc: TOC) -> SlotCopy | None:
    """The slot copy that the TOC names."""
    if not header.encrypted:
        if toc.clear.slots_digest != ZERO_DIGEST or toc.clear.active_copy:
            raise FormatError("TOC: a plain archive has no key slots")
        return None
    raw = _read_slots(file, header, toc.clear.active_copy)
    if blake3(raw) != toc.clear.slots_digest:
        raise BeginningError(
            f"{file.name}: the key slots are damaged or exchanged: {_beginning(header)}; --recover tries the slots that are left"
        )
    return SlotCopy.parse(raw)


def _salvaged(file: Readable, header: Header, named: int) -> SlotCopy:
    """What is left of both copies: the one named was wiped if a later, lost commit changed the keys, or it is damaged."""
    return SlotCopy.salvage(_read_slots(file, header, copy) for copy in (named, 1 - named))


def _beginning(header: Header) -> str:
    """What to do about damage there; the length is that of the header and both copies of the slots."""
    return f"fetch the archive again, or put its first {header.first_segment} bytes back from a copy"


def _read_slots(file: Readable, header: Header, copy: int) -> bytes:
    return file.read(slot_copy_offset(header, copy), header.slot_copy_bytes, "the key slots")


def slot_copy_offset(header: Header, copy: int) -> int:
    """Offset of slot copy 0 or 1."""
    return HEADER_BYTES + copy * header.slot_copy_bytes


def newest(
    file: ArchiveFile,
    header: Header,
    *,
    recover: bool = False,
    accept: Callable[[Commit], bool] = lambda commit: commit.snapshot,
) -> Opened:
    """The newest commit that `accept` takes and whose TOC is whole (a snapshot, unless a writer asks).

    The file's end must be such a commit, except beside a live writer or with `recover`: then the end is passed over.

    Raises:
        BusyError: it is being created.
        DamagedTailError: the end is damaged, cut short, unfinished or followed by bytes; `recover` may help.
    """
    for last in (False, True):  # a writer may have ended after the look at the end, and before the one for a writer
        commit = last_commit(file)
        if commit is not None and accept(commit):
            try:
                return open_commit(file, header, commit)
            except IntegrityError:
                if last and not recover:
                    raise
        elif recover or file.being_written():
            break
        elif last:
            raise DamagedTailError(_tail_message(file, commit))
    beginning: BeginningError | None = None
    for candidate in candidates_before(file, file.size()):
        if not accept(candidate):
            continue
        try:
            return open_commit(file, header, candidate, recover=recover)
        except BeginningError as error:
            beginning = beginning or error
        except IntegrityError:
            continue
    if not recover and file.being_written():
        raise BusyError(f"{file.name} is being created by another process, and has no snapshot yet: wait for its end")
    if beginning:  # the snapshots may be whole, and can be read once it is
        raise beginning
    raise DamagedTailError(
        f"{file.name}: no whole snapshot is left, so there is nothing to read: if its create was stopped, run that command "
        "again; else fetch the archive again"
    )


def _tail_message(file: ArchiveFile, commit: Commit | None) -> str:
    if commit is not None:
        return (
            f"{file.name}: its last change was not finished: run that command again to resume it, "
            "or read the state before it with --recover (cat, extract, info, list)"
        )
    return (
        f"{file.name}: its end is damaged, cut short, not finished or followed by other bytes: resume the command that wrote it, "
        "or read the last whole snapshot with --recover (cat, extract, info, list)"
    )


def history(file: Readable, commit: Commit) -> Iterator[Commit]:
    """`commit` and those before it, newest first, by the offsets they name; raises IntegrityError."""
    while True:
        yield commit
        if not commit.previous:
            return
        before = commit_at(file, commit.previous)
        if before.sequence != commit.sequence - 1 or before.chunks > commit.chunks:
            raise IntegrityError(f"{file.name}: commit {before.sequence} does not precede commit {commit.sequence}")
        commit = before
