"""Forgets a transfer that was not finished, with the files of it that came in part."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from warp_portal.archive import partfile
from warp_portal.archive.state import StateStore
from warp_portal.transport.destinations import STDOUT, packed, staging
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
    staged = staging(target, record.session, records, is_tree)
    if not is_tree:
        place = staged if target.is_dir() or target == STDOUT else target
        was_there = partfile.discard(place, records)
        if place == staged:
            staged.unlink(missing_ok=True)
        return int(was_there)
    # With it comes all that writes archives, which is loaded for this alone.
    from warp_portal.archive.abandoning import abandon

    archive = packed(staged)
    abandon(os.fsencode(archive), state)
    removed = int(archive.exists())
    archive.unlink(missing_ok=True)
    if staged.is_dir() and not staged.is_symlink():
        removed += sum(len(names) for _, _, names in os.walk(staged))
        shutil.rmtree(staged)
    begins = beginning(records)
    return removed or (0 if begins is None else _remove_parts(target, begins))


def _remove_parts(target: Path, begins: str) -> int:
    """Remove the temporary files of a session below its target; links are not followed."""
    removed = 0
    for directory, _, names in os.walk(target):
        for name in names:
            if name.startswith(begins) and name.endswith(".part"):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))
                    removed += 1
    return removed
