"""What all sessions without I/O have in common: outputs, and how one ends (docs/transfer-protocol.md §8).

A session takes messages as `messages.parse` gives them and answers with outputs, which a driver carries out in their
order. It has no sockets, no threads, no clock, and no dice but those of CPace (`pairing.py`).

    receive(message)  →  outputs, or an error: this side's verdict, which the driver hands to `close`
    close(error)      →  the CLOSE that tells the other side, once

That the other side ended it is no error but an output, `Closed`. What comes when it is over is passed over in silence:
messages that were on the way, and events of a data engine that stops a moment later.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from warp_portal import errors
from warp_portal.errors import ProtocolError, RecordsError, VersionError, WarpPortalError
from warp_portal.protocol.ending import MAX_TEXT_BYTES, Close, CloseCode
from warp_portal.protocol.fields import Message

# As the table of §8 says it. Errors may name files of this machine or say why a proof failed: neither is the other side's business.
_MEANINGS: Final = MappingProxyType[int, str](
    {
        CloseCode.OK: "all was said and all is durable",
        CloseCode.FAILED: "it can't go on, for a reason of its own machine",
        CloseCode.PARTIAL: "the source could not read something, the rest is there",
        CloseCode.NOT_FOUND: "no such session or code, or none any more",
        CloseCode.BUSY: "too many sessions",
        CloseCode.AUTH: "no proof, or a wrong one",
        CloseCode.INTEGRITY: "bytes that are not those of their digest",
        CloseCode.REFUSED: "not taken, or the ticket has expired",
        CloseCode.VERSION: "no version in common",
        CloseCode.SPACE: "no room",
        CloseCode.PROTOCOL: "a rule of the protocol was broken",
        CloseCode.CANCELLED: "stopped by a person",
    }
)
# Codes that say that all went well are no errors: they end a session that came to its end.
_WELL: Final = frozenset({CloseCode.OK, CloseCode.PARTIAL})
_ERRORS: Final = MappingProxyType[int, type[WarpPortalError]](
    {
        kind.exit_code: kind
        for kind in (
            errors.PartialError, errors.NotFoundError, errors.BusyError, errors.WrongKeyError, errors.IntegrityError,
            errors.PolicyError, errors.VersionError, errors.StorageFullError, errors.ProtocolError, errors.CancelledError,
            errors.FailedError,
        )
    }
)  # fmt: skip


class Output:
    """Something for the driver to do or to know."""

    __slots__ = ()


Outputs = tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Send(Output):
    """Send this message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Closed(Output):
    """The other side ended it; `text` is safe to show. Nothing more is to be sent."""

    code: int
    text: str

    def error(self) -> WarpPortalError:
        """The error that its code stands for here; a code of a later version is that something failed."""
        said = self.text or _MEANINGS.get(self.code, f"code {self.code}")
        return _ERRORS.get(self.code, WarpPortalError)(f"the other side ended it: {said}")


class Session(ABC):
    """One side of a part of the dialogue."""

    def __init__(self) -> None:
        self._over = False
        self._closed = False  # a CLOSE has left or come

    @property
    def over(self) -> bool:
        """Whether it takes nothing any more."""
        return self._over

    def receive(self, message: Message) -> Outputs:
        """What follows from a message of the other side. Raises a WarpPortalError for `close`; then it is over."""
        if self._over:
            return ()
        if isinstance(message, Close):
            self._over = self._closed = True
            return self._closed_by_peer(message)
        try:
            return self._take(message)
        except WarpPortalError:
            self._over = True
            raise

    def close(self, error: WarpPortalError) -> Outputs:
        """End it for this reason, which may be one that `receive` raised: the CLOSE to be sent, if none has left or come."""
        return self._say_last(close_of(error))

    @abstractmethod
    def _take(self, message: Message) -> Outputs:
        """Answer any message but CLOSE."""

    def _closed_by_peer(self, close: Close) -> Outputs:
        if close.code in _WELL:
            raise ProtocolError("CLOSE: as if all was done, though it is not")
        return (Closed(close.code, readable(close.text)),)

    def _say(self, *messages: Message) -> Outputs:
        return () if self._over else tuple(map(Send, messages))

    def _say_last(self, close: Close) -> Outputs:
        silent, self._over, self._closed = self._closed, True, True
        return () if silent else (Send(close),)


def out_of_turn(message: Message, turn: str) -> ProtocolError:
    """The error for a message that may not come now, or not from that side."""
    return ProtocolError(f"{message.NAME}: out of turn ({turn})")


def close_of(error: WarpPortalError) -> Close:
    """The CLOSE that tells the other side. Its text is the error's own only where that speaks of the protocol.

    What has no code in §8 is a matter of this machine alone, as an option that does not fit, or a record that is damaged.
    """
    own = isinstance(error, ProtocolError | VersionError)
    is_listed = error.exit_code in set(CloseCode) and not isinstance(error, RecordsError)
    return closing(error.exit_code if is_listed else CloseCode.FAILED, str(error) if own else "")


def closing(code: int, text: str = "") -> Close:
    """A CLOSE whose text fits; without one it says what the code means."""
    said = (text or _MEANINGS.get(code, "")).encode(errors="replace")
    return Close(code, said[:MAX_TEXT_BYTES].decode(errors="ignore"))


def readable(text: str) -> str:
    """A text of the other side on one line, without what moves cursors or turns the direction of writing."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
