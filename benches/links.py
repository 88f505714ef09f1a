"""The networks of the transfer bench: loopback, and two machines on one line of a given rate, both in namespaces (root only).

loopback           a namespace of its own: what goes over it can be counted, and nothing leaves it
loopback, MTU 1500 the same, so that datagrams are as large as on the internet
RATE               two namespaces, a veth pair between them, HTB of that rate on both ends: docs/performance.md, Transfer

Who is not root gets the loopback of this machine, which counts nothing.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.networks import DEVICE, namespace, reason_to_skip
from tests.networks import line as machines

ETHERNET_MTU: Final = 1500
SENDER, RECEIVER = "10.77.0.1", "10.77.0.2"
# What HTB lets one class send at a turn; from the rate alone it would take more than a packet's room allows, and warn.
_QUANTUM: Final = "60000"
_SENT_COLUMN, _COLUMNS = 8, 16


@dataclass(frozen=True, slots=True)
class Network:
    """How a sender and a receiver are run on it, the address at which the sender is, and what has gone over it."""

    name: str
    host: str
    sender: Sequence[str] = ()
    receiver: Sequence[str] = ()
    counter: Callable[[], int] | None = None

    def bytes(self) -> int | None:
        """All bytes so far, both directions, with headers; None where nothing counts."""
        return None if self.counter is None else self.counter()

    @property
    def bracketed(self) -> str:
        """The host as it stands in URLs."""
        return f"[{self.host}]" if ":" in self.host else self.host


def reason_without(*programs: str) -> str:
    """Why there can be no network of our own; empty if there can."""
    return reason_to_skip(*programs)


@contextmanager
def loopback(mtu: int | None = None) -> Iterator[Network]:
    """Both sides on one machine. `mtu`: root only, and over IPv6, as quinn's bench is."""
    if mtu is None and reason_without():
        yield Network("loopback", "127.0.0.1")
        return
    with namespace() as within:
        if mtu is not None:
            _run(within, "ip", "link", "set", "lo", "mtu", str(mtu))
        name, host = ("loopback", "127.0.0.1") if mtu is None else (f"loopback, MTU {mtu}", "::1")
        yield Network(name, host, within, within, lambda: _counted(within, "lo")[0])


@contextmanager
def line(rate: str) -> Iterator[Network]:
    """Two machines on a line of a rate as `tc` reads it (`1gbit`). SystemExit where that cannot be."""
    if reason := reason_without("tc"):
        raise SystemExit(f"--link: {reason}")
    with machines((SENDER, RECEIVER)) as (sender, receiver):
        for within in (sender, receiver):
            _run(within, "tc", "qdisc", "add", "dev", DEVICE, "root", "handle", "1:", "htb", "default", "1")
            limits = ("rate", rate, "ceil", rate, "quantum", _QUANTUM)
            _run(within, "tc", "class", "add", "dev", DEVICE, "parent", "1:", "classid", "1:1", "htb", *limits)
        yield Network(rate, SENDER, sender, receiver, lambda: sum(_counted(sender, DEVICE)))


def counted(table: str, device: str) -> tuple[int, int]:
    """Bytes sent and received by a device, from the text of /proc/net/dev. Raises ValueError if it is not there."""
    for row in table.splitlines():
        name, colon, figures = row.partition(":")
        numbers = figures.split()
        if colon and name.strip() == device and len(numbers) == _COLUMNS:
            return int(numbers[_SENT_COLUMN]), int(numbers[0])
    raise ValueError(f"/proc/net/dev has no {device}")


def _counted(within: Sequence[str], device: str) -> tuple[int, int]:
    shown = subprocess.run([*within, "cat", "/proc/net/dev"], check=True, capture_output=True, text=True).stdout
    return counted(shown, device)


def _run(within: Sequence[str], *words: str) -> None:
    ran = subprocess.run([*within, *words], check=False, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{' '.join(words)}: {ran.stderr.strip()}")
