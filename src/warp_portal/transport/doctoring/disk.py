"""The disk of a directory: how fast a file is written until it is safe and read back cold, how many are made in a second, how much room there is."""

import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from warp_portal._native import measure_creation
from warp_portal.archive.options import MIB
from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.transport.doctoring.system import read_text
from warp_portal.units import format_bytes, format_count, format_rate

# Either bound ends a measurement.
MOST_BYTES: Final = 256 * MIB
MOST_SECONDS: Final = 2.0
# No more than this part of the free room is taken for a moment.
_PART_OF_FREE: Final = 8
_FILES_SECONDS: Final = 0.5
_FILES_AT_ONCE: Final = 64
_FILE_BYTES: Final = 4096
_LEAST_ROOM: Final = 1 << 30
# Where it takes more than a millisecond to make a file, a tree of small ones waits for nothing else.
_LEAST_FILES: Final = 1000
# How blanks and the like are written in that file.
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_REMOTE: Final = ("nfs", "cifs", "smb", "9p", "ceph", "fuse.sshfs", "glusterfs", "afs")


@dataclass(frozen=True, slots=True)
class Disk:
    """Rates are bytes a second; `file_system` is empty where the system does not say."""

    directory: str
    file_system: str
    free: int
    writes: float
    reads: float
    files: float

    @property
    def in_memory(self) -> bool:
        """Whether it is none: what is there is gone with the next start."""
        return self.file_system in _IN_MEMORY


def probe_disk(directory: Path) -> Disk:
    """Write, read and remove files in a directory. Raises OSError."""
    room = os.statvfs(directory)
    free = room.f_bavail * room.f_frsize
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        size, writes = _written(file, max(min(MOST_BYTES, free // _PART_OF_FREE) // MIB, 1))
        reads = _read(file, size)
    mounted = file_system_of(os.path.realpath(directory), read_text("/proc/self/mountinfo"))
    return Disk(str(directory), mounted, free, writes, reads, _creation(directory))


def _written(file: IO[bytes], most: int) -> tuple[int, float]:
    """Bytes of at most `most` MiB, and bytes a second until they were safe.

    What is synced at once doubles, so that a slow disk is not asked for much.
    """
    # Noise, and nowhere the same: some file systems compress, or store once what is there twice.
    piece = bytearray(os.urandom(MIB))
    done, together = 0, 1
    began = time.monotonic()
    while done < most and time.monotonic() - began < MOST_SECONDS:
        for _ in range(min(together, most - done)):
            piece[:8] = done.to_bytes(8, "little")
            _write(file.fileno(), piece)
            done += 1
        os.fsync(file.fileno())
        together *= 2
    return done * MIB, done * MIB / (time.monotonic() - began)


def _write(fd: int, piece: bytearray) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(fd, left) :]


def _read(file: IO[bytes], size: int) -> float:
    """Bytes a second from the disk, not from this machine's own memory of it."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    buffer, done = bytearray(MIB), 0
    began = time.monotonic()
    while done < size and time.monotonic() - began < MOST_SECONDS:
        done += os.preadv(file.fileno(), [buffer], done)
    return done / (time.monotonic() - began)


def _creation(directory: Path) -> float:
    """Small files made in a second: each written, dated and named as a receiver does it."""
    made, took = 0, 0.0
    with tempfile.TemporaryDirectory(prefix=".warp-doctor-", dir=directory) as place:
        while took < _FILES_SECONDS and made < 10_000:
            within = tempfile.mkdtemp(dir=place)
            took += measure_creation(os.fsencode(within), [_FILE_BYTES] * _FILES_AT_ONCE)
            made += _FILES_AT_ONCE
    return made / took


def file_system_of(path: str, mounts: str) -> str:
    """The type of the file system that a real path lies on, of the text of /proc/self/mountinfo (proc_pid_mountinfo(5)); empty if unknown."""
    found, longest = "", -1
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        names = fields.split(" ")
        if len(names) < 5 or not rest:
            continue
        place = _OCTAL.sub(lambda found: chr(int(found[1], 8)), names[4]).rstrip("/")
        # Of several mounted over each other the last is seen.
        if (path == place or path.startswith(place + "/")) and len(place) >= longest:
            found, longest = rest.split(" ")[0], len(place)
    return found


def judge_disk(disk: Disk) -> tuple[list[Check], list[Stage]]:
    """What is to be said of it, and what it lets through."""
    kind = f"{disk.file_system}, " if disk.file_system else ""
    says = (
        f"{disk.directory}: {kind}{format_bytes(disk.free)} free; writes {format_rate(disk.writes)}, reads "
        f"{format_rate(disk.reads)}, makes {format_count(round(disk.files))} small files a second"
    )
    figures: dict[str, object] = {
        "directory": disk.directory,
        "file_system": disk.file_system,
        "free": disk.free,
        "write_rate": round(disk.writes),
        "read_rate": round(disk.reads),
        "files_a_second": round(disk.files),
    }
    checks = [Check(Part.DISK, "disk", Grade.FINE, says, figures=figures), *_remarks(disk)]
    writes = Stage(
        Part.DISK, "the disk writes", disk.writes, sends=False, advice="receive onto a faster disk: -C DIR names it"
    )
    reads = Stage(
        Part.DISK, "the disk reads", disk.reads, receives=False, advice="send from a faster disk, if there is one"
    )
    return checks, [writes, reads]


def _remarks(disk: Disk) -> list[Check]:
    checks = []
    if disk.free < _LEAST_ROOM:
        says = f"there is little room: {format_bytes(disk.free)}"
        checks.append(Check(Part.DISK, "room", Grade.MEND, says, "make room, or receive elsewhere: -C DIR"))
    if disk.files < _LEAST_FILES:
        says = f"small files are made slowly: {format_count(round(disk.files))} a second"
        checks.append(
            Check(Part.DISK, "files", Grade.NOTE, says, "pack a tree of many into one file first: `warp create`")
        )
    if disk.in_memory:
        says = f"{disk.directory} is memory, not a disk: what is received there is gone when the machine stops"
        checks.append(Check(Part.DISK, "memory", Grade.NOTE, says, "-C DIR names a directory on a disk"))
    if disk.file_system.startswith(_REMOTE):
        says = f"{disk.directory} is on a file system of another machine: each byte goes over the network twice"
        checks.append(
            Check(Part.DISK, "remote", Grade.NOTE, says, "send or receive on the machine that has the disk, if you can")
        )
    return checks
