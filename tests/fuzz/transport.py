"""Targets: files that the transport keeps, and what people write for it."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from tests.fuzz import sections
from tests.fuzz.texts import _text
from warp_portal.errors import FormatError, VersionError, WarpPortalError
from warp_portal.transport.peers import FILE_NAME, PeerStore, checked_name
from warp_portal.transport.ratelimit import LEAST, RateLimit
from warp_portal.transport.record import SessionRecord


def session_record(data: bytes) -> None:
    """The record of a session, which has one encoding and hides its secret."""
    try:
        record = SessionRecord.parse(data)
    except (FormatError, VersionError):
        return
    assert record.serialize() == data
    assert all(path.startswith(b"/") and b"\0" not in path for path in record.paths)
    assert record.scope_secret is None or repr(record.scope_secret) not in f"{record!r}{record.shown()}"


def peers_file(data: bytes) -> None:
    """The file of saved peers."""
    path = _scratch() / FILE_NAME
    path.write_bytes(data)
    path.chmod(0o600)
    store = PeerStore(path.parent)
    try:
        found = store.all()
    except WarpPortalError:
        return
    assert all(checked_name(peer.name) == peer.name and store.of(peer.machine) == peer for peer in found)


def rate_limit(data: bytes) -> None:
    """A limit, or a timetable of them: from each change to the next one nothing changes."""
    try:
        limit = RateLimit.parse(_text(data))
    except WarpPortalError:
        return
    moment = datetime(2026, 11, 22, 23, 59, 59)  # noqa: DTZ001  # the clock on the wall
    for _ in limit.changes[:100]:
        rate, change = limit.limit_at(moment), limit.next_change(moment)
        assert rate is None or rate >= LEAST
        assert (change is None) == (len(limit.changes) == 1)
        if change is not None:
            assert limit.limit_at(change) != rate == limit.limit_at(change - timedelta(seconds=1))
            moment = change


@cache
def _scratch() -> Path:
    return sections.scratch()
