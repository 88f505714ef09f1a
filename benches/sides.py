"""The two processes of a transfer, each measured: who sends, and who takes.

What a side says, to stdout and stderr, goes into one file: there the other side's ticket is found, and the reason if it fails.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from benches.harness import TAIL, CommandFailedError, Run

END_SECONDS: Final = 900.0  # the slowest tool needs three minutes; one that hangs must not hold up the others
READY_SECONDS: Final = 600.0  # some read the whole file before they say where it can be had
SETTLE_SECONDS: Final = 3.0  # a daemon's child may see to its connection so long after the client has gone
LOOK_SECONDS: Final = 0.005  # by which a look at what a side has said comes late at most

_LOOK: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT
_TICKET: Final = re.compile(r"warp-ticket:\w+")  # a secret, which results are no place for


class Usage(NamedTuple):
    """What one side took: user and system seconds of all its processes, and the largest one's peak."""

    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Transfer(Run):
    """A measured transfer. `wall_s` is from the start of the sender's command (of the receiver's, where a daemon sends) to the
    end of both, `ready_s` is the part of it before the receiver could begin. `told_s`: what the tool itself says that the
    transfer took. `wire_bytes`: what the network counted, both directions, with all headers; `again_bytes`: of a transfer
    that was cut, what both parts took more than the data has.
    """

    ready_s: float
    sender_cpu_s: float
    sender_peak_bytes: int
    receiver_cpu_s: float
    receiver_peak_bytes: int
    told_s: float | None = None
    wire_bytes: int | None = None
    again_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What a side runs, and where; `given` goes to its stdin."""

    words: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    given: str = ""


class Side:
    """A process in a group of its own. A context manager: at its end all of the group is gone."""

    def __init__(self, command: Command, log: Path) -> None:
        self._command, self._log = command, log
        self._usage: Usage | None = None
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command.words,
                cwd=command.cwd,
                env=command.environment,
                stdin=subprocess.PIPE if command.given else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        if self._process.stdin is not None:
            with self._process.stdin as stdin:
                stdin.write(command.given.encode())

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    @property
    def cpu_s(self) -> float:
        """User and system seconds of its process so far, while it runs."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        # It stays a zombie until `ended`, whose figures would be lost otherwise.
        return self._usage is None and os.waitid(os.P_PID, self._process.pid, _LOOK) is None

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """The first match in what it says, once it is there. Raises CommandFailedError if it ends without, or takes too long."""
        last = time.monotonic() + READY_SECONDS
        while True:
            alive = self.alive
            if found := pattern.search(self.said):
                return found
            if not alive or time.monotonic() > last:
                raise self._failed("ended too early" if not alive else "did not get ready")
            time.sleep(LOOK_SECONDS)

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than with 0."""
        if self._usage is not None:
            return self._process.returncode != 0
        ended = os.waitid(os.P_PID, self._process.pid, _LOOK)
        return ended is not None and ended.si_status != 0

    def fails_with(self, other: Self) -> None:
        """Wait for its end; if it fails, end the other one too."""
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            if ended is not None and ended.si_status != 0:
                other.kill()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._usage is None:
            self._signal(signal.SIGKILL)

    def watch(self, done: Callable[[], bool]) -> bool:
        """Wait until something is done while this runs; False if it ended before. Raises CommandFailedError if it takes too long."""
        last = time.monotonic() + END_SECONDS
        while not done():
            if not self.alive:
                return False
            if time.monotonic() > last:
                raise self._failed("did not get so far")
            time.sleep(LOOK_SECONDS)
        return True

    def ended(self) -> Usage:
        """Wait for its end by itself; raises CommandFailedError if it failed or did not end."""
        limit = threading.Timer(END_SECONDS, self._signal, (signal.SIGKILL,))
        limit.start()
        try:
            usage = self._wait()
        finally:
            limit.cancel()
        if self._process.returncode != 0:
            raise self._failed(f"exit {self._process.returncode}")
        return usage

    def settle(self) -> None:
        """Wait until it has no children, whose figures would be lost if it ended before them."""
        last = time.monotonic() + SETTLE_SECONDS
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while self.alive and children.exists() and children.read_text() and time.monotonic() < last:
            time.sleep(LOOK_SECONDS)

    def stopped(self, by: signal.Signals = signal.SIGTERM) -> Usage:
        """End it, whatever its exit status is then."""
        if self._usage is None:
            self._signal(by)
        return self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._wait()

    def _wait(self) -> Usage:
        if self._usage is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._usage = Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        return self._usage

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _failed(self, how: str) -> CommandFailedError:
        said = _TICKET.sub("warp-ticket:…", self.said)[-TAIL:]
        return CommandFailedError(f"{how}: {' '.join(self._command.words)}\n{said}")


def transfer(
    walls: tuple[float, float], sender: Usage, receiver: Usage, told_s: float | None = None, wire: int | None = None
) -> Transfer:
    """One transfer of both sides' figures; `walls` are the seconds of all and those until the sender was ready."""
    return Transfer(
        walls[0],
        sender.cpu_s + receiver.cpu_s,
        max(sender.peak_bytes, receiver.peak_bytes),
        walls[1],
        *sender,
        *receiver,
        told_s=told_s,
        wire_bytes=wire,
    )
