"""warp send and receive beside other tools that move files, and beside what the transport alone can do, in one run.

    ./dev bench transfer [--sets file,tree,…] [--tools warp-quic,rsync,…] [--rounds 5] [--scale small|full|FRACTION]
                         [--link 1gbit] [--croc PATH] [--quinn PATH] … [--scratch DIR] [--json FILE] [--add]

Sender and receiver are whole commands, each a process with a home of its own, and all their files are in memory (--scratch,
default /dev/shm). They talk over the loopback of a network namespace, or with --link over two namespaces and a line of that
rate between them (root only; who is not root gets the loopback of this machine). A step that fails is reported and the run
goes on; the exit status is 1 if a step of ours failed or something else arrived than we sent. Results are written after every
round: then `./dev bench report FILE` prints them and the ratios to the bars as Markdown.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from benches import loads, transfer_lineup
from benches.harness import CommandFailedError, own_peak_bytes, write_json
from benches.lineup import Lineup
from benches.mover import Mover
from benches.places import free_room
from benches.shipping import Shipping
from benches.transfer_lineup import Ground
from benches.transfer_report import arrived_lines, bar_lines

DEFAULT_JSON: Final = Path("benches/results/transfer.json")


def bench(
    name: str, args: argparse.Namespace, movers: list[Mover], ground: Ground, save: Callable[[dict[str, Any]], None]
) -> bool:
    """One load, all tools, all rounds; `save` is called after each. Whether ours did all that was asked."""
    free, needed = free_room(ground.scratch), loads.room_needed(name, args.scale)
    if free < needed:
        raise SystemExit(
            f"{ground.scratch}: {free / 1e9:.1f} GB free, and {name} needs {needed / 1e9:.1f}: see --scale"
        )
    with loads.prepared(name, args.scale, ground.scratch) as load:
        shipping = Shipping(ground.room(), movers, load)
        for number in range(args.rounds):
            print(f"{name}: round {number + 1} of {args.rounds}", file=sys.stderr)
            shipping.run(number)
            result = {"files": load.files, "bytes": load.bytes, "rounds": number + 1, **outcome(shipping)}
            save(result)
    print(f"\n## {name}: {load.files:,} files, {load.bytes / 1e9:.3f} GB")
    print("\n".join([*shipping.table.lines(), *arrived_lines(result)]))
    return not any(each.tool.startswith("warp") for each in shipping.table.failures) and not any(
        count and which.startswith("warp") for which, (count, _) in shipping.arrived.items()
    )


def outcome(shipping: Shipping) -> dict[str, Any]:
    """What was found so far, as data."""
    return {
        "tools": {
            mover.name: {"settings": mover.settings, "encrypted": mover.encrypted, "resumes": mover.resumes}
            for mover in shipping.movers
        },
        "rows": shipping.table.as_json(),
        "failures": [asdict(failure) for failure in shipping.table.failures],
        "arrived": shipping.arrived,
    }


def main() -> int:
    """Parse arguments, run the chosen sets."""
    args = arguments()
    signal.signal(signal.SIGTERM, _interrupted)
    with _scratch(args.scratch) as scratch, transfer_lineup.ground(scratch, args.link) as ground:
        given = {name: getattr(args, name) for name in transfer_lineup.PROGRAMS}
        chosen = transfer_lineup.choose(args.tools.split(","), given, ground)
        try:
            return 0 if _run(args, chosen, ground) else 1
        except KeyboardInterrupt:
            raise SystemExit("interrupted: what was measured is in the results") from None


def _run(args: argparse.Namespace, chosen: Lineup[Ground, Mover], ground: Ground) -> bool:
    for key, why in chosen.absent.items():
        print(f"{key}: left out, {why}")
    if not chosen.present:
        raise SystemExit("none of the chosen tools is there")
    sets: dict[str, Any] = json.loads(args.json.read_text())["sets"] if args.add and args.json.exists() else {}
    about = {"bench": "transfer", "scale": args.scale, "network": ground.network.name}
    results = {**about, "versions": chosen.versions, "absent": chosen.absent, "sets": sets}
    good = True
    for name in args.sets.split(","):
        try:
            good &= bench(name, args, chosen.tools(ground), ground, partial(_save, args.json, results, name))
        except CommandFailedError as error:
            raise SystemExit(f"{name}: {error}") from None
    print("\n" + "\n".join(bar_lines(results)))
    return good


def _save(file: Path, results: dict[str, Any], name: str, result: dict[str, Any]) -> None:
    """Write the results so far."""
    results["sets"][name] = result
    write_json(file, {**results, "own_peak_bytes": own_peak_bytes()})


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A directory that is gone afterwards, whatever ends the run."""
    directory = Path(tempfile.mkdtemp(prefix="warp-transfer-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def scale(text: str) -> float:
    """A share of the full sizes, by name or as a number above 0. Raises ValueError."""
    share = loads.SCALES.get(text)
    share = float(text) if share is None else share
    if not 0 < share <= 1:
        raise ValueError(text)
    return share


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = transfer_lineup.KEYS
    parser.add_argument("--sets", default=",".join(loads.SETS), help=f"of {', '.join(loads.SETS)}")
    parser.add_argument("--tools", default=",".join(keys), help=f"of {', '.join(keys)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=scale, default=1.0, help="full (default), small (1/40), or a fraction")
    parser.add_argument("--link", metavar="RATE", help="a line of this rate, as tc reads it: 1gbit")
    for name in transfer_lineup.PROGRAMS:
        parser.add_argument(f"--{name}", metavar="PATH", help=f"the {name} program (default: from PATH)")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON)
    parser.add_argument("--add", action="store_true", help="keep what --json has of other sets")
    args = parser.parse_args()
    if unknown := set(args.sets.split(",")) - set(loads.SETS):
        parser.error(f"unknown sets: {', '.join(sorted(unknown))}; there are {', '.join(loads.SETS)}")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


if __name__ == "__main__":
    sys.exit(main())
