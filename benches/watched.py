"""One side of a transfer as the resume bench runs it: `warp`, with a watch on what the engines count.

    python -m benches.watched receive LOG UNTIL WORD…   `warp WORD…`; kill -9 of itself once UNTIL pieces (fragments, chunks) are
                                                        durable, or with the first new byte of data, if UNTIL is `first`; or never
    python -m benches.watched send WORD…                `warp WORD…`, which cuts as finely as the format allows

LOG gets a line for each moment: its name, the monotonic clock, which all processes share, and the CPU time of this one, in nanoseconds.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from warp_portal.cli.main import main as warp
from warp_portal.primitives.cutting import MIN_FRAGMENT, MIN_MEAN, Sizes
from warp_portal.protocol.session import Output, Outputs
from warp_portal.protocol.sink_side import Offered
from warp_portal.transport import tree_sending
from warp_portal.transport.archive_receiving import ArchiveReceiving
from warp_portal.transport.conversation import Conversation
from warp_portal.transport.receiving import Arrival, Receiving
from warp_portal.transport.tree_receiving import TreeReceiving

# By which a moment is seen late at most.
LOOK_S: Final = 0.001
FIRST: Final = "first"
# Fragments have some 3,600 bytes so.
FINEST: Final = Sizes(MIN_FRAGMENT, MIN_MEAN, MIN_MEAN)


class Watch:
    """Notes the moments of one receiver."""

    def __init__(self, log: Path, until: str) -> None:
        self._log, self._until = log, until
        self.note("started")

    def note(self, moment: str) -> None:
        """It is now."""
        with self._log.open("a") as file:
            file.write(f"{moment} {time.monotonic_ns()} {time.process_time_ns()}\n")

    def set(self) -> None:
        """Have the moments of each connection noted."""
        authorized, offered = Conversation.handshake, Arrival.carry_out

        def handshake(conversation: Conversation, *args: object) -> object:
            proved = authorized(conversation, *args)  # type: ignore[arg-type]  # as it was called
            self.note("connected")
            return proved

        def carry_out(arrival: Arrival, output: Output) -> Outputs:
            if not isinstance(output, Offered):
                return offered(arrival, output)
            self.note("offered")
            outputs = offered(arrival, output)
            self.note("accepted")
            assert arrival.receiving is not None
            threading.Thread(target=self._look, args=(arrival.receiving,), daemon=True).start()
            return outputs

        Conversation.handshake = handshake  # type: ignore[method-assign,assignment]  # nothing else tells of it
        Arrival.carry_out = carry_out  # type: ignore[method-assign,assignment]

    def _look(self, receiving: Receiving) -> None:
        came = counter(receiving)
        while not came():
            time.sleep(LOOK_S)
        self.note("first")
        if self._until == FIRST:
            os.kill(os.getpid(), signal.SIGKILL)
        while self._until.isdecimal() and receiving.kept < int(self._until):
            time.sleep(LOOK_S)
        if self._until.isdecimal():
            os.kill(os.getpid(), signal.SIGKILL)


def counter(receiving: Receiving) -> Callable[[], int]:
    """Bytes of fragments or chunks that came on this connection."""
    if isinstance(receiving, TreeReceiving):
        tree = receiving._running
        return lambda: tree.totals()["bytes_received"]
    assert isinstance(receiving, ArchiveReceiving)
    archive = receiving._running
    return lambda: archive.received


def main() -> int:
    """Run one side."""
    side, *words = sys.argv[1:]
    if side == "send":
        tree_sending.CUTTING = replace(tree_sending.CUTTING, fragment=FINEST)  # type: ignore[misc]  # for this process
    else:
        log, until, *words = words
        Watch(Path(log), until).set()
    return warp(words)


if __name__ == "__main__":
    sys.exit(main())
