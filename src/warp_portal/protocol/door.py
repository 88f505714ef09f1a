"""What opens to whom: tickets, codes, saved peers and first connections of a listener, one door for all (docs/transfer-protocol.md §4)."""

import threading
from typing import Final

from warp_portal.clock import Clock
from warp_portal.errors import BusyError, NotFoundError, PolicyError, UsageError
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.proofs import Link
from warp_portal.protocol.ticket import Ticket

CODE_LIFE_S: Final = 600.0
MAX_GUESSES: Final = 3
_NS: Final = 10**9


class OpenCode:
    """A code that is shown to a person, and how many dialers guessed at it."""

    __slots__ = ("code", "guesses", "shown_s")

    def __init__(self, code: ShortCode, shown_s: float) -> None:
        self.code = code
        self.shown_s = shown_s
        self.guesses = 0


class _Gathering:
    """A connection that others may join."""

    __slots__ = ("first", "left")

    def __init__(self, first: Link, left: int) -> None:
        self.first = first
        self.left = left


class Door:
    """It remembers what it was told to open, and asks the clock what is too old. Any thread may ask it: each connection has its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tickets: dict[bytes, Ticket] = {}
        self._ended: set[bytes] = set()
        self._codes: dict[int, OpenCode] = {}
        self._guessing = threading.Lock()
        self._peers: set[bytes] = set()
        self._gatherings: dict[bytes, _Gathering] = {}

    def admit(self, ticket: Ticket) -> None:
        """Let in who holds this ticket, until it expires; it takes the place of another one of its session."""
        self._tickets[ticket.session] = ticket
        self._ended.discard(ticket.session)

    def end(self, session: bytes) -> None:
        """Let nobody into this session any more; who holds its ticket hears that it is over, nobody else hears of it."""
        self._ended.add(session)

    def forget(self, session: bytes) -> None:
        """Drop a session's ticket; who holds it is then a stranger."""
        self._tickets.pop(session, None)
        self._ended.discard(session)

    def secret(self, session: bytes) -> bytes | None:
        """What a dialer with a ticket for this session must prove that it holds; None: there is no such session."""
        ticket = self._tickets.get(session)
        return None if ticket is None else ticket.secret

    def enter(self, session: bytes) -> None:
        """Who holds the ticket comes in. Raises NotFoundError if the session is over, PolicyError if the ticket has expired."""
        if session in self._ended or session not in self._tickets:
            raise NotFoundError("a dialer came for a session that is over")
        if self._tickets[session].expires_s * _NS <= self._clock.now_ns():
            raise PolicyError("a dialer came with a ticket that has expired")

    def show(self, code: ShortCode) -> None:
        """Let in the first who has this code, from now for ten minutes. Raises UsageError while its number is taken."""
        with self._guessing:
            if self._alive(self._codes.get(code.nameplate)):
                raise UsageError(f"a code with the number {code.nameplate} is open already")
            self._codes[code.nameplate] = OpenCode(code, self._clock.monotonic_s())

    def hide(self, nameplate: int) -> None:
        """Let nobody in by this code any more."""
        with self._guessing:
            self._codes.pop(nameplate, None)

    def guess(self, nameplate: int) -> OpenCode:
        """Count a guess at a code *before* it is answered: who saw the answer knows whether the guess was right, and may leave.

        Raises NotFoundError for a number that no open code has: never shown, used, too old, or guessed at three times.
        """
        with self._guessing:
            found = self._codes.get(nameplate)
            if found is None or not self._alive(found):
                raise NotFoundError(f"a dialer came for code {nameplate}, which is not open")
            found.guesses += 1
            return found

    def is_spent(self, nameplate: int) -> bool:
        """Whether the code with this number was shown, nobody used it, and it opens nothing any more."""
        with self._guessing:
            code = self._codes.get(nameplate)
            return code is not None and not self._alive(code)

    def use(self, guessed: OpenCode) -> None:
        """The guess was right: the code is used up. Raises NotFoundError if somebody was quicker, or it was hidden."""
        with self._guessing:
            if self._codes.get(guessed.code.nameplate) is not guessed:
                raise NotFoundError(f"code {guessed.code.nameplate} was used or withdrawn meanwhile")
            del self._codes[guessed.code.nameplate]

    def _alive(self, code: OpenCode | None) -> bool:
        if code is None:
            return False
        return code.guesses < MAX_GUESSES and self._clock.monotonic_s() - code.shown_s < CODE_LIFE_S

    def save(self, peer: bytes) -> None:
        """Let in the machine with this key."""
        self._peers.add(peer)

    def drop(self, peer: bytes) -> None:
        """Let it in no more."""
        self._peers.discard(peer)

    def knows(self, peer: bytes) -> bool:
        """Whether the machine with this key is let in."""
        return peer in self._peers

    def gather(self, first: Link, most: int) -> None:
        """Let so many further connections in that prove that they join this one, as long as it lasts."""
        self._gatherings[first.group] = _Gathering(first, most)

    def part(self, group: bytes) -> None:
        """Let none join any more: the first connection of the group is over."""
        self._gatherings.pop(group, None)

    def first(self, group: bytes) -> Link | None:
        """The connection that whoever names this group must prove to have; None: there is no such."""
        gathering = self._gatherings.get(group)
        return None if gathering is None else gathering.first

    def join(self, group: bytes) -> None:
        """One more comes in. Raises NotFoundError if the first connection is over, BusyError for one too many."""
        gathering = self._gatherings.get(group)
        if gathering is None:
            raise NotFoundError("a connection would join one that is over")
        if gathering.left == 0:
            raise BusyError("a connection would join that is one too many")
        gathering.left -= 1
