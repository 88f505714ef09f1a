"""The file of an archive that comes from another machine, until it is complete and takes its name.

    ARCHIVE.warp-part   locked; a copy of what is here already, then whatever came, each piece at its offset
                        at the offered commit's place "WPARTIAL" and 16 bytes that tell whose it is
    <records>/archive   the offered commit 256 │ the commit of what was here 256, or zeros │ those 16 bytes │ BLAKE3[0..16]
    <records>/journal   chunks that are durable (of the native core); it is there once the copy is complete

The commit is written last, when all before it is durable: nobody takes the part for an archive. An archive that is here is never
touched: a transfer that ends half-way would leave it with bytes behind its newest commit. It is copied instead, by reference where
the file system can, and replaced at the end if nobody changed it meanwhile.
"""

import contextlib
import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from warp_portal._native import blake3
from warp_portal.archive.chain import Known, Piece
from warp_portal.archive.commit import COMMIT_BYTES, Commit
from warp_portal.archive.opening import newest, read_header
from warp_portal.archive.storage import AnyPath, ArchiveFile, sync_directory
from warp_portal.errors import (
    BusyError,
    ExistsError,
    FormatError,
    NotFoundError,
    RollbackError,
    StorageFullError,
    naming,
)
from warp_portal.units import format_bytes

