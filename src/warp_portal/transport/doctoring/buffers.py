"""Socket buffers of UDP, and whether the kernel takes and gives many datagrams at once (GSO and GRO, udp(7))."""

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Final

from warp_portal._native import Endpoint
from warp_portal.archive.options import MIB
from warp_portal.keys.machines import MachineKey
from warp_portal.transport.doctoring.checks import Check, Grade, Part
from warp_portal.transport.doctoring.system import read_number
from warp_portal.units import format_bytes

# What an endpoint asks for (rust/warp-net/src/tuning.rs).
WANTED: Final = 4 * MIB
# <linux/udp.h>, which Python does not name.
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_SEGMENT_BYTES: Final = 1500


@dataclass(frozen=True, slots=True)
class Buffers:
    """Bytes that a UDP socket was given, and the kernel's limits, None where they are not told (in some containers)."""

    receive: int
    send: int
    receive_most: int | None
    send_most: int | None
    gso: bool
    gro: bool

    @property
    def clamped(self) -> bool:
        """Whether it is less than was asked for."""
        return min(self.receive, self.send) < WANTED


def probe_buffers() -> Buffers:
    """Open a socket as a transfer does, and ask. Raises OSError."""
    endpoint = Endpoint(MachineKey.generate().seed, address="127.0.0.1:0", socket_buffer=WANTED)
    try:
        receive, send = endpoint.buffers
    finally:
        endpoint.close()
    receive_most, send_most = (read_number(f"/proc/sys/net/core/{name}") for name in ("rmem_max", "wmem_max"))
    return Buffers(receive, send, receive_most, send_most, _takes(_UDP_SEGMENT, _SEGMENT_BYTES), _takes(_UDP_GRO, 1))


def _takes(option: int, value: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.IPPROTO_UDP, option, value)
        return True
    return False


def judge_buffers(buffers: Buffers) -> list[Check]:
    """What is to be said of them."""
    figures: dict[str, object] = {
        "wanted": WANTED,
        "receive": buffers.receive,
        "send": buffers.send,
        "rmem_max": buffers.receive_most,
        "wmem_max": buffers.send_most,
        "gso": buffers.gso,
        "gro": buffers.gro,
    }
    given = f"UDP sockets get {format_bytes(buffers.receive)} to receive and {format_bytes(buffers.send)} to send"
    if buffers.clamped:
        says = f"{given}, of {format_bytes(WANTED)} asked for: datagrams that come while the program is busy are lost"
        check = Check(Part.BUFFERS, "buffers", Grade.MEND, says, mending(buffers), figures)
    else:
        check = Check(Part.BUFFERS, "buffers", Grade.FINE, given, figures=figures)
    return [check, _offload(buffers)]


def mending(buffers: Buffers) -> str:
    """The line that makes the kernel give what is asked for, and how that stays."""
    low = {"rmem_max": buffers.receive, "wmem_max": buffers.send}
    settings = " ".join(f"net.core.{name}={WANTED}" for name, given in low.items() if given < WANTED)
    return f"as root (in a container: of its host): sysctl -w {settings}; to keep it, write that into /etc/sysctl.d/"


def _offload(buffers: Buffers) -> Check:
    missing = [name for name, here in (("GSO", buffers.gso), ("GRO", buffers.gro)) if not here]
    if not missing:
        return Check(
            Part.BUFFERS, "offload", Grade.FINE, "the kernel takes and gives many datagrams at once (GSO, GRO)"
        )
    says = f"the kernel handles datagrams one by one (no {' and no '.join(missing)}): QUIC takes more of the processor"
    advice = (
        f"a newer kernel has it (Linux 5.0; this is {os.uname().release}); the other carrier, TCP, does not need it"
    )
    return Check(Part.BUFFERS, "offload", Grade.NOTE, says, advice)
