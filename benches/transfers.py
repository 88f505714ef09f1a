"""`warp send` and `warp receive` on one machine: time and memory of both, from when each is at work until it has ended."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benches.harness import TAIL, CommandFailedError, Run


def transfer(warp: str, tree: Path, target: Path, state: Path) -> tuple[Run, Run]:
    """Send a tree into a directory: what it took of the sender and of the receiver. `state`: a directory for what both keep."""
    with _Side([warp, "send", "--no-code", "--json", str(tree)], state / "source") as sender:
        given = f"{sender.ticket()}\n"
        with _Side([warp, "receive", "--json", "-C", str(target)], state / "sink", given) as receiver:
            received = receiver.run()
            return sender.run(), received


class _Side:
    """One of the two processes; at the end of its context it is gone."""

    def __init__(self, command: list[str], state: Path, given: str = "") -> None:
        self._command = command
        self._start = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "WARP_STATE_DIR": str(state)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(given)
        self._process.stdin.close()
        self._said = self._process.stdout
        self._last = ""
        # Whoever says something waits when nobody listens.
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def ticket(self) -> str:
        """The ticket that it prints; its time counts from then on."""
        for line in self._said:
            self._last = line
            if '"offer"' in line:
                self._start = time.perf_counter()
                self._listener.start()
                return str(json.loads(line)["ticket"])
        raise self._failed()

    def run(self) -> Run:
        """Wait for its end."""
        if self._listener.ident is None:
            self._listener.start()
        _, status, usage = os.wait4(self._process.pid, 0)
        wall = time.perf_counter() - self._start
        self._listener.join()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode != 0:
            raise self._failed()
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def _listen(self) -> None:
        for line in self._said:
            self._last = line

    def _failed(self) -> CommandFailedError:
        return CommandFailedError(f"{' '.join(self._command)}: {self._last[-TAIL:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