SUFFIX: Final = b".warp-part"
_RECORDS: Final = ("journal", "archive")  # the record goes last: without it a part is nobody's
_MARK: Final = b"WPARTIAL"
_ID_BYTES: Final = 16
_CHECK_BYTES: Final = 16
_FICLONE: Final = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
# What is left free for others (docs/transfer-protocol.md §9).
_SPARE_BYTES: Final = 64 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024
_BLOCK_BYTES: Final = 512  # stat(2)
_NO_COMMIT: Final = bytes(COMMIT_BYTES)
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True, slots=True)
class PartRecord:
    """What is noted beside the journal."""

    offered: bytes
    base: bytes
    part_id: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read and check a record; raises FormatError."""
        body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        if len(body) != 2 * COMMIT_BYTES + _ID_BYTES or blake3(body)[:_CHECK_BYTES] != check:
            raise FormatError("the record of an archive that was being received is damaged: discard the session")
        record = cls(body[:COMMIT_BYTES], body[COMMIT_BYTES : 2 * COMMIT_BYTES], body[2 * COMMIT_BYTES :])
        for commit in (record.offered, record.base):
            if commit != _NO_COMMIT:
                Commit.parse(commit)
        return record

    def names(self, file: ArchiveFile) -> bool:
        """Whether this is the part: where the offered commit belongs there is the mark, or that commit by now."""
        found = os.pread(file.fd, COMMIT_BYTES, Commit.parse(self.offered).offset)
        return found == self.offered or found.startswith(_MARK + self.part_id)

    def serialize(self) -> bytes:
        """Its bytes."""
        body = self.offered + self.base + self.part_id
        return body + blake3(body)[:_CHECK_BYTES]


class PartFile:
    """The part of one target, held by this process alone; a context manager."""

    def __init__(self, target: AnyPath, records: Path, commit: Commit) -> None:
        """Begin, or go on. `records` is a directory of this session alone.

        Raises:
            ExistsError: the target is no archive, or another session's part is there.
            RollbackError: the target is newer than what is offered.
            BusyError: another process has the part.
            StorageFullError: there is no room for it.
            IntegrityError, VersionError, UsageError, OSError: what is here cannot be read.
        """
        # Behind a link: the file is replaced, and the link stays.
        self.target = os.path.realpath(os.fsencode(target))
        self._records = records
        self._commit = commit
        self.known = _known(self.target)
        """What is here of the archive: it is in the part too, unless the target has all that is offered."""
        self.fresh = False
        """Whether nothing came before."""
        self.earlier: Commit | None = None
        """The commit that was offered before, if it is another."""
        self._file: ArchiveFile | None = None
        self._journal = -1
        if self.known and self.known.commit == commit:
            return  # it is all here
        if self.known and commit.sequence < self.known.commit.sequence:
            raise RollbackError(f"{self.name} is newer here than what is offered: commit {self.known.commit.sequence}")
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def file(self) -> ArchiveFile | None:
        """The part; None if the target has all that is offered."""
        return self._file

    @property
    def name(self) -> str:
        """The target for messages."""
        return os.fsdecode(self.target).encode("utf-8", "replace").decode()

    @property
    def journal_fd(self) -> int:
        """A descriptor of the journal."""
        return self._journal

    @property
    def journal_id(self) -> bytes:
        """What names it (16 bytes)."""
        return self._record.part_id

    # Beginning, and going on

    def _open(self) -> None:
        record = _read_record(self._records)
        self._record = record or PartRecord(
            self._commit.serialize(), self.known.commit.serialize() if self.known else _NO_COMMIT, os.urandom(_ID_BYTES)
        )
        path = self.target + SUFFIX
        if record is None and os.path.lexists(path):
            raise ExistsError(
                f"{os.fsdecode(path)} is the unfinished file of another transfer: resume or discard that, or remove the file"
            )
        if record is None:
            self._write_record()
        self._file = ArchiveFile(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._file.lock()
        earlier = Commit.parse(self._record.offered)
        if not os.path.exists(self._records / "journal") or not self._record.names(self._file):
            self._begin()
        else:
            self._check_room()
            self.earlier = earlier if earlier != self._commit else None
        self._check_base()
        self._journal = os.open(self._records / "journal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _write_record(self) -> None:
        draft = self._records / "archive.new"
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(self._record.serialize())
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._records / "archive")
        sync_directory(os.fsencode(self._records / "archive"))

    def _begin(self) -> None:
        """All from the start: what is here is copied, and the journal is empty."""
        assert self._file is not None
        with contextlib.suppress(FileNotFoundError):
            (self._records / "journal").unlink()
        base = self.known.commit.serialize() if self.known else _NO_COMMIT
        self._record = PartRecord(self._commit.serialize(), base, self._record.part_id)
        self._write_record()
        self.fresh = True
        with naming(os.fsdecode(self._file.path)):
            os.ftruncate(self._file.fd, 0)
            self._copy_known()
            self._check_room()
            self._mark()

    def _copy_known(self) -> None:
        assert self._file is not None
        length = self.known.commit.end if self.known else 0
        if length and _clone(self.target, self._file.fd):
            os.ftruncate(self._file.fd, length)
            return
        self._check_room()
        if length:
            _copy(self.target, self._file.fd, length)

    def _mark(self) -> None:
        assert self._file is not None
        os.pwrite(self._file.fd, _MARK + self._record.part_id, self._commit.offset)
        os.fsync(self._file.fd)

    def _check_base(self) -> None:
        """What was copied is what the target still has, or nobody could put the part in its place."""
        if self._record.base != (self.known.commit.serialize() if self.known else _NO_COMMIT):
            raise ExistsError(
                f"{self.name} was changed since it began to be received: discard the session, and begin anew"
            )

    def _check_room(self) -> None:
        """What the part does not take already must be free."""
        assert self._file is not None
        needed = self._commit.end - os.fstat(self._file.fd).st_blocks * _BLOCK_BYTES
        status = os.statvfs(os.path.dirname(self.target))
        free = status.f_bavail * status.f_frsize - _SPARE_BYTES
        if needed > free:
            raise StorageFullError(
                f"{self.name} takes {format_bytes(needed)} more, and {format_bytes(max(0, free))} are free: make room, and try again"
            )

    def grown(self) -> None:
        """The commit that is offered now follows the one that was, as `earlier`: what came stays. Raises OSError."""
        self._record = PartRecord(self._commit.serialize(), self._record.base, self._record.part_id)
        self._mark()
        self._write_record()
        self.earlier = None

    # While it comes, and the end

    def write(self, piece: Piece) -> None:
        """Write bytes where they belong. Raises OSError that names the file."""
        assert self._file is not None
        offset, data = piece
        left = memoryview(data)
        with naming(os.fsdecode(self._file.path)):
            while left:
                written = os.pwrite(self._file.fd, left, offset)
                offset, left = offset + written, left[written:]

    def finish(self) -> None:
        """All that comes is here: it becomes durable, then valid, and takes its name; nothing of the part is left.

        Raises:
            ExistsError, BusyError: something else took the name meanwhile, or what has it was changed or is being written.
            IntegrityError: it is not as it should be.
            OSError
        """
        if self._file is None:
            self._clean()
            return
        file = self._file
        with naming(os.fsdecode(file.path)):
            os.fdatasync(file.fd)
            os.pwrite(file.fd, self._commit.serialize(), self._commit.offset)
            os.ftruncate(file.fd, self._commit.end)
            os.fsync(file.fd)
        opened = newest(file, read_header(file))
        assert opened.commit == self._commit
        self._take_name()
        sync_directory(self.target)
        self._clean()

    def _clean(self) -> None:
        """Nothing is left of what let it go on; a second name is if it was killed in the moment between two."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samefile(self.target + SUFFIX, self.target):
                os.unlink(self.target + SUFFIX)
        for name in _RECORDS:
            (self._records / name).unlink(missing_ok=True)

    def _take_name(self) -> None:
        assert self._file is not None
        base = self.known
        if base is None:
            os.fchmod(self._file.fd, 0o666 & ~_umask())
            rename_new(self._file.path, self.target)
            return
        with ArchiveFile(self.target, os.O_RDWR) as old:
            old.lock()
            if newest(old, read_header(old)).commit != base.commit:
                raise ExistsError(f"{self.name} was changed meanwhile: the new one is left beside it")
            os.fchmod(self._file.fd, stat.S_IMODE(os.fstat(old.fd).st_mode))
            os.replace(self._file.path, self.target)

    def close(self) -> None:
        """Close the files; idempotent."""
        if self._file:
            self._file.close()
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def discard(target: AnyPath, records: Path) -> bool:
    """Give up what was being received: remove the part, if it is this session's; whether it was. Raises BusyError while it is received, OSError."""
    record, removed = _read_record(records), False
    part = os.path.realpath(os.fsencode(target)) + SUFFIX
    with contextlib.suppress(NotFoundError), ArchiveFile(part, os.O_RDWR) as file:
        file.lock()
        if record and record.names(file):
            os.unlink(part)
            removed = True
    for name in _RECORDS:
        (records / name).unlink(missing_ok=True)
    return removed


