"""create, append, extract and verify beside restic and `tar | zstd | age`, on the same trees in one run.

    ./dev bench archive [--restic PATH] [--runs 5] [--sets tree,wheel,binaries] [--scratch DIR] [--json FILE]

Each round: pack version 1, add version 2 in its place, add it again unchanged, check everything, restore. Output goes to memory
(--scratch, default /dev/shm), input comes from the page cache (each tree is read once before). Encryption and deduplication are
on; both tools get a passphrase. `eta` is the share of the host's own limit (design: how speed is judged).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benches import datasets
from benches.eta import Efficiency
from benches.harness import Run, Table, measure, shell, tree_bytes, write_json

WARP = str(Path(sys.executable).parent / "warp")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bench works: `current/tree` is swapped between versions under an unchanged path."""

    scratch: Path
    current: Path
    versions: tuple[Path, ...]

    @property
    def secret(self) -> Path:
        """A file with the passphrase that all tools use."""
        return self.scratch / "passphrase"

    @contextmanager
    def version(self, number: int) -> Iterator[None]:
        """Put a version's tree at the common path."""
        tree = self.versions[number] / "tree"
        tree.rename(self.current / "tree")
        try:
            yield
        finally:
            (self.current / "tree").rename(tree)


class Warp:
    """Our own command."""

    def __init__(self, place: Place, name: str, *options: str) -> None:
        self.place, self.name, self.options = place, name, options
        self.archive = place.scratch / f"{name}.warp"
        self.key = ("--passphrase-file", str(place.secret))

    def round(self, table: Table) -> None:
        """All steps once."""
        self.archive.unlink(missing_ok=True)
        with self.place.version(0):
            table.time(self.name, "create", self._pack("create", self.options), self._size)
        if len(self.place.versions) > 1:
            with self.place.version(1):
                table.time(self.name, "second version", self._pack("append", ()), self._size)
                table.time(self.name, "unchanged", self._pack("append", ()), self._size)
        table.time(
            self.name, "verify deep", lambda: measure([WARP, "verify", "--level", "deep", str(self.archive), *self.key])
        )
        with empty(self.place.scratch / "restored") as target:
            table.time(
                self.name,
                "extract",
                lambda: measure([WARP, "extract", str(self.archive), "-C", str(target), *self.key]),
            )
            same(self.place.versions[-1] / "tree", target / "tree")

    def _pack(self, verb: str, options: tuple[str, ...]) -> "Step":
        return Step([WARP, verb, str(self.archive), "-C", str(self.place.current), "tree", *self.key, *options])

    def _size(self) -> int:
        return self.archive.stat().st_size


@dataclass(frozen=True, slots=True)
class Step:
    """A command to be measured."""

    command: list[str]

    def __call__(self) -> Run:
        return measure(self.command)


