"""Target: a whole small archive by its author (`forging`): a mutation gets past digests, MACs and seals, to what reads behind them.

Bits of the choice: 2 extract, 3 verify.
"""

import json
import tempfile
from functools import cache
from pathlib import Path

from tests.fuzz import sections
from tests.fuzz.forging import ENCRYPTED, KEY, forged
from warp_portal.archive.extraction import ExtractRequest, extract
from warp_portal.archive.filetable import Kind
from warp_portal.archive.reader import ArchiveReader, open_archive
from warp_portal.archive.unlock import Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.cli.info_command import facts, report, snapshot_fields
from warp_portal.errors import WarpPortalError

EXTRACT, VERIFY = 4, 8
OUTSIDE = b"what lies outside stays as it is"
_MOST_READ = 1 << 17


def archive(data: bytes) -> None:
    """Build it, then read, verify and extract it."""
    choice = (sections.split_into(data, 1)[0] or b"\0")[0]
    path = home() / "a.warp"
    path.write_bytes(forged(data))
    unlock = Unlock(archive_key=KEY) if choice & ENCRYPTED else Unlock()
    for use in (_read, _extract if choice & EXTRACT else _describe):
        try:
            with open_archive(path, unlock) as reader:
                use(reader)
        except WarpPortalError:
            continue
    if choice & VERIFY:
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
