"""How the two sides of a session find each other again after either was restarted: kept beside the session's record.

<session directory>/way   JSON, mode 0600: {"ticket": …} and, of who listens, {"port": …}; of who dialed by code {"peer": …,
                          "addresses": [...]}
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from warp_portal.config import read_regular
from warp_portal.errors import FormatError, UsageError
from warp_portal.keys.machines import Machine
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import MAX_ADDRESSES, MAX_TEXT
from warp_portal.transport.files import replace_file

NAME: Final = "way"
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class Way:
    """`ticket` is a ticket's text, which is a secret; without one the other side is a machine that was met before."""

    ticket: str | None = None
    port: int = 0
    peer: Machine | None = None
    addresses: tuple[Address, ...] = ()

    def save(self, directory: Path) -> None:
        """Keep it. Raises OSError."""
        values = {
            "ticket": self.ticket,
            "port": self.port,
            "peer": None if self.peer is None else str(self.peer),
            "addresses": [str(address) for address in self.addresses],
        }
        replace_file(directory / NAME, json.dumps(values).encode())

    @classmethod
    def load(cls, directory: Path) -> "Way":
        """What was kept; of a session that was killed before there was any, nothing. Raises FormatError, OSError."""
        path = directory / NAME
        try:
            values = json.loads(read_regular(str(path), "ways of sessions", _MOST_BYTES, private=True))
            return cls._read(values)
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError, KeyError, RecursionError, UsageError):
            raise FormatError(f"{path}: it does not say how to go on: discard the session") from None

    @classmethod
    def _read(cls, values: dict[str, object]) -> "Way":
        ticket, port, peer, addresses = (values[name] for name in ("ticket", "port", "peer", "addresses"))
        if type(port) is not int or not 0 <= port < 2**16 or type(addresses) is not list:
            raise ValueError
        if not (ticket is None or type(ticket) is str) or not (peer is None or type(peer) is str):
            raise ValueError
        if len(ticket or "") > MAX_TEXT or len(addresses) > MAX_ADDRESSES:
            raise ValueError
        found = tuple(Address.parse(address) for address in addresses)
        return cls(ticket, port, None if peer is None else Machine.parse(peer), found)

    def __repr__(self) -> str:
        return "Way()"