def _read_record(records: Path) -> PartRecord | None:
    try:
        return PartRecord.parse((records / "archive").read_bytes())
    except FileNotFoundError:
        return None


def _known(target: bytes) -> Known | None:
    """The newest snapshot of the archive at a path; None if there is nothing. Raises as the reader does, and ExistsError."""
    try:
        file = ArchiveFile(target)
    except NotFoundError:
        return None
    with file:
        try:
            header = read_header(file)
        except FormatError as error:
            raise ExistsError(f"{file.name} is there, and is no archive: name another target") from error
        return Known(header.uuid, newest(file, header).commit)


def _clone(source: bytes, fd: int) -> bool:
    """Make a file share another's bytes; False if the file system can't."""
    with open(source, "rb") as file:
        try:
            fcntl.ioctl(fd, _FICLONE, file.fileno())
        except OSError:
            return False
    return True


def _copy(source: bytes, fd: int, length: int) -> None:
    """Copy the first bytes of a file. Raises OSError, BusyError if it became shorter."""
    with open(source, "rb") as file:
        at = 0
        while at < length:
            piece = _copy_piece(file.fileno(), fd, at, length - at)
            if not piece:
                raise BusyError(f"{os.fsdecode(source)} became shorter while it was copied: try again")
            at += piece


def _copy_piece(source: int, fd: int, at: int, length: int) -> int:
    """Copy some bytes, in the kernel if it can; how many."""
    try:
        return os.copy_file_range(source, fd, length, at, at)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return os.pwrite(fd, os.pread(source, min(length, _PIECE_BYTES), at), at)


def rename_new(part: bytes, target: bytes) -> None:
    """Give a file its name, unless that is taken. Raises ExistsError, OSError."""
    taken = ExistsError(f"{os.fsdecode(target)} is there now: the new one is left beside it")
    try:
        os.link(part, target, follow_symlinks=False)
    except FileExistsError:
        raise taken from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links; whoever makes a file of this name in this moment loses it.
        if os.path.lexists(target):
            raise taken from None
        os.rename(part, target)
    else:
        os.unlink(part)


def _umask() -> int:
    """The process's, which can only be read by setting it; Linux tells it too."""
    with open("/proc/self/status", "rb") as status:
        line = next((line for line in status if line.startswith(b"Umask:")), b"Umask: 0077")
    return int(line.split()[1], 8)
