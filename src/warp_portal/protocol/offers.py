"""OFFER and ACCEPT: what the source has, and how the sink takes it (docs/transfer-protocol.md §5)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final, Self

from warp_portal.errors import ProtocolError
from warp_portal.primitives.cutting import BUZHASH64, FIXED, MIB, Sizes, sizes_defect
from warp_portal.protocol.exchange import MAX_PAGES
from warp_portal.protocol.fields import DIGEST_BYTES, MAX_SIZE, SESSION_BYTES, Content, Message
from warp_portal.protocol.ranges import Ranges

MAX_TITLE_BYTES: Final = 255
SCOPE_SECRET_BYTES: Final = 32
MAX_ROOTS: Final = 65_535
# A frame decodes to 8 MiB at most, and holds at least one fragment.
MAX_FRAGMENT: Final = 8 * MIB
COMMIT_BYTES: Final = 256
COMMIT_ALIGNMENT: Final = 4096
MIN_WINDOW: Final = 1 * MIB
MAX_WINDOW: Final = 256 * MIB

_TREE, _ARCHIVE = 1, 2


class Mode(IntEnum):
    """What of each page the source sends."""

    EVERYTHING = 1
    WANTED = 2


@dataclass(frozen=True, slots=True)
class TreeOffer:
    """A tree that is walked as it is sent. `scope_secret` keys the fragments' ids and cuts, and is never shown."""

    scope_secret: bytes = field(repr=False)
    algorithm: int
    sizes: Sizes
    roots: int

    def values(self) -> dict[int, object]:
        """Keys 6 to 8."""
        return {6: self.scope_secret, 7: [self.algorithm, *self.sizes], 8: self.roots}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of an OFFER; raises ProtocolError."""
        algorithm, sizes = _cutter(content)
        return cls(content.binary(6, SCOPE_SECRET_BYTES), algorithm, sizes, content.number(8, MAX_ROOTS, least=1))


@dataclass(frozen=True, slots=True)
class ArchiveOffer:
    """An archive: the commit of its newest snapshot, and where in the file that lies (bytes)."""

    commit: bytes = field(repr=False)
    offset: int

    def values(self) -> dict[int, object]:
        """Keys 9 and 10."""
        return {9: self.commit, 10: self.offset}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of an OFFER; raises ProtocolError. The commit itself is for the archive's parser."""
        offset = content.number(10, MAX_SIZE, least=COMMIT_ALIGNMENT)
        if offset % COMMIT_ALIGNMENT:
            raise ProtocolError(f"{content.what}: no commit lies at {offset}")
        return cls(content.binary(9, COMMIT_BYTES), offset)


@dataclass(frozen=True, slots=True)
class Offer(Message):
    """What the source has; `entries` and `size_bytes` if they are known. The title is for eyes only, never a path."""

    TYPE: ClassVar = 5
    NAME: ClassVar = "OFFER"

    session: bytes
    title: str
    what: TreeOffer | ArchiveOffer
    entries: int | None = None
    size_bytes: int | None = None

    def values(self) -> dict[int, object]:
        """Keys 1 to 5, and those of what is offered."""
        kind = _TREE if isinstance(self.what, TreeOffer) else _ARCHIVE
        known: dict[int, object] = {1: kind, 2: self.session, 3: self.title, 4: self.entries, 5: self.size_bytes}
        return known | self.what.values()

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        kind = content.number(1, _ARCHIVE, least=_TREE)
        return cls(
            session=content.binary(2, SESSION_BYTES),
            title=content.text(3, MAX_TITLE_BYTES),
            what=TreeOffer.read(content) if kind == _TREE else ArchiveOffer.read(content),
            entries=content.number_or_none(4, MAX_SIZE),
            size_bytes=content.number_or_none(5, MAX_SIZE),
        )


@dataclass(frozen=True, slots=True)
class PagesHere:
    """The first pages of a tree, which the sink has: how many, and the digest of their digests, joined."""

    count: int
    digest: bytes

    def values(self) -> list[object]:
        """An array of both."""
        return [self.count, self.digest]

    @classmethod
    def read(cls, content: Content, key: int) -> Self:
        """From a key of an ACCEPT; raises ProtocolError."""
        found = content.array(key, 2)
        both = Content(content.what, dict(enumerate(found)))
        return cls(both.number(0, MAX_PAGES, least=1), both.binary(1, DIGEST_BYTES))


@dataclass(frozen=True, slots=True)
class Accept(Message):
    """The sink takes it. `window_bytes`: raw data that may be on the way; `known_commit`: the digest of what it has of an archive.

    What it has from an earlier connection, and need not come: `pages` of a tree, `locators` (numbers of pages) of an archive.
    """

    TYPE: ClassVar = 6
    NAME: ClassVar = "ACCEPT"

    mode: Mode
    window_bytes: int
    known_commit: bytes | None = None
    pages: PagesHere | None = None
    locators: Ranges | None = None

    def values(self) -> dict[int, object]:
        """Keys 1 to 5."""
        pages = None if self.pages is None else self.pages.values()
        locators = None if self.locators is None else self.locators.serialize()
        return {1: int(self.mode), 2: self.window_bytes, 3: self.known_commit, 4: pages, 5: locators}

    @classmethod
    def read(cls, content: Content) -> Self:
        """From the keys of its map; raises ProtocolError."""
        return cls(
            mode=Mode(content.number(1, Mode.WANTED, least=Mode.EVERYTHING)),
            window_bytes=content.number(2, MAX_WINDOW, least=MIN_WINDOW),
            known_commit=content.binary(3, DIGEST_BYTES) if 3 in content else None,
            pages=PagesHere.read(content, 4) if 4 in content else None,
            locators=content.ranges(5, MAX_PAGES) if 5 in content else None,
        )


def _cutter(content: Content) -> tuple[int, Sizes]:
    """(algorithm, sizes in bytes) of key 7."""
    numbers = content.array(7, 4)
    if len(numbers) != 4 or not all(type(number) is int for number in numbers):
        raise ProtocolError(f"{content.what}: the cutter is no array of four numbers")
    algorithm, *rest = (number for number in numbers if isinstance(number, int))
    sizes = Sizes(*rest)
    if algorithm not in (BUZHASH64, FIXED) or sizes.maximum > MAX_FRAGMENT or sizes_defect("fragment", sizes):
        raise ProtocolError(f"{content.what}: a cutter that is not allowed")
    if algorithm == FIXED and len(set(sizes)) != 1:
        raise ProtocolError(f"{content.what}: a fixed cutter with several sizes")
    return algorithm, sizes
