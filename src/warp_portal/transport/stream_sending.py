"""Sends what comes from a pipe, as a file: it is read whole before anybody gets it, so that a cut loses nothing."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from warp_portal.archive.options import Source
from warp_portal.errors import StorageFullError, UsageError
from warp_portal.transport.files import sync_directory
from warp_portal.transport.sending import Cargo, Sending, Visit, titled
from warp_portal.transport.tree_sending import TreeCargo
from warp_portal.units import format_bytes

STDIN: Final = b"/dev/stdin"
_PIECE_BYTES: Final = 1 << 20
_SPARE_BYTES: Final = 64 << 20


class StreamCargo(Cargo):
    """One file that is read from a descriptor."""

    is_repeatable = False

    def __init__(self, fd: int | None, name: str, progress: Callable[[int], None] | None = None) -> None:
        """`fd` is None where there is nothing to read; `progress` is told how many bytes were read.

        Raises UsageError for a name that no file can have.
        """
        self._name = os.fsencode(name)
        if not self._name or b"/" in self._name or self._name in (b".", b"..") or b"\0" in self._name:
            raise UsageError(f"standard input is sent as a file, and {name!r} is no name of one")
        self._fd, self._progress = fd, progress
        self._tree: TreeCargo | None = None
        self.title = titled(self._name)
        self.paths = (STDIN,)

    def stow(self, records: Path, resumed: bool) -> None:
        """Read it, unless it was read before. Raises StorageFullError, UsageError, OSError."""
        place = records / "stream"
        if resumed and not place.exists():
            raise UsageError(
                "standard input was not read to its end before: discard this session, and pipe all of it in again"
            )
        if not resumed:
            if self._fd is None:
                raise UsageError("standard input is closed or a terminal: redirect a file or pipe into it")
            draft = records / "stream.part"
            self._read(self._fd, draft)
            os.replace(draft, place)
            sync_directory(records)
        self._tree = TreeCargo(Source(((self._name, os.fsencode(place)),)))

    def _read(self, fd: int, draft: Path) -> None:
        done = 0
        with open(draft, "wb", opener=_private) as file:
            while piece := os.read(fd, _PIECE_BYTES):
                room = os.statvfs(file.fileno())
                if room.f_bavail * room.f_frsize < _SPARE_BYTES + len(piece):
                    raise StorageFullError(
                        f"{draft.parent}: no room for standard input, of which {format_bytes(done)} came: make room, or write it "
                        "to a file elsewhere and send that"
                    )
                file.write(piece)
                done += len(piece)
                if self._progress is not None:
                    self._progress(done)
            file.flush()
            os.fsync(file.fileno())

    def sending(self, visit: Visit) -> Sending:
        """One machine's."""
        assert self._tree is not None
        return self._tree.sending(visit)

    def __enter__(self) -> Self:
        assert self._tree is not None
        self._tree.__enter__()
        return self

    def close(self) -> None:
        """End the counting."""
        if self._tree is not None:
            self._tree.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
