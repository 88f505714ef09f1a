"""Target: a whole small archive by its author, with everything that is keyed or summed made right again.

Parts: choice (bit 0 encrypted, 1 locators and chunk pages as they are, 2 extract, 3 verify) │ changes of the header │ of the
slots │ of the clear TOC │ of the commit │ raw sealed TOC │ … │ a byte (0 chunk, 1–4 a page of this kind) and its raw bytes.
A change is `u16 place │ u8 mask`. So a mutation gets past digests, MACs and seals, to what reads behind them.
"""

import struct
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.fuzz import sections
from warp_portal._native import OBJECT_CHUNK, OBJECT_PAGE, OBJECT_TOC, Frontier, ScopeKeys, blake3
from warp_portal.archive import packed, pages
from warp_portal.archive.commit import COMMIT_BYTES, SNAPSHOT, Commit
from warp_portal.archive.extraction import ExtractRequest, extract
from warp_portal.archive.filetable import Kind
from warp_portal.archive.header import BODY_BYTES, HEADER_BYTES, Header
from warp_portal.archive.limits import ALIGNMENT, KIND_CHUNK, KIND_LOCATOR, KIND_TABLE, PAGE_RECORDS, ZERO_DIGEST
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.slots import Slot, SlotCopy
from warp_portal.archive.toc import ClearTOC, PageRef
from warp_portal.archive.unlock import Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.cli.info_command import facts, report, snapshot_fields
from warp_portal.errors import WarpPortalError
from warp_portal.primitives.compression import STORE
from warp_portal.primitives.cutting import PROFILES

KEY = b"k" * 32
UUID = b"golden archive 1"
SLOT_COPY_BYTES = 256
ENCRYPTED, AS_THEY_ARE, EXTRACT, VERIFY = 1, 2, 4, 8
OUTSIDE = b"what lies outside stays as it is"
_MOST_READ = 1 << 17
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
        fixed = sections.split_into(data, _FIXED_PARTS)
        header, slots, clear, commit, sealed = fixed[1:]
        parts = cls(fixed[0][0] if fixed[0] else 0, header, slots, clear, commit, sealed)
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


def archive(data: bytes) -> None:
    """Build it, then read, verify and extract it."""
    parts = Parts.of(data)
    path = home() / "a.warp"
    path.write_bytes(built(parts))
    unlock = Unlock(archive_key=KEY) if parts.choice & ENCRYPTED else Unlock()
    for use in (_read, _extract if parts.choice & EXTRACT else _describe):
        try:
            with open_archive(path, unlock) as reader:
                use(reader)
        except WarpPortalError:
            continue
    if parts.choice & VERIFY:
        _verify(path, unlock)
    assert (home() / "outside").read_bytes() == OUTSIDE
    assert sorted(path.name for path in home().iterdir()) == ["a.warp", "outside"]


def _read(reader: ArchiveReader) -> None:
    for entry in reader:
        found = reader.find(entry.path)
        assert found is None or found == entry
        if entry.kind == Kind.FILE:
            with reader.open_file(entry.path) as file:
                content = file.read(_MOST_READ)
            assert len(content) == min(entry.size, _MOST_READ)


def _describe(reader: ArchiveReader) -> None:
    import json

    assert json.dumps([facts(reader), *map(snapshot_fields, reader.snapshots())])
    assert "\n".join(report("a.warp", reader))
    list(reader.entries(["*"], b"d"))


def _extract(reader: ArchiveReader) -> None:
    with tempfile.TemporaryDirectory(dir=home(), prefix="out-") as target:
        extract(reader, target, ExtractRequest(threads=1, memory=1 << 20, owners=False, devices=False))


def _verify(path: Path, unlock: Unlock) -> None:
    for level in (Level.DATA, Level.DEEP):
        try:
            assert verify(path, level, unlock=unlock, threads=1).chunks >= 0
        except WarpPortalError:
            continue


@cache
def home() -> Path:
    """A directory with a file that must stay as it is."""
    place = sections.scratch()
    (place / "outside").write_bytes(OUTSIDE)
    return place


def built(parts: Parts) -> bytes:
    """The archive of these parts."""
    encrypted = bool(parts.choice & ENCRYPTED)
    keys = ScopeKeys(KEY, 1) if encrypted else ScopeKeys(None, 0)
    header = _header(parts.header, keys)
    slots = _slots(parts.slots, keys) if encrypted else b""
    out = header + slots + bytes(len(slots))
    stored, dps = (
        zip(*(keys.seal(OBJECT_CHUNK, raw, STORE, 0) for raw in parts.chunks), strict=True)
        if parts.chunks
        else ((), ())
    )
    offsets = []
    for one in stored:
        offsets.append(len(out))
        out += one
    fitted = parts.pages if parts.choice & AS_THEY_ARE else _fitted(parts.pages, offsets, stored, dps)
    refs, page_dps = [], []
    for kind, raw in sorted(fitted, key=lambda page: page[0]):
        blob, dp = (pages.store_payload(raw), b"") if kind == KIND_LOCATOR else keys.seal(OBJECT_PAGE, raw, STORE, 0)
        refs.append(
            PageRef(
                kind,
                _records(kind, raw),
                len(out),
                len(blob),
                blake3(blob),
                _root(raw) if kind == KIND_LOCATOR else b"",
            )
        )
        page_dps += [dp] if dp else []
        out += blob
    frontier = _frontier(fitted)
    clear = ClearTOC(
        0,
        blake3(header),
        blake3(slots) if slots else ZERO_DIGEST,
        ZERO_DIGEST,
        frontier.size,
        frontier.nodes(),
        tuple(refs),
    )
    return _finished(out, parts, keys, _changed(clear.serialize(), parts.clear), frontier, page_dps)


