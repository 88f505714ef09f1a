"""A machine that waits for dialers with a ticket, on a thread, and the dialer that has one: both over real sockets."""

import contextlib
import os
import selectors
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from warp_portal import _native as native
from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.errors import CancelledError, WarpPortalError
from warp_portal.primitives import signing
from warp_portal.protocol.claims import ByTicket
from warp_portal.protocol.door import Door
from warp_portal.protocol.handshake import Dialer, Handshake, Listener, Proved
from warp_portal.protocol.hello import Hello, Role
from warp_portal.protocol.messages import STRANGER, parse
from warp_portal.protocol.proofs import Link
from warp_portal.protocol.session import Outputs, Send
from warp_portal.protocol.ticket import Ticket

SEED: Final = b"the host's private key, 32 bytes"
GUEST: Final = b"the guest's private key, 32 byte"
PROOF_S: Final = 10.0  # docs/transfer-protocol.md §1
LONG_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody at the door."""

    link: native.Link
    session: Listener
    until_s: float


class Host:
    """Listens until it is left. `welcomed` are the keys of those who proved that they may; a thread that died is told at the end."""

    def __init__(self, proof_s: float = PROOF_S) -> None:
        self.key = signing.public_key(SEED)
        self.ticket = Ticket((), self.key, os.urandom(16), os.urandom(32), time.time_ns() // 10**9 + 3600)
        self.welcomed = list[bytes]()
        self._proof_s = proof_s
        self._door = Door(SYSTEM_CLOCK)
        self._door.admit(self.ticket)
        self._callers = dict[int, Caller]()
        self._endpoint = native.Endpoint(SEED, address="127.0.0.1:0", listen=True)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._endpoint, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self._closed = False
        self.address = self._endpoint.address

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        alive = self._thread.is_alive()
        self._endpoint.close()
        self._thread.join()
        self._selector.close()
        assert alive, "the thread that listens has died"
        assert self._closed, "the thread that listens has died at the end"

    def _serve(self) -> None:
        while not self._closed:
            self._look(self._selector.select(self._patience_s()))
            for caller in [one for one in self._callers.values() if one.until_s <= time.monotonic()]:
                self._leave(caller)

    def _patience_s(self) -> float | None:
        ends = [caller.until_s for caller in self._callers.values()]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _look(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in ready:
            if isinstance(key.data, Caller):
                self._hear(key.data)
            else:
                self._accept()

    def _accept(self) -> None:
        try:
            while link := self._endpoint.accept():
                self._begin(link)
        except CancelledError:
            self._closed = True

    def _begin(self, link: native.Link) -> None:
        ends = Link(link.exporter, link.peer, self.key)
        session = Listener(ends, Hello(Role.SOURCE, os.urandom(32)), self._door)
        caller = Caller(link, session, time.monotonic() + self._proof_s)
        self._callers[link.fileno()] = caller
        self._selector.register(link, selectors.EVENT_READ, caller)
        # A link may have failed before it was taken; then it is readable.
        with contextlib.suppress(WarpPortalError):
            self._carry_out(caller, session.start())

    def _hear(self, caller: Caller) -> None:
        try:
            for raw in caller.link.messages():
                self._answer(caller, raw)
            if caller.link.ended:
                self._leave(caller)
        except WarpPortalError:
            self._leave(caller)

    def _answer(self, caller: Caller, raw: bytes) -> None:
        try:
            self._carry_out(caller, caller.session.receive(parse(raw, STRANGER)))
        except WarpPortalError as error:
            self._carry_out(caller, caller.session.close(error))
            caller.link.finish()

    def _carry_out(self, caller: Caller, outputs: Outputs) -> None:
        if any(isinstance(output, Proved) for output in outputs):
            self.welcomed.append(caller.link.peer)
        if say(caller.link, outputs):
            caller.link.finish()

    def _leave(self, caller: Caller) -> None:
        self._selector.unregister(caller.link)
        del self._callers[caller.link.fileno()]
        caller.link.abort(0, "")


def say(link: native.Link, outputs: Outputs) -> bool:
    """Send what is to be sent; whether the proof is done."""
    for output in outputs:
        if isinstance(output, Send):
            link.send(output.message.serialize())
    return any(isinstance(output, Proved) for output in outputs)


def come_in(host: Host, carrier: str) -> None:
    """An honest guest comes with the ticket and proves it, while whatever goes on there goes on."""
    endpoint = native.Endpoint(GUEST, address="127.0.0.1:0")
    try:
        link = endpoint.dial(*host.address, carrier=carrier, expected=host.key, timeout=LONG_S)
        ends = Link(link.exporter, signing.public_key(GUEST), link.peer)
        proved = _shake(link, Dialer(ends, Hello(Role.SINK, os.urandom(32)), ByTicket(host.ticket)))
    finally:
        endpoint.close()
    assert proved, "the ticket was not taken"
    assert host.welcomed.pop() == signing.public_key(GUEST)


def _shake(link: native.Link, session: Handshake) -> bool:
    proved = say(link, session.start())
    with selectors.DefaultSelector() as selector:
        selector.register(link, selectors.EVENT_READ)
        while not link.ended and not proved:
            assert selector.select(LONG_S), "nothing came"
            for raw in link.messages():
                proved = say(link, session.receive(parse(raw, STRANGER))) or proved
    link.finish()
    return proved
