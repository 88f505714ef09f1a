"""PROVE, CONFIRM, CONFIRMED: by what right the dialer comes (docs/transfer-protocol.md §4).

method   PROVE             CONFIRM      CONFIRMED
ticket   session, tag      tag
code     nameplate, share  share, tag   tag
peer
join     group, tag        tag
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final, Self

from warp_portal.errors import ProtocolError
from warp_portal.protocol.fields import SESSION_BYTES, Content, Message

TAG_BYTES: Final = 32
SHARE_BYTES: Final = 32  # a ristretto255 element
# One types it, so it stays short; a mailbox has room for a million open codes.
MAX_NAMEPLATE: Final = 999_999

_SESSION, _NAMEPLATE, _TAG, _SHARE = 2, 2, 3, 4


class Method(IntEnum):
    """What the dialer has."""

    TICKET = 1
    CODE = 2
    PEER = 3
    JOIN = 4


@dataclass(frozen=True, slots=True)
class Prove(Message):
    """The dialer's claim. Of the other fields those are set that the method has (see above); `session` is the group of a join too."""

    TYPE: ClassVar = 2
    NAME: ClassVar = "PROVE"

    method: Method
    session: bytes | None = None
    nameplate: int | None = None
    tag: bytes | None = field(default=None, repr=False)
    share: bytes | None = field(default=None, repr=False)

    def values(self) -> dict[int, object]:
        """Keys 1 to 4; key 2 is the session, the group or the nameplate."""
        second = self.nameplate if self.method == Method.CODE else self.session
        return {1: int(self.method), 2: second, 3: self.tag, 4: self.share}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        method = Method(content.number(1, Method.JOIN, least=Method.TICKET))
        if method in (Method.TICKET, Method.JOIN):
            return cls(method, session=content.binary(_SESSION, SESSION_BYTES), tag=content.binary(_TAG, TAG_BYTES))
        if method == Method.CODE:
            nameplate = content.number(_NAMEPLATE, MAX_NAMEPLATE, least=1)
            return cls(method, nameplate=nameplate, share=content.binary(_SHARE, SHARE_BYTES))
        return cls(method)


@dataclass(frozen=True, slots=True)
class Confirm(Message):
    """The listener's answer: `check` says whether it answers the method."""

    TYPE: ClassVar = 3
    NAME: ClassVar = "CONFIRM"

    tag: bytes | None = field(default=None, repr=False)
    share: bytes | None = field(default=None, repr=False)

    def values(self) -> dict[int, object]:
        """Keys 3 and 4."""
        return {3: self.tag, 4: self.share}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        tag = content.binary(_TAG, TAG_BYTES) if _TAG in content or _SHARE in content else None
        return cls(tag, content.binary(_SHARE, SHARE_BYTES) if _SHARE in content else None)

    def check(self, method: Method) -> None:
        """Raises ProtocolError unless it has what the method needs, and no more."""
        if (self.tag is not None, self.share is not None) != (method != Method.PEER, method == Method.CODE):
            raise ProtocolError(f"CONFIRM: not the answer to a {method.name.lower()}")


@dataclass(frozen=True, slots=True)
class Confirmed(Message):
    """The dialer's tag for a code, after it has checked the listener's."""

    TYPE: ClassVar = 4
    NAME: ClassVar = "CONFIRMED"

    tag: bytes = field(repr=False)

    def values(self) -> dict[int, object]:
        """Key 3."""
        return {3: self.tag}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        return cls(content.binary(_TAG, TAG_BYTES))
