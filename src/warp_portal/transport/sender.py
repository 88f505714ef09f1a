"""Offers a tree until it has arrived: a port, a ticket and a code for it, and whoever comes with one of them."""

import os
import secrets
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from warp_portal.archive.filetable import order_key
from warp_portal.archive.options import Source, checked_patterns
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import BusyError, CancelledError, NotFoundError, StorageFullError, UnreachableError, UsageError
from warp_portal.protocol import source as sessions
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import Door
from warp_portal.protocol.fields import SESSION_BYTES
from warp_portal.protocol.hello import Role
from warp_portal.protocol.offers import MAX_TITLE_BYTES, SCOPE_SECRET_BYTES, Offer
from warp_portal.protocol.proofs import SECRET_BYTES
from warp_portal.protocol.ticket import Ticket
from warp_portal.transport.dialing import Note
from warp_portal.transport.identity import machine_key
from warp_portal.transport.listening import Listening, Visitor
from warp_portal.transport.record import Kind, SessionRecord
from warp_portal.transport.rendezvous import Rendezvous
from warp_portal.transport.sending import SEND_DEFAULTS, Cargo, SendOptions, SendReport, Survey, TreeSending, offer_of
from warp_portal.transport.state import Session, SessionStore
from warp_portal.transport.ways import Way

TICKET_LIFE_S: Final = 7 * 24 * 3600
MAX_CODE_NUMBER: Final = 99
_NS: Final = 10**9


def shared(paths: Iterable[str], *, excludes: Iterable[str] = (), **rules: bool) -> Source:
    """What is sent of these paths: each under its own name, `.` as the tree itself. Raises NotFoundError, UsageError."""
    roots = sorted((_root(os.fsencode(path)) for path in paths), key=lambda root: order_key(root[0]))
    if not roots:
        raise UsageError("nothing to send: name at least one path")
    names = [name for name, _ in roots]
    if len(set(names)) != len(names) or (b"" in names and len(names) > 1):
        raise UsageError(
            "two of the paths have one name, under which the other side would get both: send them one by one"
        )
    return Source(tuple(roots), tuple(checked_patterns(excludes)), **rules)


