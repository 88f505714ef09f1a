"""Builds an archive from parts, most of which may be nonsense: what is keyed or summed is made right again.

Parts: choice (bit 0 encrypted, 1 locators and chunk pages as they are, others the target's) │ changes of the header │ of the
slots │ of the clear TOC │ of the commit │ raw sealed TOC │ … │ a byte (0 chunk, 1–4 a page of this kind) and its raw bytes.
A change is `u16 place │ u8 mask`.
"""

import struct
from dataclasses import dataclass, field

from tests.fuzz import sections
from warp_portal._native import OBJECT_CHUNK, OBJECT_PAGE, OBJECT_TOC, Frontier, ScopeKeys, blake3
from warp_portal.archive import packed, pages
from warp_portal.archive.commit import COMMIT_BYTES, SNAPSHOT, Commit
from warp_portal.archive.header import BODY_BYTES, Header
from warp_portal.archive.limits import ALIGNMENT, KIND_CHUNK, KIND_LOCATOR, KIND_TABLE, PAGE_RECORDS, ZERO_DIGEST
from warp_portal.archive.slots import Slot, SlotCopy
from warp_portal.archive.toc import ClearTOC, PageRef
from warp_portal.errors import WarpPortalError
from warp_portal.primitives.compression import STORE
from warp_portal.primitives.cutting import PROFILES

KEY = b"k" * 32
UUID = b"golden archive 1"
SLOT_COPY_BYTES = 256
ENCRYPTED, AS_THEY_ARE = 1, 2
_FIXED_PARTS = 6
_SUMMED_BYTES = 240
_MACED_BYTES = 224


