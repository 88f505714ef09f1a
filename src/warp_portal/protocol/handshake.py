"""HELLO and the proof, from both sides; nothing about the data is said before it is done (docs/transfer-protocol.md §3, §4).

    dialer    HELLO           PROVE             [CONFIRMED]
    listener         HELLO           CONFIRM                  →  Proved on both sides

A stranger learns from a listener that it is one, its versions and its role. Which sessions it has stays hidden: for one that
it hasn't it checks the tag with a secret of nobody, and says what it says to a wrong tag.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from warp_portal._native import cpace_respond
from warp_portal.errors import ProtocolError, WrongKeyError
from warp_portal.protocol.claims import Claim
from warp_portal.protocol.door import Door, OpenCode
from warp_portal.protocol.fields import Message
from warp_portal.protocol.hello import BRANCHES, Agreement, Hello, agree
from warp_portal.protocol.pairing import Shares, channel_identifier, check_code_tag, code_tag
from warp_portal.protocol.proofs import (
    SECRET_BYTES,
    Link,
    Prover,
    check_join_tag,
    check_ticket_tag,
    join_tag,
    ticket_tag,
)
from warp_portal.protocol.proving import Confirm, Confirmed, Method, Prove
from warp_portal.protocol.session import Output, Outputs, Session, out_of_turn

# Checked in place of the secret of a session that is not there; that everybody knows it opens nothing.
_OF_NOBODY: Final = bytes(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class Proved(Output):
    """Both sides know with whom they talk. `session` is that of a ticket, or the group of a join; `nameplate` that of a code."""

    method: Method
    agreement: Agreement
    session: bytes | None = None
    nameplate: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Joins(Output):
    """Data may come on this connection, for the first one of the group; it is to be so before what is said next leaves."""

    group: bytes


class Turn(Enum):
    """What the other side is to say."""

    HELLO = "HELLO is awaited"
    PROVE = "PROVE is awaited"
    CONFIRM = "CONFIRM is awaited"
    CONFIRMED = "CONFIRMED is awaited"
    NOTHING = "the proof is done"


class Handshake(Session):
    """What dialer and listener have in common."""

    def __init__(self, link: Link, hello: Hello) -> None:
        super().__init__()
        self._link = link
        self._hello = hello
        self._turn = Turn.HELLO

    @property
    def is_silent(self) -> bool:
        """Whether the other side has said nothing yet."""
        return self._turn is Turn.HELLO

    def start(self) -> Outputs:
        """Our HELLO, which waits for nothing."""
        return self._say(self._hello)

    def _agree(self, theirs: Hello, then: Turn) -> None:
        self._agreement = agree(self._hello, theirs)
        self._turn = then

    def _proved(self, prove: Prove) -> Proved:
        self._turn = Turn.NOTHING
        return Proved(prove.method, self._agreement, prove.session, prove.nameplate)


class Dialer(Handshake):
    """The side that came."""

    def __init__(self, link: Link, hello: Hello, claim: Claim) -> None:
        super().__init__(link, hello)
        self._claim = claim

    def _take(self, message: Message) -> Outputs:
        match self._turn, message:
            case Turn.HELLO, Hello():
                return self._prove(message)
            case Turn.CONFIRM, Confirm():
                return self._finish(message)
        raise out_of_turn(message, self._turn.value)

    def _prove(self, theirs: Hello) -> Outputs:
        self._agree(theirs, Turn.CONFIRM)
        self._prove_sent = self._claim.prove(self._link, self._hello.random + theirs.random)
        return self._say(self._prove_sent)

    def _finish(self, confirm: Confirm) -> Outputs:
        confirm.check(self._prove_sent.method)
        return (*self._say(*self._claim.answer(confirm)), self._proved(self._prove_sent))


@dataclass(frozen=True, slots=True, repr=False)
class _Guess:
    """A dialer's guess at a code that was answered and not yet confirmed."""

    prove: Prove
    open_code: OpenCode
    isk: bytes
    shares: Shares


class Listener(Handshake):
    """The side that waits at its door."""

    def __init__(self, link: Link, hello: Hello, door: Door) -> None:
        super().__init__(link, hello)
        self._door = door
        self.guesses = 0
        """How many guesses there were at the code that this dialer guessed at, its own the last; 0: it guessed at none."""

    def _take(self, message: Message) -> Outputs:
        match self._turn, message:
            case Turn.HELLO, Hello():
                self._agree(message, Turn.PROVE)
                self._randoms = message.random + self._hello.random
                return ()
            case Turn.PROVE, Prove(method=Method.TICKET):
                return self._ticket(message, message.session or b"", message.tag or b"")
            case Turn.PROVE, Prove(method=Method.CODE):
                return self._code(message, message.nameplate or 0, message.share or b"")
            case Turn.PROVE, Prove(method=Method.JOIN):
                return self._join(message, message.session or b"", message.tag or b"")
            case Turn.PROVE, Prove():
                return self._peer(message)
            case Turn.CONFIRMED, Confirmed():
                return self._confirmed(message)
        raise out_of_turn(message, self._turn.value)

    def _ticket(self, prove: Prove, session: bytes, tag: bytes) -> Outputs:
        secret, binding = self._door.secret(session), self._link.binding(session)
        check_ticket_tag(tag, secret or _OF_NOBODY, Prover.DIALER, binding)
        if secret is None:
            raise WrongKeyError("a dialer came for a session that is not here")
        self._door.enter(session)
        return (*self._say(Confirm(ticket_tag(secret, Prover.LISTENER, binding))), self._proved(prove))

    def _code(self, prove: Prove, nameplate: int, share: bytes) -> Outputs:
        guessed = self._door.guess(nameplate)
        self.guesses = guessed.guesses
        channel = channel_identifier(self._link, nameplate)
        ours, isk = cpace_respond(guessed.code.password.encode(), channel, self._randoms, share)
        shares = Shares(share, ours)
        self._guess = _Guess(prove, guessed, isk, shares)
        self._turn = Turn.CONFIRMED
        return self._say(Confirm(code_tag(isk, Prover.LISTENER, shares), ours))

    def _confirmed(self, confirmed: Confirmed) -> Outputs:
        guess = self._guess
        check_code_tag(confirmed.tag, guess.isk, Prover.DIALER, guess.shares)
        self._door.use(guess.open_code)
        return (self._proved(guess.prove),)

    def _peer(self, prove: Prove) -> Outputs:
        if not self._door.knows(self._link.dialer):
            raise WrongKeyError("a dialer came as a peer whose key is not among the saved")
        return (*self._say(Confirm()), self._proved(prove))

    def _join(self, prove: Prove, group: bytes, tag: bytes) -> Outputs:
        if not self._agreement.features & BRANCHES:
            raise ProtocolError("PROVE: a further connection, where it was not agreed that there are any")
        first, binding = self._door.first(group), self._link.binding(group)
        check_join_tag(tag, _OF_NOBODY if first is None else first.exporter, Prover.DIALER, binding)
        if first is None or (first.dialer, first.listener) != (self._link.dialer, self._link.listener):
            raise WrongKeyError("a dialer would join a connection that is not here, or not its own")
        self._door.join(group)
        answer = Confirm(join_tag(first.exporter, Prover.LISTENER, binding))
        return (Joins(group), *self._say(answer), self._proved(prove))
