"""HELLO: which versions and features a side has, and what both make of it (docs/transfer-protocol.md §3).

ours 1–2, theirs 1–3  →  version 2          ours zstd+lz4, theirs lz4  →  features lz4
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple, Self

from warp_portal.errors import ProtocolError, VersionError
from warp_portal.protocol.fields import Content, Message

LOWEST_VERSION: Final = 1
HIGHEST_VERSION: Final = 1
MAX_VERSION: Final = 2**16 - 1
RANDOM_BYTES: Final = 32
MAX_SOFTWARE_BYTES: Final = 64

ZSTD: Final = 1 << 0
LZ4: Final = 1 << 1
# Further connections may join the first.
BRANCHES: Final = 1 << 2
# Pages that the sink has from an earlier connection do not travel again.
SPARE: Final = 1 << 3
FEATURES: Final = ZSTD | LZ4 | BRANCHES | SPARE
# It means nothing and is set at random: a peer that refuses bits which it doesn't know fails every other time, at once.
NOTHING: Final = 1 << 63


class Role(IntEnum):
    """Who has the data and who takes it."""

    SOURCE = 1
    SINK = 2


class Agreement(NamedTuple):
    """What both sides speak."""

    version: int
    features: int


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """The first message of both sides. `random` is public; `features` may hold bits that nobody here knows."""

    TYPE: ClassVar = 1
    NAME: ClassVar = "HELLO"

    role: Role
    random: bytes
    software: str = ""
    features: int = FEATURES
    lowest: int = LOWEST_VERSION
    highest: int = HIGHEST_VERSION

    def values(self) -> dict[int, object]:
        """Keys 1 to 6."""
        return {1: self.lowest, 2: self.highest, 3: self.features, 4: self.random, 5: self.software, 6: int(self.role)}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        lowest = content.number(1, MAX_VERSION, least=1)
        return cls(
            role=Role(content.number(6, Role.SINK, least=Role.SOURCE)),
            random=content.binary(4, RANDOM_BYTES),
            software=content.text(5, MAX_SOFTWARE_BYTES),
            features=content.number(3),
            lowest=lowest,
            highest=content.number(2, MAX_VERSION, least=lowest),
        )


def greased(features: int, coin: bool) -> int:
    """Features as a HELLO has them, with the bit that means nothing as the coin fell."""
    return features & ~NOTHING | (NOTHING if coin else 0)


def agree(ours: Hello, theirs: Hello) -> Agreement:
    """The highest version and the features that both have; raises VersionError, and ProtocolError if both have one role."""
    if ours.role == theirs.role:
        raise ProtocolError(f"HELLO: both sides are the {ours.role.name.lower()}")
    version = min(ours.highest, theirs.highest)
    if version < max(ours.lowest, theirs.lowest):
        raise VersionError(
            f"this side speaks versions {ours.lowest} to {ours.highest} of the transfer protocol, the other side "
            f"{theirs.lowest} to {theirs.highest}: update the older one"
        )
    return Agreement(version, ours.features & theirs.features & ~NOTHING)