class Restic:
    """restic with its defaults, on a local repository."""

    name = "restic"

    def __init__(self, place: Place, binary: str) -> None:
        self.place, self.binary = place, binary
        self.repository = place.scratch / "restic"
        self.env = {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD_FILE": str(place.secret)}
        self.env["RESTIC_CACHE_DIR"] = str(place.scratch / "restic-cache")

    def round(self, table: Table) -> None:
        """All steps once."""
        for directory in (self.repository, self.place.scratch / "restic-cache"):
            shutil.rmtree(directory, ignore_errors=True)
        self._run("init")
        with self.place.version(0):
            table.time(self.name, "create", self._backup, self._size)
        if len(self.place.versions) > 1:
            with self.place.version(1):
                table.time(self.name, "second version", self._backup, self._size)
                table.time(self.name, "unchanged", self._backup, self._size)
        table.time(self.name, "verify deep", lambda: self._run("check", "--read-data"))
        with empty(self.place.scratch / "restored") as target:
            table.time(self.name, "extract", lambda: self._run("restore", "latest", "--target", str(target)))

    def _run(self, *arguments: str) -> Run:
        return measure([self.binary, *arguments], env=self.env, cwd=self.place.current)

    def _backup(self) -> Run:
        return self._run("backup", "tree")

    def _size(self) -> int:
        return tree_bytes(self.repository)


class TarZstdAge:
    """`tar | zstd -1 -T2 | age`: no deduplication, no index, no random access; the floor of a rival."""

    name = "tar|zstd -1 -T2|age"

    def __init__(self, place: Place) -> None:
        self.place = place
        self.file = place.scratch / "tar.zst.age"
        self.identity = place.scratch / "age-key"
        self.identity.unlink(missing_ok=True)
        made = subprocess.run(["age-keygen", "-o", self.identity], check=True, capture_output=True, text=True).stderr
        self.recipient = made.split()[-1]

    def round(self, table: Table) -> None:
        """All steps once."""
        with self.place.version(0):
            line = f"tar -C {self.place.current} -c tree | zstd -q -1 -T2 | age -r {self.recipient} > {self.file}"
            table.time(self.name, "create", lambda: shell(line), lambda: self.file.stat().st_size)
        with empty(self.place.scratch / "restored") as target:
            line = f"age -d -i {self.identity} {self.file} | zstd -q -dc -T2 | tar -C {target} -x"
            table.time(self.name, "extract", lambda: shell(line))


@contextmanager
def empty(directory: Path) -> Iterator[Path]:
    """A fresh directory that is gone afterwards."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def same(expected: Path, restored: Path) -> None:
    """A restore that is quick and wrong is worth nothing."""
    compare = ["rsync", "-aHAXn", "--checksum", "--itemize-changes", "--delete", f"{expected}/", f"{restored}/"]
    changes = subprocess.run(compare, check=True, capture_output=True, text=True).stdout
    if changes:
        raise SystemExit(f"the restored tree differs:\n{changes[:2000]}")


def bench(name: str, versions: tuple[Path, ...], args: argparse.Namespace) -> dict[str, object]:
    """One data set, all tools, all rounds."""
    scratch = Path(tempfile.mkdtemp(prefix="warp-bench-", dir=args.scratch))
    current = versions[0].parent / "current"
    shutil.rmtree(current, ignore_errors=True)
    current.mkdir()
    place = Place(scratch, current, versions)
    place.secret.write_text("correct horse battery staple\n")
    place.secret.chmod(0o600)
    tools: list[Warp | Restic | TarZstdAge] = [Warp(place, "warp"), Warp(place, "warp-no-verify", "--no-verify")]
    if args.restic:
        tools.append(Restic(place, args.restic))
    else:
        print("restic: absent (give --restic PATH)")
    tools.append(TarZstdAge(place))
    table = Table()
    key = ("--passphrase-file", str(place.secret))
    try:
        for version in versions:
            shell(
                f"tar -C {version} -cf /dev/null --checkpoint=1000000 tree && find {version} -type f -print0 | xargs -0 cat > /dev/null"
            )
        efficiency = Efficiency(WARP, versions[0], scratch, key)
        for number in range(args.runs):
            print(f"{name}: round {number + 1} of {args.runs}", file=sys.stderr)
            for tool in tools:
                tool.round(table)
            efficiency.round(table)
        efficiency.close()
        return {"rows": table.as_json(), **report(name, table, efficiency)}
    finally:
        shutil.rmtree(scratch)
        current.rmdir()


def report(name: str, table: Table, efficiency: Efficiency) -> dict[str, object]:
    """Print the table, the ratios and eta; what was printed, as data."""
    print(f"\n## {name}")
    print("\n".join(table.lines()))
    ratios = {}
    for step in ("create", "second version", "unchanged", "verify deep", "extract"):
        for theirs in (Restic.name, TarZstdAge.name):
            for ours in ("warp", "warp-no-verify"):
                ratio = table.ratio((ours, step), (theirs, step))
                if ratio is not None:
                    ratios[f"{ours} {step} : {theirs}"] = ratio
                    print(f"{ours + ' ' + step:32} {ratio:5.2f} × {theirs}")
    sizes = {tool: growth(table, tool) for tool, step in table.series if step == "create"}
    for tool, (first, more) in sizes.items():
        print(
            f"{tool:24} size {first / 1e6:8.1f} MB"
            + ("" if more is None else f", second version + {more / 1e6:.1f} MB")
        )
    print("\n".join(efficiency.lines()))
    return {"ratios": ratios, "sizes": sizes, "efficiency": efficiency.as_json()}


def growth(table: Table, tool: str) -> tuple[int, int | None]:
    """Stored bytes after the first version, and what the second added."""
    first = table.series[(tool, "create")].sizes["stored_bytes"]
    second = table.series.get((tool, "second version"))
    return first, None if second is None else second.sizes["stored_bytes"] - first


def main() -> None:
    """Parse arguments, run the chosen sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restic", help="path of a restic binary")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sets", default="tree,wheel,binaries")
    parser.add_argument("--scratch", default="/dev/shm")
    parser.add_argument("--json", type=Path, default=Path("benches/results/archive.json"))
    args = parser.parse_args()
    sets = {
        "tree": datasets.source_trees,
        "wheel": datasets.wheels,
        "binaries": lambda: (datasets.large_binaries(),),
    }
    results = {name: bench(name, sets[name](), args) for name in args.sets.split(",")}
    write_json(args.json, {"sets": results})


if __name__ == "__main__":
    main()
