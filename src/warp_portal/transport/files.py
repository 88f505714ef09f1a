"""Private files of the state directory: mode 0600, replaced whole or not at all, changed by one process at a time.

What is written is on the disk before its name is (`fsync` of the file, then of the directory), so that after a power cut
there is the old content or the new.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from warp_portal.errors import BusyError, RecordsError, UsageError

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
LOCK_WAIT_S: Final = 5.0  # a change takes milliseconds: who holds the lock for longer is stuck
_LOCK_POLL_S: Final = 0.02


def make_directory(directory: Path) -> None:
    """Make a directory that nobody else may enter, unless it is there."""
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def check_private(directory: Path) -> None:
    """Whether no one else can change what is in a directory. Raises UsageError if others own it or may write to it, OSError."""
    found = os.stat(directory)
    if found.st_uid != os.geteuid():
        raise UsageError(
            f"{directory} belongs to another user, who could change what is kept there: use one of your own"
        )
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise UsageError(f"{directory} can be written by others: chmod 700 it, and look at what is in it")


def open_private(path: Path) -> int:
    """A descriptor of a private file, to read and write, made if it is not there. The caller closes it.

    Raises RecordsError if it is no regular file, UsageError if it is of another user or open to others, OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, FILE_MODE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise _is_other(path) from None
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise _is_other(path)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise UsageError(f"{path} is private, and is open to others: chmod 600 it, or discard its session")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_other(path: Path) -> RecordsError:
    return RecordsError(f"{path} is no regular file: discard the session (warp sessions discard), and begin again")


def replace_file(path: Path, content: bytes) -> None:
    """Write a private file anew, in a directory that is there. Raises OSError."""
    with _draft(path, content) as draft:
        os.replace(draft, path)
        sync_directory(path.parent)


def create_file(path: Path, content: bytes) -> bool:
    """Write a private file unless there is one; whether it was this call that did. Of several at once one does. Raises OSError."""
    with _draft(path, content) as draft:
        try:
            os.link(draft, path)  # fails where something is, as a rename would not
        except FileExistsError:
            return False
        sync_directory(path.parent)
        return True


def sync_directory(directory: Path) -> None:
    """Bring names that were made or taken away in a directory to the disk."""
    fd = open_directory(directory)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_directory(directory: Path) -> int:
    """A descriptor of a directory, to lock or to sync it. Raises OSError."""
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory's lock, so that of two who change something in it neither undoes what the other did.

    Where there are no locks, don't. Raises BusyError if others keep it for longer than LOCK_WAIT_S, OSError.
    """
    make_directory(directory)
    fd = open_directory(directory)
    try:
        if not wait_for_lock(fd, LOCK_WAIT_S):
            raise BusyError(
                f"{directory}: another program has held the lock of this directory for {LOCK_WAIT_S:g} s: nothing was changed: "
                "try again when it is done"
            )
        yield
    finally:
        os.close(fd)


def wait_for_lock(fd: int, seconds: float) -> bool:
    """Take the lock of an open file, which closing it frees; whether it could be had in time. Where there are none, it counts as had."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        except OSError:  # a file system without locks
            return True
        else:
            return True
        time.sleep(_LOCK_POLL_S)


@contextlib.contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` that holds `content`, durably; it is gone in the end."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}.new")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        yield draft
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the draft is gone by then
        raise
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
