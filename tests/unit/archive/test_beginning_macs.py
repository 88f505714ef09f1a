"""The MACs of header and slots (docs/format.md §2, §3): who lacks the archive key cannot change either and be believed.

The digests, the TOC and the commit, its MAC included, are made right again, so that nothing else can tell the change.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, grow

from warp_portal._native import ScopeKeys, blake3
from warp_portal.archive.compaction import CompactRequest, compact
from warp_portal.archive.header import BODY_BYTES, HEADER_BYTES
from warp_portal.archive.opening import last_commit, read_header, read_toc
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.rekey import add_slot
from warp_portal.archive.retention import Selection
from warp_portal.archive.slots import Slot, SlotCopy
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.unlock import NO_KEY, Lock, Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import IntegrityError
from warp_portal.keys.recipients import Identity

CREATED_NS = 144
"""Offset of the header's `created` field, which nothing else repeats."""
COPY = slice(HEADER_BYTES, HEADER_BYTES + LOCK.slot_copy_bytes)
RECIPIENT = Identity("x25519", b"r" * 32).recipient
UNKNOWN = Slot(99, b"another.", b"put in by a stranger")
LOCKED = replace(LOCK, recipients=(RECIPIENT,))
USES: dict[str, Callable[[Path, Unlock], object]] = {
    "open": lambda archive, unlock: open_archive(archive, unlock).close(),
    "verify": lambda archive, unlock: verify(archive, Level.QUICK, unlock=unlock),
    "append": lambda archive, unlock: append(archive, Source.of(["."]), OFTEN, unlock=unlock),
    "compact": lambda archive, unlock: compact(
        archive,
        CompactRequest(Selection(forgotten=frozenset({1})), drop_slots=True, recipients=(RECIPIENT,)),
        unlock=unlock,
    ),
    "add_slot": lambda archive, unlock: add_slot(archive, unlock, recipient=Identity("x25519", b"s" * 32).recipient),
}
PLAIN_USES = sorted(USES.keys() - {"add_slot"})


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    grow(tmp_path / "tree", 20, 9000)
    monkeypatch.chdir(tmp_path / "tree")
    return tmp_path / "tree"


def two_snapshots(archive: Path, tree: Path, lock: Lock | None) -> None:
    create(archive, Source.of(["."]), OFTEN, lock=lock, archive_key=KEY if lock else None)
    next(tree.rglob("f0003")).unlink()
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK if lock else NO_KEY)


def rewrite(archive: Path, change: Callable[[bytearray], object]) -> None:
    """Change the beginning, and make right what the newest snapshot says of it, as only who has the key can."""
    raw = bytearray(archive.read_bytes())
    change(raw)
    archive.write_bytes(raw)
    with ArchiveFile(archive) as file:
        header, commit = read_header(file), last_commit(file)
        assert commit is not None
        toc = read_toc(file, commit)
    slots = blake3(raw[COPY]) if header.encrypted else toc.clear.slots_digest
    clear = replace(toc.clear, header_digest=blake3(raw[:HEADER_BYTES]), slots_digest=slots)
    written = replace(toc, clear=clear).serialize()
    assert len(written) == commit.toc_bytes
    keys = ScopeKeys(KEY if header.encrypted else None, header.suite)
    sealed = replace(commit, toc_digest=blake3(written)).sealed(keys, header.uuid, None)
    raw[commit.toc_offset : commit.toc_offset + len(written)] = written
    raw[commit.offset : commit.end] = sealed.serialize()
    archive.write_bytes(raw)


def change_header(raw: bytearray) -> None:
    raw[CREATED_NS] ^= 1


def change_header_mac(raw: bytearray) -> None:
    raw[BODY_BYTES] ^= 1


def add_a_slot(raw: bytearray) -> None:
    """With the MAC that the slots had before."""
    copy = SlotCopy.parse(bytes(raw[COPY]))
    raw[COPY] = replace(copy, slots=(*copy.slots, UNKNOWN)).serialize(LOCK.slot_copy_bytes)


def change_slots_mac(raw: bytearray) -> None:
    copy = SlotCopy.parse(bytes(raw[COPY]))
    raw[COPY] = replace(copy, mac=bytes(32)).serialize(LOCK.slot_copy_bytes)


def refused(archive: Path, words: str, use: Callable[[Path, Unlock], object], unlock: Unlock) -> None:
    before = archive.read_bytes()
    with pytest.raises(IntegrityError, match=words):
        use(archive, unlock)
    assert archive.read_bytes() == before
    assert [path.name for path in archive.parent.glob("a.warp*")] == ["a.warp"]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("change", [change_header, change_header_mac])
def test_a_header_without_its_mac_is_refused(
    tree: Path, archive: Path, change: Callable[[bytearray], object], use: str
) -> None:
    two_snapshots(archive, tree, LOCKED)
    rewrite(archive, change)
    refused(archive, "the header's MAC does not match", USES[use], UNLOCK)


@pytest.mark.parametrize("use", PLAIN_USES)
def test_a_plain_header_without_its_mac_is_refused(tree: Path, archive: Path, use: str) -> None:
    two_snapshots(archive, tree, None)
    rewrite(archive, change_header)
    refused(archive, "the header's MAC does not match", USES[use], NO_KEY)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("change", [add_a_slot, change_slots_mac])
def test_slots_without_their_mac_are_refused(
    tree: Path, archive: Path, change: Callable[[bytearray], object], use: str
) -> None:
    two_snapshots(archive, tree, LOCKED)
    rewrite(archive, change)
    refused(archive, "key slots: their MAC does not match", USES[use], UNLOCK)


@pytest.mark.parametrize("use", USES)
def test_what_is_made_right_again_is_read(tree: Path, archive: Path, use: str) -> None:
    """Else the tests above would find another fault than the one that they mean."""
    two_snapshots(archive, tree, LOCKED)
    before = archive.read_bytes()
    rewrite(archive, lambda raw: None)
    assert archive.read_bytes() == before
    with contextlib.chdir(tree):
        USES[use](archive, UNLOCK)
