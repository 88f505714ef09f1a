"""Carries a session without I/O out over one connection: its messages, the news of a data engine, and time.

    link ─ messages ─▶ session ─ outputs ─▶ hands: messages to send, work for the engine
                          ▲                               │
                          └────────── news ◀──────────────┘

One thread waits for the descriptors of the link and of the engine; what moves data has threads of its own.
"""

import errno
import selectors
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from warp_portal._native import Link
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import (
    CancelledError,
    ClosedError,
    GivenUpError,
    ProtocolError,
    StorageFullError,
    UnreachableError,
    WarpPortalError,
)
from warp_portal.protocol.handshake import Handshake, Joins, Proved
from warp_portal.protocol.messages import PROVED, STRANGER, Limits, parse
from warp_portal.protocol.session import Closed, Output, Outputs, Send, Session, close_of
from warp_portal.protocol.tree import Finished

PROOF_S: Final = 10.0  # docs/transfer-protocol.md §9
# How often progress is looked at while nothing happens.
BEAT_S: Final = 0.1
NOTE_S: Final = 5.0
# A message waits so long for a peer that takes none.
SEND_S: Final = 30.0
# So long the last words may take to leave.
PARTING_S: Final = 3.0

Last = TypeVar("Last", bound=Output)


class Hands(ABC):
    """What a session's outputs and its data engine have to do with the world."""

    @abstractmethod
    def carry_out(self, output: Output) -> Outputs:
        """Do what an output says; what the session answers to that."""

    @abstractmethod
    def fileno(self) -> int | None:
        """A descriptor that is readable when there is news; None while there is no engine."""

    @abstractmethod
    def news(self) -> Outputs:
        """Hand the engine's news to the session; what that says."""

    @abstractmethod
    def beat(self) -> None:
        """Called a few times a second, for progress and deadlines."""

    @abstractmethod
    def stop(self) -> None:
        """End the engine's threads; what it has done is left for another try."""


class Company:
    """What goes along with a conversation; nothing, unless it is given another."""

    def beat(self) -> None:
        """Called a few times a second while data is on its way."""

    def end(self) -> None:
        """The conversation is over; idempotent."""


class Notes:
    """Takes down every few seconds how far something is, for who looks at it from outside, or after a kill."""

    def __init__(self, write: Callable[[int], None], clock: Clock = SYSTEM_CLOCK) -> None:
        self._write, self._clock = write, clock
        self._due = clock.monotonic_s() + NOTE_S

    def take(self, done: int) -> None:
        """So much is done now."""
        now = self._clock.monotonic_s()
        if now >= self._due:
            self._write(done)
            self._due = now + NOTE_S


