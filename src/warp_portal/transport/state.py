"""Sessions that can go on: a directory for each, with its record and whatever belongs to it, and one process at a time in it.

    <state directory>/sessions/<session, hex>/record   CBOR (record.py), mode 0600, replaced atomically; the directory is 0700

The lock is that of the directory itself, so it ends with the process that holds it, however that ends.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.config import read_regular
from warp_portal.errors import BusyError, ExistsError, FormatError, NotFoundError, RecordsError, WarpPortalError
from warp_portal.protocol import cbor
from warp_portal.transport.files import (
    check_private,
    make_directory,
    open_directory,
    replace_file,
    sync_directory,
    wait_for_lock,
)
from warp_portal.transport.record import SessionRecord

RECORD: Final = "record"
# How a person can have it go on: of whoever began the session.
AGAIN: Final = "again"
# Whoever lists the sessions holds each lock for a moment, to see whether it is free.
_LOCK_WAIT_S: Final = 0.5
_NAME: Final = re.compile(r"[0-9a-f]{32}")
# What is being removed has another name, so that a kill leaves no half of a session at its own.
_REMOVED: Final = re.compile(r"\.[0-9a-f]{32}\.[0-9a-f]{16}\.gone")
_NS: Final = 10**9
_ADVICE: Final = "discard it (warp sessions discard)"


class Session:
    """A session that this process alone works on, until `close`; a context manager."""

    def __init__(self, directory: Path, fd: int, record: SessionRecord, clock: Clock) -> None:
        self.directory = directory
        """Where more of the session may be kept, as a journal; it goes with the record."""
        self._fd: int | None = fd
        self._record = record
        self._clock = clock

    @property
    def record(self) -> SessionRecord:
        """The record as it was saved last."""
        return self._record

    def save(self, record: SessionRecord) -> None:
        """Put another record of this session in the place of the former, active now. Raises UsageError, OSError."""
        assert self._fd is not None
        assert record.session == self._record.session
        record = replace(record, active_s=self._clock.now_ns() // _NS)
        replace_file(self.directory / RECORD, record.serialize())
        self._record = record

    def discard(self) -> None:
        """Remove the session and all that is kept of it, the secret first, and close. Raises OSError."""
        _remove(self.directory)
        self.close()

    def close(self) -> None:
        """Let others work on it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session({self._record!r})"


@dataclass(frozen=True, slots=True)
class Listed:
    """A session that was found: its record, or why there is none to be read; `busy` if a process works on it now."""

    session: bytes
    record: SessionRecord | None
    problem: str
    busy: bool


class SessionStore:
    """The sessions below a state directory."""

    def __init__(self, directory: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._root = directory
        self._directory = directory / "sessions"
        self._clock = clock

    def begin(self, record: SessionRecord) -> Session:
        """Note a new session. Raises ExistsError for one that is known, UsageError for a record that cannot be kept, OSError."""
        content = record.serialize()
        make_directory(self._root)
        make_directory(self._directory)
        check_private(self._root)
        check_private(self._directory)
        _sweep(self._directory)
        directory = self._place(record.session)
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise ExistsError(
                f"session {record.session.hex()} is known here already: resume it, or discard it"
            ) from None
        return self._opened(directory, lambda: self._written(directory, content, record))

    def open(self, session: bytes) -> Session:
        """Go on with a session.

        Raises:
            NotFoundError: there is none of this number.
            BusyError: another process works on it.
            RecordsError, VersionError, UsageError: its record is damaged, of a later version, or it is open to others.
            OSError: it cannot be read.
        """
        directory = self._place(session)
        return self._opened(directory, lambda: _read(directory))

    def discard(self, session: bytes) -> None:
        """Remove a session, be its record damaged. Raises NotFoundError, BusyError, OSError."""
        directory = self._place(session)
        fd = _lock(directory)
        try:
            _remove(directory)
        finally:
            os.close(fd)

    def list(self) -> tuple[Listed, ...]:
        """All sessions, those with a record first, of these the one that was active last. Raises OSError."""
        try:
            names = [name for name in os.listdir(self._directory) if _NAME.fullmatch(name)]
        except FileNotFoundError:
            return ()
        found = [listed for name in names if (listed := _listed(self._directory / name))]
        return tuple(sorted(found, key=lambda each: (-each.record.active_s if each.record else 0, each.session)))

    def _place(self, session: bytes) -> Path:
        name = session.hex()
        assert _NAME.fullmatch(name)
        return self._directory / name

    def _opened(self, directory: Path, record: Callable[[], SessionRecord]) -> Session:
        fd = _lock(directory)
        try:
            return Session(directory, fd, record(), self._clock)
        except BaseException:
            os.close(fd)
            raise

    @staticmethod
    def _written(directory: Path, content: bytes, record: SessionRecord) -> SessionRecord:
        try:
            replace_file(directory / RECORD, content)
            sync_directory(directory.parent)
        except OSError:
            _remove(directory)  # or this session could neither be begun nor resumed
            raise
        return record


def _lock(directory: Path) -> int:
    """A descriptor that holds a session's lock. Raises NotFoundError, BusyError, OSError."""
    try:
        fd = open_directory(directory)
    except FileNotFoundError:
        raise _unknown(directory) from None
    try:
        if not wait_for_lock(fd, _LOCK_WAIT_S):
            raise BusyError(f"session {directory.name} is in use by another process: wait for it, or stop it")
        if not _is_at(fd, directory):  # discarded since, by who had the lock
            raise _unknown(directory)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_at(fd: int, directory: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(directory))
    except FileNotFoundError:
        return False


def _unknown(directory: Path) -> NotFoundError:
    return NotFoundError(f"no session {directory.name} is known on this machine")


def _read(directory: Path) -> SessionRecord:
    path = directory / RECORD
    for each in (directory.parent.parent, directory.parent, directory):
        check_private(each)
    try:
        record = SessionRecord.parse(read_regular(str(path), "records of sessions", cbor.MAX_BYTES, private=True))
    except FileNotFoundError:
        raise RecordsError(f"{path}: the session has no record: {_ADVICE}") from None
    except FormatError as error:
        raise RecordsError(f"{path}: {error}: {_ADVICE}, and send it again") from None
    if record.session.hex() != directory.name:
        raise RecordsError(f"{path}: the record of another session: {_ADVICE}")
    return record


def _listed(directory: Path) -> Listed | None:
    """What is known of a session without working on it; None if it goes or comes right now."""
    record, problem = None, ""
    try:
        busy = _is_busy(directory)
        record = _read(directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        busy, problem = False, f"{directory}: {error.strerror}"
    except WarpPortalError as error:
        if busy and not os.path.lexists(directory / RECORD):
            return None
        problem = str(error)
    return Listed(bytes.fromhex(directory.name), record, problem, busy)


def _is_busy(directory: Path) -> bool:
    fd = open_directory(directory)
    try:
        return not wait_for_lock(fd, 0)
    finally:
        os.close(fd)


def _remove(directory: Path) -> None:
    """Remove a session, the secret first: at once from its name, so that a kill on the way leaves nothing there."""
    gone = directory.with_name(f".{directory.name}.{os.urandom(8).hex()}.gone")
    directory.rename(gone)
    (gone / RECORD).unlink(missing_ok=True)
    shutil.rmtree(gone)
    sync_directory(directory.parent)


def _sweep(sessions: Path) -> None:
    """Remove what a kill left of sessions that were being removed."""
    for name in os.listdir(sessions):
        if _REMOVED.fullmatch(name):
            shutil.rmtree(sessions / name, ignore_errors=True)
