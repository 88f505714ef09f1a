"""The file an archive lies in: exact reads, appends, and the lock that keeps it to one writer.

The lock is an open-file-description lock (`fcntl(2)`): it goes with the writer's descriptor, so a killed writer leaves
none behind, and a reader can ask whether there is one.
"""

import errno
import fcntl
import os
import stat
import struct
from types import TracebackType
from typing import Final, Protocol, Self

from warp_portal.errors import BusyError, IntegrityError, NotFoundError, UsageError, naming

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_LOCK: Final = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
_UNLOCKED: Final = fcntl.F_UNLCK


class Output(Protocol):
    """Where commits and pages are appended."""

    @property
    def offset(self) -> int:
        """Offset of the next byte."""
        ...

    def emit(self, blob: bytes) -> int:
        """Append `blob`; its offset."""
        ...

    def sync(self) -> None:
        """Return when everything appended is on the device."""
        ...


class Readable(Protocol):
    """What can be read as an archive's file is: that file, or the part of it that has come so far."""

    @property
    def name(self) -> str:
        """The path for messages."""
        ...

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Exactly `length` bytes; IntegrityError naming `what` if they are not there."""
        ...


class ArchiveFile:
    """An open archive. Reads need no lock; `lock` makes this the one writer."""

    def __init__(self, path: AnyPath, flags: int = os.O_RDONLY, mode: int = 0o666) -> None:
        """`mode` is that of a new file. Raises NotFoundError, UsageError (no regular file), OSError."""
        self.path = os.fsencode(path)
        try:
            # Without O_NONBLOCK, a fifo would keep us waiting for its other end.
            self.fd = os.open(self.path, flags | os.O_CLOEXEC | os.O_NONBLOCK, mode)
        except FileNotFoundError:
            raise NotFoundError(f"no archive {self.name}: check its path") from None
        except IsADirectoryError:
            raise UsageError(f"{self.name} is a directory, no archive") from None
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            os.close(self.fd)
            raise UsageError(f"{self.name} is no regular file, so no archive: save what a pipe brings to a file")
        self._closed = False
        self._locked = False

    @property
    def name(self) -> str:
        """The path for messages."""
        return os.fsdecode(self.path).encode("utf-8", "replace").decode()

    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self.fd).st_size

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Exactly `length` bytes; IntegrityError naming `what` if the file ends before."""
        if offset + length > self.size():
            raise IntegrityError(f"{self.name}: {what} lies beyond the end of the file: it was cut short")
        pieces = []
        while length:
            with naming(os.fsdecode(self.path)):
                piece = os.pread(self.fd, length, offset)
            if not piece:
                raise IntegrityError(f"{self.name}: {what} lies beyond the end of the file: it was cut short")
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def sync(self) -> None:
        """`fdatasync`; only what came before it is sure to survive a loss of power."""
        with naming(os.fsdecode(self.path)):
            os.fdatasync(self.fd)

    def lock(self) -> None:
        """Become the one writer; BusyError if there is another, or if the file lost its name meanwhile."""
        request = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, request)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BusyError(f"{self.name} is being written by another process: wait for it to end") from None
            raise
        self._locked = True
        if not self.named():  # else a file would be written that nobody finds
            raise BusyError(f"{self.name} was removed or replaced by another process just now: try again")

    def named(self) -> bool:
        """Whether the path still leads to the open file."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def being_written(self) -> bool:
        """Whether another process holds the writer's lock."""
        request = _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer: bytes = fcntl.fcntl(self.fd, fcntl.F_OFD_GETLK, request)
        return bool(_LOCK.unpack(answer)[0] != _UNLOCKED)

    def close(self) -> None:
        """Close the file and end the lock, also for duplicates of the descriptor that live on; idempotent."""
        if not self._closed:
            self._closed = True
            if self._locked:
                fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileOutput:
    """Appends to a descriptor from `offset` on; with `durable`, `sync` reaches the device."""

    def __init__(self, fd: int, offset: int, durable: bool) -> None:
        self._fd = fd
        self._offset = offset
        self._durable = durable
        if durable:
            os.lseek(fd, offset, os.SEEK_SET)

    @property
    def offset(self) -> int:
        """Offset of the next byte."""
        return self._offset

    def emit(self, blob: bytes) -> int:
        """Append `blob`; its offset."""
        start, left = self._offset, memoryview(blob)
        while left:
            written = os.write(self._fd, left)
            left = left[written:]
            self._offset += written
        return start

    def sync(self) -> None:
        """`fdatasync`, unless this is no file."""
        if self._durable:
            os.fdatasync(self._fd)


def sync_directory(path: bytes) -> None:
    """Make the name of the file at `path` durable too. Raises OSError that names it."""
    fd = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with naming(os.fsdecode(path)):
            os.fsync(fd)
    finally:
        os.close(fd)
