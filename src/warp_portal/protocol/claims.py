"""By what right a dialer comes: a ticket, a code, keys saved before, or a connection that there is (docs/transfer-protocol.md §4).

prove(link, randoms)  →  PROVE                      ticket  session and tag
answer(confirm)       →  what is said after it      code    nameplate and share, and then the tag
                                                    peer    nothing: TLS has proved both keys
                                                    join    the group of the first connection, and tag
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar

from typing_extensions import override

from warp_portal._native import Cpace
from warp_portal.errors import WrongKeyError
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.fields import Message
from warp_portal.protocol.pairing import Shares, channel_identifier, check_code_tag, code_tag
from warp_portal.protocol.proofs import Link, Prover, check_join_tag, check_ticket_tag, join_tag, ticket_tag
from warp_portal.protocol.proving import Confirm, Confirmed, Method, Prove
from warp_portal.protocol.ticket import Ticket


class Claim(ABC):
    """One right of a dialer. It may serve for one connection after another: each begins with `prove`."""

    over: ClassVar[str]
    """What to do when the listener says that it has no such session or code, or none any more."""

    @abstractmethod
    def prove(self, link: Link, randoms: bytes) -> Prove:
        """The claim; `randoms` are both HELLOs' random bytes. Raises WrongKeyError if this listener may not hear it."""

    @abstractmethod
    def answer(self, confirm: Confirm) -> tuple[Message, ...]:
        """What is still to be said, after CONFIRM was checked. Raises WrongKeyError if the listener has not proved itself."""


class ByTicket(Claim):
    """Who holds a ticket comes to the machine that the ticket names, and to no other."""

    over = "it is done there, or was given up"

    def __init__(self, ticket: Ticket) -> None:
        self._ticket = ticket

    @override
    def prove(self, link: Link, randoms: bytes) -> Prove:
        """The ticket's session, and the tag."""
        _come_only_to((self._ticket.listener,), link)
        self._binding = link.binding(self._ticket.session)
        tag = ticket_tag(self._ticket.secret, Prover.DIALER, self._binding)
        return Prove(Method.TICKET, session=self._ticket.session, tag=tag)

    @override
    def answer(self, confirm: Confirm) -> tuple[Message, ...]:
        """The listener holds the secret too."""
        check_ticket_tag(confirm.tag or b"", self._ticket.secret, Prover.LISTENER, self._binding)
        return ()


class ByCode(Claim):
    """Who read a code comes to whom has its number. One wrong answer ends it for all connections: somebody is guessing."""

    over = "a code is good for ten minutes, one use and three guesses: take the ticket, or a new code"

    def __init__(self, code: ShortCode) -> None:
        self._code = code
        self._deceived = False

    @override
    def prove(self, link: Link, randoms: bytes) -> Prove:
        """The nameplate, and our share."""
        if self._deceived:
            raise WrongKeyError(
                "this code met a listener that doesn't have it: look for a mistyped word, or make another code"
            )
        channel = channel_identifier(link, self._code.nameplate)
        self._exchange = Cpace(self._code.password.encode(), channel, randoms)
        return Prove(Method.CODE, nameplate=self._code.nameplate, share=self._exchange.share)

    @override
    def answer(self, confirm: Confirm) -> tuple[Message, ...]:
        """Our tag, after the listener's was right: it would tell a guesser whether the guess was."""
        shares = Shares(self._exchange.share, confirm.share or b"")
        self._deceived = True
        isk = self._exchange.finish(shares.listener)
        check_code_tag(confirm.tag or b"", isk, Prover.LISTENER, shares)
        self._deceived = False
        return (Confirmed(code_tag(isk, Prover.DIALER, shares)),)


class ByPeer(Claim):
    """A machine whose key was saved, and that has ours."""

    over = "it waits there for another one"

    def __init__(self, *listeners: bytes) -> None:
        """`listeners`: the keys of which one must answer."""
        self._listeners = listeners

    @override
    def prove(self, link: Link, randoms: bytes) -> Prove:
        """That we come as a peer."""
        _come_only_to(self._listeners, link)
        return Prove(Method.PEER)

    @override
    def answer(self, confirm: Confirm) -> tuple[Message, ...]:
        """Nothing is left to prove."""
        return ()


class ByJoin(Claim):
    """A further connection of two machines that have one already, and have proved there who they are."""

    def __init__(self, first: Link) -> None:
        self._first = first

    @override
    def prove(self, link: Link, randoms: bytes) -> Prove:
        """The group of the first connection, and the tag."""
        _come_only_to((self._first.listener,), link)
        self._binding = link.binding(self._first.group)
        tag = join_tag(self._first.exporter, Prover.DIALER, self._binding)
        return Prove(Method.JOIN, session=self._first.group, tag=tag)

    @override
    def answer(self, confirm: Confirm) -> tuple[Message, ...]:
        """The listener has the first connection too."""
        check_join_tag(confirm.tag or b"", self._first.exporter, Prover.LISTENER, self._binding)
        return ()


def _come_only_to(keys: Collection[bytes], link: Link) -> None:
    if link.listener not in keys:
        raise WrongKeyError("another machine answers than the one expected: it has another key")