@dataclass(slots=True)
class Parts:
    """The parts of an input."""

    choice: int
    header: bytes
    slots: bytes
    clear: bytes
    commit: bytes
    sealed: bytes
    chunks: list[bytes] = field(default_factory=list)
    pages: list[tuple[int, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        """From an input."""
        choice, header, slots, clear, commit, sealed = sections.split_into(data, _FIXED_PARTS)
        parts = cls(choice[0] if choice else 0, header, slots, clear, commit, sealed)
        for part in sections.split(data)[_FIXED_PARTS:]:
            kind = part[0] % 5 if part else 0
            if kind:
                parts.pages.append((kind, part[1:]))
            else:
                parts.chunks.append(part[1:])
        return parts

    def join(self) -> bytes:
        """The input."""
        fixed = [bytes([self.choice]), self.header, self.slots, self.clear, self.commit, self.sealed]
        listed = [bytes([kind]) + raw for kind, raw in self.pages]
        return sections.join([*fixed, *(b"\0" + chunk for chunk in self.chunks), *listed])


def forged(data: bytes) -> bytes:
    """The archive of an input."""
    return Forgery(Parts.of(data)).build()


class Forgery:
    """An archive that grows part by part."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.keys = ScopeKeys(KEY, 1) if parts.choice & ENCRYPTED else ScopeKeys(None, 0)
        self.out = bytearray()
        self.chunks: list[tuple[int, bytes, bytes]] = []
        """Offset, stored bytes, dp."""
        self.refs: list[PageRef] = []
        self.dps: list[bytes] = []
        self.frontier = Frontier()

    def build(self) -> bytes:
        """All of it."""
        header = self._header()
        slots = self._slots() if self.keys.suite else b""
        self.out += header + slots + bytes(len(slots))
        for raw in self.parts.chunks:
            stored, dp = self.keys.seal(OBJECT_CHUNK, raw, STORE, 0)
            self.chunks.append((len(self.out), stored, dp))
            self.out += stored
        for kind, raw in sorted(self.parts.pages, key=lambda page: page[0]):
            self._page(kind, raw if self.parts.choice & AS_THEY_ARE else self._fitted(kind, raw))
        digests = (blake3(header), blake3(slots) if slots else ZERO_DIGEST, ZERO_DIGEST)
        clear = ClearTOC(0, *digests, self.frontier.size, self.frontier.nodes(), tuple(self.refs))
        self._finish(changed(clear.serialize(), self.parts.clear))
        return bytes(self.out)

    def _header(self) -> bytes:
        copy_bytes = SLOT_COPY_BYTES if self.keys.suite else 0
        header = Header(UUID, self.keys.suite, PROFILES["fine"], copy_bytes, self.keys.commitment(), 1)
        body = changed(header.body(), self.parts.header)[:BODY_BYTES]
        return body + self.keys.header_mac(body)

    def _slots(self) -> bytes:
        """A copy whose MAC lies where its length says, if it can lie there."""
        body = changed(SlotCopy(1, (Slot(99, b"slot-one", b"unknown"),)).body(), self.parts.slots)
        used = min(struct.unpack_from("<I", body, 12)[0], SLOT_COPY_BYTES - 32)
        body = body[:used].ljust(used, b"\0")
        return (body + self.keys.slot_mac(body)).ljust(SLOT_COPY_BYTES, b"\0")

    def _fitted(self, kind: int, raw: bytes) -> bytes:
        """A locator page that says where the chunks lie, or a chunk page with their dps."""
        records = (len(raw) - pages.HEAD_BYTES) // sum(pages.LOCATOR_WIDTHS)
        chunks = self.chunks[: max(0, records)]
        if kind == KIND_LOCATOR and chunks:
            columns = (
                b"".join(offset.to_bytes(8, "little") for offset, _, _ in chunks),
                b"".join(len(stored).to_bytes(4, "little") for _, stored, _ in chunks),
                b"".join(blake3(stored) for _, stored, _ in chunks),
            )
            return pages.IndexPage(0, columns).serialize(pages.LOCATOR_WIDTHS)
        dps = b"".join(dp for _, _, dp in self.chunks)
        if kind == KIND_CHUNK and len(raw) == pages.HEAD_BYTES + len(self.chunks) * sum(pages.CHUNK_WIDTHS):
            return raw[: len(raw) - len(dps)] + dps
        return raw

    def _page(self, kind: int, raw: bytes) -> None:
        root = b""
        if kind == KIND_LOCATOR:
            stored, leaves = pages.store_payload(raw), _leaves(raw)
            alone = Frontier()
            alone.append(leaves)
            root = alone.root()
            self.frontier.append(leaves)
        else:
            stored, dp = self.keys.seal(OBJECT_PAGE, raw, STORE, 0)
            self.dps.append(dp)
        self.refs.append(PageRef(kind, _records(kind, raw), len(self.out), len(stored), blake3(stored), root))
        self.out += stored

    def _finish(self, clear: bytes) -> None:
        """TOC and commit."""
        sealed, dp = self.keys.seal(OBJECT_TOC, self._sealed(), STORE, 0)
        toc = struct.pack("<I", len(clear)) + clear + dp + sealed
        start, end = len(self.out), len(self.out) + len(toc)
        place = (1, 0, end + -end % ALIGNMENT, start, len(toc), blake3(toc))
        stored_bytes = sum(len(stored) for _, stored, _ in self.chunks)
        commit = Commit(*place, self.frontier.size, self.frontier.root(), stored_bytes, SNAPSHOT, 1)
        body = bytearray(changed(commit.serialize(), self.parts.commit)[:_SUMMED_BYTES])
        if self.keys.suite:
            body[_MACED_BYTES:] = self.keys.commit_mac(bytes(body[:_MACED_BYTES]))
        self.out += toc + bytes(-end % ALIGNMENT) + body + blake3(body)[: COMMIT_BYTES - _SUMMED_BYTES]

    def _sealed(self) -> bytes:
        """The sealed TOC with the digests that its pages have, if it is one."""
        try:
            content = packed.unpack_map(self.parts.sealed, "it")
        except WarpPortalError:
            return self.parts.sealed
        return packed.pack(content | {"dp": b"".join(self.dps)} if "dp" in content else content)


def changed(raw: bytes, changes: bytes) -> bytes:
    """With the bytes at some places changed by masks."""
    out = bytearray(raw)
    for place, mask in struct.iter_unpack("<HB", changes[: len(changes) // 3 * 3]):
        out[place % len(out)] ^= mask
    return bytes(out)


def _records(kind: int, raw: bytes) -> int:
    """The number of records that a page says it has."""
    if kind != KIND_TABLE:
        return int.from_bytes(raw[8:12], "little") % (PAGE_RECORDS + 1)
    try:
        return packed.integer(packed.unpack_map(raw, "it"), "n", "it") % (PAGE_RECORDS + 1)
    except (WarpPortalError, KeyError):
        return 1


def _leaves(raw: bytes) -> bytes:
    try:
        return pages.locator_leaves(pages.IndexPage.parse(raw, pages.LOCATOR_WIDTHS))
    except WarpPortalError:
        return b""
