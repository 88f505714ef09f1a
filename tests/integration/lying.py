"""A source that says what it likes to `warp receive --listen`, over QUIC of other people (strangers.py), with the ticket."""

import struct
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self, TypeVar

import msgpack
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.strangers import RawKey, RawKeyConnection, Stranger
from warp_portal._native import blake3
from warp_portal.primitives.cutting import BUZHASH64, Sizes
from warp_portal.protocol.ending import Catalogue, Finish, signed_part
from warp_portal.protocol.fields import Message
from warp_portal.protocol.hello import LZ4, ZSTD, Hello, Role
from warp_portal.protocol.messages import parse
from warp_portal.protocol.offers import Accept, Offer, TreeOffer
from warp_portal.protocol.proofs import Link, Prover, ticket_tag
from warp_portal.protocol.proving import Confirm, Method, Prove
from warp_portal.protocol.ticket import Ticket

HEADER: Final = struct.Struct("<BBHIQQ")
SECRET: Final = bytes(range(32))
LONG_S: Final = 30.0
FILE, HARD_LINK = 0, 3
COLUMNS: Final = "n ps pb k m u g s ms mn cs cn i f ll lb r x xd e rn rr".split()
Said = TypeVar("Said", bound=Message)


def _derived(purpose: str, key: bytes) -> bytes:
    return blake3(key, context=f"warp-portal 2026-11 {purpose} v1")


FRAGMENT_KEY: Final = _derived("fragment id", _derived("archive scope", SECRET))


class Entry(NamedTuple):
    """One entry of a page: a file of some fragments (first ordinal, count), or another name of one."""

    path: bytes
    size: int = 0
    runs: Sequence[tuple[int, int]] = ()
    link: bytes = b""


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _signed(value: int) -> bytes:
    return _number(value << 1 if value >= 0 else (-value << 1) - 1)


def page(entries: Sequence[Entry], fragments: Sequence[bytes] = (), *, goes_on: bool = False) -> bytes:
    """A page of the catalogue (docs/transfer-protocol.md §6), with these new fragments."""
    columns = {key: bytearray() for key in COLUMNS}
    last = dict.fromkeys(("m", "u", "g", "s", "ms", "cs", "i", "rr"), 0)
    before = b""

    def delta(key: str, value: int) -> None:
        columns[key] += _signed(value - last[key])
        last[key] = value

    for entry in entries:
        shared = next((at for at, (a, b) in enumerate(zip(entry.path, before, strict=False)) if a != b), None)
        shared = min(len(entry.path), len(before)) if shared is None else shared
        columns["ps"] += _number(shared) + _number(len(entry.path) - shared)
        columns["pb"] += entry.path[shared:]
        before = entry.path
        columns["k"].append(HARD_LINK if entry.link else FILE)
        for key, value in (("m", 0o644), ("u", 0), ("g", 0), ("s", entry.size), ("ms", 1000), ("cs", 1000), ("i", 1)):
            delta(key, value)
        for key in ("mn", "cn", "f", "x"):
            columns[key] += _number(0)
        if entry.link:
            columns["ll"] += _number(len(entry.link))
            columns["lb"] += entry.link
        columns["rn"] += _number(len(entry.runs))
        for first, count in entry.runs:
            delta("rr", first)
            columns["rr"] += _number(count)
            last["rr"] = first + count
    content: dict[str, object] = {key: bytes(column) for key, column in columns.items()}
    content |= {"n": len(entries), "xd": [], "co": goes_on, "re": False}
    content["fl"] = b"".join(struct.pack("<I", len(each)) for each in fragments)
    content["fi"] = b"".join(blake3(each, key=FRAGMENT_KEY)[:24] for each in fragments)
    return bytes(msgpack.packb(content, use_bin_type=True))


class Liar:
    """One connection of it. `key`: its own, if it has come before. A context manager: at its end it is silent, as a machine that vanished."""

    def __init__(self, ticket: str, key: Ed25519PrivateKey) -> None:
        self._ticket, self._key = Ticket.parse(ticket, 0), key
        place = "127.0.0.1", self._ticket.addresses[0].port
        self.stranger = Stranger(place, kind=RawKeyConnection, certificate=RawKey.of(key), private=key, alpn="warp/1")
        self.stranger.until(HandshakeCompleted)
        self._said, self._heard, self._messages = 0, b"", list[Message]()
        self._pages = list[bytes]()
        self._ended: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stranger.vanish()

    def begin(self, session: bytes) -> Accept:
        """Prove that it has the ticket, and offer a tree."""
        ticket, public = self._ticket, self._key.public_key().public_bytes_raw()
        link = Link(self.stranger.exporter(b"EXPORTER-warp-portal session"), public, ticket.listener)
        tag = ticket_tag(ticket.secret, Prover.DIALER, link.binding(ticket.session))
        self.say(Hello(Role.SOURCE, bytes(32), features=ZSTD | LZ4))
        self.say(Prove(Method.TICKET, session=ticket.session, tag=tag))
        self.hear(Confirm)
        self._session = session
        sizes = Sizes(64 << 10, 256 << 10, 1 << 20)
        self.say(Offer(session, "lies", TreeOffer(SECRET, BUZHASH64, sizes, 1)))
        return self.hear(Accept)

    def say(self, message: Message) -> None:
        """Say it on the stream of messages."""
        self.stranger.say(_frame(message.serialize(), number=self._said))
        self._said += 1
        self.stranger.greet()

    def hear(self, kind: type[Said]) -> Said:
        """The next message of a kind."""
        until = time.monotonic() + LONG_S
        while time.monotonic() < until:
            for message in self._messages:
                if isinstance(message, kind):
                    self._messages.remove(message)
                    return message
            assert self._ended is None, (self._ended, self._messages)
            self._step()
        raise TimeoutError(f"no {kind.__name__}: {self._messages}")

    def page(self, raw: bytes, codec: int = 0, payload: bytes | None = None) -> None:
        """Send the next page of the catalogue."""
        self._data(_frame(payload or raw, 2, codec, len(self._pages), len(raw)))
        self._pages.append(raw)

    def fragments(self, number: int, first: int, count: int, raw: bytes) -> None:
        """Send fragments of a page."""
        self._data(_frame(raw, 4, raw_bytes=len(raw), extension=struct.pack("<IHH", number, first, count)))

    def finish(self) -> None:
        """Say that this was all."""
        digest = blake3(b"".join(map(blake3, self._pages)))
        signature = self._key.sign(signed_part(self._session, digest))
        self.stranger.say(b"", 2)
        self.say(Finish(len(self._pages), digest, Catalogue(len(self._pages), 0, signature)))

    def _data(self, frame: bytes) -> None:
        self.stranger.say(frame, 2)
        self.stranger.greet()

    def _step(self) -> None:
        self.stranger.go_on(0.05)
        while event := self.stranger.quic.next_event():
            if isinstance(event, StreamDataReceived) and event.stream_id == 0:
                self._heard += event.data
            elif isinstance(event, ConnectionTerminated):
                self._ended = event
        while len(self._heard) >= HEADER.size:
            _, _, extension, length, _, _ = HEADER.unpack(self._heard[: HEADER.size])
            end = HEADER.size + extension + length
            if len(self._heard) < end:
                break
            self._messages.append(parse(self._heard[HEADER.size + extension : end]))
            self._heard = self._heard[end:]


def _frame(
    payload: bytes, kind: int = 1, codec: int = 0, number: int = 0, raw_bytes: int = 0, extension: bytes = b""
) -> bytes:
    return HEADER.pack(kind, codec, len(extension), len(payload), number, raw_bytes) + extension + payload
