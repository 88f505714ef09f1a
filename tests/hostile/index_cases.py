"""Archives whose index says what no writer would: where chunks lie, and which fragments they hold. Every digest is right."""

import os
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.hostile.forging import PLAIN, RawTable, base, table
from tests.scale.synthetic import Records
from warp_portal._native import blake3
from warp_portal.archive.base import load_base
from warp_portal.archive.committing import CommitChain, Facts
from warp_portal.archive.content import Page, read_index_page
from warp_portal.archive.filetable import Entry, Kind, Recipe
from warp_portal.archive.indexlog import IndexLog
from warp_portal.archive.limits import ALIGNMENT, ID_BYTES, KIND_TABLE
from warp_portal.archive.opening import newest, read_header
from warp_portal.archive.pages import store_payload
from warp_portal.archive.storage import ArchiveFile, FileOutput
from warp_portal.archive.toc import PageRef
from warp_portal.clock import SYSTEM_CLOCK

PAYLOAD_HEAD: Final = 20
RAW: Final = bytes(range(256)) * 16
STORED: Final = store_payload(RAW)


@dataclass(frozen=True)
class Chunk:
    """A record of the index: `stored` lies at `offset`, and it claims fragments of these lengths."""

    offset: int
    stored: bytes
    fragments: tuple[int, ...] = (len(RAW),)
    raw_length: int = len(RAW)
    codec: int = 0


Made = tuple[bytes, Sequence[Chunk]]


def records(chunks: Sequence[Chunk]) -> Records:
    """As a pack would report them."""
    lengths = [length for chunk in chunks for length in chunk.fragments]
    return Records(
        (
            array("Q", [chunk.offset for chunk in chunks]).tobytes(),
            array("I", [len(chunk.stored) for chunk in chunks]).tobytes(),
            b"".join(blake3(chunk.stored) for chunk in chunks),
            array("I", [chunk.raw_length for chunk in chunks]).tobytes(),
            array("I", [len(chunk.fragments) for chunk in chunks]).tobytes(),
            bytes(chunk.codec for chunk in chunks),
            bytes(32 * len(chunks)),
        ),
        (array("I", lengths).tobytes(), bytes(ID_BYTES * len(lengths))),
    )


def second_snapshot(
    path: Path, make: Callable[[int], Made], *, first_fragment: int | None = None, page: RawTable | None = None
) -> None:
    """Append a snapshot of one file with all the fragments of the chunks that `make` tells, for the offset they begin at."""
    with ArchiveFile(path, os.O_RDWR) as file:
        header = read_header(file)
        before = load_base(file, newest(file, header), PLAIN)
        output = FileOutput(file.fd, os.lseek(file.fd, 0, os.SEEK_END), durable=False)
        written, chunks = make(output.offset)
        if written:
            output.emit(written)
        index = IndexLog(PLAIN, output.emit, before, lambda known: read_index_page(file, PLAIN, known))
        index.add(records(chunks))
        index.flush()
        listed = index.pages(news=False)
        if first_fragment is not None:
            listed = [each._replace(first_fragment=first_fragment) for each in listed]
        count, size = index.fragments - before.fragments, sum(sum(chunk.fragments) for chunk in chunks)
        run = (before.fragments, count)
        page = page or table([Entry(b"a", Kind.FILE, 0o644, size=size, runs=Recipe.of([run]))])
        ref = PageRef(KIND_TABLE, 1, output.emit(page.stored()), len(page.stored()), blake3(page.stored()), b"")
        facts = Facts(index.fragments, 1, size, index.stored_bytes, SYSTEM_CLOCK.now_ns())
        chain = CommitChain(header, PLAIN, before, SYSTEM_CLOCK)
        chain.snapshot(output, [*listed, Page(ref, bytes(32), first_path=b"a")], facts, index.frontier, None)


def indexed(make: Callable[[int], Made], **fields: Any) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        base(path)
        second_snapshot(path, make, **fields)

    return build


def one(**fields: Any) -> Callable[[Path], None]:
    """One chunk that is there, and a record of it that is not right."""
    return indexed(lambda at: (STORED, [replace(Chunk(at, STORED), **fields)]))


def nested(at: int) -> Made:
    """A chunk whose content is another one."""
    outer = store_payload(STORED)
    chunks = Chunk(at, outer, (len(STORED),), len(STORED)), Chunk(at + PAYLOAD_HEAD, STORED)
    return outer, chunks


def page_as_chunk(path: Path) -> None:
    """The file table of the snapshot is one of its chunks, too: it lists itself as content."""
    base(path)
    raw = b"\x80".ljust(len(RAW), b"\0")
    stored = store_payload(raw)
    second_snapshot(path, lambda at: (b"", [Chunk(at, stored)]), page=RawTable(b"", payload=stored))


def toc_in_a_chunk(path: Path) -> None:
    """The first snapshot's TOC is a chunk of the second: a person could change one by the other."""
    base(path)
    with ArchiveFile(path, os.O_RDONLY) as file:
        commit = newest(file, read_header(file)).commit
    data = path.read_bytes()
    toc = data[commit.toc_offset : commit.toc_offset + commit.toc_bytes]
    stored = store_payload(toc)
    moved = data[: commit.toc_offset] + stored
    moved += bytes(-len(moved) % ALIGNMENT)
    changed = replace(commit, offset=len(moved), toc_offset=commit.toc_offset + PAYLOAD_HEAD)
    path.write_bytes(moved + changed.serialize())
    second_snapshot(path, lambda _: (b"", [Chunk(commit.toc_offset, stored, (len(toc),), len(toc))]))


CASES: Final[dict[str, Callable[[Path], None]]] = {
    "ten_thousand_chunks_at_one_place": indexed(lambda at: (STORED, [Chunk(at, STORED)] * 10_000)),
    "a_chunk_in_another": indexed(nested),
    "chunks_in_another_order": indexed(lambda at: (STORED * 2, [Chunk(at + len(STORED), STORED), Chunk(at, STORED)])),
    "a_chunk_in_the_header": one(offset=0),
    "a_chunk_in_the_first_snapshot": indexed(lambda _: (b"", [Chunk(4096, STORED)])),
    "a_chunk_beyond_the_file": one(offset=1 << 62),
    "a_chunk_at_the_end_of_numbers": one(offset=(1 << 64) - 1),
    "a_chunk_that_is_longer": one(stored=STORED + bytes(100)),
    "a_chunk_without_bytes": one(stored=b""),
    "a_chunk_of_4_gib": one(raw_length=(1 << 32) - 1, fragments=((1 << 32) - 1,)),
    "fragments_that_do_not_fill_their_chunk": one(fragments=(10, 20)),
    "fragments_beyond_their_chunk": one(fragments=(len(RAW), 1)),
    "fragments_of_no_length": one(fragments=(0, len(RAW))),
    "fragments_of_another_chunk": one(fragments=(len(RAW) // 2,) * 2, raw_length=len(RAW) - 1),
    "a_raw_length_that_the_chunk_has_not": one(fragments=(100,), raw_length=100),
    "a_codec_that_the_chunk_has_not": one(codec=1),
    "a_codec_that_there_is_not": one(codec=250),
    "a_zstd_chunk_that_is_none": one(stored=struct.pack("<BBHQQ", 1, 0, 0, len(RAW), len(RAW)) + RAW, codec=1),
    "first_fragments_that_disagree": indexed(lambda at: (STORED, [Chunk(at, STORED)]), first_fragment=1),
    "page_as_chunk": page_as_chunk,
    "toc_in_a_chunk": toc_in_a_chunk,
}
