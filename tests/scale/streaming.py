"""Pack a logical stream with the command line, check it, read it back, and tell the digests and the peaks of memory.

Each command is a process of its own, and so is the generator.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from blake3 import blake3

from tests.scale.commands import run_warp
from tests.scale.logical_stream import MIB, LogicalStream
from warp_portal.archive import open_archive
from warp_portal.archive.unlock import Unlock

NAME: Final = "stream"
PASSPHRASE: Final = b"long as a river"
READ_BYTES: Final = 4 * MIB
PIPE_BYTES: Final = MIB  # what Linux lets anyone ask for
F_SETPIPE_SZ: Final = 1031


@dataclass(slots=True)
class StreamRun:
    """An archive of one stream, and the peak resident bytes of each command that touched it."""

    archive: Path
    stream: LogicalStream
    memory: str
    sent: bytes = b""
    peaks: dict[str, int] = field(default_factory=dict)

    def create(self) -> None:
        """Pack the stream, and note the digest of what was sent."""
        self._secret.write_bytes(PASSPHRASE + b"\n")
        self._secret.chmod(0o600)
        digest, shape = self.archive.with_suffix(".digest"), self.stream.shape
        numbers = map(str, (shape.size, shape.unique, shape.history, shape.seed))
        generator = [sys.executable, "-m", "tests.scale.logical_stream", *numbers, str(digest)]
        with subprocess.Popen(generator, stdout=subprocess.PIPE) as source:
            assert source.stdout is not None
            _widen(source.stdout)
            self._run("create", [self.archive, "-", "--stdin-name", NAME, "--memory", self.memory], source.stdout)
        assert source.returncode == 0
        self.sent = digest.read_bytes()

    def verify(self, level: str) -> None:
        """Check the archive; damage is an exit code, and so an AssertionError."""
        self._run(f"verify {level}", [self.archive, "--level", level])

    def cat(self) -> bytes:
        """The digest of what `warp cat` gives."""
        digest = blake3(max_threads=blake3.AUTO)

        def drain(pipe: IO[bytes]) -> None:
            _widen(pipe)
            buffer = memoryview(bytearray(READ_BYTES))
            while count := _fill(pipe, buffer):
                digest.update(buffer[:count])

        self._run("cat", [self.archive, NAME], drain=drain)
        return digest.digest()

    def check_ranges(self, offsets: list[int], length: int) -> None:
        """Ranges by seek and read through the library, against the stream made again."""
        with open_archive(self.archive, Unlock(passphrases=(PASSPHRASE.decode(),))) as reader:
            file = reader.open_file(NAME)
            for offset in offsets:
                file.seek(offset)
                assert file.read(length) == self.stream.at(offset, min(length, self.stream.shape.size - offset)), offset

    @property
    def _secret(self) -> Path:
        return self.archive.with_suffix(".passphrase")

    def _run(
        self,
        step: str,
        arguments: list[str | Path],
        source: IO[bytes] | None = None,
        drain: Callable[[IO[bytes]], None] | None = None,
    ) -> None:
        start_s = time.monotonic()
        command = step.split(maxsplit=1)[0]
        peak, cpu_s = run_warp([command, "-q", *arguments, "-p", self._secret], source, drain)
        self.peaks[step] = peak
        print(f"{step}: {time.monotonic() - start_s:.1f} s, {cpu_s:.1f} CPU s, peak {peak / 1e6:.0f} MB", flush=True)


def far_offsets(size: int, number: int, seed: int = 1) -> list[int]:
    """Where to look into a stream: both ends, the powers of two with what is beside them, and some at random."""
    powers = [1 << bits for bits in range(12, 44) if 1 << bits < size - 1]
    rng = random.Random(seed)
    beside = [power + step for power in powers for step in (-1, 0, 1)]
    return [0, size - 1, size - 4096, *beside, *(rng.randrange(size) for _ in range(number))]


def _widen(pipe: IO[bytes]) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(PermissionError):  # too many wide pipes of this user
            fcntl.fcntl(pipe.fileno(), F_SETPIPE_SZ, PIPE_BYTES)


def _fill(pipe: IO[bytes], buffer: memoryview) -> int:
    """Read until the buffer is full or the pipe ends; how much."""
    count = 0
    while count < len(buffer) and (got := os.readv(pipe.fileno(), [buffer[count:]])):
        count += got
    return count
