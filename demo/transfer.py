"""An act of the demo: the tree goes from one process to another over QUIC, and the receiver is killed half way.

Each side has a state directory of its own, as on two machines.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WARP = str(Path(sys.executable).parent / "warp")
KILL_AT = 0.3


@dataclass(frozen=True, slots=True)
class Transferred:
    """What it came to: bytes of the tree, bytes that were there when the receiver was killed, and the second receiver's summary."""

    total: int
    kept: int
    seconds: float
    summary: dict[str, object]


def transfer(tree: Path, target: Path, home: Path, total: int) -> Transferred:
    """Send `tree`, of `total` bytes, below `target`."""
    print(f"  $ warp send {tree}", flush=True)
    sender = _start(home / "sender", "send", str(tree), "--no-code")
    try:
        ticket = str(_wait_for(sender, lambda record: record["type"] == "offer")["ticket"])
        print(f"  $ warp receive {ticket[:24]}… -C {target}   # kill -9 at {KILL_AT:.0%}", flush=True)
        kept = _killed(home, ticket, target, total)
        print(f"  killed with {kept / 1e6:.0f} MB written\n  $ warp receive {ticket[:24]}… -C {target}", flush=True)
        start = time.perf_counter()
        receiver = _start(home / "receiver", "receive", ticket, "-C", str(target), "--carrier", "quic")
        summary = _wait_for(receiver, lambda record: record["type"] == "summary")
        seconds = time.perf_counter() - start
        if receiver.wait() or sender.wait():
            raise SystemExit(f"warp receive: exit {receiver.returncode}, warp send: exit {sender.returncode}")
        return Transferred(total, kept, seconds, summary)
    finally:
        sender.kill()


def _killed(home: Path, ticket: str, target: Path, total: int) -> int:
    """Bytes that a receiver had written when it was killed."""
    receiver = _start(home / "receiver", "receive", ticket, "-C", str(target), "--carrier", "quic")
    half = _wait_for(receiver, lambda record: record["type"] == "progress" and _written(record) >= KILL_AT * total)
    receiver.send_signal(signal.SIGKILL)
    receiver.wait()
    return _written(half)


def _written(record: dict[str, object]) -> int:
    done = record["bytes_done"]
    assert isinstance(done, int)
    return done


def _start(state: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "XDG_STATE_HOME": str(state)}
    command = [WARP, *arguments, "--json"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def _wait_for(process: "subprocess.Popen[str]", found: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    """The first record of a process of which this is true."""
    assert process.stdout is not None
    for line in process.stdout:
        record: dict[str, object] = json.loads(line)
        if found(record):
            return record
    raise SystemExit(f"{' '.join(map(str, process.args[1:3]))} ended too early: exit {process.wait()}")  # type: ignore[index]
