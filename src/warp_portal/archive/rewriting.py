"""Writing an archive anew: its live chunks as they are stored, and each kept snapshot as a commit on top of them.

    header slots │ live chunks up to snapshot 2 │ index, tables, TOC │ commit │ live chunks up to 5 │ … │ commit

Chunks keep their bytes, so their cids and `dp`s: sealing depends on the archive key alone. Their ordinals change, and with
them the recipes in the file tables. Every chunk is checked by its cid on the way.
"""

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from warp_portal._native import OBJECT_PAGE, EntryTable, blake3
from warp_portal.archive import filetable, packed
from warp_portal.archive.base import Base
from warp_portal.archive.commit import Commit
from warp_portal.archive.committing import CommitChain, Facts
from warp_portal.archive.content import Content, Page, read_table
from warp_portal.archive.header import Header
from warp_portal.archive.indexlog import IndexLog
from warp_portal.archive.limits import (
    DIGEST_BYTES,
    KIND_CHUNK,
    KIND_FRAGMENT,
    KIND_LOCATOR,
    KIND_TABLE,
    UUID_BYTES,
    ZERO_DIGEST,
)
from warp_portal.archive.liveness import LiveChunks
from warp_portal.archive.original import Original
from warp_portal.archive.pages import IndexPage
from warp_portal.archive.slots import Slot, SlotCopy
from warp_portal.archive.storage import ArchiveFile, FileOutput
from warp_portal.archive.tablelog import TABLE_LEVEL
from warp_portal.archive.toc import PageRef
from warp_portal.clock import Clock
from warp_portal.errors import IntegrityError
from warp_portal.keys.signers import SigningKey
from warp_portal.primitives.compression import ZSTD

COMPACTED: Final = "compacted"  # key of `arguments`: [uuid before, hash of the snapshot's commit there]
# Between two looks at the index, so that the records of neighbours are taken together.
SPAN_CHUNKS: Final = 256


@dataclass(frozen=True, slots=True)
class CompactProgress:
    """How far the copying is; bytes are stored bytes of live chunks."""

    chunks: int
    total_chunks: int
    bytes: int
    total_bytes: int


ProgressCallback = Callable[[CompactProgress], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """Records of chunks in their new places, as `IndexLog` takes them."""

    chunks: tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes]
    fragments: tuple[bytes, bytes]


def new_header(original: Original, clock: Clock) -> Header:
    """As the original's, under a new uuid."""
    draft = replace(
        original.header,
        uuid=os.urandom(UUID_BYTES),
        created_ns=clock.now_ns(),
        optional_features=0,  # what they are is not known, so neither whether they hold for the new file
        mac=ZERO_DIGEST,
    )
    return replace(draft, mac=original.keys.header_mac(draft.body()))


