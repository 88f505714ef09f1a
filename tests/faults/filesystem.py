"""A directory seen through FUSE: what reaches it is counted and logged, and a chosen operation fails.

    write sync read       of files: with an errno, or short
    create open rename unlink chmod chown syncdir      of names: with an errno

It runs in a process of its own (`faults.mount`), so that the program under test may hold any lock of its interpreter while
the kernel waits for an answer. Files are opened with direct I/O: what a program writes arrives as it was written.
"""

import errno
import os
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

import mfusepy

SHORT: Final = -1
"""Instead of an errno: the call does half of what it should, and says so."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Operation `number` (from 0) of a kind fails with `error`; every later one too if `lasting`, as on a full disk."""

    kind: str  # as named above
    number: int
    error: int
    lasting: bool = False

    def hits(self, kind: str, number: int) -> bool:
        """Whether operation `number` of a kind is to fail."""
        return kind == self.kind and (number == self.number or (self.lasting and number > self.number))


@dataclass(frozen=True, slots=True)
class Operation:
    """What reached the disk: a write of `data` at `offset`, a sync, a truncation to `offset`, a rename to `target`.

    A `syncdir` makes the names in the directory `path` durable.
    """

    kind: str
    path: str
    offset: int = 0
    data: bytes = b""
    target: str = ""


@dataclass(slots=True)
class Record:
    """What happened since the last plan."""

    faults: tuple[Fault, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    log: list[Operation] = field(default_factory=list)
    failed: int = 0

    def strike(self, kind: str) -> bool:
        """Count an operation; whether it is to be short. Raises FuseOSError if it is to fail."""
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        fault = next((fault for fault in self.faults if fault.hits(kind, number)), None)
        if fault is None:
            return False
        self.failed += 1
        if fault.error != SHORT:
            raise mfusepy.FuseOSError(fault.error)
        return True


class FaultyFileSystem(mfusepy.Operations):  # type: ignore[misc]  # it has no types
    """Passes everything to a backing directory, but for the faults of the plan."""

    use_ns = True

    def __init__(self, backing: str) -> None:
        self._backing = backing
        self.record = Record()

    def _at(self, path: str) -> str:
        return self._backing + path

    # What can fail

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if self.record.strike("write") and len(data) > 1:
            data = data[: len(data) // 2]
        written = os.pwrite(fh, data, offset)
        self.record.log.append(Operation("write", path, offset, data[:written]))
        return written

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self.record.strike("sync")
        self.record.log.append(Operation("sync", path))
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if self.record.strike("read") and size > 1:
            size //= 2
        return os.pread(fh, size, offset)

    def rename(self, old: str, new: str) -> int:
        self.record.strike("rename")
        os.rename(self._at(old), self._at(new))
        self.record.log.append(Operation("rename", old, target=new))
        return 0

    def unlink(self, path: str) -> int:
        self.record.strike("unlink")
        os.unlink(self._at(path))
        self.record.log.append(Operation("unlink", path))
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self.record.strike("create")
        self.record.log.append(Operation("create", path))
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        self.record.strike("open")
        # Appending and syncing on write are the kernel's to do; what is read back must be readable.
        access = os.O_RDONLY if flags & os.O_ACCMODE == os.O_RDONLY else os.O_RDWR
        return os.open(self._at(path), access)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self.record.strike("syncdir")
        self.record.log.append(Operation("syncdir", path))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self.record.strike("chmod")
        os.chmod(self._at(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self.record.strike("chown")
        os.chown(self._at(path), uid, gid, follow_symlinks=False)
        return 0

    # What is only logged

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path) if fh is None else fh, length)
        self.record.log.append(Operation("truncate", path, length))
        return 0

    # What just passes

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._at(path)) if fh is None else os.fstat(fh)
        names = ("st_mode", "st_uid", "st_gid", "st_nlink", "st_size", "st_ino", "st_blocks", "st_rdev")
        times = {f"st_{kind}time": getattr(found, f"st_{kind}time_ns") for kind in "amc"}
        return {name: getattr(found, name) for name in names} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def symlink(self, target: str, source: str) -> int:
        os.symlink(source, self._at(target))
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self._at(source), self._at(target), follow_symlinks=False)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._at(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._at(path))
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._at(path), ns=times or (0, 0), follow_symlinks=False)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path))
        return {name: getattr(found, name) for name in ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_frsize")}

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        raise mfusepy.FuseOSError(errno.ENOTSUP)

    def listxattr(self, path: str) -> list[str]:
        raise mfusepy.FuseOSError(errno.ENOTSUP)


def serve(backing: str, mountpoint: str, control: Connection) -> None:
    """Mount and answer until the mount is gone; `control` takes a plan and gives the record of the one before."""
    system = FaultyFileSystem(backing)

    def obey() -> None:
        while True:
            try:
                faults = control.recv()
            except EOFError:
                return
            record, system.record = system.record, Record(faults)
            control.send((record.counts, record.log, record.failed))

    threading.Thread(target=obey, daemon=True).start()
    # An open file that loses its name is gone (hard_remove), not renamed behind the program's back.
    options = {"direct_io": True, "default_permissions": True, "hard_remove": True}
    mfusepy.FUSE(system, mountpoint, foreground=True, nothreads=True, **options)
