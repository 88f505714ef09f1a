"""Gives a cargo to machines that were let in, or that let us in, and keeps the record of the session."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import (
    BusyError,
    CancelledError,
    FailedError,
    PolicyError,
    StorageFullError,
    UnreachableError,
    UsageError,
)
from warp_portal.protocol.fields import SESSION_BYTES
from warp_portal.protocol.offers import SCOPE_SECRET_BYTES
from warp_portal.transport.dialing import ANY_NETWORK, Network
from warp_portal.transport.files import replace_file
from warp_portal.transport.identity import machine_key
from warp_portal.transport.listening import Visitor
from warp_portal.transport.peers import note_met
from warp_portal.transport.record import Kind, SessionRecord
from warp_portal.transport.sending import SEND_DEFAULTS, Cargo, SendOptions, SendReport, Visit
from warp_portal.transport.state import AGAIN, Session, SessionStore
from warp_portal.transport.waiting import WAIT_DEFAULTS, WaitPlan

COMES_BACK: Final = (UnreachableError, CancelledError, BusyError, StorageFullError, FailedError)
"""After these the other side may come again."""
_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What to send, and to whom.

    `session`: the number of one that is to go on, None: one of the same paths, or a new one. `again` is kept with a new one, for
    who runs it again. `wait` is for who waits, `network` for who goes.
    """

    cargo: Cargo
    options: SendOptions = SEND_DEFAULTS
    wait: WaitPlan = WAIT_DEFAULTS
    session: bytes | None = None
    again: bytes = b"{}"
    network: Network = ANY_NETWORK


def begun(state: Path, plan: SendPlan, kind: Kind = Kind.SEND, clock: Clock = SYSTEM_CLOCK) -> tuple[Session, bool]:
    """The session of a plan, and whether it was begun before.

    Raises NotFoundError for a number that no session has, BusyError, OSError.
    """
    store, cargo = SessionStore(state, clock), plan.cargo
    if plan.session is not None:
        return store.open(plan.session), True
    for listed in store.list() if cargo.is_repeatable else ():
        record = listed.record
        if record is None or listed.busy or (record.kind, record.paths) != (kind, cargo.paths):
            continue
        if _is_of_archive(record) == cargo.is_archive:
            return store.open(record.session), True
    now = clock.now_ns() // _NS
    # What names fragments, of which an archive has names of its own.
    secret = None if cargo.is_archive else secrets.token_bytes(SCOPE_SECRET_BYTES)
    number = secrets.token_bytes(SESSION_BYTES)
    record = SessionRecord(kind, number, cargo.title, cargo.paths, now, now, scope_secret=secret)
    session = store.begin(record)
    replace_file(session.directory / AGAIN, plan.again)
    return session, False


def _is_of_archive(record: SessionRecord) -> bool:
    return record.scope_secret is None


class Giver:
    """Gives one cargo in one session; any number of connections may be served at once."""

    def __init__(self, state: Path, session: Session, plan: SendPlan, clock: Clock = SYSTEM_CLOCK) -> None:
        if _is_of_archive(session.record) != plan.cargo.is_archive:
            raise UsageError("what is there now is not what this session began with, an archive or files: discard it")
        self._secret = session.record.scope_secret or b""
        self._state, self._session, self._cargo, self._options = state, session, plan.cargo, plan.options
        self._key, self._clock = machine_key(state), clock
        self.seconds = 0.0
        """What the last connection took."""

    def give(
        self,
        visitor: Visitor,
        is_back: Callable[[], bool] = lambda: False,
        share: Callable[[], int] = lambda: 1,
        records: Path | None = None,
    ) -> SendReport:
        """Send all that the other side wants. `records`: a directory of this connection alone, if there are several at once.

        Raises what ended it; after `COMES_BACK` it may go on on another connection.
        """
        link, number = visitor.link, self._session.record.session
        note_met(self._state, link.peer)
        visit = Visit(
            link,
            number,
            self._secret,
            self._key.sign,
            records or self._session.directory,
            self._options,
            is_back,
            share,
            self.note if records is None else lambda _: None,
            is_only=records is None,
        )
        sending = self._cargo.sending(visit)
        began = self._clock.monotonic_s()
        try:
            finished = visitor.conversation.run(sending.session, sending.session.start(), sending)
        except PolicyError:
            raise PolicyError("the other side did not take it") from None
        except COMES_BACK:
            if records is None:
                self.note(sending.bytes_settled)
            raise
        self.seconds = self._clock.monotonic_s() - began
        return sending.report(finished)

    def note(self, bytes_done: int | None = None, peer: bytes | None = None) -> None:
        """Keep in the record how far it is, and who takes it."""
        record = self._session.record
        # Each connection begins to count anew.
        done = max(record.bytes_done, bytes_done or 0)
        self._session.save(replace(record, bytes_done=done, peer=record.peer if peer is None else peer))


def laden(session: Session, resumed: bool, cargo: Cargo) -> Cargo:
    """The cargo, ready; a new session whose cargo can't be made ready is forgotten. Raises what the cargo does."""
    with beginning(session, resumed):
        cargo.stow(session.directory, resumed)
    return cargo


@contextmanager
def beginning(session: Session, resumed: bool) -> Iterator[None]:
    """What a session needs before anybody can come; a new one that does not get so far is forgotten."""
    try:
        yield
    except BaseException:
        if not resumed:
            session.discard()
        raise
