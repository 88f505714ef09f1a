"""What the carriers do between two ends on this machine: real connections over loopback, whose both ends share its cores.

QUIC goes in datagrams of the size that the network takes, for the cost is by the datagram.
"""

import contextlib
import os
import selectors
import threading
import time
from dataclasses import dataclass
from typing import Final

from warp_portal._native import Endpoint, Link
from warp_portal.archive.options import MIB
from warp_portal.errors import ProtocolError, WarpPortalError
from warp_portal.keys.machines import MachineKey
from warp_portal.transport.doctoring.buffers import WANTED, Buffers
from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.units import format_duration, format_rate

SECONDS: Final = 1.0
_HOST: Final = "127.0.0.1:0"
_TIMEOUT_S: Final = 5.0
# The largest message (docs/transfer-protocol.md §2).
_PIECE: Final = MIB
_BEAT_S: Final = 0.05
# QUIC begins at 1200 bytes in any network, and with more than 8952 no network carries one datagram.
LEAST_DATAGRAM: Final = 1200
MOST_DATAGRAM: Final = 8952
# Headers of IPv6 and UDP.
HEADERS: Final = 48
# Congestion control halves its rate at each loss: at one packet of a thousand it does not come back to the full one.
_LOSSY: Final = 0.001


@dataclass(frozen=True, slots=True)
class Carried:
    """One carrier: bytes a second, seconds until it was encrypted, and of QUIC the datagram's bytes and the part that was lost."""

    carrier: str
    rate: float
    handshake_s: float
    datagram: int = 0
    lost: float = 0.0


def datagram_for(mtu: int) -> int:
    """The payload of a QUIC packet in a network that carries IP packets of `mtu` bytes."""
    return max(LEAST_DATAGRAM, min(MOST_DATAGRAM, mtu - HEADERS))


def probe_carrier(carrier: str, mtu: int, seconds: float = SECONDS) -> Carried:
    """Send for so long from one end to the other. Raises UnreachableError, OSError."""
    with contextlib.ExitStack() as resources:
        near, far = (_endpoint(datagram_for(mtu), listens, resources) for listens in (False, True))
        began = time.monotonic()
        host, port = far.address
        sending = near.dial(host, port, carrier=carrier, expected=None, timeout=_TIMEOUT_S)
        handshake_s = time.monotonic() - began
        receiving = _accepted(far)
        for link in (sending, receiving):
            resources.callback(link.abort, 0, "")
            link.authorize()
        rate = _carried(sending, receiving, seconds)
        _, datagram, _, lost = sending.path()
        sent = rate * seconds / datagram if datagram else 0
        return Carried(carrier, rate, handshake_s, datagram, lost / sent if sent else 0.0)


def _endpoint(datagram: int, listens: bool, resources: contextlib.ExitStack) -> Endpoint:
    seed = MachineKey.generate().seed
    endpoint = Endpoint(
        seed, address=_HOST, listen=listens, socket_buffer=WANTED, mtu_most=datagram, mtu_first=datagram
    )
    resources.callback(endpoint.close)
    return endpoint


def _accepted(endpoint: Endpoint) -> Link:
    with selectors.DefaultSelector() as selector:
        selector.register(endpoint, selectors.EVENT_READ)
        selector.select(_TIMEOUT_S)
    link = endpoint.accept()
    if link is None:
        raise ProtocolError("a connection of this machine to itself was not seen at its other end")
    return link


def _carried(sending: Link, receiving: Link, seconds: float) -> float:
    """Bytes that arrived in a second, from the first byte on."""
    over = threading.Event()
    taking = threading.Thread(target=_take, args=(receiving, over), name="warp-doctor", daemon=True)
    taking.start()
    try:
        piece, began = os.urandom(_PIECE), time.monotonic()
        while (took := time.monotonic() - began) < seconds:
            sending.send(piece, _BEAT_S)
        return receiving.traffic()[1] / took
    finally:
        over.set()
        taking.join()


def _take(link: Link, over: threading.Event) -> None:
    with selectors.DefaultSelector() as selector, contextlib.suppress(WarpPortalError):
        selector.register(link, selectors.EVENT_READ)
        while not over.is_set():
            selector.select(_BEAT_S)
            link.messages()


def judge_carriers(carried: list[Carried], buffers: Buffers | None) -> tuple[list[Check], list[Stage]]:
    """What is to be said of them. Where packets are lost between two ends of one machine, its socket buffers are to blame."""
    checks, stages = [], []
    for each in carried:
        name = each.carrier.upper()
        lossy = each.lost >= _LOSSY and buffers is not None and buffers.clamped
        loss = f"; of 1,000 packets {each.lost * 1000:.1f} were lost" if each.lost >= _LOSSY else ""
        size = f" in datagrams of {each.datagram:,} bytes" if each.datagram else ""
        says = (
            f"{name} carries {format_rate(each.rate)} from this machine to itself{size}, encrypted after "
            f"{format_duration(each.handshake_s)}{loss}"
        )
        figures: dict[str, object] = {
            "carrier": each.carrier,
            "rate": round(each.rate),
            "handshake_s": round(each.handshake_s, 4),
            "datagram": each.datagram,
            "lost": round(each.lost, 6),
        }
        checks.append(Check(Part.BUFFERS if lossy else Part.CPU, each.carrier, Grade.FINE, says, figures=figures))
        stages.append(_stage(each, lossy))
    return checks, stages


def _stage(carried: Carried, lossy: bool) -> Stage:
    name = f"{carried.carrier.upper()} carries"
    if lossy:
        return Stage(
            Part.BUFFERS,
            name,
            carried.rate,
            advice="what it could do is known once the socket buffers are large enough",
        )
    advice = "a connection is one core's work: end what else runs"
    if carried.datagram and carried.datagram < MOST_DATAGRAM:
        advice += ", or let the network carry larger packets (MTU 9000) where all of it can"
    return Stage(Part.CPU, name, carried.rate, advice=advice)
