"""The way to another machine: each of its addresses by each carrier, as far as the end of the TLS handshake.

No proof is sent, so the listener counts no guess; and the key that is shown is one of this examination alone.
"""

import errno
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from warp_portal._native import Endpoint, Link
from warp_portal.clock import Clock
from warp_portal.errors import IdentityError, UnreachableError, UsageError, WarpPortalError
from warp_portal.keys.machines import MachineKey
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import LABEL, Carriers, Ticket
from warp_portal.transport.dialing import LOOPBACK_MTU, hosts_of, is_here

TIMEOUT_S: Final = 5.0
# The search for the largest datagram ends where nothing larger got through for so long, and in any case then.
_SETTLED_S: Final = 0.5
_SEARCH_S: Final = 3.0
_BEAT_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Target:
    """Where to; of a ticket also by what key the other side is known and until when (seconds since 1970). Its secret is not kept."""

    addresses: tuple[Address, ...]
    listener: bytes | None = None
    carriers: Carriers = Carriers.QUIC | Carriers.TCP
    expires_s: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a ticket or `HOST:PORT`. Raises UsageError, VersionError; neither repeats the text."""
        if text.strip().lower().startswith(f"{LABEL}:"):
            # One that has ended is still good to look at its way.
            ticket = Ticket.parse(text, 0)
            return cls(ticket.addresses, ticket.listener, ticket.carriers, ticket.expires_s)
        try:
            return cls((Address.parse(text),))
        except UsageError:
            raise UsageError(
                "neither a ticket nor HOST:PORT (an IPv6 address in brackets). A short code leads to no place: take the ticket"
            ) from None

    def is_over(self, clock: Clock) -> bool:
        """Whether the ticket has ended."""
        return self.expires_s is not None and self.expires_s * 10**9 <= clock.now_ns()


class Outcome(StrEnum):
    """How a try ended."""

    OPEN = "open"
    REFUSED = "refused"
    """The machine is there, and nothing listens."""
    SILENT = "silent"
    OTHER = "other"
    """A machine with another key."""
    FOREIGN = "foreign"
    """What listens there does not speak our protocol."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One address by one carrier. `rtt_s` and `datagram` (bytes) are what QUIC found; `says` is the system's reason."""

    host: str
    port: int
    carrier: str
    outcome: Outcome
    handshake_s: float = 0.0
    rtt_s: float = 0.0
    datagram: int = 0
    says: str = ""

    @property
    def place(self) -> str:
        """For people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def probe_path(target: Target) -> list[Trial]:
    """Try everything, side by side; in the order of the addresses. Raises UnreachableError if there is no address at all."""
    places = [(host, address.port) for address in target.addresses for host in hosts_of(address)]
    if not places:
        named = ", ".join(str(address) for address in target.addresses)
        raise UnreachableError(f"{named or 'the ticket'}: there is no such machine, or its name can't be looked up")
    names = [name for name in ("quic", "tcp") if Carriers[name.upper()] in target.carriers]
    tries = [_Try(host, port, carrier, target.listener) for host, port in dict.fromkeys(places) for carrier in names]
    return run_all(tries)


class _Try(threading.Thread):
    """One try on a thread of its own; `trial` is there when it has ended."""

    def __init__(self, host: str, port: int, carrier: str, expected: bytes | None) -> None:
        super().__init__(name="warp-doctor", daemon=True)
        self._place, self._carrier, self._expected = (host, port), carrier, expected
        self.trial = Trial(host, port, carrier, Outcome.SILENT)

    def run(self) -> None:
        """Dial, and look at what opens."""
        host, port = self._place
        most = LOOPBACK_MTU if is_here(host) else None
        try:
            endpoint = Endpoint(
                MachineKey.generate().seed, address="[::]:0" if ":" in host else "0.0.0.0:0", mtu_most=most
            )
            try:
                self.trial = self._dialed(endpoint)
            finally:
                endpoint.close()
        except (WarpPortalError, OSError) as error:
            self.trial = Trial(host, port, self._carrier, outcome_of(error), says=str(error))

    def _dialed(self, endpoint: Endpoint) -> Trial:
        host, port = self._place
        began = time.monotonic()
        link = endpoint.dial(host, port, carrier=self._carrier, expected=self._expected, timeout=TIMEOUT_S)
        handshake_s = time.monotonic() - began
        try:
            rtt_s, datagram = _settled(link) if self._carrier == "quic" else (0.0, 0)
        finally:
            link.abort(0, "")
        return Trial(host, port, self._carrier, Outcome.OPEN, handshake_s, rtt_s, datagram)


def run_all(tries: Sequence[_Try]) -> list[Trial]:
    """Start all, and wait for all."""
    for each in tries:
        each.start()
    for each in tries:
        each.join()
    return [each.trial for each in tries]


def _settled(link: Link) -> tuple[float, int]:
    """Round trip and the largest datagram, once the search for it (RFC 8899) finds nothing larger."""
    ends = time.monotonic() + _SEARCH_S
    datagram, since, pause = 0, time.monotonic(), threading.Event()
    while (now := time.monotonic()) < ends and now - since < _SETTLED_S:
        found = link.path()[1]
        if found != datagram:
            datagram, since = found, now
        pause.wait(_BEAT_S)
    return link.path()[0], datagram


def outcome_of(error: WarpPortalError | OSError) -> Outcome:
    """What a failure to connect means."""
    if isinstance(error, IdentityError):
        return Outcome.OTHER
    if isinstance(error, UnreachableError | OSError):
        # The native module tells the system's reason as text.
        return Outcome.REFUSED if os.strerror(errno.ECONNREFUSED) in str(error) else Outcome.SILENT
    return Outcome.FOREIGN
