"""A new file that takes an archive's name once it is whole; until then the archive is as it was.

    ARCHIVE.compact-1f3a9c02   mode 0600, locked, written, synced ─▶ mode and owner of ARCHIVE ─▶ renamed over it ─ sync

Killed at any moment, it leaves the old archive or the new one under the name, and at most a file that the next one removes.
Readers that have the old file open read on in it.
"""

import contextlib
import errno
import logging
import os
import re
import stat
from types import TracebackType
from typing import Final, Self

from warp_portal.archive.storage import ArchiveFile, sync_directory
from warp_portal.errors import BusyError, StorageFullError, WarpPortalError, naming
from warp_portal.units import format_bytes

_MARK: Final = b".compact-"
_TAG_BYTES: Final = 4
_LEFTOVER: Final = re.compile(rb"[0-9a-f]{%d}" % (2 * _TAG_BYTES))
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_log = logging.getLogger(__name__)


class Replacement:
    """The file beside an archive that is locked; a context manager that removes it unless it took over."""

    def __init__(self, archive: ArchiveFile, room_bytes: int) -> None:
        """Raises StorageFullError if there is no room for so many bytes."""
        self._archive = archive
        # Behind a link: the file is replaced, and the link stays.
        self._target = os.path.realpath(archive.path)
        check_room(archive, room_bytes)
        path = self._target + _MARK + os.urandom(_TAG_BYTES).hex().encode()
        try:
            self.file = ArchiveFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            self._raise_if_full(error)
            raise

    def take_over(self) -> None:
        """Become the archive.

        Raises:
            BusyError: that was moved away or replaced meanwhile.
            OSError: something failed; the archive is as it was, unless the message says otherwise.
        """
        with naming(os.fsdecode(self.file.path)):
            self._take_access()
            os.fsync(self.file.fd)
        if not self._archive.named():
            raise BusyError(f"{self._archive.name} was moved or replaced meanwhile, and is left alone: try again")
        os.replace(self.file.path, self._target)
        try:
            sync_directory(self._target)
        except OSError as error:
            what = f"it is written anew, but a loss of power may bring the old file back: {error.strerror}"
            raise OSError(error.errno, what, os.fsdecode(self._target)) from error

    def _take_access(self) -> None:
        """The archive's owner and mode; where the group cannot be kept, a group gets no rights that were another's."""
        wanted, mine = os.fstat(self._archive.fd), os.fstat(self.file.fd)
        mode = stat.S_IMODE(wanted.st_mode)
        if (wanted.st_uid, wanted.st_gid) != (mine.st_uid, mine.st_gid):
            try:
                os.fchown(self.file.fd, wanted.st_uid, wanted.st_gid)
            except PermissionError:
                mode &= ~stat.S_IRWXG
        os.fchmod(self.file.fd, mode)

    def __enter__(self) -> Self:
        try:
            self.file.lock()
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()
        if isinstance(error, OSError):
            self._raise_if_full(error)

    def _raise_if_full(self, error: OSError) -> None:
        """A full disk gets the error class that says so."""
        if error.errno in _FULL:
            raise StorageFullError(
                f"no room left to write {self._archive.name} anew: it is as it was; make room and run the command again"
            ) from error

    def _drop(self) -> None:
        """Remove the file, if it still has its own name, and close it. What cannot be removed is a warning: see above."""
        try:
            os.unlink(self.file.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("%s is left behind, and the next run will remove it: %s", self.file.name, error.strerror)
        finally:
            self.file.close()


def remove_leftovers(archive: ArchiveFile) -> None:
    """Remove what runs that were killed left beside an archive, whose lock the caller holds."""
    directory, name = os.path.split(os.path.realpath(archive.path))
    with os.scandir(directory) as entries:
        beside = [entry.path for entry in entries if _is_leftover(entry, name)]
    for path in beside:
        # One that is written, or gone, is somebody's who has the archive under another name.
        with contextlib.suppress(WarpPortalError, OSError), ArchiveFile(path, os.O_RDWR) as file:
            file.lock()
            os.unlink(path)


def _is_leftover(entry: "os.DirEntry[bytes]", name: bytes) -> bool:
    tag = entry.name.removeprefix(name + _MARK)
    return tag != entry.name and bool(_LEFTOVER.fullmatch(tag)) and entry.is_file(follow_symlinks=False)


def check_room(archive: ArchiveFile, room_bytes: int) -> None:
    """Raises StorageFullError if there is no room for so many bytes beside the archive."""
    status = os.statvfs(os.path.dirname(os.path.realpath(archive.path)))
    free = status.f_bavail * status.f_frsize
    if free < room_bytes:
        raise StorageFullError(
            f"writing {archive.name} anew takes up to {format_bytes(room_bytes)} beside it, and {format_bytes(free)} are free: "
            "make room, and run the command again"
        )
