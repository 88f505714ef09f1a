"""What is kept of a session, so that it goes on after either side was restarted (docs/transfer-protocol.md §6).

Deterministic CBOR as in messages (protocol/cbor.py): one map, whose keys are

    0 version (1)   1 kind (1 send, 2 receive, 3 serve)   2 session (16 bytes)   3 peer's key (32)   4 title (≤ 255 bytes)
    5 paths as bytes: of a send or serve its sources, of a receive its one target   6 scope secret of a tree (32)   7 created   8 last active
    9 bytes done   10 bytes in all   11 bytes that it takes on disk        (3, 6 and 10 only if known; times in seconds since 1970)

It is this machine's own file, and still read as if a stranger had written it: there is no key that is not listed.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from warp_portal.errors import FormatError, ProtocolError, UsageError, VersionError
from warp_portal.protocol import cbor
from warp_portal.protocol.fields import MAX_SIZE, SESSION_BYTES, Content, present
from warp_portal.protocol.offers import MAX_ROOTS, MAX_TITLE_BYTES, SCOPE_SECRET_BYTES
from warp_portal.protocol.proofs import KEY_BYTES
from warp_portal.protocol.ticket import MAX_TIME_S

VERSION: Final = 1
MAX_PATH: Final = 4096  # PATH_MAX of Linux, which counts a NUL more
_KEYS: Final = frozenset(range(12))
_WHAT: Final = "the record of a session"


class Kind(IntEnum):
    """What this machine does in the session."""

    SEND = 1
    RECEIVE = 2
    SERVE = 3


@dataclass(frozen=True, slots=True, repr=False)
class SessionRecord:
    """One session. `scope_secret` names all fragments: it is shown nowhere; `shown` has what may be."""

    kind: Kind
    session: bytes
    title: str
    paths: tuple[bytes, ...]
    created_s: int
    active_s: int
    peer: bytes | None = None
    scope_secret: bytes | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    disk_bytes: int = 0

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """From its bytes. Raises FormatError, which repeats nothing of it, or VersionError."""
        try:
            content = Content(_WHAT, cbor.decode_map(raw))
            version = content.number(0)
            if version > VERSION:
                raise VersionError(f"{_WHAT} has version {version}; this program reads {VERSION}: update it")
            return cls._read(content)
        except ProtocolError as error:
            raise FormatError(str(error)) from None

    @classmethod
    def _read(cls, content: Content) -> Self:
        if content.number(0) != VERSION or not _KEYS.issuperset(content.values):
            raise ProtocolError(f"{_WHAT}: a key that is none")
        kind = Kind(content.number(1, Kind.SERVE, least=Kind.SEND))
        return cls(
            kind=kind,
            session=content.binary(2, SESSION_BYTES),
            title=content.text(4, MAX_TITLE_BYTES),
            paths=_paths(content.array(5, 1 if kind is Kind.RECEIVE else MAX_ROOTS)),
            created_s=content.number(7, MAX_TIME_S),
            active_s=content.number(8, MAX_TIME_S),
            peer=content.binary(3, KEY_BYTES) if 3 in content else None,
            scope_secret=content.binary(6, SCOPE_SECRET_BYTES) if 6 in content else None,
            bytes_done=content.number(9, MAX_SIZE),
            bytes_total=content.number_or_none(10, MAX_SIZE),
            disk_bytes=content.number(11, MAX_SIZE),
        )

    def serialize(self) -> bytes:
        """Its bytes; raises UsageError for what could not be read again, as paths without end."""
        values = present(
            {
                0: VERSION,
                1: int(self.kind),
                2: self.session,
                3: self.peer,
                4: self.title,
                5: list(self.paths),
                6: self.scope_secret,
                7: self.created_s,
                8: self.active_s,
                9: self.bytes_done,
                10: self.bytes_total,
                11: self.disk_bytes,
            }
        )
        try:
            self._read(Content(_WHAT, values))
            return cbor.encode(values)
        except ProtocolError as error:
            raise UsageError(str(error)) from None

    def shown(self) -> dict[str, object]:
        """What may be told of it: all but the secret; paths are bytes, and they and the title may hold anything."""
        from warp_portal.keys.machines import Machine

        return {
            "kind": self.kind.name.lower(),
            "session": self.session.hex(),
            "peer": None if self.peer is None else str(Machine(self.peer)),
            "title": self.title,
            "paths": self.paths,
            "created_s": self.created_s,
            "active_s": self.active_s,
            "bytes_done": self.bytes_done,
            "bytes_total": self.bytes_total,
            "disk_bytes": self.disk_bytes,
        }

    def __repr__(self) -> str:
        return f"SessionRecord({self.kind.name.lower()}, {self.session.hex()})"


def _paths(listed: list[object]) -> tuple[bytes, ...]:
    """Absolute paths, for who goes on stands elsewhere; at least one. Raises ProtocolError."""
    paths = tuple(path for path in listed if type(path) is bytes)
    if not paths or len(paths) != len(listed):
        raise ProtocolError(f"{_WHAT}: no paths")
    if not all(path.startswith(b"/") and b"\0" not in path and len(path) < MAX_PATH for path in paths):
        raise ProtocolError(f"{_WHAT}: a path that is not absolute, or too long")
    return paths
