"""Forgets a transfer that was not finished, with the files of it that came in part."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from warp_portal.archive import partfile
from warp_portal.archive.state import StateStore
from warp_portal.errors import RecordsError, UsageError
from warp_portal.transport.destinations import packed, staged
from warp_portal.transport.parts import beginning
from warp_portal.transport.record import Kind
from warp_portal.transport.state import Listed, Session, SessionStore


def discard(store: SessionStore, listed: Listed, state: StateStore) -> int:
    """Forget it; how many files that came in part were removed. Raises NotFoundError, BusyError, OSError."""
    if listed.record is None:
        store.discard(listed.session)
        return 0
    with store.open(listed.session) as session:
        return give_up(session, state)


def give_up(session: Session, state: StateStore) -> int:
    """As `discard`, of a session that is this process's own."""
    removed = _removed(session, state) if session.record.kind is Kind.RECEIVE else 0
    session.discard()
    return removed


def _removed(session: Session, state: StateStore) -> int:
    record, records = session.record, session.directory
    target, is_tree = Path(os.fsdecode(record.paths[0])), record.scope_secret is not None
    place = _staged(target, records, is_tree)
    if not is_tree:
        was_there = partfile.discard(target if place is None else place, records)
        if place is not None:
            place.unlink(missing_ok=True)
        return int(was_there)
    return _discard_tree(place, state) or _remove_parts(target, records)


def _staged(target: Path, records: Path, is_tree: bool) -> Path | None:
    try:
        return staged(target, records, is_tree)
    except (RecordsError, UsageError):
        return None  # what is not known to be this session's stays


def _discard_tree(place: Path | None, state: StateStore) -> int:
    """Remove a directory that was staged, and the archive that it is being packed into; how many files."""
    if place is None:
        return 0
    # With it comes all that writes archives, which is loaded for this alone.
    from warp_portal.archive.abandoning import abandon

    archive = packed(place)
    abandon(os.fsencode(archive), state)
    removed = int(archive.exists())
    archive.unlink(missing_ok=True)
    if place.is_dir() and not place.is_symlink():
        removed += sum(len(names) for _, _, names in os.walk(place))
        shutil.rmtree(place)
    return removed


def _remove_parts(target: Path, records: Path) -> int:
    """Remove the temporary files of a session below its target; links are not followed."""
    try:
        begins = beginning(records)
    except (RecordsError, UsageError):
        begins = None  # what is not known to be this session's stays
    if begins is None:
        return 0
    removed = 0
    for directory, _, names in os.walk(target):
        for name in names:
            if name.startswith(begins) and name.endswith(".part"):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))
                    removed += 1
    return removed
