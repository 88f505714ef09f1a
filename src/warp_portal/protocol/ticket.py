"""A ticket: all that a dialer needs, as one line of text, and itself the right to come (docs/transfer-protocol.md §4).

    warp-ticket:aga…  =  label ‖ ":" ‖ base32(u8 version ‖ CBOR map ‖ check)        base32 and check: keys/text.py

Who has the line may take what it was made for, until it expires: it holds a secret, and only `text` shows it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Self

from warp_portal.errors import PolicyError, ProtocolError, UsageError, VersionError
from warp_portal.keys import text as keytext
from warp_portal.protocol import cbor
from warp_portal.protocol.addresses import MAX_PORT, Address
from warp_portal.protocol.fields import MAX_U64, SESSION_BYTES, Content
from warp_portal.protocol.proofs import KEY_BYTES, SECRET_BYTES

LABEL: Final = "warp-ticket"
VERSION: Final = 1
MAX_ADDRESSES: Final = 16
# 16 names of 253 bytes, and 150 bytes of all the rest, in base32: longer is no ticket, and is not decoded.
MAX_TEXT: Final = 8192
MAX_TIME_S: Final = 253_402_300_799  # the end of the year 9999
_NS: Final = 10**9


class Carriers(IntFlag):
    """What the listener can be reached by; a hint."""

    QUIC = 1
    TCP = 2


@dataclass(frozen=True, slots=True, repr=False)
class Ticket:
    """`listener` is its Ed25519 key; `expires_s` counts seconds since the epoch."""

    addresses: tuple[Address, ...]
    listener: bytes
    session: bytes
    secret: bytes
    expires_s: int
    carriers: Carriers = Carriers.QUIC | Carriers.TCP

    @classmethod
    def parse(cls, line: str, now_ns: int) -> Self:
        """From its text, in whatever case. Raises UsageError, VersionError, and PolicyError if it has expired.

        No error repeats the text, which is a secret.
        """
        raw = _raw(line)
        if raw[0] != VERSION:
            raise VersionError(f"the ticket has version {raw[0]}; this program reads {VERSION}: update the older side")
        try:
            ticket = cls._read(Content("the ticket", cbor.decode_map(raw[1:])))
        except (ProtocolError, UsageError):
            raise UsageError("the ticket is malformed, though its check is right: make another") from None
        if not ticket.carriers:
            raise VersionError("the ticket's listener is reached by carriers that are not known here: update")
        if ticket.expires_s * _NS <= now_ns:
            raise PolicyError("the ticket has expired: ask for another one")
        return ticket

    @classmethod
    def _read(cls, content: Content) -> Self:
        return cls(
            addresses=tuple(_addresses(content.array(6, MAX_ADDRESSES))),
            listener=content.binary(1, KEY_BYTES),
            session=content.binary(2, SESSION_BYTES),
            secret=content.binary(3, SECRET_BYTES),
            expires_s=content.number(4, MAX_TIME_S),
            # Without the bits of later carriers, which are of no use here.
            carriers=Carriers(content.number(5, MAX_U64) & (Carriers.QUIC | Carriers.TCP)),
        )

    def text(self) -> str:
        """The line that a person carries over. Raises UsageError for a ticket that could not be read."""
        if not self.carriers:
            raise UsageError("a ticket names a carrier at least")
        values = {
            1: self.listener,
            2: self.session,
            3: self.secret,
            4: self.expires_s,
            5: int(self.carriers),
            6: [[address.packed(), address.port] for address in self.addresses],
        }
        try:
            self._read(Content("the ticket", values))
        except ProtocolError as error:
            raise UsageError(str(error)) from None
        return keytext.encode(LABEL, bytes([VERSION]) + cbor.encode(values))

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.addresses))
        return (
            f"Ticket({shown}, listener={self.listener.hex()}, session={self.session.hex()}, expires_s={self.expires_s})"
        )


def _raw(line: str) -> bytes:
    """What the line holds: a version and a map."""
    if len(line) > MAX_TEXT:
        raise UsageError("this is too long for a ticket")
    if not line.strip().lower().startswith(f"{LABEL}:"):
        raise UsageError(f"this is no ticket: the line of one begins with {LABEL}:")
    _, raw = keytext.decode(line)
    if not raw:
        raise UsageError("the ticket is empty")
    return raw


def _addresses(listed: Iterable[object]) -> Iterable[Address]:
    """Addresses of `[bytes or name, port]` each; raises ProtocolError, UsageError."""
    seen = set[Address]()
    for item in listed:
        if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], bytes | str):
            raise ProtocolError("an address that is none")
        address = Address.unpack(item[0], Content("an address", {1: item[1]}).number(1, MAX_PORT, least=1))
        if address in seen:
            raise ProtocolError("an address twice")
        seen.add(address)
        yield address
