"""Waits for machines that come, and lets in whom the door opens to (docs/transfer-protocol.md §4).

Each connection proves itself on a thread of its own, so that a stranger who says nothing keeps nobody waiting.
"""

import secrets
import selectors
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from warp_portal._native import VERSION, Endpoint, Link
from warp_portal.archive.options import cores
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import BusyError, CancelledError, ClosedError, NotFoundError, UnreachableError, WarpPortalError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol import proofs
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.door import MAX_GUESSES, Door
from warp_portal.protocol.handshake import Listener, Proved
from warp_portal.protocol.hello import BRANCHES, FEATURES, RANDOM_BYTES, Hello, Role, greased
from warp_portal.protocol.proving import Method
from warp_portal.transport.conversation import BEAT_S, Company, Conversation
from warp_portal.transport.dialing import LOOPBACK_MTU, MOST_CONNECTIONS, Note
from warp_portal.transport.interfaces import local_addresses

# Strangers that may be proving themselves at once; TLS has its own bounds before.
MAX_STRANGERS: Final = 64
# More than there are connections of a session: the kernel spreads them by a hash.
THREADS: Final = 8
# Notes about strangers: so many at once, and later one more in so many seconds; the others are counted.
NOTES_AT_ONCE: Final = 10
NOTE_EVERY_S: Final = 10.0


class Visitor(NamedTuple):
    """A machine that was let in."""

    proved: Proved
    link: Link
    conversation: Conversation


def hello(role: Role, branches: bool = True) -> Hello:
    """What this side says first; `branches`: whether further connections may join the first."""
    random = secrets.token_bytes(RANDOM_BYTES)
    features = FEATURES if branches else FEATURES & ~BRANCHES
    return Hello(role, random, f"warp {VERSION}", greased(features, bool(random[0] & 1)))


class Place(NamedTuple):
    """Where to listen: a port, 0 for any that is free; how the rate of what leaves by QUIC is found; and how many connections one
    session may have, 0: as many as the other side brings.
    """

    port: int = 0
    congestion: str = "cubic"
    connections: int = 0

    @property
    def most_connections(self) -> int:
        """Of one session."""
        return self.connections or MOST_CONNECTIONS

    @property
    def threads(self) -> int:
        """That all connections are spread over: where it was not asked for, two cores have enough to do without more."""
        return 1 if self.connections == 1 or (self.connections == 0 and cores() <= 2) else THREADS


ANYWHERE: Final = Place()


class Complaints:
    """Tells of strangers, but no faster than a person can read: who comes as often as it likes must not fill a log."""

    def __init__(self, note: Note, clock: Clock = SYSTEM_CLOCK) -> None:
        self._note, self._clock = note, clock
        self._lock = threading.Lock()
        self._left, self._since, self._silent = NOTES_AT_ONCE, clock.monotonic_s(), 0

    def add(self, text: str) -> None:
        """Tell this, or count it. Raises what telling does."""
        with self._lock:
            now = self._clock.monotonic_s()
            earned = int((now - self._since) / NOTE_EVERY_S)
            self._left = min(NOTES_AT_ONCE, self._left + earned)
            self._since += earned * NOTE_EVERY_S
            if self._left == 0:
                self._silent += 1
                return
            self._left -= 1
            silent, self._silent = self._silent, 0
        self._note(f"{text} ({silent:,} others were not let in either)" if silent else text)


