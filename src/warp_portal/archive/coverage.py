"""That every byte of an archive belongs to something that was checked: no byte can hide or change unseen.

Header, slots, chunks, pages, TOCs, padding and commits, laid side by side, must fill the file from its first byte to its
last; padding and the slot copy not in use must be zero.
"""

from collections.abc import Iterator

from warp_portal.archive.commit import COMMIT_BYTES
from warp_portal.archive.metadata import MetadataCheck
from warp_portal.archive.opening import last_commit, slot_copy_offset
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.trust import named_commit
from warp_portal.errors import IntegrityError

Range = tuple[int, int]


def check_coverage(reader: ArchiveReader, check: MetadataCheck) -> list[str]:
    """What is wrong, in words."""
    damage, end = list(_padding(reader, check)), 0
    for start, stop in sorted(_ranges(reader, check)):
        if start > end:
            damage.append(f"bytes {end} to {start} belong to nothing in the archive")
        elif start < end:
            damage.append(f"bytes {start} to {end} belong to two things at once")
        end = max(end, stop)
    changed = [*_slot_area(reader)]
    if end != reader.file.size():
        changed.append(f"bytes follow the newest commit from {end} on")
    return damage + changed if changed and not _gone_on(reader) else damage


def _gone_on(reader: ArchiveReader) -> bool:
    """Whether a writer is at work, or has added commits since the archive was opened: then these bytes are its own."""
    if reader.file.being_written():
        return True
    commit = last_commit(reader.file)
    if commit is None or commit.sequence <= reader.newest.sequence:
        return False
    try:
        commit.check_mac(reader.keys)
        return named_commit(reader.file, commit, reader.newest.sequence) == reader.newest
    except IntegrityError:
        return False


def _ranges(reader: ArchiveReader, check: MetadataCheck) -> Iterator[Range]:
    yield 0, reader.header.first_segment
    for page in check.locators:
        offsets, lengths = memoryview(page.columns[0]).cast("Q"), memoryview(page.columns[1]).cast("I")
        yield from _joined(zip(offsets, lengths, strict=True))
    yield from ((ref.offset, ref.offset + ref.stored_bytes) for ref in check.refs.values())
    yield from ((commit.toc_offset, commit.offset + COMMIT_BYTES) for commit in check.commits)


def _joined(pieces: "zip[tuple[int, int]]") -> Iterator[Range]:
    """Pieces (offset, length) as ranges, those that touch as one."""
    start = end = None
    for offset, length in pieces:
        if offset != end:
            if start is not None and end is not None:
                yield start, end
            start = offset
        end = offset + length
    if start is not None and end is not None:
        yield start, end


def _padding(reader: ArchiveReader, check: MetadataCheck) -> Iterator[str]:
    """Between a TOC and its commit."""
    for commit in check.commits:
        start = commit.toc_offset + commit.toc_bytes
        if any(reader.file.read(start, commit.offset - start, "padding")):
            yield f"the padding before commit {commit.sequence} is not zero: nothing that is kept is affected"


def _slot_area(reader: ArchiveReader) -> Iterator[str]:
    """The slot copy that is not in use."""
    header = reader.header
    unused = slot_copy_offset(header, 1 - reader.newest_copy)
    if header.encrypted and any(reader.file.read(unused, header.slot_copy_bytes, "the key slots")):
        yield "the unused copy of the key slots is not zero: a change of keys was not finished"
