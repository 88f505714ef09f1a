"""What moves bytes and no files, as a bar for the transport: iperf3's single TCP stream, and quinn's own bulk benchmark.

Their time is what they tell themselves: connecting and starting are left out.
"""

import json
import re
import time
from typing import Final

from benches.harness import CommandFailedError
from benches.mover import Errand, Mover, TwoSided, free_port
from benches.sides import Command, Side, Transfer, Usage, transfer

DATAGRAM: Final = 1452  # the largest UDP payload over IPv6 on Ethernet; the search of `warp` ends at 1,428
_TRANSFERRED: Final = re.compile(r"Transferred (\d+) bytes on 1 streams in ([\d.]+)(ns|µs|ms|s) ")
_SECONDS: Final = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_MTU: Final = re.compile(r"current_mtu: (\d+)")


class Iperf(TwoSided):
    """A server that sends, and a client that takes."""

    name, settings = "iperf3", "one TCP stream, unencrypted, no files"
    ready = re.compile(r"Server listening on (\d+)")
    encrypted = files = False
    daemon = True

    def sending(self, errand: Errand) -> Command:
        port = str(free_port())
        words = [self.binary, "-s", "-1", "--forceflush", "-B", self.room.network.host, "-p", port]
        return self.at_sender(words, errand)

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        size = str(errand.source.stat().st_size)
        words = [self.binary, "-c", self.room.network.host, "-p", found[1], "-R", "-n", size, "-J"]
        return self.at_receiver(words, errand)

    def told_s(self, sender: str, receiver: str) -> float | None:
        return iperf_seconds(receiver)


class Quinn(Mover):
    """Server and client are threads of one process, which counts as the sender."""

    name = "quinn"
    settings = f"its bulk benchmark, datagrams of {DATAGRAM} bytes, no files"
    files = False

    def carry(self, errand: Errand) -> Transfer:
        # Whole bytes: its own suffixes are powers of 1024.
        size = str(errand.source.stat().st_size)
        words = [self.binary, "--download-size", size, "--initial-mtu", str(DATAGRAM), "--stats"]
        before, began = self.room.network.bytes(), time.perf_counter()
        with Side(self.at_sender(words, errand), self.room.home("sender") / "said") as side:
            usage = side.ended()
            wall_s = time.perf_counter() - began
            told_s = quinn_seconds(side.said)
        after = self.room.network.bytes()
        wire = None if before is None or after is None else after - before
        return transfer((wall_s, 0.0), usage, Usage(0.0, 0), told_s, wire)


def iperf_seconds(said: str) -> float:
    """The seconds of what was received, from iperf3's JSON. Raises CommandFailedError if it says none."""
    try:
        return float(json.loads(said)["end"]["sum_received"]["seconds"])
    except (ValueError, KeyError, TypeError):
        raise CommandFailedError(f"iperf3 told no seconds\n{said[-500:]}") from None


def quinn_seconds(said: str) -> float:
    """The seconds of the one transfer. Raises CommandFailedError if it says none, or had other datagrams than were asked."""
    found, sizes = _TRANSFERRED.search(said), _MTU.findall(said)
    if found is None:
        raise CommandFailedError(f"quinn's bench told no seconds\n{said[-500:]}")
    # The last is the client's, which hardly sends; the server is the one that sends.
    if sizes and str(DATAGRAM) not in sizes:
        raise CommandFailedError(f"quinn's bench had datagrams of {', '.join(sizes)} bytes, not of {DATAGRAM}")
    return float(found[2]) * _SECONDS[found[3]]