def _root(raw: bytes) -> tuple[bytes, bytes]:
    if not raw or not os.path.lexists(raw):
        raise NotFoundError(f"no such file or directory: {os.fsdecode(raw)}")
    if os.path.normpath(raw) == b".":
        return b"", os.path.realpath(raw)
    whole = os.path.realpath(raw) if raw.endswith((b"/", b"/..", b"/.")) else os.path.abspath(raw)
    name = os.path.basename(whole)
    return (name, whole) if name else (b"", b"/")


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What to send, and to whom. `rendezvous`: where a short code is told; None: no code is made."""

    source: Source
    options: SendOptions = SEND_DEFAULTS
    rendezvous: Rendezvous | None = None
    port: int = 0
    life_s: int = TICKET_LIFE_S


class Sender:
    """Waits with a tree for the machine that takes it. A context manager: in it the port is open."""

    def __init__(self, state: Path, plan: SendPlan, note: Note, clock: Clock = SYSTEM_CLOCK) -> None:
        self._state, self._plan, self._note, self._clock = state, plan, note, clock
        self._key = machine_key(state)
        self._door = Door(clock)
        self._resources = ExitStack()
        self.code: ShortCode | None = None
        self.resumed = False
        self.seconds = 0.0
        """What the last connection took."""

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self._session, way = self._begun()
            resources.enter_context(self._session)
            self._survey = resources.enter_context(Survey(self._plan.source))
            self._listening = self._listen(way.port)
            self.ticket = self._ticket(way)
            self._door.admit(self.ticket)
            if self._session.record.peer is not None:
                self._door.save(self._session.record.peer)
            resources.enter_context(self._listening)
            if self._plan.rendezvous is not None:
                self._show_code(self._plan.rendezvous, resources)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def run(self) -> SendReport:
        """Wait for the other side, however often it comes, until it has everything. Raises what ends it for good."""
        while True:
            visitor = self._listening.visitor()
            report = None if visitor is None else self._visit(visitor)
            if report is not None:
                self._session.discard()
                return report

    def _begun(self) -> tuple[Session, Way]:
        """The session: one that was not finished and is of the same paths, or a new one."""
        store = SessionStore(self._state, self._clock)
        paths = tuple(path for _, path in self._plan.source.roots)
        for listed in store.list():
            record = listed.record
            if record is not None and record.kind is Kind.SEND and record.paths == paths and not listed.busy:
                session = store.open(record.session)
                self.resumed = True
                return session, Way.load(session.directory)
        now = self._clock.now_ns() // _NS
        record = SessionRecord(
            Kind.SEND,
            secrets.token_bytes(SESSION_BYTES),
            _title(self._plan.source),
            paths,
            now,
            now,
            scope_secret=secrets.token_bytes(SCOPE_SECRET_BYTES),
        )
        return store.begin(record), Way()

    def _listen(self, port: int) -> Listening:
        wanted = self._plan.port or port
        try:
            return Listening(self._key, self._door, Role.SOURCE, self._note, wanted)
        except OSError:
            if self._plan.port:
                raise
            self._note(f"port {wanted} is taken by another program: who has the ticket of before does not find us here")
            return Listening(self._key, self._door, Role.SOURCE, self._note)

    def _ticket(self, way: Way) -> Ticket:
        """The ticket of before, with today's addresses, or a new one."""
        now = self._clock.now_ns() // _NS
        secret = secrets.token_bytes(SECRET_BYTES)
        expires = now + self._plan.life_s
        if way.ticket is not None:
            before = Ticket.parse(way.ticket, 0)
            secret, expires = before.secret, max(before.expires_s, expires)
        addresses = self._listening.addresses()
        ticket = Ticket(addresses, self._key.public.raw, self._session.record.session, secret, expires)
        Way(ticket.text(), self._listening.port).save(self._session.directory)
        return ticket

    def _show_code(self, rendezvous: Rendezvous, resources: ExitStack) -> None:
        code = ShortCode.of_words(1 + secrets.randbelow(MAX_CODE_NUMBER))
        try:
            resources.enter_context(rendezvous.publish(code.nameplate, self._listening.addresses()))
        except (UnreachableError, UsageError, OSError) as error:
            return self._note(f"there is no short code, only the ticket: {error}")
        self._door.show(code)
        self.code = code
        return None

    def _visit(self, visitor: Visitor) -> SendReport | None:
        """Send to a machine that was let in; None if it left before it had all."""
        peer = visitor.link.peer
        # A code is used up: who had it comes back by its key.
        self._door.save(peer)
        self._session.save(replace(self._session.record, peer=peer))
        record, offer = self._session.record, self._offer()
        session = sessions.Source(offer, self._key.sign)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        records = os.open(self._session.directory / "pages", flags, 0o600)
        cargo = Cargo(self._plan.source, offer, self._survey, records)
        hands = TreeSending(visitor.link, session, cargo, self._plan.options, lambda: self._is_back(peer))
        try:
            self._note(f"{visitor.link.address} takes it over {visitor.link.carrier.upper()}")
            began = self._clock.monotonic_s()
            finished = visitor.conversation.run(session, session.start(), hands)
            self.seconds = self._clock.monotonic_s() - began
            return hands.report(finished)
        except (UnreachableError, CancelledError, BusyError, StorageFullError) as error:
            self._session.save(replace(record, peer=peer, bytes_done=hands.totals.get("bytes_packed", 0)))
            self._note(f"{error}: waiting for it to come back (Ctrl-C ends this, and the ticket stays good)")
            return None
        finally:
            os.close(records)

    def _offer(self) -> Offer:
        record = self._session.record
        assert record.scope_secret is not None
        return offer_of(self._plan.source, record.session, record.scope_secret, record.title, self._survey)

    def _is_back(self, peer: bytes) -> bool:
        """Whether the machine that takes the tree has come again; another one that comes meanwhile is told to go."""
        for visitor in self._listening.others(peer):
            threading.Thread(target=self._turn_away, args=(visitor,), name="warp-busy", daemon=True).start()
        return self._listening.is_back(peer)

    def _turn_away(self, visitor: Visitor) -> None:
        self._note(f"{visitor.link.address} has the ticket too, and was told that another machine takes it")
        visitor.conversation.refuse(sessions.Source(self._offer(), self._key.sign), BusyError("one at a time"))


def _title(source: Source) -> str:
    names = ", ".join(os.fsdecode(name or os.path.basename(path)) for name, path in source.roots)
    return names.encode(errors="replace")[:MAX_TITLE_BYTES].decode(errors="ignore")
