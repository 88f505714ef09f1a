"""Waits at a port for the other side of a session: with a ticket and a code for it, and whoever else may come."""

import secrets
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import BusyError, UnreachableError, UsageError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import CODE_LIFE_S, MAX_GUESSES, Door
from warp_portal.protocol.hello import Role
from warp_portal.protocol.proofs import SECRET_BYTES
from warp_portal.protocol.ticket import Ticket
from warp_portal.transport.dialing import Note
from warp_portal.transport.interfaces import is_loopback
from warp_portal.transport.listening import Listening, Place, Visitor
from warp_portal.transport.rendezvous import Rendezvous
from warp_portal.transport.ways import Way

TICKET_LIFE_S: Final = 7 * 24 * 3600
MAX_CODE_NUMBER: Final = 99
_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class WaitPlan:
    """Who may come. `rendezvous`: where a short code is told; None: no code is made. `peers`: keys of machines that need neither.

    `most_at_once`: so many are served at the same time, by who serves several. `connections` that one session may have, 0: as many as
    the other side brings. `last_word_s`: where all has come, and the connection broke before the other side said that it knows, it may
    come again for so long.
    """

    rendezvous: Rendezvous | None = None
    port: int = 0
    life_s: int = TICKET_LIFE_S
    peers: tuple[bytes, ...] = ()
    most_at_once: int = 8
    congestion: str = "cubic"
    connections: int = 0
    last_word_s: float = 60.0


WAIT_DEFAULTS: Final = WaitPlan()


class Waiting:
    """An open port for one session. A context manager: in it machines are let in."""

    def __init__(self, key: MachineKey, role: Role, plan: WaitPlan, note: Note, clock: Clock = SYSTEM_CLOCK) -> None:
        self._key, self._role, self._plan, self._note, self._clock = key, role, plan, note, clock
        self._door = Door(clock)
        self._resources = ExitStack()
        self.code: ShortCode | None = None
        self._watched: int | None = None

    def prepare(self, session: bytes, way: Way, peers: Iterable[bytes] = ()) -> Self:
        """Take a port and make a ticket, or those of `way`; `peers` may come too. Raises OSError if a port that was asked for can't be had."""
        # One without a port led elsewhere: its ticket is another machine's.
        way = way if way.port else Way()
        self.listening = self._listen(way.port)
        self.ticket = self._ticket(session, way)
        self._door.admit(self.ticket)
        for peer in (*self._plan.peers, *peers):
            self._door.save(peer)
        self._note_isolation()
        return self

    def visitor(self) -> Visitor | None:
        """Who was let in first and is still waiting; None if nobody came for a moment. Notes that a code opens nothing any more."""
        if self._watched is not None and self._door.is_spent(self._watched):
            self._watched = None
            lives = f"{CODE_LIFE_S / 60:.0f} minutes and {MAX_GUESSES} guesses"
            self._note(f"the code opens nothing any more (it lives for {lives}): the ticket stays good")
        return self.listening.visitor()

    @property
    def way(self) -> Way:
        """What is to be kept, so that the ticket stays good."""
        return Way(self.ticket.text(), self.listening.port)

    def let_in(self, peer: bytes) -> None:
        """A code is used up: who had it comes back by its key."""
        self._door.save(peer)

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            resources.enter_context(self.listening)
            if self._plan.rendezvous is not None:
                self._show_code(self._plan.rendezvous, resources)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def is_back(self, peer: bytes) -> bool:
        """Whether the machine that is served has come again; another one that comes meanwhile is told to go."""
        for visitor in self.listening.others(peer):
            self._note(f"{visitor.link.address} came too, and was told that another machine is being served")
            threading.Thread(target=turn_away, args=(visitor,), name="warp-busy", daemon=True).start()
        return self.listening.is_back(peer)

    def _note_isolation(self) -> None:
        """Say it if nobody, or nobody from elsewhere, can come."""
        hosts = [address.host for address in self.ticket.addresses]
        if not hosts:
            self._note(
                "this machine has no network address that another one could reach: connect it to a network and run this again"
            )
        elif all(map(is_loopback, hosts)):
            self._note("only programs of this machine can come: it has no other network address")

    def _listen(self, port: int) -> Listening:
        plan = self._plan
        place = Place(plan.port or port, plan.congestion, plan.connections)
        try:
            return Listening(self._key, self._door, self._role, self._note, place)
        except OSError:
            if plan.port:
                raise
            self._note(f"port {port} is taken by another program: who has the ticket of before does not find us here")
            return Listening(self._key, self._door, self._role, self._note, place._replace(port=0))

    def _ticket(self, session: bytes, way: Way) -> Ticket:
        """The ticket of before, with today's addresses, or a new one."""
        now = self._clock.now_ns() // _NS
        secret = secrets.token_bytes(SECRET_BYTES)
        expires = now + self._plan.life_s
        if way.ticket is not None:
            before = Ticket.parse(way.ticket, 0)
            session, secret, expires = before.session, before.secret, max(before.expires_s, expires)
        return Ticket(self.listening.addresses(), self._key.public.raw, session, secret, expires)

    def _show_code(self, rendezvous: Rendezvous, resources: ExitStack) -> None:
        if not self.ticket.addresses:
            return None
        code = ShortCode.of_words(1 + secrets.randbelow(MAX_CODE_NUMBER))
        try:
            resources.enter_context(rendezvous.publish(code.nameplate, self.listening.addresses()))
        except (UnreachableError, UsageError, OSError) as error:
            return self._note(f"there is no short code, only the ticket: {error}")
        self._door.show(code)
        self.code, self._watched = code, code.nameplate
        return None


def coming(visitor: Visitor) -> str:
    """By what a machine comes, for people."""
    carrier = f"over {visitor.link.carrier.upper()}"
    return carrier if visitor.proved.nameplate is None else f"{carrier}; the code is used up, the ticket stays good"


def turn_away(visitor: Visitor) -> None:
    """Tell a machine that another one is served now."""
    visitor.conversation.turn_away(BusyError("one at a time"))
