"""Gives up a create that was not finished: the file goes, and what was kept to go on with it."""

import contextlib
import os

from warp_portal.archive.opening import history
from warp_portal.archive.state import StateStore
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.writer import may_be, newest_of_any_kind
from warp_portal.errors import NotFoundError


def abandon(path: bytes, state: StateStore) -> bool:
    """Remove the archive at `path` if its create was begun here and not finished; whether it was removed.

    Raises BusyError while it is being written, WarpPortalError, OSError.
    """
    record, removed = state.unfinished(path), False
    with contextlib.suppress(NotFoundError), ArchiveFile(path, os.O_RDWR) as file:
        file.lock()
        if record is not None and may_be(file, record.header) and not is_finished(file):
            os.unlink(file.path)
            removed = True
    state.finish(path)
    return removed


def is_finished(file: ArchiveFile) -> bool:
    """Whether it has a snapshot. Raises IntegrityError for one whose commits can't be followed."""
    newest = newest_of_any_kind(file)
    return newest is not None and any(commit.snapshot for commit in history(file, newest[1]))
