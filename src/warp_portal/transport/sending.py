"""What is sent, and how far it is: what the sending of trees and of archives have in common (docs/transfer-protocol.md §5).

    Cargo ── offer ─▶ session ── Visit ─▶ Sending: the hands of a session of a source, on one connection

A cargo may be asked for by many machines; each connection has hands of its own.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from warp_portal._native import Link
from warp_portal.archive.options import MIB
from warp_portal.archive.problems import ProblemList
from warp_portal.errors import UnreachableError
from warp_portal.primitives.compression import AUTO, Policy
from warp_portal.protocol.offers import MAX_TITLE_BYTES
from warp_portal.protocol.source import Sign
from warp_portal.protocol.source_side import SourceSide
from warp_portal.protocol.tree import Finished
from warp_portal.transport.conversation import Hands, Notes
from warp_portal.transport.ratelimit import RateLimit


@dataclass(frozen=True, slots=True)
class SendProgress:
    """How far it is; `total_bytes` and `total_entries` are None until they are known. Of an archive only bytes are told.

    `bytes_settled`: they left, or need not; more is read, ahead of the network.
    """

    entries: int = 0
    files: int = 0
    bytes_settled: int = 0
    fragments_kept: int = 0
    bytes_wire: int = 0
    connections: int = 1
    total_entries: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How to send. `compression`: none, always, or adaptive (only while the link is slower than the processor); not of archives."""

    compression: str = "adaptive"
    policy: Policy = AUTO
    threads: int = 0
    memory: int = 256 * MIB
    limit: RateLimit | None = None
    progress: Callable[[SendProgress], None] | None = None


SEND_DEFAULTS: Final = SendOptions()


@dataclass(frozen=True, slots=True)
class SendReport:
    """How it ended: entries (of an archive, chunks) that the other side has, and that failed there.

    What could not be read is in `problems`; `partial` says that there was any such thing.
    """

    is_tree: bool
    restored: int
    failed: int
    entries: int
    bytes_read: int
    bytes_packed: int
    bytes_wire: int
    partial: bool
    problems: ProblemList


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection of a machine that takes the cargo.

    `session` and `scope_secret` are those of the session; `records` is a directory of it alone. `is_back`: whether the other side has
    come again; then this connection is dead, though nobody said so. `share`: among how many connections the limit is shared. `noted`
    takes down how many bytes are done. `is_only`: nobody else is served, so what was there when it was offered is missed.
    """

    link: Link
    session: bytes
    scope_secret: bytes = field(repr=False)
    sign: Sign
    records: Path
    options: SendOptions = SEND_DEFAULTS
    is_back: Callable[[], bool] = lambda: False
    share: Callable[[], int] = lambda: 1
    noted: Callable[[int], None] = lambda _: None
    is_only: bool = False


class Sending(Hands):
    """The hands of one session of a source, with what any engine has to be told and asked."""

    session: SourceSide

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._rate = 0
        self._notes = Notes(visit.noted)
        self.kept = 0
        self.problems = ProblemList()

    def beat(self) -> None:
        """Progress, and the limit of this hour. Raises UnreachableError when the other side has come again."""
        if self._visit.is_back():
            raise UnreachableError("the other side came again on a new connection")
        if self.fileno() is None:
            return
        self.look()
        self.limit()
        self._notes.take(self.bytes_settled)
        if self._visit.options.progress is not None:
            self._visit.options.progress(self.progress())

    def limit(self) -> None:
        """Tell the engine the rate of this hour, if it is another."""
        limit = self._visit.options.limit
        if limit is not None:
            rate = (limit.limit_at(datetime.now().astimezone()) or 0) // max(1, self._visit.share())
            # Set anew, even to the same, it forgets what it has granted already.
            if rate != self._rate:
                self.set_rate(rate)
                self._rate = rate

    @property
    @abstractmethod
    def bytes_done(self) -> int:
        """Bytes that left, as they were packed."""

    @property
    @abstractmethod
    def bytes_settled(self) -> int:
        """Bytes that left, or of which the other side has said that it has them."""

    @abstractmethod
    def look(self) -> None:
        """Take what the engine counts and could not do."""

    @abstractmethod
    def set_rate(self, rate: int) -> None:
        """Tell the engine how many bytes may leave in a second; 0: as many as go."""

    @abstractmethod
    def progress(self) -> SendProgress:
        """How far it is."""

    @abstractmethod
    def report(self, finished: Finished) -> SendReport:
        """What became of it, after the end."""


class Cargo(ABC):
    """Something to send; a context manager, in which it may be sent again and again, also at the same time."""

    title: str
    paths: tuple[bytes, ...]
    """Where it lies: an unfinished session of the same paths goes on."""
    is_archive = False
    is_repeatable = True
    """Whether it can be found there again."""

    @abstractmethod
    def stow(self, records: Path, resumed: bool) -> None:
        """Make it ready; `records` is a directory of its session alone, in which it is ready from before if that is `resumed`."""

    @abstractmethod
    def sending(self, visit: Visit) -> Sending:
        """The hands that send it to one machine, and their session."""

    @abstractmethod
    def close(self) -> None:
        """End what works beside the sending; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def titled(name: bytes) -> str:
    """A title that fits into an offer."""
    return os.fsdecode(name).encode(errors="replace")[:MAX_TITLE_BYTES].decode(errors="ignore")
