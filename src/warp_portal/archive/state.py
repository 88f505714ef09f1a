"""What this machine remembers of archives: unfinished ones with their key, and the newest state it has seen of each.

    unfinished/<hash of the path>   uuid, archive key, arguments: until the first snapshot, so that `create` resumes
    changing/<uuid>                 the commit that an append or key change goes on from, until it is done: what follows is its own
    archives/<uuid>                 sequence, commit, signer: an older or unsigned state is refused

Files are MessagePack maps, mode 0600, replaced atomically. What is malformed or no file counts as none, and what cannot be noted keeps
nobody from reading, or from having written: each is a warning, one for each cause. A create that could not be resumed
for want of its record does not begin. A record that is there and cannot be read (of another user, on a failing disk) stops the run:
to go on without it would be to forget it, and the next state seen would be written over it.
"""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from warp_portal._native import blake3
from warp_portal.archive import packed
from warp_portal.archive.limits import MAX_ARGUMENTS
from warp_portal.archive.storage import AnyPath
from warp_portal.config import read_regular
from warp_portal.errors import FormatError, StorageFullError, UsageError, WarpPortalError

# The arguments of a create, and room for what stands beside them.
MAX_RECORD: Final = MAX_ARGUMENTS + 1024 * 1024
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
# What stands in a record's place is no file; a name that long has never been written.
_NO_FILE: Final = (errno.EISDIR, errno.ENXIO, errno.ELOOP, errno.ENAMETOOLONG)
_ELSEWHERE: Final = "name another state directory (WARP_STATE_DIR)"
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Unfinished:
    """A create that has not reached its first snapshot; `archive_key` is empty for a plain archive."""

    uuid: bytes
    archive_key: bytes
    arguments: dict[str, object]
    recipients: tuple[str, ...]
    header: bytes
    """What the file begins with: only such a file is begun anew."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The newest state seen of an archive; `signer` is empty if it was unsigned."""

    sequence: int
    commit_digest: bytes
    signer: bytes


