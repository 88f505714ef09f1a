"""Targets: the structures of an archive and the records of the state directory, each by itself."""

import hmac
from functools import cache
from pathlib import Path

from tests.fuzz import sections
from warp_portal._native import ScopeKeys, blake3
from warp_portal.archive import filetable, packed, pages
from warp_portal.archive.commit import COMMIT_BYTES, Commit
from warp_portal.archive.filetable import Entry, order_key
from warp_portal.archive.header import Header
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR
from warp_portal.archive.slots import PASSPHRASE, SlotCopy, open_with_identity, passphrase_cost
from warp_portal.archive.state import Remembered, StateStore, Unfinished
from warp_portal.archive.toc import TOC, SealedTOC
from warp_portal.errors import WarpPortalError
from warp_portal.keys import Identity, SigningKey

KEYS = ScopeKeys(b"k" * 32, 1)
UUID = b"golden archive 1"
_INDEX_KINDS = (KIND_LOCATOR, KIND_CHUNK, KIND_FRAGMENT)
_SUM_BYTES = 16
_FEW_ITEMS = 64


def header(data: bytes) -> None:
    """The 256 bytes at the start."""
    try:
        parsed = Header.parse(data)
    except WarpPortalError:
        return
    assert parsed.serialize() == data
    hmac.compare_digest(parsed.mac, KEYS.header_mac(parsed.body()))


def slots(data: bytes) -> None:
    """A copy of the slot area; recipients' slots are tried too."""
    try:
        parsed = SlotCopy.parse(data)
    except WarpPortalError:
        return
    assert parsed.serialize(len(data)) == data
    for slot in parsed.slots:
        assert slot.kind
        assert isinstance(slot.detail, str)
        if slot.type == PASSPHRASE:
            passphrase_cost(slot).defect()
        _try_identities(parsed)


def _try_identities(parsed: SlotCopy) -> None:
    for slot in parsed.slots:
        for identity in (Identity("x25519", b"i" * 32), Identity("xwing", b"i" * 32)):
            try:
                key = open_with_identity(slot, UUID, identity)
            except WarpPortalError:
                continue
            assert key is None or len(key) == 32


def commit(data: bytes) -> None:
    """A commit, whose checksum is made right."""
    body = data[: COMMIT_BYTES - _SUM_BYTES]
    raw = body + blake3(body)[:_SUM_BYTES]
    try:
        parsed = Commit.parse(raw)
    except WarpPortalError:
        return
    assert parsed.serialize() == raw
    assert parsed.end == parsed.offset + COMMIT_BYTES
    assert parsed.toc_offset + parsed.toc_bytes <= parsed.offset
    for check in (lambda: parsed.check_mac(KEYS), lambda: parsed.check_signature(UUID, SigningKey(b"s" * 32).public)):
        try:
            check()
        except WarpPortalError:
            continue


def toc(data: bytes) -> None:
    """A table of contents; its sealed part stays closed."""
    try:
        parsed = TOC.parse(data, 1 << 70)
    except WarpPortalError:
        return
    assert parsed.serialize() == data
    assert len(parsed.clear.frontier) == 32 * parsed.clear.chunks.bit_count()


def sealed_toc(data: bytes) -> None:
    """The sealed part of a table of contents that lists one page of each kind."""
    try:
        parsed = SealedTOC.parse(data, 4)
    except WarpPortalError:
        return
    assert parsed.serialize() == data
    assert 0 <= parsed.time_ns < 1 << 63
    assert len(parsed.signer) in (0, 32)


def index_page(data: bytes) -> None:
    """An index page behind a byte that says of which kind."""
    kind = _INDEX_KINDS[data[0] % 3] if data else KIND_LOCATOR
    widths = pages.widths(kind, bool(data[:1] > b"\x7f"))
    try:
        parsed = pages.IndexPage.parse(data[1:], widths)
    except WarpPortalError:
        return
    assert parsed.serialize(widths) == data[1:]
    if kind == KIND_LOCATOR:
        assert len(pages.locator_leaves(parsed)) == 32 * parsed.count(widths)
        assert len(pages.locator_root(parsed)) == 32


def store_payload(data: bytes) -> None:
    """The frame of a locator page."""
    try:
        raw = pages.open_store_payload(data)
    except WarpPortalError:
        return
    assert pages.store_payload(raw) == data


def table(data: bytes) -> None:
    """A file-table page."""
    try:
        parsed = filetable.decode(data)
    except WarpPortalError:
        return
    assert filetable.encode(parsed) == data
    entries = [Entry.of(parsed, index) for index in range(len(parsed))]
    keys = [order_key(entry.path) for entry in entries]
    assert keys == sorted(set(keys))
    for entry in entries:
        parts = entry.path.split(b"/") if entry.path else []
        assert not {b"", b".", b".."} & set(parts)
        assert b"\0" not in entry.path + entry.link
        assert isinstance(entry.name, str)
        assert entry.st_mode >= 0
    columns = parsed.to_columns()
    runs = [run for entry in entries for run in entry.runs]
    assert list(filetable.decode_runs(bytes(columns["rr"]))) == runs  # type: ignore[call-overload]  # a column of bytes
    assert filetable.columns_of(entries) == columns


def messagepack(data: bytes) -> None:
    """A MessagePack map of few items."""
    try:
        content = packed.unpack_map(data, "it", _FEW_ITEMS)
    except WarpPortalError:
        return
    assert packed.pack(content) == data
    assert _items(content) <= max(_FEW_ITEMS, len(data) if len(data) <= _FEW_ITEMS else 0)


def _items(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(_items(key) + _items(item) for key, item in value.items())
    return 1 + (sum(map(_items, value)) if isinstance(value, list) else 0)


def state_record(data: bytes) -> None:
    """The file of a remembered and of an unfinished archive: malformed ones count as none."""
    store, unfinished, remembered = _store()
    unfinished.write_bytes(data)
    remembered.write_bytes(data)
    seen, begun = store.remembered(UUID), store.unfinished(b"/nowhere/a.warp")
    if seen is not None:
        assert all(isinstance(field, bytes) for field in (seen.commit_digest, seen.signer))
        store.remember(UUID, seen)
        assert store.remembered(UUID) == seen
    if begun is not None:
        assert all(isinstance(field, bytes) for field in (begun.uuid, begun.archive_key, begun.header))
        store.begin(b"/nowhere/a.warp", begun)
        assert store.unfinished(b"/nowhere/a.warp") == begun


@cache
def _store() -> tuple[StateStore, Path, Path]:
    """A store in a scratch directory, and the files of its two records."""
    home = sections.scratch()
    store = StateStore(home)
    store.begin(b"/nowhere/a.warp", Unfinished(UUID, b"k" * 32, {}, (), b""))
    store.remember(UUID, Remembered(1, bytes(32), b""))
    return store, next((home / "unfinished").iterdir()), next((home / "archives").iterdir())
