"""FINISH, DONE, CLOSE: how a transfer ends (docs/transfer-protocol.md §6–8)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final, Self

from warp_portal.protocol.fields import DIGEST_BYTES, MAX_SIZE, Content, Message

SIGNATURE_BYTES: Final = 64
MAX_TEXT_BYTES: Final = 1024
MAX_CODE: Final = 2**32 - 1
CATALOGUE_LABEL: Final = b"warp-portal 2026-11 catalogue v1"


class CloseCode(IntEnum):
    """Why a side closes: what `warp` exits with for the same reason (errors.py)."""

    OK = 0
    FAILED = 1
    PARTIAL = 3
    NOT_FOUND = 10
    BUSY = 11
    AUTH = 12
    INTEGRITY = 13
    REFUSED = 14
    VERSION = 16
    SPACE = 17
    PROTOCOL = 19
    CANCELLED = 130


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What only the end of a tree has: totals, and the source's signature over the session and the digest."""

    entries: int
    size_bytes: int
    signature: bytes = field(repr=False)


def signed_part(session: bytes, digest: bytes) -> bytes:
    """What the source signs at the end of a tree: the session, and the digest of all its pages."""
    return CATALOGUE_LABEL + session + digest


@dataclass(frozen=True, slots=True)
class Finish(Message):
    """All was sent: `count` pages and the digest of all of them, or of an archive its chunks and its commit's digest."""

    TYPE: ClassVar = 10
    NAME: ClassVar = "FINISH"

    count: int
    digest: bytes
    catalogue: Catalogue | None = None

    def values(self) -> dict[int, object]:
        """Keys 1 and 2, of a tree 3 to 5 too."""
        tree = self.catalogue
        more = {} if tree is None else {3: tree.entries, 4: tree.size_bytes, 5: tree.signature}
        return {1: self.count, 2: self.digest, **more}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError. Which of the two it must be only the session knows."""
        catalogue = None
        if any(key in content for key in (3, 4, 5)):
            signature = content.binary(5, SIGNATURE_BYTES)
            catalogue = Catalogue(content.number(3, MAX_SIZE), content.number(4, MAX_SIZE), signature)
        return cls(content.number(1, MAX_SIZE), content.binary(2, DIGEST_BYTES), catalogue)


@dataclass(frozen=True, slots=True)
class Done(Message):
    """The sink has restored what it could; the digest is the one it computed itself."""

    TYPE: ClassVar = 11
    NAME: ClassVar = "DONE"

    digest: bytes
    restored: int
    failed: int

    def values(self) -> dict[int, object]:
        """Keys 1 to 3."""
        return {1: self.digest, 2: self.restored, 3: self.failed}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        return cls(content.binary(1, DIGEST_BYTES), content.number(2, MAX_SIZE), content.number(3, MAX_SIZE))


@dataclass(frozen=True, slots=True)
class Close(Message):
    """The last message of a side. A code that is not listed stays a number: a later version may have it."""

    TYPE: ClassVar = 13
    NAME: ClassVar = "CLOSE"

    code: int
    text: str = ""

    def values(self) -> dict[int, object]:
        """Keys 1 and 2."""
        return {1: int(self.code), 2: self.text}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        return cls(content.number(1, MAX_CODE), content.text(2, MAX_TEXT_BYTES))
