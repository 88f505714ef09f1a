"""What comes, and how far it is: what the receiving of trees and of archives have in common (docs/transfer-protocol.md §5).

OFFER ─▶ Arrival ── Decide: is it taken, and where to? ─▶ Receiving: the hands of a session of a sink, on one connection
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from warp_portal._native import Link
from warp_portal.archive.extraction import Overwrite
from warp_portal.archive.options import MIB
from warp_portal.archive.problems import ProblemList
from warp_portal.errors import UnreachableError
from warp_portal.protocol.offers import Offer
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.sink_side import Offered
from warp_portal.protocol.tree import Finished
from warp_portal.transport.conversation import Hands, Notes

# What may be on the way, of the memory that there is (docs/transfer-protocol.md §5: 1 to 256 MiB).
WINDOW_SHARE: Final = 4
LEAST_WINDOW: Final = MIB
MOST_WINDOW: Final = 256 * MIB


@dataclass(frozen=True, slots=True)
class ReceiveProgress:
    """How far it is; totals are None until they are known. Of an archive only bytes are told."""

    entries: int = 0
    files: int = 0
    bytes_written: int = 0
    bytes_received: int = 0
    fragments_kept: int = 0
    bytes_wire: int = 0
    connections: int = 1
    total_entries: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiveOptions:
    """How to restore. `owners` and `devices`: None = as root. `checkpoint_bytes`, `checkpoint_s`: what a kill may cost to be sent again."""

    overwrite: Overwrite = Overwrite.NEVER
    owners: bool | None = None
    devices: bool | None = None
    setuid: bool = False
    threads: int = 0
    memory: int = 256 * MIB
    checkpoint_bytes: int = 256 * MIB
    checkpoint_s: float = 5.0
    progress: Callable[[ReceiveProgress], None] | None = None

    @property
    def window(self) -> int:
        """Bytes that may be on the way."""
        return max(LEAST_WINDOW, min(MOST_WINDOW, self.memory // WINDOW_SHARE))


RECEIVE_DEFAULTS: Final = ReceiveOptions()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: entries (of an archive, chunks) that are there, and that failed.

    `partial`: the other side could not read something. `size_bytes`: of all its files, more than is written where they have holes,
    further names, or were there. `signature` says whose archive it is, as far as that is known.
    """

    partial: bool
    restored: int
    failed: int
    files: int
    bytes_written: int
    bytes_received: int
    bytes_wire: int
    problems: ProblemList
    skipped: dict[str, int] = field(default_factory=dict)
    signature: str | None = None
    size_bytes: int | None = None


Arrived = Callable[[int, int], None]
"""Called when all has come and is durable, before the source is told: entries (of an archive, chunks) that are there, and that failed."""


class Work(NamedTuple):
    """One connection on which something is received, and how; `noted` takes down how many bytes are done.

    `may_branch`: whether further connections may join it.
    `spares`: whether the source does not send again what is here of the list of the data (docs/transfer-protocol.md §3, features).
    """

    link: Link
    options: ReceiveOptions
    arrived: Arrived
    noted: Callable[[int], None]
    may_branch: bool = False
    spares: bool = True


class Receiving(Hands):
    """The hands of one session of a sink that was accepted."""

    def __init__(self, work: Work) -> None:
        self.link, self.options, self.arrived, noted, self._may_branch, self._spares = work
        self._notes = Notes(noted)
        self.problems = ProblemList()
        self.kept = 0

    @abstractmethod
    def begin(self) -> Outputs:
        """Accept the offer."""

    @property
    @abstractmethod
    def bytes_done(self) -> int:
        """Bytes that are here."""

    @property
    @abstractmethod
    def bytes_kept(self) -> int:
        """Bytes that need not come again, whatever happens now."""

    @abstractmethod
    def look(self) -> None:
        """Take what the engine counts and could not do."""

    @abstractmethod
    def progress(self) -> ReceiveProgress:
        """How far it is."""

    @abstractmethod
    def outcome(self, finished: Finished) -> Outcome:
        """What became of it, after the end."""

    def beat(self) -> None:
        """Progress."""
        if self.fileno() is None:
            return
        self.look()
        self._notes.take(self.bytes_kept)
        if self.options.progress is not None:
            self.options.progress(self.progress())


Decide = Callable[[Offer], Receiving]
"""Where an offer goes; raises a WarpPortalError that refuses it."""


class Arrival(Hands):
    """The hands of a session of a sink from its beginning, when nobody knows yet what is offered."""

    def __init__(self, decide: Decide, is_back: Callable[[], bool] = lambda: False) -> None:
        self._decide, self._is_back = decide, is_back
        self.receiving: Receiving | None = None

    def carry_out(self, output: Output) -> Outputs:
        """Take the offer, and then whatever is said."""
        if isinstance(output, Offered):
            self.receiving = self._decide(output.offer)
            return self.receiving.begin()
        assert self.receiving is not None
        return self.receiving.carry_out(output)

    def fileno(self) -> int | None:
        """The engine's."""
        return None if self.receiving is None else self.receiving.fileno()

    def news(self) -> Outputs:
        """What is wanted, what is durable, and the end."""
        return () if self.receiving is None else self.receiving.news()

    def beat(self) -> None:
        """Progress. Raises UnreachableError when the other side has come again."""
        if self._is_back():
            raise UnreachableError("the other side came again on a new connection")
        if self.receiving is not None:
            self.receiving.beat()

    def stop(self) -> None:
        """End the engine, and leave what is kept for another try."""
        if self.receiving is not None:
            self.receiving.stop()
