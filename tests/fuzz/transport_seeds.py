"""Inputs to begin with for the targets of the transport."""

import json

from tests.unit.transport.common import ADDRESSES, MACHINE, OTHER, RECORD, SEND


def seeds() -> dict[str, list[bytes]]:
    """Seeds of these targets."""
    nas = {
        "name": "nas",
        "key": str(MACHINE),
        "addresses": [str(each) for each in ADDRESSES],
        "added_s": 1,
        "seen_s": None,
    }
    box = {"name": "box", "key": str(OTHER), "addresses": [], "added_s": 1, "seen_s": 2}
    lists = [{"version": 1, "peers": rows} for rows in ([], [box], [box, nas])]
    return {
        "peers": [json.dumps(content).encode() for content in lists],
        "rate-limit": [b"10MiB/s", b"08:00-18:00=5MiB/s,off", b"mon-fri 22:00-6:00=80Mbit, sat-mon=off,20MB"],
        "session-record": [RECORD.serialize(), SEND.serialize()],
    }
