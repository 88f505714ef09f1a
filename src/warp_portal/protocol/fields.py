"""What all messages have in common: a CBOR map whose key 0 is the type, and readers of its other keys that check what they read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from warp_portal.errors import ProtocolError
from warp_portal.protocol import cbor
from warp_portal.protocol.ranges import Ranges

TYPE_KEY: Final = 0
SESSION_BYTES: Final = 16
DIGEST_BYTES: Final = 32
MAX_U64: Final = 2**64 - 1
# Sizes and offsets: a file has at most so many bytes.
MAX_SIZE: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """The keys of a map that was read; `what` names it in errors. Every reader raises ProtocolError."""

    what: str
    values: Mapping[int, object]

    def __contains__(self, key: int) -> bool:
        return key in self.values

    def number(self, key: int, most: int = MAX_U64, least: int = 0) -> int:
        """An integer from `least` to `most`."""
        value = self.values.get(key)
        if type(value) is not int or not least <= value <= most:
            raise ProtocolError(f"{self.what}: key {key} is no number from {least} to {most}")
        return value

    def number_or_none(self, key: int, most: int = MAX_U64) -> int | None:
        """The same, if it is there."""
        return self.number(key, most) if key in self.values else None

    def binary(self, key: int, length: int) -> bytes:
        """A byte string of so many bytes."""
        value = self.values.get(key)
        if type(value) is not bytes or len(value) != length:
            raise ProtocolError(f"{self.what}: key {key} is no string of {length} bytes")
        return value

    def text(self, key: int, most_bytes: int) -> str:
        """A text of at most so many bytes of UTF-8. It may hold anything, and is for a terminal only after cleaning."""
        value = self.values.get(key)
        # Surrogates, of a local name that is no UTF-8, are refused by `cbor.encode`; what was read has none.
        if type(value) is not str or len(value.encode(errors="surrogatepass")) > most_bytes:
            raise ProtocolError(f"{self.what}: key {key} is no text of at most {most_bytes} bytes")
        return value

    def array(self, key: int, most: int) -> list[object]:
        """An array of at most so many items."""
        value = self.values.get(key)
        if type(value) is not list or len(value) > most:
            raise ProtocolError(f"{self.what}: key {key} is no array of at most {most} items")
        return value

    def map(self, key: int) -> dict[int, object]:
        """A map."""
        value = self.values.get(key)
        if type(value) is not dict:
            raise ProtocolError(f"{self.what}: key {key} is no map")
        return value

    def ranges(self, key: int, size: int) -> Ranges:
        """A set of ordinals below `size`."""
        value = self.values.get(key)
        if type(value) is not bytes:
            raise ProtocolError(f"{self.what}: key {key} is no byte string")
        return Ranges.parse(value, size)


class Message(ABC):
    """A message: `serialize` gives the payload of its frame, `messages.parse` reads it."""

    __slots__ = ()
    TYPE: ClassVar[int]
    NAME: ClassVar[str]

    @abstractmethod
    def values(self) -> dict[int, object]:
        """Its keys but for the type; None stands for one that is left out."""

    @classmethod
    @abstractmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""

    def serialize(self) -> bytes:
        """Its bytes; raises ProtocolError for what the other side would refuse, so that no such message leaves."""
        values = present(self.values())
        self.read(Content(self.NAME, values))
        return cbor.encode({TYPE_KEY: self.TYPE, **values})


def present(values: dict[int, object]) -> dict[int, object]:
    """The keys that have a value."""
    return {key: value for key, value in values.items() if value is not None}