class StateStore:
    """A directory of such records; `warn` gets what may do harm, and is the log unless given."""

    def __init__(self, directory: AnyPath, warn: Callable[[str], None] = _log.warning) -> None:
        self._directory = Path(os.fsdecode(directory))
        self._warn = warn
        self._warned = set[int]()

    def begin(self, path: bytes, record: Unfinished) -> None:
        """Note an archive that is being created.

        Raises:
            StorageFullError, WarpPortalError: it cannot be; the message names the directory and says what to do.
        """
        content: dict[str, object] = {
            "uuid": record.uuid,
            "key": record.archive_key,
            "arguments": record.arguments,
            "recipients": list(record.recipients),
            "header": record.header,
        }
        try:
            self._write(self._unfinished(path), content)
        except OSError as error:
            raise _refusal(error, self._directory) from error

    def unfinished(self, path: bytes) -> Unfinished | None:
        """The record of the archive at `path`, if its creation was begun here and not finished. Raises WarpPortalError."""
        return self._read(self._unfinished(path), _unfinished)

    def begin_change(self, uuid: bytes, commit_digest: bytes) -> None:
        """Note that a snapshot is being added after that commit, if that can be."""
        try:
            self._write(self._changing(uuid), {"commit": commit_digest})
        except OSError as error:
            self._warn_unnoted(error)

    def changed_from(self, uuid: bytes) -> bytes | None:
        """Digest of the commit after which a run here began to add a snapshot, and did not finish. Raises WarpPortalError."""
        return self._read(self._changing(uuid), lambda content: packed.binary(content, "commit", "state record"))

    def end_change(self, uuid: bytes) -> None:
        """Forget that a snapshot was being added: it is there, or nothing of it."""
        self._remove(self._changing(uuid))

    def finish(self, path: bytes) -> None:
        """Forget the record (and with it the key) of an archive that has its first snapshot."""
        self._remove(self._unfinished(path))

    def unfinished_name(self, path: bytes) -> str:
        """What the record of an archive at `path` is called, for who keeps more of its creation."""
        return self._unfinished(path).name

    def remember(self, uuid: bytes, seen: Remembered, *, go_back: bool = False) -> None:
        """Note the newest state of an archive, if that can be; one older than what is noted only with `go_back`.

        A reader may be late: what a writer has noted since it opened the archive stays, and so does what cannot be read.
        """
        content: dict[str, object] = {"sequence": seen.sequence, "commit": seen.commit_digest, "signer": seen.signer}
        path = self._archive(uuid)
        try:
            with _locked(path.parent):
                known = self._known(path, _remembered)
                if go_back or known is None or known.sequence <= seen.sequence:
                    self._write(path, content)
        except OSError as error:
            self._warn_unnoted(error)

    def remembered(self, uuid: bytes) -> Remembered | None:
        """The newest state seen of an archive.

        Raises:
            WarpPortalError: there is a record of it, and it cannot be read; so for the other records.
        """
        return self._read(self._archive(uuid), _remembered)

    def _unfinished(self, path: bytes) -> Path:
        return self._directory / "unfinished" / blake3(os.path.realpath(path))[:16].hex()

    def _changing(self, uuid: bytes) -> Path:
        return self._directory / "changing" / uuid.hex()

    def _archive(self, uuid: bytes) -> Path:
        return self._directory / "archives" / uuid.hex()

    def _warn_unnoted(self, error: OSError) -> None:
        """All that a run notes goes to one directory: what keeps one record out keeps out the others, and is said once."""
        if self._first(error.errno or 0):
            self._warn(
                "the state of the archive cannot be remembered, so a rollback will not be noticed, and what a stopped run left "
                f"will not be known: {self._directory}: {error.strerror}: {_ELSEWHERE}"
            )

    def _first(self, cause: int) -> bool:
        """Whether nothing was said of this cause yet; 0 stands for all that no system error tells."""
        known = cause in self._warned
        self._warned.add(cause)
        return not known

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if os.path.lexists(path):  # a read-only file system refuses even where there is nothing
                self._warn(f"the record of an unfinished archive cannot be removed: {_said(error)}")

    @staticmethod
    def _write(path: Path, content: dict[str, object]) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(packed.pack(content))
                file.flush()
                os.fsync(fd)
            draft.replace(path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _read(self, path: Path, parse: Callable[[dict[str, object]], T]) -> T | None:
        """A record, as `_known`; raises WarpPortalError for one that cannot be read."""
        try:
            return self._known(path, parse)
        except OSError as error:
            raise WarpPortalError(
                f"{path}: what is remembered of the archive cannot be read ({error.strerror}): make it readable, or remove it to "
                f"forget what was seen, or {_ELSEWHERE}"
            ) from error

    def _known(self, path: Path, parse: Callable[[dict[str, object]], T]) -> T | None:
        """A record; one that is malformed or no file counts as none, for these files may be deleted. Raises OSError."""
        try:
            raw = read_regular(str(path), "state records", MAX_RECORD)
            return parse(packed.unpack_map(raw, "state record"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (FormatError, KeyError):
            self._warn_unusable(f"{path}: malformed")
        except UsageError as error:
            self._warn_unusable(str(error))
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            self._warn_unusable(_said(error), error.errno)
        return None

    def _warn_unusable(self, reason: str, cause: int = 0) -> None:
        if self._first(cause):
            self._warn(f"what is remembered of the archive counts as nothing: {reason}: put it right, or {_ELSEWHERE}")


def _said(error: OSError) -> str:
    """Where, and what the system said."""
    return f"{error.filename}: {error.strerror}"


def _refusal(error: OSError, directory: Path) -> WarpPortalError:
    """What to say of a record that a run needs: that it is not the archive for which there is no place.

    The error itself names a draft, which is gone by then.
    """
    if error.errno in _FULL:
        return StorageFullError(
            f"{directory}: no room left in the state directory, where a create is noted so that it can be resumed: make "
            f"room there, or {_ELSEWHERE}"
        )
    return WarpPortalError(
        f"the state directory {directory} cannot be used, where a create is noted so that it can be resumed: {error.strerror}: "
        f"check its path and permissions, or {_ELSEWHERE}"
    )


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, so that of two who note something each sees what the other has; where locks are none, don't."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _unfinished(content: dict[str, object]) -> Unfinished:
    arguments, recipients = content["arguments"], content["recipients"]
    if not isinstance(arguments, dict) or not isinstance(recipients, list):
        raise FormatError("state record: arguments")
    uuid, key, header = (packed.binary(content, name, "state record") for name in ("uuid", "key", "header"))
    return Unfinished(uuid, key, arguments, tuple(map(str, recipients)), header)


def _remembered(content: dict[str, object]) -> Remembered:
    digest, signer = (packed.binary(content, name, "state record") for name in ("commit", "signer"))
    return Remembered(packed.integer(content, "sequence", "state record"), digest, signer)
