"""`warp send` and `warp receive` as processes: each side with a home of its own, and what they say as it comes."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self

import warp_portal
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import Ticket
from warp_portal.transport.identity import machine_key
from warp_portal.transport.peers import PeerStore

# A machine that does other things too may take so long to do what takes a second.
PATIENCE_S: Final = 30.0
PREFIX: Final = ".warp-"
PACKAGES: Final = Path(warp_portal.__file__).parents[1]

Record = dict[str, Any]
Piped = subprocess.CompletedProcess[bytes]


class Warp:
    """One process, and its JSON records. A context manager: at its end the process is gone.

    `given` comes to its stdin, which is closed then; with None it stays open, for `give`.
    """

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], given: bytes | None, directory: Path | None
    ) -> None:
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.records: list[Record] = []
        self.stderr = ""
        self._came = threading.Condition()
        self._open = True
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._threads = [
            threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._keep, args=(self.process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        if given is not None:
            self.give(given)
            self.process.stdin.close()

    def give(self, piece: bytes) -> None:
        """Write to its stdin, which stays open; nothing if it has ended."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(piece)
            self.process.stdin.flush()

    def _listen(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                with self._came:
                    # A kill may leave half a line.
                    if line.endswith(b"\n"):
                        self.records.append(json.loads(line))
                    self._came.notify_all()
        with self._came:
            self._open = False
            self._came.notify_all()

    def _keep(self, stderr: IO[bytes]) -> None:
        with stderr:
            self.stderr = stderr.read().decode(errors="replace")

    def wait_for(self, found: Callable[[Record], bool]) -> Record:
        """The first record of which this is true, once it is there."""
        with self._came:
            self._came.wait_for(lambda: not self._open or any(map(found, self.records)), PATIENCE_S)
            matching = [record for record in self.records if found(record)]
            assert matching, f"it was not said: {self.records}\n{self.stderr}"
            return matching[0]

    def said(self, text: str) -> Record:
        """The first note that holds this text, once it is there."""
        return self.wait_for(lambda record: text in str(record.get("message")))

    def offer(self) -> Record:
        """What is offered, or what was taken."""
        return self.of_type("offer")

    def of_type(self, name: str) -> Record:
        """The first record of a type, once it is there."""
        return self.wait_for(lambda record: record["type"] == name)

    def ended(self) -> int:
        """The exit code, once it has ended by itself."""
        assert self.process.stdin is not None
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end: {self.stands()}") from None
        self.process.stdin.close()
        for thread in self._threads:
            thread.join()
        return code

    def stands(self) -> str:
        """What it said and where its threads are; that ends it."""
        self.process.send_signal(signal.SIGABRT)
        self.process.wait()
        for thread in self._threads:
            thread.join()
        return f"{self.records[-5:]}\n{self.stderr}"

    def succeeded(self) -> Record:
        """Its summary; it must end with 0."""
        code = self.ended()
        assert code == 0, f"{code}: {self.records}\n{self.stderr}"
        assert self.stderr == ""
        return self.of_type("summary")

    def failed(self) -> tuple[int, str]:
        """Its exit code and the message of its error."""
        code = self.ended()
        return code, str(self.wait_for(lambda record: record["type"] == "error" and record["fatal"])["message"])

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """kill -9; nothing if it has ended."""
        self.process.kill()
        self.ended()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Side:
    """One of the two machines: its home below `place`. `within`: what a command is run by."""

    def __init__(self, place: Path, name: str, within: Sequence[str] = (), **variables: str) -> None:
        self.home = place / name
        self.home.mkdir(parents=True)
        self._within = within
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("WARP_", "XDG_"))}
        own = {
            "HOME": str(self.home),
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": str(PACKAGES),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "WARP_STATE_DIR": str(self.home / "warp"),
            "WARP_CONFIG": str(self.home / "config.toml"),
        }
        self.environment = {**kept, **own, **variables}

    def run(
        self, *arguments: str | Path, given: str | bytes | None = "", directory: Path | None = None, **variables: str
    ) -> Warp:
        """Begin `warp` with these arguments, and with `given` on stdin."""
        given = given.encode() if isinstance(given, str) else given
        return Warp([*self._command(arguments), "--json"], {**self.environment, **variables}, given, directory)

    def piped(self, *arguments: str | Path, given: bytes = b"", stdout: int = subprocess.PIPE) -> Piped:
        """Run `warp` to its end for what it writes to stdout: no records."""
        command = self._command(arguments)
        return subprocess.run(
            command,
            env=self.environment,
            input=given,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )

    def _command(self, arguments: Sequence[str | Path]) -> list[str]:
        return [*self._within, sys.executable, "-m", "warp_portal", *map(str, arguments)]

    def send(self, *arguments: str | Path, directory: Path | None = None) -> Warp:
        """`warp send`, without a short code."""
        return self.run("send", "--no-code", *arguments, directory=directory)

    def receive(self, ticket: str, target: Path | None, *arguments: str | Path) -> Warp:
        """`warp receive`, with the ticket on stdin. `target`: its directory, None where the arguments say where to."""
        where: list[str | Path] = [] if target is None else ["-C", target]
        return self.run("receive", *where, *arguments, given=f"{ticket}\n")

    def listen(self, target: Path, *arguments: str | Path) -> Warp:
        """`warp receive --listen`, without a short code."""
        return self.run("receive", "--listen", "--no-code", "-C", target, *arguments)

    def unfinished(self) -> list[Record]:
        """What `warp sessions list` tells."""
        with self.run("sessions", "list") as process:
            assert process.ended() == 0, process.stderr
            return [record for record in process.records if record["type"] == "session"]

    def resume(self, number: str) -> Warp:
        """`warp sessions resume`."""
        return self.run("sessions", "resume", number)

    def discard(self, number: str) -> Record:
        """`warp sessions discard`; what it tells."""
        with self.run("sessions", "discard", number) as process:
            assert process.ended() == 0, process.stderr
            return process.of_type("discarded")

    def knows(self, other: "Side", name: str, *addresses: Address) -> None:
        """Save the other machine under a name, as `warp peers add` does."""
        PeerStore(self.home / "warp").add(name, machine_key(other.home / "warp").public, addresses)

    def sessions(self) -> list[str]:
        """Names of the sessions that it keeps."""
        place = self.home / "warp" / "sessions"
        return sorted(os.listdir(place)) if place.is_dir() else []