class Listening:
    """An open port. A context manager: at its end all its connections end."""

    def __init__(self, key: MachineKey, door: Door, role: Role, note: Note, place: Place = ANYWHERE) -> None:
        """Raises OSError if the port can't be had."""
        self._key, self._door, self._role = key, door, role
        self._endpoint = _endpoint(key, place)
        self._further = place.most_connections - 1
        self._firsts = dict[bytes, Link]()
        self.port: Final = self._endpoint.address[1]
        self._visitors = deque[Visitor]()
        self._came = threading.Condition()
        self._room = threading.BoundedSemaphore(MAX_STRANGERS)
        self._over = threading.Event()
        self._complaints = Complaints(note)
        self._thread = threading.Thread(target=self._accept, name="warp-accept", daemon=True)

    def addresses(self) -> tuple[Address, ...]:
        """Where others may reach it."""
        return local_addresses(self.port)

    def visitor(self) -> Visitor | None:
        """Who was let in first and is still waiting; None if nobody came for a moment."""
        with self._came:
            self._came.wait_for(lambda: self._visitors, BEAT_S)
            return self._visitors.popleft() if self._visitors else None

    def is_back(self, peer: bytes) -> bool:
        """Whether the machine with this key waits: if it is connected already, it has given that connection up."""
        with self._came:
            return any(visitor.link.peer == peer for visitor in self._visitors)

    def others(self, peer: bytes) -> list[Visitor]:
        """Who was let in and waits, but for the machine with this key: they wait here no more."""
        with self._came:
            found = [visitor for visitor in self._visitors if visitor.link.peer != peer]
            for visitor in found:
                self._visitors.remove(visitor)
            return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._endpoint.close()
        self._thread.join()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._endpoint, selectors.EVENT_READ)
            while not self._over.is_set():
                selector.select()
                try:
                    while (link := self._endpoint.accept()) is not None:
                        self._take(link)
                except CancelledError:
                    return

    def _take(self, link: Link) -> None:
        if not self._room.acquire(blocking=False):
            link.abort(BusyError.exit_code, "too many come at once")
            return
        threading.Thread(target=self._prove, args=(link,), name="warp-proof", daemon=True).start()

    def _prove(self, link: Link) -> None:
        listener: Listener | None = None
        try:
            conversation = Conversation(link)
            ends = proofs.Link(link.exporter, link.peer, self._key.public.raw)
            listener = Listener(ends, hello(self._role, self._further > 0), self._door)
            proved = conversation.handshake(listener, lambda group: self._join(group, link))
            if proved.method is Method.JOIN:
                return
            if proved.agreement.features & BRANCHES:
                conversation.company = self._gather(ends, link)
            with self._came:
                self._visitors.append(Visitor(proved, link, conversation))
                self._came.notify_all()
        except (WarpPortalError, OSError) as error:
            # Who reaches us at two addresses says nothing at the one, and leaves it.
            left = isinstance(error, ClosedError | UnreachableError)
            if not (left and listener is not None and listener.is_silent):
                # Where nobody reads what is said, whoever says the next thing that matters finds out.
                with suppress(BrokenPipeError):
                    self._complaints.add(f"{link.address} was not let in: {_reason(error, listener)}")
        finally:
            self._room.release()

    def _gather(self, ends: proofs.Link, link: Link) -> Company:
        """From now on others may join this connection."""
        self._firsts[ends.group] = link
        self._door.gather(ends, self._further)
        return _Gathering(lambda: self._part(ends.group))

    def _join(self, group: bytes, link: Link) -> None:
        first = self._firsts.get(group)
        if first is None:
            raise NotFoundError("a connection would join one that is over")
        first.receive_over(link)
        first.send_over(link)

    def _part(self, group: bytes) -> None:
        self._door.part(group)
        self._firsts.pop(group, None)


class _Gathering(Company):
    """Connections that join one that was let in, as long as that lasts."""

    def __init__(self, part: Callable[[], None]) -> None:
        self._part = part

    def end(self) -> None:
        """Let none join any more."""
        self._part()


def _reason(error: Exception, listener: Listener | None) -> str:
    """Why a dialer was not let in; a guess counts, however it ended."""
    if listener is None or not listener.guesses or isinstance(error, NotFoundError):
        return str(error)
    return f"it has another code (guess {listener.guesses} of {MAX_GUESSES})"


def _endpoint(key: MachineKey, place: Place) -> Endpoint:
    """All addresses of this machine, those of IPv6 too if it has that."""

    def at(host: str) -> Endpoint:
        address = f"{host}:{place.port}"
        return Endpoint(
            key.seed,
            address=address,
            listen=True,
            mtu_most=LOOPBACK_MTU,
            congestion=place.congestion,
            threads=place.threads,
        )

    try:
        return at("[::]")
    except OSError:
        return at("0.0.0.0")  # noqa: S104  # all of them is meant
