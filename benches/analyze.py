"""`warp analyze` beside the create that it tells of: predicted ÷ real size and time, and how much faster the telling is.

    ./dev bench analyze [--runs 5] [--sets tree,wheel,binaries,twice,random] [--full] [--scratch DIR] [--json FILE]

Each round runs analyze, then create, with the defaults and a passphrase; input comes from the page cache, the archive goes to
memory (--scratch, default /dev/shm). `twice` is two copies of Python's library, `random` is 256 MB that cannot be compressed.
The bars: size within 10 % and time within 30 % of the create.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benches import datasets
from benches.harness import CommandFailedError, Run, shell, write_json
from benches.tools import WARP

RANDOM_BYTES = 256 << 20
SIZE_BAR, TIME_BAR = 0.10, 0.30


@dataclass(frozen=True, slots=True)
class Round:
    """One analyze and one create. Seconds of the whole commands, but for what was predicted."""

    predicted_bytes: int
    archive_bytes: int
    predicted_s: float
    create_s: float
    create_cpu_s: float
    predicted_cpu_s: float
    predicted_memory: int
    create_memory: int
    analyze_s: float
    analyze_cpu_s: float
    duplicates: float
    real_duplicates: float


@contextmanager
def directory(tree: Path) -> Iterator[Path]:
    """A tree that is there already."""
    yield tree


@contextmanager
def twice(scratch: Path) -> Iterator[Path]:
    """Two copies of Python's library."""
    tree = scratch / "twice"
    for name in ("one", "two"):
        shutil.copytree(sysconfig.get_path("stdlib"), tree / name, symlinks=True)
    yield tree
    shutil.rmtree(tree)


@contextmanager
def incompressible(scratch: Path) -> Iterator[Path]:
    """Files of random bytes."""
    tree = scratch / "random"
    tree.mkdir()
    for number in range(16):
        (tree / str(number)).write_bytes(os.urandom(RANDOM_BYTES // 16))
    yield tree
    shutil.rmtree(tree)


def ran(command: list[str]) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Run a command with --json to its end: what it took, and its records by type (the last of each)."""
    start = time.perf_counter()
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took = Run(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
    if process.returncode != 0:
        raise CommandFailedError(f"exit {process.returncode} of {' '.join(command)}")
    return took, {record["type"]: record for record in map(json.loads, out.splitlines())}


def one_round(tree: Path, scratch: Path, more: list[str]) -> Round:
    """Analyze, then create."""
    archive, key = scratch / "analyzed.warp", scratch / "passphrase"
    chosen = ["-C", str(tree.parent), tree.name]
    look, told = ran([WARP, "analyze", *more, *chosen])
    made, records = ran([WARP, "create", str(archive), *chosen, "-p", str(key)])
    size = archive.stat().st_size
    archive.unlink()
    estimate, totals = told["estimate"], records["summary"]["totals"]
    return Round(
        predicted_bytes=estimate["archive_bytes"],
        archive_bytes=size,
        predicted_s=estimate["seconds"],
        create_s=made.wall_s,
        predicted_cpu_s=sum(estimate["cpu_seconds"].values()),
        create_cpu_s=made.cpu_s,
        predicted_memory=estimate["memory_bytes"],
        create_memory=made.peak_bytes,
        analyze_s=look.wall_s,
        analyze_cpu_s=look.cpu_s,
        duplicates=estimate["duplicate_bytes"] / max(1, estimate["data_bytes"]),
        real_duplicates=totals["bytes_duplicate"] / max(1, totals["bytes_read"]),
    )


def report(name: str, rounds: list[Round]) -> dict[str, object]:
    """Print the medians of the quotients, with their ranges; all of it as data."""
    print(f"\n## {name}")
    quotients: dict[str, Callable[[Round], float]] = {
        "size, predicted ÷ real": lambda r: r.predicted_bytes / r.archive_bytes,
        "time, predicted ÷ real": lambda r: r.predicted_s / r.create_s,
        "CPU, predicted ÷ real (without start and key)": lambda r: r.predicted_cpu_s / r.create_cpu_s,
        "memory, predicted ÷ real": lambda r: r.predicted_memory / r.create_memory,
        "create ÷ analyze, wall": lambda r: r.create_s / r.analyze_s,
        "create ÷ analyze, CPU": lambda r: r.create_cpu_s / r.analyze_cpu_s,
        "duplicates, predicted, % of data": lambda r: 100 * r.duplicates,
        "duplicates, real, % of data": lambda r: 100 * r.real_duplicates,
    }
    for what, of in quotients.items():
        values = [of(each) for each in rounds]
        print(f"  {what:46} {statistics.median(values):6.3f}  ({min(values):.3f}–{max(values):.3f})")
    size = statistics.median(r.predicted_bytes / r.archive_bytes for r in rounds)
    took = statistics.median(r.predicted_s / r.create_s for r in rounds)
    kept = (abs(size - 1) <= SIZE_BAR, abs(took - 1) <= TIME_BAR)
    print(f"  bars: size {'kept' if kept[0] else 'MISSED'}, time {'kept' if kept[1] else 'MISSED'}")
    return {"rounds": [asdict(each) for each in rounds], "size": size, "time": took, "bars_kept": kept}


def main() -> None:
    """Parse arguments, run the chosen sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sets", default="tree,wheel,binaries,twice,random")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--scratch", default="/dev/shm")
    parser.add_argument("--json", type=Path, default=Path("benches/results/analyze.json"))
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="warp-analyze-", dir=args.scratch))
    (scratch / "passphrase").write_text("correct horse battery staple\n")
    (scratch / "passphrase").chmod(0o600)
    sets = {
        "tree": lambda: directory(datasets.source_trees()[0] / "tree"),
        "wheel": lambda: directory(datasets.wheels()[0] / "tree"),
        "binaries": lambda: directory(datasets.large_binaries() / "tree"),
        "twice": lambda: twice(scratch),
        "random": lambda: incompressible(scratch),
    }
    results = {}
    try:
        for name in args.sets.split(","):
            with sets[name]() as tree:
                shell(f"find {tree} -type f -print0 | xargs -0 cat > /dev/null")
                rounds = []
                for number in range(args.runs):
                    print(f"{name}: round {number + 1} of {args.runs}", file=sys.stderr)
                    rounds.append(one_round(tree, scratch, ["--full"] if args.full else []))
                results[name] = report(name, rounds)
    finally:
        shutil.rmtree(scratch)
    write_json(args.json, {"full": args.full, "sets": results})


if __name__ == "__main__":
    main()
