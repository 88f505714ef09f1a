"""Forgets a transfer that was not finished, with the files of it that came in part."""

import os
from contextlib import suppress
from pathlib import Path

from warp_portal.transport.record import Kind
from warp_portal.transport.state import Listed, SessionStore


def discard(store: SessionStore, listed: Listed) -> int:
    """Forget it; how many files that came in part were removed. Raises NotFoundError, BusyError, OSError."""
    removed = 0
    record = listed.record
    if record is None:
        store.discard(listed.session)
        return removed
    with store.open(listed.session) as session:
        if record.kind is Kind.RECEIVE:
            removed = _remove_parts(Path(os.fsdecode(record.paths[0])), record.session)
        session.discard()
    return removed


def _remove_parts(target: Path, session: bytes) -> int:
    """Remove the temporary files of a session below its target; links are not followed."""
    removed = 0
    beginning = f".warp-{session[:8].hex()}-"
    for directory, _, names in os.walk(target):
        for name in names:
            if name.startswith(beginning) and name.endswith(".part"):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))
                    removed += 1
    return removed