class Pair(NamedTuple):
    """Two machines."""

    source: Side
    sink: Side

    @classmethod
    def at(cls, place: Path, within: Sequence[str] = (), **variables: str) -> "Pair":
        """Both below `place`."""
        return cls(Side(place, "source", within, **variables), Side(place, "sink", within, **variables))

    @contextmanager
    def both(
        self, target: Path | None, *paths: str | Path, taking: Sequence[str | Path] = ()
    ) -> Iterator[tuple[Warp, Warp]]:
        """A sender of these paths (and options), and a receiver (with the options `taking`) that has its ticket."""
        with (
            self.source.send(*paths) as sender,
            self.sink.receive(sender.offer()["ticket"], target, *taking) as receiver,
        ):
            yield sender, receiver

    def transfer(
        self, target: Path | None, *paths: str | Path, taking: Sequence[str | Path] = ()
    ) -> tuple[Record, Record]:
        """Send these paths to the end; both summaries."""
        with self.both(target, *paths, taking=taking) as (sender, receiver):
            taken = receiver.succeeded()
            return sender.succeeded(), taken

    def assert_clean(self, target: Path) -> None:
        """Nothing is left of the sessions, and no temporary file at the target."""
        assert (self.source.sessions(), self.sink.sessions()) == ([], [])
        assert leftovers(target) == []


def door_of(offer: Record) -> tuple[object, ...]:
    """What a ticket opens, and where: all of it but when it ends."""
    ticket = Ticket.parse(offer["ticket"], 0)
    return ticket.session, ticket.secret, ticket.listener, ticket.addresses


def address_of(offer: Record) -> Address:
    """Where who made this offer listens, on this machine."""
    return Address("127.0.0.1", Ticket.parse(offer["ticket"], 0).addresses[0].port)


def leftovers(target: Path) -> list[bytes]:
    """Temporary files below a directory."""
    found = os.walk(os.fsencode(target))
    return [name for _, _, names in found for name in names if name.startswith(os.fsencode(PREFIX))]


def written(target: Path) -> int:
    """Bytes that files below a directory hold on the disk, holes left out; some may go or be renamed meanwhile."""
    total = 0
    for directory, _, names in os.walk(target):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def noise(path: Path, size: int, seed: int = 1) -> Path:
    """A file that does not compress."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def arrived(path: Path, least: int) -> None:
    """Wait until a file, or the files below a directory, hold so many bytes on the disk."""
    deadline = time.monotonic() + PATIENCE_S
    while (path.lstat().st_blocks * 512 if path.is_file() else written(path)) < least:
        assert time.monotonic() < deadline, f"{path}: {least} bytes did not come"
        time.sleep(0.005)
