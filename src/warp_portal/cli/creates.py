"""Creates that were not finished: how each was run is noted beside the key that lets it go on (archive/state.py).

<state directory>/creates/<hash of the archive's path>   as in again.py, and "archive": its absolute path
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from warp_portal.cli import again
from warp_portal.cli.output import Output
from warp_portal.config import read_regular
from warp_portal.errors import UsageError

_FOLDER: Final = "creates"
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Create:
    """One that can go on. `size_bytes` is what it has on disk; `active_s` when it last wrote, in seconds since 1970."""

    number: str
    note: Path
    archive: str
    size_bytes: int
    active_s: int


@contextlib.contextmanager
def noted(output: Output, state: Path, archive: str) -> Iterator[None]:
    """Keep how this create is run for as long as it is not finished. What can't be noted keeps nobody from creating."""
    path = os.path.realpath(archive)
    note, before = _place(state, path), b""
    with contextlib.suppress(OSError):
        before = note.read_bytes() if _is_begun(state, path) else b""
    _write(note, json.dumps({**json.loads(again.noted(output)), "archive": path}).encode())
    try:
        yield
    except UsageError:
        # It was refused: what can go on there is the one before.
        if before:
            _write(note, before)
        raise
    finally:
        if not _is_begun(state, path):
            note.unlink(missing_ok=True)


def _write(note: Path, content: bytes) -> None:
    with contextlib.suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)


def unfinished(state: Path) -> list[Create]:
    """All that are noted and can go on, the last active first."""
    try:
        names = os.listdir(state / _FOLDER)
    except FileNotFoundError:
        return []
    found = [create for name in names if (create := _read(state, state / _FOLDER / name)) is not None]
    return sorted(found, key=lambda create: -create.active_s)


def discard(state: Path, create: Create) -> int:
    """Remove what there is of the archive, and the note; how many files were removed. Raises BusyError, OSError."""
    from warp_portal.archive import StateStore
    from warp_portal.archive.abandoning import abandon

    removed = abandon(os.fsencode(create.archive), StateStore(state))
    create.note.unlink(missing_ok=True)
    return int(removed)


def _read(state: Path, note: Path) -> Create | None:
    """One that can go on; None for a note of one that is finished, gone, or that says nothing."""
    try:
        archive = json.loads(read_regular(str(note), "notes of creates", _MOST_BYTES, private=True))["archive"]
        info = os.stat(archive)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, UsageError):
        return None
    if not isinstance(archive, str) or note != _place(state, archive) or not _is_begun(state, archive):
        return None
    return Create(note.name, note, archive, info.st_size, int(info.st_mtime))


def _place(state: Path, archive: str) -> Path:
    from warp_portal.archive import StateStore

    return state / _FOLDER / StateStore(state).unfinished_name(os.fsencode(archive))


def _is_begun(state: Path, archive: str) -> bool:
    return (state / "unfinished" / _place(state, archive).name).exists()
