"""Target: a whole small archive by its author (`forging`): a mutation gets past digests, MACs and seals, to what reads behind them.

Bits of the choice: 2 extract, 3 verify, 4 append to it and read that, 5 compact it and read that.
"""

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest.mock import patch

from tests.fuzz import sections
from tests.fuzz.forging import ENCRYPTED, KEY, forged
from warp_portal.archive import reader as reading
from warp_portal.archive.compaction import CompactRequest, compact
from warp_portal.archive.extraction import ExtractRequest, extract
from warp_portal.archive.filetable import Kind
from warp_portal.archive.indexparts import WHOLE_PAGES
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.unlock import Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append
from warp_portal.cli.info_command import facts, report, snapshot_fields
from warp_portal.errors import WarpPortalError
from warp_portal.keys import Identity

EXTRACT, VERIFY, APPEND, COMPACT = 4, 8, 16, 32
OUTSIDE = b"what lies outside stays as it is"
_MOST_READ = 1 << 17


def archive(data: bytes) -> None:
    """Build it, then read, verify and extract it."""
    choice = (sections.split_into(data, 1)[0] or b"\0")[0]
    path = home() / "a.warp"
    path.write_bytes(forged(data))
    unlock = Unlock(archive_key=KEY) if choice & ENCRYPTED else Unlock()
    _check_parts(path, unlock)
    try:
        with open_archive(path, unlock) as reader:
            (_extract if choice & EXTRACT else _describe)(reader)
    except WarpPortalError:
        pass
    if choice & VERIFY:
        _verify(path, unlock)
    for bit, write in ((APPEND, _append), (COMPACT, _compact)):
        if choice & bit:
            _write(path, write, unlock)
    assert (home() / "outside").read_bytes() == OUTSIDE
    assert sorted(path.name for path in home().iterdir()) == ["a.warp", "outside"]


def _check_parts(path: Path, unlock: Unlock) -> None:
    """Files are read by the whole chunk index and by its parts, as of an archive of 2^20 chunks: they do not differ."""
    contents = []
    for whole_pages in (WHOLE_PAGES, 0):
        try:
            with patch.object(reading, "WHOLE_PAGES", whole_pages), open_archive(path, unlock) as reader:
                contents.append(_read(reader))
        except WarpPortalError:
            continue
    assert all(content == contents[0] for content in contents)


def _read(reader: ArchiveReader) -> list[bytes]:
    """The beginnings of all files."""
    contents = []
    for entry in reader:
        found = reader.find(entry.path)
        assert found is None or found == entry
        if entry.kind == Kind.FILE:
            with reader.open_file(entry.path) as file:
                content = file.read(_MOST_READ)
            assert len(content) == min(entry.size, _MOST_READ)
            contents.append(content)
    return contents


def _describe(reader: ArchiveReader) -> None:
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


def _write(path: Path, write: Callable[[Path, Unlock], None], unlock: Unlock) -> None:
    """Whoever builds on it must not crash, and what comes out is an archive, read as any other."""
    try:
        write(path, unlock)
    except WarpPortalError:
        return
    try:
        with open_archive(path, unlock) as reader:
            _read(reader)
            _describe(reader)
    except WarpPortalError:
        return  # damage that was there and that writing did not have to read


def _append(path: Path, unlock: Unlock) -> None:
    append(path, Source.of([home() / "outside"]), PackOptions(threads=1, memory=1 << 20), unlock=unlock)


def _compact(path: Path, unlock: Unlock) -> None:
    recipients = (Identity("x25519", b"i" * 32).recipient,) if unlock else ()
    compact(path, CompactRequest(recipients=recipients, drop_slots=True), unlock=unlock)


@cache
def home() -> Path:
    """A directory with a file that must stay as it is."""
    place = sections.scratch()
    (place / "outside").write_bytes(OUTSIDE)
    return place