class Rewriting:
    """The new file; `add` the kept snapshots in order. `copied` is told the stored bytes of each chunk."""

    def __init__(
        self,
        original: Original,
        live: LiveChunks,
        file: ArchiveFile,
        clock: Clock,
        copied: Callable[[int], None],
    ) -> None:
        self._original = original
        self._live = live
        self._clock = clock
        self._copied = copied
        self._output = FileOutput(file.fd, 0, durable=False)  # nothing counts before all is synced and renamed
        self._chunks = 0  # of the original, that are dealt with
        self._tables: dict[int, Page] = {}

    def begin(self, header: Header, slots: tuple[Slot, ...]) -> None:
        """Write the header and the key slots."""
        keys, copy = self._original.keys, b""
        if header.encrypted:
            draft = SlotCopy(1, slots)
            copy = replace(draft, mac=keys.slot_mac(draft.body())).serialize(header.slot_copy_bytes)
        self._output.emit(header.serialize() + copy + bytes(header.slot_copy_bytes))
        base = Base(slots_digest=blake3(copy) if copy else ZERO_DIGEST)
        self._index = IndexLog(keys, self._output.emit, base, _no_earlier_page)
        self._chain = CommitChain(header, keys, base, self._clock)

    def add(self, content: Content, signing_key: SigningKey | None) -> Commit:
        """Copy what a snapshot adds, and commit it."""
        self._copy(self._chunks, content.commit.chunks)
        self._chunks = content.commit.chunks
        tables = [self._table(page) for page in content.pages[KIND_TABLE]]
        self._index.flush()
        listed = self._index.pages(news=False) + tables
        return self._chain.snapshot(self._output, listed, self._facts(content), self._index.frontier, signing_key)

    def _facts(self, content: Content) -> Facts:
        sealed, commit = content.sealed, content.commit
        origin = [self._original.header.uuid, commit.digest()]
        return Facts(
            fragments=self._index.fragments,
            entries=sealed.entries,
            logical_bytes=sealed.logical_bytes,
            stored_bytes=self._index.stored_bytes,
            scan_time_ns=sealed.time_ns,
            arguments=sealed.arguments | {COMPACTED: origin},
            owners=sealed.owners,
            time_ns=commit.time_ns,
        )

    # Chunks

    def _copy(self, first: int, end: int) -> None:
        for start, stop in self._live.spans(first, end):
            for lower in range(start, stop, SPAN_CHUNKS):
                self._copy_neighbours(lower, min(lower + SPAN_CHUNKS, stop))

    def _copy_neighbours(self, first: int, end: int) -> None:
        index, starts = self._original.index, self._live.starts
        old_offsets, lengths, cids = index.records(KIND_LOCATOR, first, end)
        places = zip(memoryview(old_offsets).cast("Q"), memoryview(lengths).cast("I"), strict=True)
        offsets = array("Q")
        for number, (offset, length) in enumerate(places):
            stored = self._original.file.read(offset, length, f"chunk {first + number}")
            self._check(first + number, stored, cids[number * DIGEST_BYTES :][:DIGEST_BYTES])
            offsets.append(self._output.emit(stored))
            self._copied(length)
        raws, counts, codecs, *dps = index.records(KIND_CHUNK, first, end)
        fragment_lengths, ids = index.records(KIND_FRAGMENT, starts[first], starts[end])
        chunks = (offsets.tobytes(), lengths, cids, raws, counts, codecs, b"".join(dps))
        self._index.add(Copied(chunks, (fragment_lengths, ids)))

    def _check(self, chunk: int, stored: bytes, cid: bytes) -> None:
        if blake3(stored) != cid:
            raise IntegrityError(
                f"{self._original.file.name}: chunk {chunk} is damaged, so nothing was changed: `warp verify` names its files; "
                "fetch the archive again, or forget the snapshots that use it"
            )

    # File tables

    def _table(self, page: Page) -> Page:
        """The page with its recipes renumbered, written once for all snapshots that list it."""
        if page.ref.offset not in self._tables:
            self._tables[page.ref.offset] = self._rewrite(page)
        return self._tables[page.ref.offset]

    def _rewrite(self, page: Page) -> Page:
        stored, dp = self._original.keys.seal(OBJECT_PAGE, self._renumbered(page), ZSTD, TABLE_LEVEL)
        ref = PageRef(KIND_TABLE, page.ref.records, self._output.emit(stored), len(stored), blake3(stored), b"")
        return Page(ref, dp, first_path=page.first_path)

    def _renumbered(self, page: Page) -> bytes:
        """The raw page. Its recipes may be most of the archive, so few copies of them are held at a time."""
        columns = read_table(self._original.file, self._original.keys, page).to_columns()
        runs = map(self._live.renumbered, filetable.decode_runs(recipes_column(columns)))
        columns["rr"] = filetable.encode_runs(runs)
        del runs
        EntryTable.from_columns(columns)  # is of the format's form, or refused
        return packed.pack(columns)


def recipes_column(columns: dict[str, object]) -> bytes:
    """The runs of a page, encoded."""
    column = columns["rr"]
    assert isinstance(column, bytes), "a table's own columns"
    return column


def _no_earlier_page(page: Page) -> IndexPage:
    raise AssertionError(f"a new archive has no page to go on from, so none at {page.ref.offset}")
