"""Builds plain archives whose metadata says whatever a test wants, with every digest right."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from warp_portal._native import OBJECT_CHUNK, OBJECT_TOC, ScopeKeys, blake3
from warp_portal.archive import filetable, packed
from warp_portal.archive.filetable import Entry
from warp_portal.archive.limits import ALIGNMENT, KIND_TABLE
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.toc import TOC, PageRef, SealedTOC
from warp_portal.archive.writer import create
from warp_portal.primitives.compression import ZSTD

PLAIN: Final = ScopeKeys(None, 0)
STORE: Final = 0
PAGE_ENTRIES: Final = 4096


@dataclass(frozen=True)
class RawTable:
    """A file-table page to be: the raw content, or a payload as it is."""

    raw: bytes
    records: int = 1
    first_path: bytes = b"a"
    codec: int = ZSTD
    payload: bytes = b""

    def stored(self) -> bytes:
        """As a chunk it is compressed whatever its length, as a page would not be."""
        return self.payload or PLAIN.seal(OBJECT_CHUNK, self.raw, self.codec, 3)[0]


def table(entries: Sequence[Entry], **columns: object) -> RawTable:
    """A page of these entries, some of its columns replaced."""
    raw = packed.pack(filetable.columns_of(entries) | columns)
    return RawTable(raw, len(entries), entries[0].path)


def tables(entries: Sequence[Entry]) -> list[RawTable]:
    """As many pages as they need."""
    return [table(entries[at : at + PAGE_ENTRIES]) for at in range(0, len(entries), PAGE_ENTRIES)]


def base(path: Path, options: PackOptions | None = None, content: bytes = b"content of the one fragment") -> None:
    """An honest archive of one file `seed`."""
    seed = path.parent / "seed"
    seed.write_bytes(content)
    create(path, Source.of([seed]), options or PackOptions(threads=1))


def forge(
    path: Path, pages: Sequence[RawTable], *, sealed_raw: bytes = b"", refs: Any = None, **commit: object
) -> None:
    """Replace the file table of `base` by `pages`, or the TOC's page list by what `refs` makes of it."""
    with open_archive(path) as reader:
        opened, content = reader.opened, reader.content
    data = bytearray(path.read_bytes()[: opened.commit.toc_offset])
    listed = [ref for ref in opened.toc.clear.pages if ref.kind != KIND_TABLE]
    for page in pages:
        stored = page.stored()
        listed.append(PageRef(KIND_TABLE, page.records, len(data), len(stored), blake3(stored), b""))
        data += stored
    if refs:
        listed = refs(listed)
    sealed = replace(
        content.sealed,
        entries=sum(page.records for page in pages),
        logical_bytes=0,
        dps=(bytes(32),) * sum(ref.kind != 1 for ref in listed),
        first_paths=tuple(page.first_path for page in pages),
    )
    end(path, data, (opened, listed), sealed, sealed_raw, commit)


def end(
    path: Path, data: bytearray, clear: Any, sealed: SealedTOC, sealed_raw: bytes, fields: dict[str, object]
) -> None:
    """Append TOC and commit."""
    opened, listed = clear
    stored, dp = PLAIN.seal(OBJECT_CHUNK if sealed_raw else OBJECT_TOC, sealed_raw or sealed.serialize(), ZSTD, 3)
    toc = TOC(replace(opened.toc.clear, pages=tuple(listed)), dp, stored).serialize()
    at = len(data)
    data += toc
    data += bytes(-len(data) % ALIGNMENT)
    own: dict[str, Any] = {"offset": len(data), "toc_offset": at, "toc_bytes": len(toc), "toc_digest": blake3(toc)}
    path.write_bytes(data + replace(opened.commit, **(own | fields)).serialize())
