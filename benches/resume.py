"""How soon a transfer goes on after its receiver was killed: until the first new byte of data is there.

    ./dev bench resume [--sets archive,file,files] [--pieces 1000000] [--rounds 5] [--scratch DIR] [--json FILE]

archive   an archive of so many chunks, as it is stored (`warp send ARCHIVE.warp`)
file      one file of so many fragments
files     so many small files

The receiver kills itself (SIGKILL) when 95 % of the pieces are durable, and in each round with its first new byte, so that every
round finds the same. Seconds are told from the start of its process, from the proof of the connection, and from the offer. At the
end it receives the rest, and that is compared with what was sent. Sets need about 0.5 GB, 9 GB and 9 GB below --scratch, in turn.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.scale import small_files

from benches.harness import own_peak_bytes, tree_bytes, write_json
from benches.sides import Command, Side
from benches.watched import FIRST
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.writer import create
from warp_portal.primitives.compression import AUTO
from warp_portal.primitives.cutting import KIB, cutting

DEFAULT_JSON: Final = Path("benches/results/resume.json")
# The smallest that the format allows, of chunks, and what fragments have then: so that many pieces take little room.
MEAN: Final = 4 * KIB
FRAGMENT_BYTES: Final = 3_650
SHARE: Final = 0.95
BAR_S: Final = 1.0
MOMENTS: Final = ("started", "connected", "offered", "accepted", "first")
_OFFER: Final = re.compile(r'^\{.*"type": ?"offer".*\}$', re.MULTILINE)
_BLOCK: Final = 1 << 20
# The first part is slow, so that it can be cut where it should be: many epochs, in so many seconds.
CUT_S: Final = 30
EPOCHS: Final = 60
# What lists a piece, at most.
LISTED_BYTES: Final = 150


def make_archive(home: Path, pieces: int) -> Path:
    """An archive of about so many chunks: 4 KiB each, of one number that is repeated."""
    source, archive = home / "numbers.bin", home / "numbers.warp"
    with source.open("wb") as file:
        for number in range(pieces):
            file.write(number.to_bytes(8, "little") * (MEAN // 8))
    options = PackOptions(cutting(fragment_mean=MEAN, fixed=True, chunk_mean=2 * MEAN), AUTO)
    create(archive, Source.of([source]), options)
    source.unlink()
    return archive


def make_file(home: Path, pieces: int) -> Path:
    """A file of about so many fragments."""
    path = home / "noise.bin"
    with path.open("wb") as file:
        for _ in range(pieces * FRAGMENT_BYTES // _BLOCK):
            file.write(os.urandom(_BLOCK))
    return path


def make_files(home: Path, pieces: int) -> Path:
    """So many files, each of one fragment."""
    tree = home / "tree"
    small_files.make(tree, 0, -(-pieces // small_files.FILES))
    return tree


SETS: Final[Mapping[str, Callable[[Path, int], Path]]] = MappingProxyType(
    {"archive": make_archive, "file": make_file, "files": make_files}
)


@dataclass(frozen=True, slots=True)
class Machines:
    """Two homes below a directory, and what is sent."""

    home: Path
    source: Path
    bytes: int
    """What goes over, about."""

    def environment(self, side: str) -> dict[str, str]:
        """That of a machine of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WARP_", "XDG_"))}
        state = {"WARP_STATE_DIR": str(self.home / side / "warp"), "WARP_CONFIG": str(self.home / side / "config.toml")}
        return {**kept, "HOME": str(self.home / side), **state, "WARP_CHECKPOINT_BYTES": str(self.bytes // EPOCHS)}

    @property
    def target(self) -> Path:
        """Where it goes."""
        return self.home / "target"

    def side(self, name: str, words: list[str], given: str = "") -> Side:
        """A process that runs."""
        place = self.home / name
        place.mkdir(parents=True, exist_ok=True)
        command = Command([sys.executable, "-m", "benches.watched", *words], Path.cwd(), self.environment(name), given)
        return Side(command, place / "said")

    def sender(self, *options: str) -> Side:
        """`warp send`."""
        return self.side("sender", ["send", "send", "--no-code", "--json", *options, str(self.source)])

    def ticket(self, sender: Side) -> str:
        """The sender's, once it has said it."""
        return str(json.loads(sender.wait_for(_OFFER)[0])["ticket"])

    def receiver(self, ticket: str, until: str) -> Side:
        """`warp receive`, until it kills itself."""
        self.target.mkdir(exist_ok=True)
        words = ["receive", str(self.log), until, "receive", "--json", "-C", str(self.target)]
        return self.side("receiver", words, f"{ticket}\n")

    @property
    def log(self) -> Path:
        """What the watch wrote."""
        return self.home / "moments"


def moments(machines: Machines, sender: Side, until: str) -> dict[str, float]:
    """Run a receiver to its end; seconds of each moment since its start, and CPU seconds of both sides."""
    ticket, before = machines.ticket(sender), sender.cpu_s
    machines.log.unlink(missing_ok=True)
    began = time.monotonic_ns()
    with machines.receiver(ticket, until) as receiver:
        # It ends by its own hand, or well.
        receiver.watch(lambda: not receiver.alive)
        if until == "never":
            receiver.ended()
        said = receiver.said
    lines = [line.split() for line in machines.log.read_text().splitlines()]
    noted, cpu = ({line[0]: line[at] for line in lines} for at in (1, 2))
    if until != "never" and "first" not in noted:
        raise SystemExit(f"the receiver ended too early:\n{said[-2000:]}")
    found: dict[str, float] = {moment: (int(noted[moment]) - began) / 1e9 for moment in MOMENTS if moment in noted}
    if until == FIRST:
        found["receiver_cpu_s"] = (int(cpu["first"]) - int(cpu["connected"])) / 1e9
        found["sender_cpu_s"] = sender.cpu_s - before
    return found


def bench(name: str, pieces: int, rounds: int, scratch: Path) -> dict[str, Any]:
    """One set: killed, gone on with so many times, and compared."""
    home = Path(tempfile.mkdtemp(prefix="warp-resume-", dir=scratch))
    try:
        made = home / "made"
        made.mkdir()
        source = SETS[name](made, pieces)
        machines = Machines(home, source, tree_bytes(source) + LISTED_BYTES * pieces)
        with machines.sender("--limit", f"{machines.bytes // CUT_S // 1000}KB/s") as sender:
            cut = moments(machines, sender, str(int(pieces * SHARE)))
        print(f"{name}: the first byte of all after {time_of(cut):.2f} s", file=sys.stderr)
        with machines.sender() as sender:
            found = [moments(machines, sender, FIRST) for _ in range(rounds)]
            for each in found:
                print(f"{name}: {each}", file=sys.stderr)
            moments(machines, sender, "never")
            sender.ended()
        differs = subprocess.run(
            ["diff", "-rq", str(machines.source), str(machines.target / machines.source.name)], check=False
        )
        return {"pieces": pieces, "rounds": found, "fresh": cut, "same": differs.returncode == 0}
    finally:
        shutil.rmtree(home)


def time_of(found: Mapping[str, float], since: str = "connected") -> float:
    """Seconds from a moment to the first new byte."""
    return found["first"] - (found[since] if since != "process" else 0.0)


def lines(name: str, result: Mapping[str, Any]) -> list[str]:
    """What was found, for people: median, and the worst."""
    out = [
        f"{name}: {result['pieces']:,} pieces; {'as it was sent' if result['same'] else 'DIFFERS from what was sent'}"
    ]
    for since in ("process", "connected", "offered", "accepted"):
        seconds = [time_of(each, since) for each in result["rounds"]]
        out.append(f"  from {since:10} {statistics.median(seconds):6.2f} s (worst {max(seconds):.2f})")
    for side in ("receiver", "sender"):
        cpu_s = statistics.median(each[f"{side}_cpu_s"] for each in result["rounds"])
        out.append(f"  {side:8} {cpu_s:13.2f} CPU s")
    return out


def main() -> int:
    """Parse arguments, run the chosen sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--pieces", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=None, help="default: that of temporary files")
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        results = json.loads(args.json.read_text())["sets"]
    for name in args.sets.split(","):
        results[name] = bench(name, args.pieces, args.rounds, args.scratch)
        print("\n".join(lines(name, results[name])))
        write_json(args.json, {"bench": "resume", "sets": results, "own_peak_bytes": own_peak_bytes()})
    return 0 if all(result["same"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
