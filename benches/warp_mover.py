"""`warp send` and `warp receive` by ticket, as the transfer bench runs them: each over one carrier.

The ticket that the sender prints is rewritten: to the address that the bench gives the sender, and to one carrier alone.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benches.mover import Errand, Kind, Room, TwoSided
from benches.sides import Command
from benches.tools import WARP
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import Carriers, Ticket


class WarpMover(TwoSided):
    """Our own commands, over one carrier."""

    ready = re.compile(r'^\{.*"type": ?"offer".*\}$', re.MULTILINE)
    updates = resumes = True

    def __init__(self, room: Room, name: str, carrier: Carriers) -> None:
        super().__init__(room, WARP)
        self.name, self._carrier = name, carrier
        self.settings = f"defaults, by ticket, over {carrier.name} alone; {room.network.name}"

    def sending(self, errand: Errand) -> Command:
        return self.at_sender([self.binary, "send", "--no-code", "--json", errand.source.name], errand)

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        ticket = rewritten(json.loads(found[0])["ticket"], self.room.network.host, self._carrier)
        over = ["--overwrite", "changed"] if errand.kind is Kind.UPDATE else []
        words = [self.binary, "receive", "--json", "-C", str(errand.target), *over]
        return self.at_receiver(words, errand, f"{ticket}\n")

    def told_s(self, sender: str, receiver: str) -> float | None:
        return summary(sender).get("seconds")


def rewritten(line: str, host: str, carrier: Carriers) -> str:
    """The ticket to this host and by this carrier alone; the port stays."""
    ticket = Ticket.parse(line, time.time_ns())
    address = Address(host, ticket.addresses[0].port)
    return replace(ticket, addresses=(address,), carriers=carrier).text()


def summary(said: str) -> dict[str, Any]:
    """The last summary among the JSON lines of a command; empty if there is none."""
    found = [record for record in _records(said) if record.get("type") == "summary"]
    return found[-1] if found else {}


def _records(said: str) -> Iterator[dict[str, Any]]:
    for line in said.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # what goes to stderr stands between
        if isinstance(record, dict):
            yield record
