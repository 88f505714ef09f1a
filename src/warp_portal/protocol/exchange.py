"""WANT, KEPT, LOST, CANCEL, SAME: what is said while data goes over (docs/transfer-protocol.md §3, §6, §7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, Self

from warp_portal.errors import ProtocolError
from warp_portal.protocol import cbor
from warp_portal.protocol.fields import Content, Message
from warp_portal.protocol.ranges import Ranges

MAX_PAGES: Final = 2**32
# Pages from here on are the metadata pages of an archive, by their place in the newest TOC; each is wanted whole.
METADATA_PAGES: Final = MAX_PAGES
MAX_PAGE: Final = METADATA_PAGES + MAX_PAGES - 1
# Chunks of a locator page. A page of a tree has fewer fragments: the session, which knows what it is about, looks again.
MAX_PAGE_RECORDS: Final = 4096
MAX_TREE_FRAGMENTS: Final = 2048


@dataclass(frozen=True, slots=True)
class Want(Message):
    """The sink wants these records of a page, and no others. None at all is an answer too."""

    TYPE: ClassVar = 7
    NAME: ClassVar = "WANT"

    page: int
    ranges: Ranges

    def values(self) -> dict[int, object]:
        """Keys 1 and 2."""
        return {1: self.page, 2: self.ranges.serialize()}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        return cls(*_page_ranges(content))


@dataclass(frozen=True, slots=True)
class Kept(Message):
    """What became durable since the last KEPT, by page, in ascending order. `epoch` counts them."""

    TYPE: ClassVar = 8
    NAME: ClassVar = "KEPT"

    epoch: int
    pages: Mapping[int, Ranges]

    def values(self) -> dict[int, object]:
        """Keys 1 and 2."""
        return {1: self.epoch, 2: {page: ranges.serialize() for page, ranges in self.pages.items()}}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        listed = Content("KEPT, its pages", content.map(2))
        if not 1 <= len(listed.values) <= cbor.MAX_KEYS or max(listed.values) > MAX_PAGE:
            raise ProtocolError("KEPT: number of its pages, or of one of them")
        pages = {page: listed.ranges(page, most_records(page)) for page in listed.values}
        if not all(pages.values()):
            raise ProtocolError("KEPT: a page of which nothing is kept")
        return cls(content.number(1), MappingProxyType(pages))


@dataclass(frozen=True, slots=True)
class Lost(Message):
    """The source can't have these records of a page any more."""

    TYPE: ClassVar = 9
    NAME: ClassVar = "LOST"

    page: int
    ranges: Ranges

    def values(self) -> dict[int, object]:
        """Keys 1 and 2."""
        return {1: self.page, 2: self.ranges.serialize()}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        page, ranges = _page_ranges(content)
        if not ranges:
            raise ProtocolError("LOST: nothing is lost")
        return cls(page, ranges)


@dataclass(frozen=True, slots=True)
class Cancel(Message):
    """The sink does not need the answer to a request any more."""

    TYPE: ClassVar = 12
    NAME: ClassVar = "CANCEL"

    request: int

    def values(self) -> dict[int, object]:
        """Key 1."""
        return {1: self.request}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError. Request 0 is what was pushed."""
        return cls(content.number(1, least=1))


@dataclass(frozen=True, slots=True)
class Same(Message):
    """The first `pages` pages of the tree are those that the sink said it has: they do not travel."""

    TYPE: ClassVar = 14
    NAME: ClassVar = "SAME"

    pages: int

    def values(self) -> dict[int, object]:
        """Key 1."""
        return {1: self.pages}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        return cls(content.number(1, MAX_PAGES, least=1))


def most_records(page: int) -> int:
    """How many records a page of this number has at most, whatever is sent."""
    return 1 if page >= METADATA_PAGES else MAX_PAGE_RECORDS


def _page_ranges(content: Content) -> tuple[int, Ranges]:
    page = content.number(1, MAX_PAGE)
    return page, content.ranges(2, most_records(page))
