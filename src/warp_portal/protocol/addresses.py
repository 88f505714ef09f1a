"""Where a machine listens: an IP address or a name, and a port.

    192.0.2.1:4433   [2001:db8::1]:4433   box.example:4433

Names are of ASCII letters, digits and hyphens (RFC 1123); others are written as IDNA A-labels. What names no one machine
(`0.0.0.0`, `::`, multicast, broadcast) is refused, and so are zones (`fe80::1%eth0`), which mean something on one machine only.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self

from warp_portal.errors import UsageError

MAX_PORT: Final = 65_535
MAX_NAME: Final = 253
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
# Such a last label makes some resolvers read the whole as an IPv4 address of another notation: 127.1, 0x7f000001.
_NUMERIC: Final = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_BROADCAST: Final = "255.255.255.255"
_TEXT: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:\s]+)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """`host` is in the one form that this machine writes; the constructor raises UsageError for all others."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not 1 <= self.port <= MAX_PORT or _normal(self.host) != self.host:
            raise UsageError("no address that a machine can listen at: write HOST:PORT, an IPv6 address in brackets")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `HOST:PORT`; raises UsageError."""
        match = _TEXT.fullmatch(text.strip().lower())
        if match is None:
            raise UsageError("no address: write HOST:PORT, an IPv6 address in brackets")
        six, other, port = match.groups()
        host = _normal(six or other)
        if host is None or (":" in host) != (six is not None):
            raise UsageError("no address: write HOST:PORT, an IPv6 address in brackets")
        return cls(host, int(port))

    @classmethod
    def unpack(cls, host: bytes | str, port: int) -> Self:
        """From what `packed` gives; raises UsageError."""
        if isinstance(host, str):
            address = cls(host, port)
            if address.packed() != host:
                raise UsageError("an IP address is written as its bytes")
            return address
        try:
            return cls(str(ipaddress.ip_address(host)), port)
        except ValueError:
            raise UsageError("an IP address has 4 or 16 bytes") from None

    def packed(self) -> bytes | str:
        """The 4 or 16 bytes of an IP address, or the name."""
        try:
            return ipaddress.ip_address(self.host).packed
        except ValueError:
            return self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _normal(host: str) -> str | None:
    """The host in its one form, None if it is none."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return host if len(host) <= MAX_NAME and _NAME.fullmatch(host) and not _NUMERIC.fullmatch(host) else None
    vague = number.is_unspecified or number.is_multicast or str(number) == _BROADCAST
    # An IPv4 address in IPv6 clothes would be one address with two texts.
    foreign = "%" in host or (number.version == 6 and number.ipv4_mapped is not None)
    return None if vague or foreign else str(number)
