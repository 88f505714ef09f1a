"""What Python costs while a file goes over: CPU seconds of the interpreter's threads and of the native ones, for each GB.

    ./dev bench python_share [--sizes 2,4] [--rounds 3] [--scratch DIR] [--json FILE]

`warp send` and `warp receive` move a file that does not compress over loopback, in each of two sizes (GB): what both sizes cost is
the start, the difference is the cost of the data. A thread is Python's if it has the name of the main one, for native ones have
names of their own. Files need twice the larger size below --scratch.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.transfers import Pair

from benches import generated
from benches.harness import own_peak_bytes, write_json

DEFAULT_JSON: Final = Path("benches/results/python_share.json")
GB: Final = 10**9
BAR_S: Final = 0.050
# A thread that ends is missed by so much at most.
LOOK_S: Final = 0.02
Share = dict[str, float]


class Threads:
    """CPU seconds of the threads of a process, those that have ended too."""

    def __init__(self, pid: int) -> None:
        self._place = Path(f"/proc/{pid}/task")
        self._main = str(pid)
        self._found = dict[str, tuple[str, float]]()

    def look(self) -> None:
        """Take what all have used by now."""
        with suppress(OSError):
            for thread in os.listdir(self._place):
                with suppress(OSError, ValueError):
                    name = (self._place / thread / "comm").read_text().strip()
                    used = int((self._place / thread / "schedstat").read_text().split()[0])
                    self._found[thread] = name, used / 1e9

    def share(self) -> Share:
        """Seconds of the main thread, of Python's others, and of the native ones."""
        name, main = self._found[self._main]
        others = [each for thread, each in self._found.items() if thread != self._main]
        python = sum(used for other, used in others if other == name)
        return {"main": main, "python": main + python, "native": sum(used for _, used in others) - python}


@contextmanager
def watched(*processes: Threads) -> Iterator[None]:
    """Look at processes until the end."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            for each in processes:
                each.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def transfer(source: Path, home: Path) -> dict[str, Share]:
    """One transfer: what each side used."""
    shutil.rmtree(home, ignore_errors=True)
    pair = Pair.at(home)
    with pair.source.send(source) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, home / "out") as receiver:
            sides = {"send": Threads(sender.process.pid), "receive": Threads(receiver.process.pid)}
            with watched(*sides.values()):
                # The largest files take longer than one waits in a test.
                for each in (receiver, sender):
                    each.process.wait()
            receiver.succeeded()
            sender.succeeded()
    shutil.rmtree(home / "out")
    return {side: threads.share() for side, threads in sides.items()}


def middle(found: list[dict[str, Share]], side: str, kind: str) -> float:
    """The median of all rounds."""
    return statistics.median(each[side][kind] for each in found)


def main() -> int:
    """Parse arguments, move both files, tell what a GB costs. 1 if that is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="2,4", help="two sizes in GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, default=None, help="default: that of temporary files")
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON)
    args = parser.parse_args()
    small, large = sorted(map(float, args.sizes.split(",")))
    scratch = Path(tempfile.mkdtemp(prefix="warp-share-", dir=args.scratch))
    found: dict[float, list[dict[str, Share]]] = {small: [], large: []}
    try:
        for size, runs in found.items():
            generated.noise_file(scratch / "noise.bin", int(size * GB))
            for number in range(args.rounds):
                runs.append(transfer(scratch / "noise.bin", scratch / "homes"))
                print(f"{size} GB, round {number + 1}: {runs[-1]}", file=sys.stderr)
    finally:
        shutil.rmtree(scratch)
    costs = {
        side: {
            kind: (middle(found[large], side, kind) - middle(found[small], side, kind)) / (large - small)
            for kind in ("python", "native")
        }
        for side in ("send", "receive")
    }
    for side, cost in costs.items():
        start = middle(found[small], side, "python") - small * cost["python"]
        print(
            f"{side:8} Python {1000 * cost['python']:6.1f} ms/GB (start {start:.2f} s), native {cost['native']:6.2f} s/GB"
        )
    runs_json = {str(size): runs for size, runs in found.items()}
    write_json(
        args.json, {"bench": "python_share", "runs": runs_json, "s_per_gb": costs, "own_peak_bytes": own_peak_bytes()}
    )
    return 0 if all(cost["python"] < BAR_S for cost in costs.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