class Conversation:
    """All that is said on one connection, from HELLO to CLOSE."""

    def __init__(self, link: Link, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._clock = clock
        self._limits: Limits = STRANGER
        self._heard = deque[bytes]()
        self.company = Company()

    def handshake(self, handshake: Handshake, join: Callable[[bytes], None] | None = None) -> Proved:
        """Find out with whom we talk. Raises what failed, of which the other side was told.

        `join`: has the link carry data of the first connection of a group.
        """
        hands = _Proving(self._clock, join)
        proved = self._converse(handshake, handshake.start(), hands, Proved)
        self._limits = PROVED
        self._link.authorize()
        return proved

    def run(self, session: Session, begin: Outputs, hands: Hands) -> Finished:
        """Carry a session out to its end, and part. Raises what failed, of which the other side was told."""
        try:
            finished = self._converse(session, begin, hands, Finished)
            self._part()
            return finished
        except ClosedError:
            # Nobody closes without a reason but who has lost another connection of the session, or heard all that he had to.
            raise GivenUpError("the other side gave this connection up") from None
        finally:
            hands.stop()
            self.company.end()

    def turn_away(self, error: WarpPortalError) -> None:
        """End it before a session has begun: the other side is told why, if it listens."""
        self.company.end()
        with suppress(WarpPortalError, OSError):
            self._link.send(close_of(error).serialize(), 0.0)
            self._part()
        self._link.abort(error.exit_code, "")

    def refuse(self, session: Session, error: WarpPortalError) -> None:
        """End it for this reason: the other side is told, if it listens."""
        # What went wrong first is what counts.
        with suppress(WarpPortalError, OSError):
            for output in session.close(error):
                if isinstance(output, Send):
                    self._link.send(output.message.serialize(), 0.0)
            self._part()
        self._link.abort(error.exit_code, "")

    def _converse(self, session: Session, begin: Outputs, hands: Hands, last: type[Last]) -> Last:
        try:
            return self._loop(session, begin, hands, last)
        except (ClosedError, UnreachableError) as error:
            raise _told(error) from None
        except WarpPortalError as error:
            self.refuse(session, error)
            raise
        except OSError as error:
            self.refuse(session, _of_system(error))
            raise
        except KeyboardInterrupt:
            self.refuse(session, CancelledError("stopped by a person"))
            raise

    def _loop(self, session: Session, begin: Outputs, hands: Hands, last: type[Last]) -> Last:
        found = self._carry_out(begin, hands, last)
        watched: int | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            while found is None:
                if watched is None and (watched := hands.fileno()) is not None:
                    selector.register(watched, selectors.EVENT_READ)
                selector.select(0 if self._heard else BEAT_S)
                hands.beat()
                if watched is not None:
                    self.company.beat()
                # What the engine did comes first: messages may be answers to it.
                found = self._carry_out(hands.news(), hands, last) or self._hear(session, hands, last)
        return found

    def _hear(self, session: Session, hands: Hands, last: type[Last]) -> Last | None:
        if not self._heard:
            self._heard.extend(self._link.messages())
        if not self._heard and self._link.ended:
            raise UnreachableError("the other side left without a word")
        # What comes right behind a handshake's last message is the next session's.
        while self._heard:
            # Each message may be the answer to news that came since.
            found = self._carry_out(hands.news(), hands, last)
            found = found or self._carry_out(session.receive(parse(self._heard.popleft(), self._limits)), hands, last)
            if found is not None:
                return found
        return None

    def _carry_out(self, outputs: Outputs, hands: Hands, last: type[Last]) -> Last | None:
        found: Last | None = None
        waiting = deque(outputs)
        while waiting:
            output = waiting.popleft()
            if isinstance(output, Send):
                self._send(output)
            elif isinstance(output, Closed):
                raise output.error()
            elif isinstance(output, last):
                found = output
            else:
                waiting.extend(hands.carry_out(output))
        return found

    def _send(self, output: Send) -> None:
        if not self._link.send(output.message.serialize(), SEND_S):
            raise UnreachableError(f"the other side takes no messages any more ({SEND_S:.0f} s)")

    def _part(self) -> None:
        """Let the last words leave, and wait until the other side has them."""
        self._link.finish()
        deadline = self._clock.monotonic_s() + PARTING_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            while not self._link.ended and self._clock.monotonic_s() < deadline:
                selector.select(BEAT_S)
                # The other side's own farewell; a break now is none of ours.
                with suppress(WarpPortalError):
                    self._link.messages()


class _Proving(Hands):
    """The hands of a handshake: little to do, and ten seconds."""

    def __init__(self, clock: Clock, join: Callable[[bytes], None] | None) -> None:
        self._clock, self._join = clock, join
        self._deadline = clock.monotonic_s() + PROOF_S

    def carry_out(self, output: Output) -> Outputs:
        """A connection that joins another. A handshake has no other outputs."""
        if isinstance(output, Joins) and self._join is not None:
            self._join(output.group)
            return ()
        raise ProtocolError(f"a handshake does not end in {output}")

    def fileno(self) -> int | None:
        """There is no engine."""
        return None

    def news(self) -> Outputs:
        """There is none."""
        return ()

    def beat(self) -> None:
        """Raises ProtocolError when the time is over."""
        if self._clock.monotonic_s() > self._deadline:
            raise ProtocolError(f"the other side proved nothing in {PROOF_S:.0f} seconds")

    def stop(self) -> None:
        """Nothing runs."""


def _told(error: ClosedError | UnreachableError) -> WarpPortalError:
    """The error that a code stands for, if the carrier gave one."""
    if isinstance(error, ClosedError) and error.code:
        return Closed(error.code, error.text).error()
    return error


def _of_system(error: OSError) -> WarpPortalError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError(str(error))
    return WarpPortalError(str(error))