def _finished(out: bytes, parts: Parts, keys: ScopeKeys, clear: bytes, frontier: Frontier, dps: list[bytes]) -> bytes:
    """With TOC and commit behind what there is."""
    sealed, dp = keys.seal(OBJECT_TOC, _with_dps(parts.sealed, dps), STORE, 0)
    toc = struct.pack("<I", len(clear)) + clear + dp + sealed
    toc_offset, end = len(out), len(out) + len(toc)
    offset = end + -end % ALIGNMENT
    place = (1, 0, offset, toc_offset, len(toc), blake3(toc))
    commit = Commit(*place, frontier.size, frontier.root(), max(0, toc_offset - HEADER_BYTES), SNAPSHOT, 1)
    body = bytearray(_changed(commit.serialize(), parts.commit)[:_SUMMED_BYTES])
    if keys.suite:
        body[_MACED_BYTES:] = keys.commit_mac(bytes(body[:_MACED_BYTES]))
    return out + toc + bytes(offset - end) + bytes(body) + blake3(body)[: COMMIT_BYTES - _SUMMED_BYTES]


def _changed(raw: bytes, changes: bytes) -> bytes:
    out = bytearray(raw)
    for place, mask in struct.iter_unpack("<HB", changes[: len(changes) // 3 * 3]):
        if out:
            out[place % len(out)] ^= mask
    return bytes(out)


def _header(changes: bytes, keys: ScopeKeys) -> bytes:
    copy_bytes = SLOT_COPY_BYTES if keys.suite else 0
    header = Header(UUID, keys.suite, PROFILES["fine"], copy_bytes, keys.commitment(), 1)
    body = _changed(header.body(), changes)[:BODY_BYTES]
    return body + keys.header_mac(body)


def _slots(changes: bytes, keys: ScopeKeys) -> bytes:
    body = bytearray(_changed(SlotCopy(1, (Slot(99, b"slot-one", b"unknown"),)).body(), changes))
    used = struct.unpack_from("<I", body, 12)[0]
    body = (body + bytes(max(0, used - len(body))) if used <= SLOT_COPY_BYTES else body)[: SLOT_COPY_BYTES - 32]
    return bytes(body + keys.slot_mac(bytes(body))).ljust(SLOT_COPY_BYTES, b"\0")


def _fitted(
    given: list[tuple[int, bytes]], offsets: list[int], stored: tuple[bytes, ...], dps: tuple[bytes, ...]
) -> list[tuple[int, bytes]]:
    """Locator pages that say where the chunks lie, and chunk pages with their dps."""
    fitted = []
    for kind, raw in given:
        count = (
            min(len(stored), (len(raw) - pages.HEAD_BYTES) // sum(pages.LOCATOR_WIDTHS)) if kind == KIND_LOCATOR else 0
        )
        if count > 0:
            columns = (
                b"".join(offset.to_bytes(8, "little") for offset in offsets[:count]),
                b"".join(len(one).to_bytes(4, "little") for one in stored[:count]),
                b"".join(map(blake3, stored[:count])),
            )
            raw = pages.IndexPage(0, columns).serialize(pages.LOCATOR_WIDTHS)
        elif kind == KIND_CHUNK and len(raw) == pages.HEAD_BYTES + len(dps) * sum(pages.CHUNK_WIDTHS):
            raw = raw[: len(raw) - 32 * len(dps)] + b"".join(dps)
        fitted.append((kind, raw))
    return fitted


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


def _root(raw: bytes) -> bytes:
    frontier = Frontier()
    frontier.append(_leaves(raw))
    return frontier.root()


def _frontier(given: list[tuple[int, bytes]]) -> Frontier:
    frontier = Frontier()
    for kind, raw in given:
        if kind == KIND_LOCATOR:
            frontier.append(_leaves(raw))
    return frontier


def _with_dps(sealed: bytes, dps: list[bytes]) -> bytes:
    """The sealed TOC with the digests that its pages have, if it is one."""
    try:
        content = packed.unpack_map(sealed, "it")
    except WarpPortalError:
        return sealed
    return packed.pack(content | {"dp": b"".join(dps)} if "dp" in content else content)
