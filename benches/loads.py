"""What the transfer bench sends, made below the scratch directory and gone afterwards. `scale` 1 is the size that the bars speak of.

file      one file of 4 GB that does not compress, seeded
text      one file of 4 GB of words, seeded, which zstd -3 makes about a third of
archive   the file of `file`, packed by `warp create`, not encrypted
tree      the kernel source tree in two versions; below scale 1 so many of its first directories
small     100,000 files of 1 to 16 KiB; below scale 1 so many of its first directories
resume    the file of `file` again, whose receiver is killed half way
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benches import datasets, generated
from benches.harness import tree_bytes
from benches.tools import WARP

FILE_BYTES: Final = 4_000_000_000
SCALES: Final[Mapping[str, float]] = MappingProxyType({"full": 1.0, "small": 1 / 40})

# Of sources, a target, and what a tool packs or keeps beside: blocks of small files included.
_TREE_BYTES: Final[Mapping[str, float]] = MappingProxyType({"tree": 7e9, "small": 3e9})


@dataclass(frozen=True, slots=True)
class Load:
    """A file or a tree, its next version if it has one, and whether its receiver is to be killed half way."""

    source: Path
    newer: Path | None
    cut: bool
    files: int
    bytes: int


@contextmanager
def prepared(name: str, scale: float, scratch: Path) -> Iterator[Load]:
    """A set, made in another process: what this one holds would count as the memory of what it starts."""
    home = scratch / "load"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    try:
        making = [sys.executable, "-m", "benches.loads", name, str(scale), str(home)]
        made = subprocess.run(making, check=False, stdout=subprocess.PIPE, text=True)
        if made.returncode:
            raise SystemExit(f"{name}: the set could not be made")
        files, size = map(int, made.stdout.split()[-2:])
        source, newer = (next(iter(sorted((home / part).iterdir())), None) for part in ("old", "new"))
        assert source is not None
        yield Load(source, newer, name == "resume", files, size)
    finally:
        shutil.rmtree(home)


def room_needed(name: str, scale: float) -> int:
    """Bytes that a set needs at most below the scratch directory, for source, target, and what a tool keeps beside."""
    if name not in _TREE_BYTES:
        # Source and target; sendme keeps it once more until it is exported.
        return int(3 * FILE_BYTES * scale)
    return int(_TREE_BYTES[name] * min(scale, 1))


def _measured(path: Path) -> tuple[int, int]:
    return sum(len(files) for _, _, files in os.walk(path)), tree_bytes(path)


def _file(old: Path, _new: Path, scale: float) -> None:
    generated.noise_file(old / "noise.bin", int(FILE_BYTES * scale))


def _text(old: Path, _new: Path, scale: float) -> None:
    generated.text_file(old / "words.txt", int(FILE_BYTES * scale))


def _tree(old: Path, new: Path, scale: float) -> None:
    first, second = datasets.SETS["tree"]()
    chosen = first_parts(first / "tree", scale)
    copied(first / "tree", old / "tree", chosen)
    copied(second / "tree", new / "tree", chosen)


def _small(old: Path, _new: Path, scale: float) -> None:
    first, _ = datasets.SETS["small"]()
    copied(first / "tree", old / "small", first_parts(first / "tree", scale))


def _archive(old: Path, _new: Path, scale: float) -> None:
    packed, state = old.parent / "packed", old.parent / "state"
    packed.mkdir()
    _file(packed, _new, scale)
    words = [WARP, "create", str(old / "noise.warp"), "-C", str(packed), "noise.bin", "--plain"]
    environment = {**os.environ, "WARP_STATE_DIR": str(state)}
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    for made in (packed, state):
        shutil.rmtree(made, ignore_errors=True)


MAKERS: Final[Mapping[str, Callable[[Path, Path, float], None]]] = MappingProxyType(
    {"file": _file, "text": _text, "archive": _archive, "tree": _tree, "small": _small, "resume": _file}
)
SETS: Final = tuple(MAKERS)


def first_parts(tree: Path, scale: float) -> list[str]:
    """The first names in a tree, so many that they hold its share `scale` of bytes; all of them from 1 on, one at least."""
    names = sorted(os.listdir(tree))
    if scale >= 1:
        return names
    sizes = {name: tree_bytes(tree / name) for name in names}
    wanted, chosen, held = scale * sum(sizes.values()), list[str](), 0
    for name in names:
        if chosen and held + sizes[name] > wanted:
            continue
        chosen.append(name)
        held += sizes[name]
    return chosen


def copied(tree: Path, target: Path, names: list[str]) -> None:
    """These parts of a tree with times and links; those that it has not are left out."""
    target.mkdir(parents=True)
    there = [str(tree / name) for name in names if os.path.lexists(tree / name)]
    subprocess.run(["cp", "-a", *there, str(target)], check=True)


def main() -> None:
    """Make a set: NAME SCALE DIRECTORY. Its number of files and their bytes go to stdout."""
    if len(sys.argv) != 4 or sys.argv[1] not in MAKERS:
        raise SystemExit(f"usage: ./dev bench loads NAME SCALE DIRECTORY   with NAME one of: {', '.join(MAKERS)}")
    name, scale, home = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    for part in ("old", "new"):
        (home / part).mkdir()
    MAKERS[name](home / "old", home / "new", scale)
    print(*_measured(home / "old"))


if __name__ == "__main__":
    main()
