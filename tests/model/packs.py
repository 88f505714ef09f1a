"""One archive and how it is operated on: keys, options, and runs that are killed with any part of what they wrote on the disk."""

import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unittest.mock import patch

from tests.unit.archive.common import TINY, in_child
from warp_portal.archive import (
    CompactProgress,
    CompactReport,
    CompactRequest,
    Lock,
    PackOptions,
    PackReport,
    Source,
    StateStore,
    Unlock,
    append,
    compact,
    create,
    replacement,
)
from warp_portal.archive.commit import Commit
from warp_portal.archive.opening import candidates_before, read_header
from warp_portal.archive.packing import Packing
from warp_portal.archive.storage import ArchiveFile
from warp_portal.clock import SYSTEM_CLOCK, VirtualClock
from warp_portal.errors import FormatError
from warp_portal.keys import Identity, SigningKey
from warp_portal.primitives.compression import policy
from warp_portal.primitives.cutting import BUZHASH64, KIB, Cutting, Sizes

BY_CONTENT: Final = Cutting(BUZHASH64, Sizes(1 * KIB, 4 * KIB, 16 * KIB), Sizes(16 * KIB, 32 * KIB, 64 * KIB))
CUTTINGS: Final = (TINY, BY_CONTENT)
POLICIES: Final = ("auto", "none")
IDENTITIES: Final = tuple(Identity.generate("x25519") for _ in range(3))
SIGNING_KEY: Final = SigningKey.generate()
MEMORIES: Final = (256 << 20, 16 << 20)
CHECKPOINT_BYTES: Final = 4 * KIB
AHEAD_NS: Final = 10**10
KILLED: Final = -signal.SIGKILL
SLOT_COPY_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class How:
    """A way to pack: the compression, which is one of the arguments, whether all files count as old by then, and the memory."""

    policy: str
    aged: bool
    memory: int = MEMORIES[0]


@dataclass(frozen=True, slots=True)
class Loss:
    """How much of what a killed run wrote is there, in thousandths, and the seed of what of that is zero."""

    kept: int
    torn: int


@dataclass(slots=True)
class Operated:
    """An archive in a directory of its own; `holders` are the numbers of the identities with a key slot."""

    home: Path
    encrypted: bool
    signed: bool
    cutting: Cutting
    holders: list[int] = field(default_factory=lambda: [0])

    @property
    def path(self) -> Path:
        """Its file."""
        return self.home / "here" / "a.warp"

    @property
    def state(self) -> StateStore:
        """What this machine remembers of it."""
        return StateStore(self.home / "state")

    @property
    def signing_key(self) -> SigningKey | None:
        """With which it is signed, if it is."""
        return SIGNING_KEY if self.signed else None

    @property
    def unlock(self) -> Unlock:
        """All identities that have a slot."""
        return Unlock(identities=tuple(IDENTITIES[number] for number in self.holders)) if self.encrypted else Unlock()

    def size(self) -> int:
        """Bytes of the file; 0 if there is none."""
        return self.path.stat().st_size if self.path.exists() else 0

    def pack(self, verb: str, how: How, *, recover: bool = False) -> PackReport:
        """Create or append."""
        options = PackOptions(
            cutting=self.cutting,
            policy=policy(how.policy),
            threads=2,
            memory=how.memory,
            checkpoint_bytes=CHECKPOINT_BYTES,
            signing_key=self.signing_key,
        )
        clock = VirtualClock(time.time_ns() + AHEAD_NS) if how.aged else SYSTEM_CLOCK
        source = Source(((b"", os.fsencode(self.home / "tree")),))
        try:
            if verb == "append":
                arguments = (self.path, source, options)
                return append(*arguments, unlock=self.unlock, state=self.state, clock=clock, recover=recover)
            lock = Lock(recipients=(IDENTITIES[0].recipient,), slot_copy_bytes=SLOT_COPY_BYTES)
            return create(
                self.path, source, options, lock=lock if self.encrypted else None, state=self.state, clock=clock
            )
        finally:
            wait_for_tick(self.home)

    def crash(self, verb: str, how: How, loss: Loss, floor: int) -> None:
        """Kill a run at its end, and leave of what it wrote behind `floor` what a kill or loss of power before might have."""
        snapshot = Packing._snapshot

        def kill(packing: Packing) -> Commit:
            snapshot(packing)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("killed")

        def run() -> None:
            with patch.object(Packing, "_snapshot", kill):
                self.pack(verb, how)

        assert in_child(run) == KILLED
        wait_for_tick(self.home)
        cut = floor + (self.size() - floor) * loss.kept // 1000
        if loss.kept < 1000:
            os.truncate(self.path, cut)
            self._tear(loss, floor)

    def _tear(self, loss: Loss, floor: int) -> None:
        """Zero some of the pages behind the last commit, which is as far as everything is sure to have been synced."""
        rng, start = random.Random(loss.torn), max(floor, self._sure_bytes())
        if not loss.torn:
            return
        with self.path.open("r+b") as file:
            for offset in range(start, self.size(), 4096):
                end = min(self.size(), (offset // 4096 + 1) * 4096)
                if rng.random() < 0.3:
                    file.seek(offset)
                    file.write(bytes(end - offset))

    def _sure_bytes(self) -> int:
        """The end of the last whole commit, or of the header and slots before the first."""
        with ArchiveFile(self.path) as file:
            try:
                first = read_header(file).first_segment
            except FormatError:
                return self.size()
            return max([first, *(commit.end for commit in candidates_before(file, file.size()))])

    def compact(self, request: CompactRequest) -> CompactReport:
        """Write it anew."""
        return compact(self.path, request, unlock=self.unlock, state=self.state)

    def crash_compact(self, request: CompactRequest, moment: int) -> int:
        """Kill that: at the rename, right after it, or as soon as so many chunks are copied. The status it ended with."""

        def stop(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def stop_at(progress: CompactProgress) -> None:
            if moment >= 2 and progress.chunks >= moment:
                stop()

        def run() -> None:
            at_rename = patch.object(replacement.Replacement, "take_over", stop)
            with patch.object(replacement, "sync_directory", stop) if moment == 1 else at_rename:
                compact(self.path, request, unlock=self.unlock, state=self.state, progress=stop_at)

        return in_child(run)

    def beside(self) -> list[str]:
        """Names of what lies beside it."""
        return sorted(path.name for path in self.path.parent.iterdir() if path.name != "a.warp")


def wait_for_tick(place: Path) -> None:
    """Until a file that is changed gets another ctime than before: where files count as old, nothing else tells.

    A file system may stamp by a clock that ticks every few milliseconds; `place` is one that can be touched.
    """
    os.utime(place)
    start_ns = place.stat().st_ctime_ns
    while place.stat().st_ctime_ns == start_ns:
        os.utime(place)
