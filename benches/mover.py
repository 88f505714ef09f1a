"""How the transfer bench has a tool move a file or a tree: the sender's command, the receiver's, and what ends which.

A tool of two sides says its commands and how the sender shows that it can be reached; the rest is the same for all tools.
"""

import os
import re
import shutil
import signal
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.transfers import written

from benches.harness import CommandFailedError
from benches.links import Network
from benches.sides import Command, Side, Transfer, Usage, transfer


class Kind(Enum):
    """Into an empty directory, over an older version of the same, or so that what a kill leaves can be gone on with."""

    FRESH = auto()
    UPDATE = auto()
    RESUME = auto()


@dataclass(frozen=True, slots=True)
class Errand:
    """What is moved into which directory, where it keeps its name."""

    source: Path
    target: Path
    kind: Kind = Kind.FRESH


@dataclass(frozen=True, slots=True)
class Room:
    """Where tools work: all that they write is below `scratch`."""

    scratch: Path
    network: Network

    def home(self, side: str) -> Path:
        """The home of the sender or the receiver."""
        return self.scratch / "homes" / side

    def environment(self, side: str) -> dict[str, str]:
        """That of a machine of its own: no settings of this one's user."""
        home = self.home(side)
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WARP_", "XDG_", "CROC_"))}
        return {**kept, "HOME": str(home), "TMPDIR": str(home / "tmp"), "WARP_STATE_DIR": str(home / "warp")}

    def clean(self) -> None:
        """Forget both machines."""
        shutil.rmtree(self.scratch / "homes", ignore_errors=True)


class Mover(ABC):
    """One tool. `name` stands in tables, `settings` says how it is run."""

    name: str
    settings: str
    encrypted = True
    files = True  # moves files, not only bytes made for it
    updates = False  # sends less over an older version
    resumes = False

    def __init__(self, room: Room, binary: str) -> None:
        self.room, self.binary = room, binary

    @abstractmethod
    def carry(self, errand: Errand) -> Transfer:
        """Move it, measured. Raises CommandFailedError."""

    @property
    def passes(self) -> int:
        """How often the network counts each byte."""
        return 1

    def at_sender(self, words: list[str], errand: Errand, given: str = "") -> Command:
        """A command on the sending machine, where the source is."""
        environment = self.room.environment("sender")
        return Command([*self.room.network.sender, *words], errand.source.parent, environment, given)

    def at_receiver(self, words: list[str], errand: Errand, given: str = "") -> Command:
        """A command on the receiving machine, in the target directory."""
        environment = self.room.environment("receiver")
        return Command([*self.room.network.receiver, *words], errand.target, environment, given)


class TwoSided(Mover):
    """A tool with a sender's command and a receiver's."""

    ready: re.Pattern[str]
    """What the sender says when a receiver can begin."""
    daemon = False  # the sender is there before anything is sent: its start does not count
    ends = True  # the sender ends by itself when all has been taken
    stays = True  # the sender serves a receiver that comes again after a kill
    stop_by = signal.SIGTERM

    @abstractmethod
    def sending(self, errand: Errand) -> Command:
        """What the sender runs."""

    @abstractmethod
    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        """What the receiver runs; `found` is what showed that the sender is ready."""

    def services(self) -> AbstractContextManager[None]:
        """What must run beside both, and is not measured."""
        return nullcontext()

    def told_s(self, sender: str, receiver: str) -> float | None:
        """The seconds of the transfer by the tool's own word, from what both said."""
        return None

    def carry(self, errand: Errand) -> Transfer:
        with self.services(), Trip(self, errand) as trip:
            return trip.run()


class Trip:
    """One errand of a mover: run to its end, or killed half way and resumed. A context manager: at its end both sides are gone."""

    def __init__(self, mover: TwoSided, errand: Errand) -> None:
        self._mover, self._errand = mover, errand
        self._resources = ExitStack()
        self._sender: Side | None = None
        self._found: re.Match[str] | None = None
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def run(self) -> Transfer:
        """To the end."""
        return self._run(self._errand, None)

    def cut(self, size: int) -> Transfer:
        """Until the receiver has half of `size` bytes, and is killed (SIGKILL)."""
        return self._run(self._resumable, lambda: written(self._errand.target) >= size // 2)

    def resume(self) -> Transfer:
        """Go on after a cut: the receiver anew, and the sender too if it has ended or is of no more use."""
        if self._sender is not None and not self._mover.stays:
            self._sender.stopped(self._mover.stop_by)
        return self._run(self._resumable, None)

    @property
    def _resumable(self) -> Errand:
        return replace(self._errand, kind=Kind.RESUME)

    def _run(self, errand: Errand, until: Callable[[], bool] | None) -> Transfer:
        mover, before = self._mover, self._mover.room.network.bytes()
        began = time.perf_counter()
        sender, found = self._reached(errand)
        if mover.daemon:
            began = time.perf_counter()
        ready_s = time.perf_counter() - began
        with self._side(mover.taking(errand, found), "receiver") as receiver:
            if until is not None and not receiver.watch(until):
                receiver.ended()  # raises if that was a failure
                raise CommandFailedError(f"{mover.name} had all before it could be killed half way")
            taken = _killed(receiver) if until else _ended(receiver, None if mover.daemon else sender)
            sent = sender.ended() if mover.ends and not until else None
            wall_s = time.perf_counter() - began
            after = mover.room.network.bytes()
            if mover.daemon and not until:
                sender.settle()
            # The figures of a sender that lives on come when it ends.
            sent = sent or (Usage(0.0, 0) if until else sender.stopped(mover.stop_by))
            told_s = None if until else mover.told_s(sender.said, receiver.said)
        wire = None if before is None or after is None else after - before
        return transfer((wall_s, ready_s), sent, taken, told_s, wire)

    def _reached(self, errand: Errand) -> tuple[Side, re.Match[str]]:
        """A sender that is ready: that of before, if it lives."""
        if self._sender is None or self._found is None or not self._sender.alive:
            self._sender = self._side(self._mover.sending(errand), "sender")
            self._resources.enter_context(self._sender)
            self._found = self._sender.wait_for(self._mover.ready)
        return self._sender, self._found

    def _side(self, command: Command, side: str) -> Side:
        self._number += 1
        return Side(command, self._mover.room.home(side) / f"said-{self._number}")


def _killed(side: Side) -> Usage:
    return side.stopped(signal.SIGKILL)


def _ended(receiver: Side, sender: Side | None) -> Usage:
    """The receiver's end; if its sender fails, it is not waited for."""
    if sender is not None:
        threading.Thread(target=sender.fails_with, args=(receiver,), daemon=True).start()
    try:
        return receiver.ended()
    except CommandFailedError:
        if sender is not None and sender.failed:
            sender.ended()  # its own words say more
        raise


def free_port() -> int:
    """A TCP port that nobody has."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextmanager
def served(*sides: tuple[Command, Path, re.Pattern[str]]) -> Iterator[None]:
    """Services that run, each of them ready: its command, where it says what, and what it says then."""
    with ExitStack() as resources:
        for command, log, ready in sides:
            resources.enter_context(Side(command, log)).wait_for(ready)
        yield
