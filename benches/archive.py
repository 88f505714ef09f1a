"""create, append, extract and verify beside restic, rustic, borg and pipes around tar, on the same trees in one run.

    ./dev bench archive [--sets tree,wheel,…] [--tools warp,restic,…] [--rounds 5] [--restic PATH] [--rustic PATH] [--borg PATH]
                        [--scratch DIR] [--json FILE] [--add] [--no-cold|--only-cold] [--no-eta]

Output goes to memory (--scratch, default /dev/shm); input comes from the page cache (each tree is read once before), but for
the row "create, cold", before which the caches are dropped (root only). Encryption and deduplication are on, where a tool has
them. `eta` is the share of the host's own limit (docs/decisions/0005). A step that fails is reported and the run goes on; the
exit status is 1 if a step of ours failed or restored something else. Results are written after every round: then
`./dev bench report FILE` prints them as Markdown, and `./dev bench plot FILE` draws them.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from benches import datasets, lineup
from benches.eta import Efficiency
from benches.harness import CommandFailedError, own_peak_bytes, write_json
from benches.lineup import Lineup
from benches.places import Place, can_drop_caches, place
from benches.report import efficiency_lines, restored_lines, size_lines
from benches.rounds import Rounds
from benches.tools import WARP, Tool

DEFAULT_JSON: Final = Path("benches/results/archive.json")


def bench(
    name: str, args: argparse.Namespace, chosen: Lineup[Place, Tool], save: Callable[[dict[str, Any]], None]
) -> bool:
    """One data set, all tools, all rounds; `save` is called after each. Whether ours did all that was asked."""
    versions = datasets.prepared(name)
    with place(versions, args.scratch) as made:
        files, size = datasets.measure(versions[0])
        tools = chosen.tools(made)
        rounds = Rounds(made, tools, cold=not args.no_cold and can_drop_caches(), warm=not args.only_cold)
        about = {"files": files, "bytes": size, "tree_versions": len(versions), "cold": rounds.cold}
        key = ("--passphrase-file", str(made.secret))
        efficiency = None if args.no_eta else Efficiency(WARP, versions[0], made.scratch, key)
        try:
            for number in range(args.rounds):
                print(f"{name}: round {number + 1} of {args.rounds}", file=sys.stderr)
                rounds.run(number)
                if efficiency:
                    efficiency.round(rounds.table)
                result = {**about, "rounds": number + 1, **outcome(rounds, efficiency)}
                save(result)
        finally:
            if efficiency:
                efficiency.close()
    print(f"\n## {name}: {files:,} files, {size / 1e9:.2f} GB")
    print("\n".join([*rounds.table.lines(), *size_lines(result), *restored_lines(result), *efficiency_lines(result)]))
    return not any(_is_ours(each.tool) for each in rounds.table.failures) and not any(
        count and _is_ours(tool) for tool, (count, _) in rounds.restored.items()
    )


def _is_ours(tool: str) -> bool:
    return tool.startswith("warp")


def outcome(rounds: Rounds, efficiency: Efficiency | None) -> dict[str, Any]:
    """What was found so far, as data."""
    return {
        "tools": {
            tool.name: {"settings": tool.settings, "encrypted": tool.encrypted, "deduplicates": tool.appends}
            for tool in rounds.tools
        },
        "rows": rounds.table.as_json(),
        "failures": [asdict(failure) for failure in rounds.table.failures],
        "restored": rounds.restored,
        "efficiency": efficiency.as_json() if efficiency else None,
    }


def main() -> int:
    """Parse arguments, run the chosen sets."""
    args = arguments()
    chosen = lineup.choose(args.tools.split(","), {name: getattr(args, name) for name in ("restic", "rustic", "borg")})
    for key, why in chosen.absent.items():
        print(f"{key}: left out, {why}")
    if not chosen.present:
        raise SystemExit("none of the chosen tools is there")
    if not args.no_cold and not can_drop_caches():
        if args.only_cold:
            raise SystemExit("--only-cold: only root may drop the page cache")
        print("create, cold: left out, only root may drop the page cache")
    sets: dict[str, Any] = json.loads(args.json.read_text())["sets"] if args.add and args.json.exists() else {}
    about = {"versions": chosen.versions, "absent": chosen.absent}
    good = True
    for name in args.sets.split(","):
        try:
            good &= bench(name, args, chosen, partial(_save, args.json, about, sets, name))
        except CommandFailedError as error:
            raise SystemExit(f"{name}: {error}") from None
    return 0 if good else 1


def _save(file: Path, about: dict[str, Any], sets: dict[str, Any], name: str, result: dict[str, Any]) -> None:
    """Write the results so far."""
    sets[name] = result
    write_json(file, {**about, "own_peak_bytes": own_peak_bytes(), "sets": sets})


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(datasets.SETS), help=f"of {', '.join(datasets.SETS)}")
    parser.add_argument("--tools", default=",".join(lineup.KEYS), help=f"of {', '.join(lineup.KEYS)}")
    parser.add_argument("--rounds", type=int, default=5)
    for name in ("restic", "rustic", "borg"):
        parser.add_argument(f"--{name}", metavar="PATH", help=f"the {name} program (default: from PATH)")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON)
    parser.add_argument("--add", action="store_true", help="keep what --json has of other sets")
    cold = parser.add_mutually_exclusive_group()
    cold.add_argument("--no-cold", action="store_true", help="leave out the runs from a cold page cache")
    cold.add_argument("--only-cold", action="store_true", help="leave out all others")
    parser.add_argument("--no-eta", action="store_true", help="leave out the host's own limit")
    args = parser.parse_args()
    if unknown := set(args.sets.split(",")) - set(datasets.SETS):
        parser.error(f"unknown sets: {', '.join(sorted(unknown))}; there are {', '.join(datasets.SETS)}")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


if __name__ == "__main__":
    sys.exit(main())
